"""A world that is habitat-sim, in a process of its own behind a socket. Knows nothing of episodes and robots.

habitat/server.py is the other side: it runs in the environment that holds habitat-sim, which asks for another Python.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from . import wire
from .world import Placed, SceneSetup

DEFAULT_SERVER = "127.0.0.1:7447"
_START = "python habitat/server.py, in the environment that has habitat-sim"
#: Steady seconds for the handshake: a server that is asked for more than it does is not one of ours.
_HANDSHAKE = 10.0


def address(text: str) -> tuple[str, int]:
    """(host, port) of "HOST:PORT".

    Raises:
        InputError: the text is not of this form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"habitat server '{text}': give HOST:PORT, {DEFAULT_SERVER} say")
    return host.strip("[]"), int(port)


def token_file(given: str, port: int) -> Path:
    """The file that holds the server's token: the one given, or where a server on this machine puts it."""
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "embodied_nav", f"habitat-{port}.token")


class RemoteWorld:
    """habitat-sim behind a socket; one connection, one scene, one agent.

    Args:
        server: "HOST:PORT".
        token: file of the server's token; "" takes the one that a server on this machine writes.
        timeout: s that a reply may take; loading a scene and building its navmesh are replies, too.
        navmesh_float: m, how high habitat-sim's navmesh lies above the floor.

    Raises:
        InputError: nobody listens there, the server is of another version or knows another token.
    """

    name = "habitat-sim"

    def __init__(
        self, server: str = DEFAULT_SERVER, token: str = "", timeout: float = 120.0, navmesh_float: float = 0.1
    ) -> None:
        self.navmesh_float, self._server, self._timeout = float(navmesh_float), server, float(timeout)
        host, port = address(server)
        path = token_file(token, port)
        try:
            self._sock = socket.create_connection((host, port), timeout=min(self._timeout, _HANDSHAKE))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"no Habitat server at {server} ({reason}); start one: {_START}") from None
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._greet(path)
            self._sock.settimeout(self._timeout)
        except BaseException:
            self._sock.close()
            raise

    def load(self, setup: SceneSetup) -> None:
        """See :class:`~.world.World`."""
        loaded, _ = self._ask(
            "scene",
            {
                "path": setup.path,
                "dataset": setup.dataset,
                "camera": {
                    "width": setup.width, "height": setup.height, "hfov": math.degrees(setup.hfov),
                    "above": setup.camera_above, "forward": setup.camera_forward, "pitch": setup.camera_pitch,
                },
                "agent": {
                    "radius": setup.radius, "height": setup.agent_height, "climb": setup.climb,
                    "slope": math.degrees(setup.slope),
                },
                "step": {"forward": setup.forward, "turn": math.degrees(setup.turn)},
                "sliding": setup.sliding, "navmesh": setup.navmesh, "gpu": setup.gpu,
            },
        )  # fmt: skip
        self.name = f"habitat-sim {loaded['habitat_sim']}"
        self.facts: Mapping[str, Any] = loaded

    def place(self, position: Sequence[float], rotation: Sequence[float]) -> Placed:
        """See :class:`~.world.World`."""
        return self._placed("place", {"position": _numbers(position), "rotation": _numbers(rotation)})

    def act(self, action: str) -> Placed:
        """See :class:`~.world.World`."""
        return self._placed("act", {"action": action})

    def move(self, arcs: Sequence[tuple[float, float]]) -> Placed:
        """See :class:`~.world.World`."""
        return self._placed("move", {"arcs": [_numbers(arc) for arc in arcs]})

    def observe(self) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~.world.World`: habitat-sim's "rgb" is RGBA, the fourth channel is dropped here."""
        _, arrays = self._ask("observe")
        return np.ascontiguousarray(arrays["color"][..., :3]), arrays["depth"].copy()

    def set_goals(self, points: np.ndarray) -> None:
        """See :class:`~.world.World`."""
        self._ask("set_goals", arrays={"points": np.asarray(points, dtype=np.float32).reshape(-1, 3)})

    def distance(self, position: Sequence[float] | None = None) -> float:
        """See :class:`~.world.World`."""
        found = self._ask("distance", {} if position is None else {"position": _numbers(position)})[0]["distance"]
        return math.inf if found is None else float(found)

    def path(self) -> np.ndarray:
        """See :class:`~.world.World`."""
        return self._ask("path")[1]["points"].astype(np.float64)

    def snap(self, position: Sequence[float]) -> np.ndarray | None:
        """See :class:`~.world.World`."""
        found = self._ask("snap", {"position": _numbers(position)})[0]["position"]
        return None if found is None else np.array(found, dtype=np.float64)

    def close(self) -> None:
        """Ends the connection, and with it the server's process for it."""
        self._sock.close()

    def _placed(self, operation: str, message: Mapping[str, Any]) -> Placed:
        state, _ = self._ask(operation, message)
        return Placed(
            np.array(state["position"], dtype=np.float32),
            np.array(state["rotation"], dtype=np.float64),
            bool(state.get("collided", False)),
            float(state.get("moved", 0.0)),
        )

    def _greet(self, path: Path) -> None:
        """The handshake: version first, then the proof that the token is known, which itself is never sent."""
        greeting = self._receive()[0]
        if greeting.get("speaks") != wire.SPEAKS:
            raise InputError(f"what listens at {self._server} is no Habitat server of this package; give another port")
        if greeting.get("protocol") != wire.PROTOCOL:
            raise InputError(
                f"the Habitat server at {self._server} speaks version {greeting.get('protocol')}, this package "
                f"{wire.PROTOCOL}: start the habitat/server.py that came with this package"
            )
        if greeting.get("error") == "busy":
            raise InputError(f"the Habitat server at {self._server} has all the clients it takes; see its --clients")
        token = _token(path, self._server)
        proof = hmac.new(token.encode(), str(greeting.get("nonce")).encode(), hashlib.sha256).hexdigest()
        self._send({"op": "hello", "protocol": wire.PROTOCOL, "proof": proof})
        error = self._receive()[0].get("error")
        if error:
            raise InputError(
                f"the Habitat server at {self._server} knows another token than {path}; give the file that it named "
                "at its start: --set habitat.token_file=FILE"
            )

    def _ask(
        self, operation: str, message: Mapping[str, Any] | None = None, arrays: Mapping[str, np.ndarray] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        self._send({**(message or {}), "op": operation}, arrays)
        reply, found = self._receive()
        if reply.get("error"):
            raise InputError(f"Habitat server at {self._server}: {' '.join(str(reply['error']).split())}")
        return reply, found

    def _send(self, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        try:
            wire.send(self._sock, message, arrays)
        except OSError:
            raise self._gone("the connection is gone") from None

    def _receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            return wire.receive(self._sock)
        except TimeoutError:
            raise self._gone("no answer in time; see habitat.timeout") from None
        except (wire.WireError, OSError) as error:
            raise self._gone(str(error)) from None

    def _gone(self, reason: str) -> InputError:
        return InputError(f"Habitat server at {self._server}: {reason}; look at what it printed, and start it again")


def _numbers(values: Sequence[float]) -> list[float]:
    return [float(v) for v in values]


def _token(path: Path, server: str) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"the token of the Habitat server at {server} is not in {path}; give the file that it named at its start: "
            "--set habitat.token_file=FILE"
        ) from None
