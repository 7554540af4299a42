"""habitat/server.py in a process of its own, over a stand-in for habitat-sim: handshake, messages, bad ends."""

import ast
import contextlib
import importlib.util
import json
import math
import socket
import stat
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.sim.habitat import wire
from embodied_nav.sim.habitat.remote import RemoteWorld
from embodied_nav.sim.habitat.world import SceneSetup

from .conftest import SERVER, Server

spec = importlib.util.spec_from_file_location("habitat_server", SERVER)
server_file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(server_file)


def setup(house: Path, **changes) -> SceneSetup:
    values = {
        "path": str(house), "width": 64, "height": 48, "hfov": math.radians(79.0), "camera_above": 0.88,
        "camera_forward": 0.0, "camera_pitch": 0.0, "radius": 0.18, "agent_height": 0.88, "climb": 0.2,
        "slope": math.radians(45.0), "forward": 0.25, "turn": math.radians(30.0), "sliding": False,
    }  # fmt: skip
    return SceneSetup(**(values | changes))


def test_both_sides_speak_the_same():
    assert (server_file.PROTOCOL, server_file.SPEAKS) == (wire.PROTOCOL, wire.SPEAKS)
    a, b = socket.socketpair()
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.zeros((0, 3), np.uint8)}
    for send, receive in ((server_file.send, wire.receive), (wire.send, server_file.receive)):
        send(a, {"k": [1, None, "ü"]}, arrays)
        message, found = receive(b)
        assert message == {"k": [1, None, "ü"]}
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    a.close(), b.close()


def test_the_server_needs_python_3_9_and_two_packages_only():
    tree = ast.parse(SERVER.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} == {
        "numpy", "habitat_sim", "magnum",  # magnum comes with habitat-sim
    }  # fmt: skip
    assert "pickle" not in names and not {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} & {"eval", "exec"}
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        assert function.end_lineno - function.lineno < 60, function.name


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">II", 1 << 30, 0),
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 40, 1) + json.dumps({"arrays": [["a", "O", [1]]]}).encode().ljust(40) + b"x",
        struct.pack(">II", 40, 1) + json.dumps({"arrays": [["a", "|u1", [9]]]}).encode().ljust(40) + b"x",
        struct.pack(">II", 40, 0) + json.dumps({"arrays": [["a", "|u1", [-1]]]}).encode().ljust(40),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_message_is_refused_by_both_sides(sent):
    for receive, refused in ((wire.receive, wire.WireError), (server_file.receive, server_file.Refused)):
        a, b = socket.socketpair()
        a.sendall(sent)
        a.close()
        with pytest.raises(refused):
            if receive(b) is None:  # how the server's side says that the other has closed
                raise refused
        b.close()


def test_it_listens_on_this_machine_only_and_its_token_is_its_users(server):
    assert server.address.startswith("127.0.0.1:")
    assert stat.S_IMODE(Path(server.token).stat().st_mode) == 0o600
    assert len(Path(server.token).read_text().strip()) >= 32


