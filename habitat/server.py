#!/usr/bin/env python3
"""habitat-sim behind a socket, for embodied_nav. Needs habitat-sim and numpy, and knows nothing of robots and ROS.

Runs in the environment that holds habitat-sim (conda, Python 3.9):

    python server.py --scenes-dir /data/scene_datasets

It listens on 127.0.0.1:7447 and writes a token to ~/.cache/embodied_nav/habitat-7447.token, which only its user can
read; whoever connects must know it. Each client gets a process of its own with one scene and one agent. All positions
are Habitat's (x right, y up, -z forward), rotations are (x, y, z, w).

A message is two lengths (big-endian uint32: of JSON, of data), JSON, data. The key "arrays" of the JSON lists
[name, dtype, shape] of what follows as data, in C order and little-endian. The server greets with {"speaks",
"protocol", "nonce"}; the client answers {"op": "hello", "protocol", "proof"}, where proof = HMAC-SHA256(token, nonce)
in hex. Then each request {"op": ...} gets one reply, {"error": text} where it failed. The operations are the methods
of World.
"""

import argparse
import hashlib
import hmac
import importlib.util
import json
import math
import os
import secrets
import signal
import socket
import struct
import sys
import time
import traceback

import numpy as np

PROTOCOL = 1
SPEAKS = "embodied_nav habitat"
PREFIX = struct.Struct(">II")
DTYPES = ("|u1", "<i4", "<f4", "<f8")
MOST_JSON, MOST_DATA = 1 << 20, 1 << 28
#: Below this share of the wanted way a step counts as a collision.
FREE_SHARE = 0.99


class Refused(Exception):
    """What cannot be done; the text goes to the client."""


def send(sock, message, arrays=None):
    """Sends a message; ``arrays``: name -> numpy array."""
    data, described = [], []
    for name, array in (arrays or {}).items():
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        described.append([name, array.dtype.str, list(array.shape)])
        data.append(array.tobytes())
    text = json.dumps(dict(message, arrays=described), allow_nan=False).encode()
    body = b"".join(data)
    sock.sendall(PREFIX.pack(len(text), len(body)) + text + body)


