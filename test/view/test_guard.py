"""Who may talk to the page: its own visitors, and nobody for it to the internet."""

import socket

import pytest

from embodied_nav.errors import InputError
from embodied_nav.view import guard

PORT = 8080


@pytest.mark.parametrize(
    ("listens", "asked", "origin", "may"),
    [
        ("127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("127.0.0.1", "localhost:8080", "http://localhost:8080", True),
        ("127.0.0.1", "127.0.0.1:8080", None, True),
        ("127.0.0.1", "127.0.0.1:8080", "https://example.com", False),
        ("127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1:9999", False),
        ("127.0.0.1", "127.0.0.1:8080", "null", False),
        ("127.0.0.1", "robot.example.com:8080", "http://robot.example.com:8080", False),
        ("127.0.0.1", None, None, False),
        ("::1", "[::1]:8080", "http://[::1]:8080", True),
        ("0.0.0.0", "192.168.1.7:8080", "http://192.168.1.7:8080", True),
        ("0.0.0.0", "192.168.1.7:8080", "http://example.com", False),
        ("192.168.1.7", "192.168.1.7:8080", None, True),
    ],
)
def test_a_page_from_elsewhere_is_refused(listens, asked, origin, may):
    assert guard.allowed(listens)(asked, origin) is may


def test_a_taken_port_is_said_or_the_next_one_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken; give another one"):
            guard.free_port("127.0.0.1", port, next_port=False)
        assert port < guard.free_port("127.0.0.1", port) <= port + 50
    assert guard.free_port("127.0.0.1", port, next_port=False) == port
    assert guard.free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_said(host):
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        guard.free_port(host, 8080)


@pytest.fixture
def server():
    pytest.importorskip("viser")
    server = guard.serve("127.0.0.1", 0, "test")
    yield server
    server.stop()


def test_the_server_refuses_others_and_takes_its_own(server):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    port = server.get_port()

    def knock(**options):
        version = __import__("viser").__version__
        with connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{version}"], **options) as visitor:
            return visitor.recv(timeout=20)

    assert knock(origin=f"http://127.0.0.1:{port}") and knock()
    for options in ({"origin": "http://example.com"}, {"additional_headers": {"Origin": "null"}}):
        with pytest.raises(InvalidStatus) as refused:
            knock(**options)
        assert refused.value.response.status_code == 403


def test_it_listens_on_this_machine_alone(server):
    import psutil

    listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {a.ip for a in listening if a.port == server.get_port()} == {"127.0.0.1"}


def test_no_visitor_can_have_it_ask_the_internet_for_an_address(server, monkeypatch):
    import viser._tunnel as tunnel
    from viser import _messages

    asked = []
    monkeypatch.setattr(tunnel.ViserTunnel, "__init__", lambda *_, **__: asked.append(1))
    assert server.request_share_url() is None
    for handler in server._websock_server._incoming_handlers[_messages.ShareUrlRequest]:
        handler(0, _messages.ShareUrlRequest())
    server._thread_executor.shutdown(wait=True)
    assert not asked


def test_a_viser_that_starts_otherwise_is_refused(monkeypatch):
    """A later version that does not start its server where the check is put in must not run unguarded."""
    viser = pytest.importorskip("viser")

    class Other:
        def __init__(self, **_):
            self.stopped = False

        def stop(self):
            stopped.append(1)

    stopped = []
    monkeypatch.setattr(viser, "ViserServer", Other)
    with pytest.raises(InputError, match="another way"):
        guard.serve("127.0.0.1", 0, "test")
    assert stopped