def answering(*messages):
    """The address of something that sends some bytes to whoever connects."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run():
        sock, _ = listening.accept()
        with sock:
            for message in messages:
                sock.sendall(message) if isinstance(message, bytes) else wire.send(sock, message)
            sock.settimeout(5.0)
            with contextlib.suppress(OSError):
                sock.recv(1)
        listening.close()

    threading.Thread(target=run, daemon=True).start()
    return f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_of_another_version_a_wrong_token_a_closed_port_are_one_line_each(server, tmp_path):
    other = tmp_path / "token"
    other.write_text("another")
    greeting = {"speaks": wire.SPEAKS, "protocol": 99, "nonce": "0"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    cases = [
        (answering(greeting), other, "speaks version 99, this package 1: start the habitat/server.py that came with"),
        (answering(b"SSH-2.0-OpenSSH_9.6\r\n"), other, "no message of this protocol"),
        (answering({"speaks": "chess"}), other, "no Habitat server of this package; give another port"),
        (answering({**greeting, "protocol": 1, "error": "busy"}), other, "has all the clients it takes"),
        (server.address, other, "knows another token than"),
        (server.address, tmp_path / "none", "the token of the Habitat server at .* is not in"),
        (closed, other, "no Habitat server at .*refused.*start one: python habitat/server.py"),
        ("127.0.0.1", other, "give HOST:PORT"),
    ]
    for address, token, line in cases:
        with pytest.raises(InputError, match=line) as raised:
            RemoteWorld(address, str(token), timeout=10.0)
        assert "\n" not in str(raised.value)


def test_without_the_token_nothing_is_answered(server):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10.0) as sock:
        nonce = wire.receive(sock)[0]["nonce"]
        wire.send(sock, {"op": "hello", "protocol": wire.PROTOCOL, "proof": nonce})
        assert wire.receive(sock)[0]["error"] == "token"
        assert sock.recv(1) == b"", "the connection is over"


def test_errors_of_a_request_leave_the_connection_usable(server, house, tmp_path):
    world = RemoteWorld(server.address, server.token, timeout=60.0)
    with pytest.raises(InputError, match="no scene is loaded"):
        world.act("forward")
    with pytest.raises(InputError, match=r"there is no scene .*none\.glb"):
        world.load(setup(tmp_path / "none.glb"))
    with pytest.raises(InputError, match=r"has no \.navmesh beside it; set habitat.navmesh=auto"):
        world.load(setup(house, navmesh="shipped"))
    world.load(setup(house))
    with pytest.raises(InputError, match="no goals are set"):
        world.distance()
    with pytest.raises(InputError, match="KeyError"):
        world.act("fly")
    with pytest.raises(InputError, match="no operation 'close'"):
        world._ask("close")
    assert world.snap((0.0, 0.0, 1.0)) is not None
    world.close()


def test_scenes_outside_of_the_servers_folder_are_refused(house, tmp_path):
    running = Server(tmp_path, "--scenes-dir", str(tmp_path))
    try:
        world = RemoteWorld(running.address, running.token)
        with pytest.raises(InputError, match="lies outside of"):
            world.load(setup(house))
        world.close()
    finally:
        running.end()


def test_two_agents_in_two_processes_share_nothing(server, house):
    one, two = (RemoteWorld(server.address, server.token) for _ in range(2))
    one.load(setup(house, sliding=True, width=32, height=24))
    two.load(setup(house))
    one.place((-3.0, 0.1, 0.0), (0.0, 0.0, 0.0, 1.0))
    here = two.place((3.0, 0.1, 2.0), (0.0, 1.0, 0.0, 0.0))
    one.act("forward")
    assert np.array_equal(two.move([]).position, here.position)
    assert one.observe()[0].shape == (24, 32, 3) and two.observe()[0].shape == (48, 64, 3)
    one.close()
    assert two.act("left").rotation is not None, "the other one's end is not ours"
    two.close()


def test_a_server_that_dies_is_one_line(house, tmp_path):
    running = Server(tmp_path)
    world = RemoteWorld(running.address, running.token)
    world.load(setup(house))
    running.end()
    with pytest.raises(InputError, match=r"Habitat server at .*; look at what it printed, and start it again"):
        for _ in range(3):  # the first request may still be in the connection's buffer
            world.observe()


def test_too_many_clients_and_no_habitat_sim_are_said(tmp_path):
    running = Server(tmp_path, "--clients", "1")
    try:
        first = RemoteWorld(running.address, running.token)
        with pytest.raises(InputError, match="has all the clients it takes; see its --clients"):
            RemoteWorld(running.address, running.token)
        first.close()
    finally:
        running.end()
    without = Server(tmp_path, module=tmp_path)
    assert without.process.wait(10) == 2
    assert without.line.startswith("server.py: error: this Python has no habitat_sim; conda install")