def receive(sock, most_json=MOST_JSON, most_data=MOST_DATA):
    """(message, arrays by name), or None where the other side has closed; raises Refused for what is no message."""
    prefix = read(sock, PREFIX.size)
    if prefix is None:
        return None
    length, size = PREFIX.unpack(prefix)
    if length > most_json or size > most_data:
        raise Refused(f"a message of {length} + {size} bytes is too long")
    text, body = read(sock, length), read(sock, size)
    if text is None or body is None:
        return None
    try:
        message = json.loads(text.decode())
        arrays, start = {}, 0
        for name, dtype, shape in message.pop("arrays", []):
            if dtype not in DTYPES or any(type(n) is not int or n < 0 for n in shape):
                raise ValueError(f"array {name!r} of {dtype!r} {shape!r}")
            count = math.prod(shape)
            arrays[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
            start += count * np.dtype(dtype).itemsize
        if start != size:
            raise ValueError(f"{start} bytes of arrays, {size} sent")
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(f"not a message of this protocol ({error})") from None
    return message, arrays


def read(sock, count):
    """Exactly ``count`` bytes, or None where the other side has closed."""
    parts = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class World:
    """One habitat-sim with one agent. Public methods are the protocol's operations: (message, arrays) -> reply."""

    def __init__(self, scenes_dir=""):
        import habitat_sim
        import magnum

        self.habitat, self.vector = habitat_sim, magnum.Vector3
        self.scenes_dir = os.path.realpath(scenes_dir) if scenes_dir else ""
        self.sim, self.loaded, self.goals = None, None, None

    def scene(self, message, arrays):
        """Loads a scene (path, dataset, camera, agent, step, sliding, navmesh, gpu) where it is not loaded already."""
        if message != self.loaded:
            path = os.path.realpath(message["path"])
            if self.scenes_dir and os.path.commonpath([path, self.scenes_dir]) != self.scenes_dir:
                raise Refused(f"{path} lies outside of {self.scenes_dir}, the server's --scenes-dir")
            if not os.path.isfile(path):
                raise Refused(f"there is no scene {path} on the server's machine")
            self.close()
            self.sim = self.habitat.Simulator(self.configuration(message, path))
            self.navmesh(message)
            self.loaded, self.goals = message, None
        finder = self.sim.pathfinder
        low, high = finder.get_bounds()
        return {
            "habitat_sim": self.habitat.__version__,
            "navigable_area": float(finder.navigable_area),
            "bounds": [[float(v) for v in low], [float(v) for v in high]],
        }

    def configuration(self, message, path):
        """habitat-sim's configuration of a scene, two registered cameras and Habitat's four actions."""
        habitat, camera, agent, step = self.habitat, message["camera"], message["agent"], message["step"]
        backend = habitat.SimulatorConfiguration()
        backend.scene_id, backend.enable_physics = path, False
        backend.allow_sliding, backend.gpu_device_id = bool(message["sliding"]), int(message["gpu"])
        if message.get("dataset"):
            backend.scene_dataset_config_file = message["dataset"]
        sensors = []
        for name, kind in (("color", habitat.SensorType.COLOR), ("depth", habitat.SensorType.DEPTH)):
            spec = habitat.CameraSensorSpec()
            spec.uuid, spec.sensor_type = name, kind
            spec.resolution = [int(camera["height"]), int(camera["width"])]
            spec.hfov = float(camera["hfov"])  # degrees
            spec.position = [0.0, float(camera["above"]), -float(camera["forward"])]
            spec.orientation = [-float(camera["pitch"]), 0.0, 0.0]  # rad; ours looks down where positive
            sensors.append(spec)
        body = habitat.agent.AgentConfiguration()
        body.radius, body.height = float(agent["radius"]), float(agent["height"])
        body.sensor_specifications = sensors
        spec, amount = habitat.agent.ActionSpec, habitat.agent.ActuationSpec
        body.action_space = {
            "forward": spec("move_forward", amount(amount=float(step["forward"]))),
            "left": spec("turn_left", amount(amount=float(step["turn"]))),  # degrees
            "right": spec("turn_right", amount(amount=float(step["turn"]))),
        }
        return habitat.Configuration(backend, [body])

    def navmesh(self, message):
        """The navmesh: the scene's own ("shipped"), built ("build"), or built where it is of another agent ("auto")."""
        agent, finder, how = message["agent"], self.sim.pathfinder, message["navmesh"]
        settings = self.habitat.NavMeshSettings()
        settings.set_defaults()
        settings.agent_radius, settings.agent_height = float(agent["radius"]), float(agent["height"])
        settings.agent_max_climb, settings.agent_max_slope = float(agent["climb"]), float(agent["slope"])
        if how == "shipped" and not finder.is_loaded:
            raise Refused(
                "{} has no .navmesh beside it; set habitat.navmesh=auto to have one built".format(message["path"])
            )
        fits = finder.is_loaded and finder.nav_mesh_settings == settings
        build = how == "build" or (how == "auto" and not fits)
        if build and not self.sim.recompute_navmesh(finder, settings):
            raise Refused("{}: habitat-sim could not build a navmesh".format(message["path"]))

    def place(self, message, arrays):
        """Puts the agent at a position with a rotation, exactly: not snapped to the navmesh, as in habitat-lab."""
        state = self.habitat.AgentState()
        state.position = np.array(message["position"], dtype=np.float32)
        state.rotation = self.habitat.utils.common.quat_from_coeffs(np.array(message["rotation"], dtype=np.float32))
        self.agent().set_state(state)
        return self.state()

    def act(self, message, arrays):
        """One of habitat-sim's own actions: forward, left, right."""
        collided = self.agent().act(message["action"])
        return dict(self.state(), collided=bool(collided))

    def move(self, message, arrays):
        """Short arcs [[m, rad], ...], each one a step on the navmesh; "moved" is the way along the floor, m."""
        agent, finder = self.agent(), self.sim.pathfinder
        step = finder.try_step if self.loaded["sliding"] else finder.try_step_no_sliding
        state = agent.get_state()
        coefficients = self.habitat.utils.common.quat_to_coeffs(state.rotation)
        yaw = 2.0 * math.atan2(float(coefficients[1]), float(coefficients[3]))
        here, moved, collided = [float(v) for v in state.position], 0.0, False
        for distance, angle in message["arcs"]:
            yaw += 0.5 * angle
            if distance:
                there = [here[0] - math.sin(yaw) * distance, here[1], here[2] - math.cos(yaw) * distance]
                reached = [float(v) for v in step(self.vector(*here), self.vector(*there))]
                way = math.hypot(reached[0] - here[0], reached[2] - here[2])
                collided |= way < FREE_SHARE * abs(distance)
                here, moved = reached, moved + way
            yaw += 0.5 * angle
        state.position = np.array(here, dtype=np.float32)
        half = [0.0, math.sin(0.5 * yaw), 0.0, math.cos(0.5 * yaw)]
        state.rotation = self.habitat.utils.common.quat_from_coeffs(np.array(half, dtype=np.float32))
        agent.set_state(state)
        return dict(self.state(), moved=moved, collided=bool(collided))

    def observe(self, message, arrays):
        """What the cameras give, as it is: color HxWx4 uint8 (RGBA), depth HxW float32 (m along the optical axis)."""
        seen = self.sim.get_sensor_observations()
        return {}, {"color": np.asarray(seen["color"], np.uint8), "depth": np.asarray(seen["depth"], np.float32)}

    def set_goals(self, message, arrays):
        """The points (Nx3) that distance and path lead to the nearest of."""
        self.goals = self.habitat.MultiGoalShortestPath()
        self.goals.requested_ends = arrays["points"].astype(np.float32)
        return {}

    def distance(self, message, arrays):
        """Geodesic distance to the goals, m, from the agent or from "position"; null where there is no way."""
        found = self.find(message)
        return {"distance": found if math.isfinite(found) else None}

    def path(self, message, arrays):
        """The shortest path to the goals: points Nx3, none where there is no way."""
        found = math.isfinite(self.find(message))
        points = [[float(v) for v in point] for point in self.goals.points] if found else []
        return {}, {"points": np.array(points, dtype=np.float32).reshape(-1, 3)}

    def find(self, message):
        """Fills the path from the agent or from "position" to the goals; its length, m."""
        if self.goals is None:
            raise Refused("no goals are set")
        start = message.get("position")
        self.goals.requested_start = self.agent().get_state().position if start is None else np.array(start, np.float32)
        self.sim.pathfinder.find_path(self.goals)
        return float(self.goals.geodesic_distance)

    def snap(self, message, arrays):
        """The nearest point of the navmesh; null where there is none near."""
        point = [float(v) for v in self.sim.pathfinder.snap_point(self.vector(*message["position"]))]
        return {"position": point if all(math.isfinite(v) for v in point) else None}

    def agent(self):
        """habitat-sim's agent."""
        if self.sim is None:
            raise Refused("no scene is loaded")
        return self.sim.get_agent(0)

    def state(self):
        """Where the agent is."""
        state = self.agent().get_state()
        turned = self.habitat.utils.common.quat_to_coeffs(state.rotation)
        return {"position": [float(v) for v in state.position], "rotation": [float(v) for v in turned]}

    def close(self):
        """Ends habitat-sim."""
        if self.sim is not None:
            self.sim.close()
        self.sim = self.loaded = None


OPERATIONS = ("scene", "place", "act", "move", "observe", "set_goals", "distance", "path", "snap")


def admitted(sock, token):
    """Whether the client speaks this protocol and knows the token; it is told why not."""
    sock.settimeout(10.0)
    nonce = secrets.token_hex(16)
    send(sock, {"speaks": SPEAKS, "protocol": PROTOCOL, "nonce": nonce})
    received = receive(sock, 4096, 0)
    if received is None:
        return False
    hello, error = received[0], ""
    proof = hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()
    if hello.get("op") != "hello" or hello.get("protocol") != PROTOCOL:
        error = "version"
    elif not hmac.compare_digest(str(hello.get("proof")), proof):
        error = "token"
    send(sock, {"error": error} if error else {"ready": True})
    sock.settimeout(None)
    return not error


def serve(sock, token, scenes_dir):
    """One client, until it closes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if not admitted(sock, token):
        return
    world = World(scenes_dir)
    while True:
        received = receive(sock)
        if received is None:
            break
        message, arrays = received
        operation, data = message.pop("op", None), None
        try:
            if operation not in OPERATIONS:
                raise Refused(f"no operation {operation!r}")
            reply = getattr(world, operation)(message, arrays)
            reply, data = reply if isinstance(reply, tuple) else (reply, None)
        except Exception as error:  # habitat-sim raises many kinds; the client learns which
            reply = {"error": ("%s" if isinstance(error, Refused) else type(error).__name__ + ": %s") % error}
        send(sock, reply, data)
    world.close()


def token_of(path, port):
    """The token of --token-file, or a new one in the user's cache; and its file."""
    if path:
        with open(path, encoding="ascii") as file:
            return file.read().strip(), path
    folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "embodied_nav")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"habitat-{port}.token")
    if os.path.lexists(path):
        os.unlink(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        token = secrets.token_urlsafe(24)
        file.write(token + "\n")
    return token, path


def listen(host, port):
    """A listening socket."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(found[0], socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(found[4])
    sock.listen(8)
    return sock


def main(arguments=None):
    """Listens; forks a process for each client, since habitat-sim holds one GPU context a process."""
    parser = argparse.ArgumentParser(description="habitat-sim behind a socket, for embodied_nav")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    parser.add_argument("--port", type=int, default=7447, help="0 takes any that is free (default: 7447)")
    parser.add_argument("--token-file", default="", help="file that holds the token (default: a new one in the cache)")
    parser.add_argument("--scenes-dir", default="", help="serve scenes below this folder only")
    parser.add_argument("--clients", type=int, default=4, help="most clients at a time (default: 4)")
    given = parser.parse_args(arguments)
    try:
        if importlib.util.find_spec("habitat_sim") is None:
            raise OSError(
                "this Python has no habitat_sim; conda install habitat-sim headless -c conda-forge -c aihabitat"
            )
        sock = listen(given.host, given.port)
        port = sock.getsockname()[1]
        token, path = token_of(given.token_file, port)
    except OSError as error:
        print(f"server.py: error: {error}", file=sys.stderr)
        return 2
    print(f"listening on {given.host}:{port}, token in {path}", flush=True)
    children = set()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while True:
            client, _ = sock.accept()
            for _ in range(10):  # one that has just left may still be ending
                children = {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0}
                if len(children) < given.clients:
                    break
                time.sleep(0.1)
            if len(children) < given.clients:
                pid = os.fork()
                if pid == 0:
                    in_child(sock, client, token, given.scenes_dir)
                children.add(pid)
            else:
                send(client, {"speaks": SPEAKS, "protocol": PROTOCOL, "error": "busy"})
            client.close()
    except KeyboardInterrupt:
        return 0
    finally:
        for pid in children:
            os.kill(pid, signal.SIGTERM)


def in_child(listening, client, token, scenes_dir):
    """Serves one client and ends the process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listening.close()
    code = 0
    try:
        serve(client, token, scenes_dir)
    except (Refused, OSError) as error:
        print(f"client: {error}", file=sys.stderr, flush=True)
        code = 1
    except Exception:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
