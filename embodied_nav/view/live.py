"""The live page: newest state in, a page on this machine out, brought up to date a few times a second. Knows no ROS.

Whoever has the data calls the methods; they only keep the newest. :meth:`LivePage.update` then sends what changed, and
nothing at all while nobody looks. Clicks come in viser's threads and are handed to :class:`Wishes`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..frames import Decision, MemoryObject, ObjectObservation
from ..geometry import Camera
from . import guard, pictures
from .chunks import ChunkedCloud
from .panel import CUT, HIGHEST, PAINTS, Panel
from .records import Health, Lines, Moment, PageConfig, RoomFloor, Wishes
from .scene import Scene

#: Widest picture that is sent (pixels).
_WIDEST = 480
#: Keyframes that are kept to look back at; where more come, every second of the older half goes.
_MOMENTS = 400
#: m and m: the camera that follows stands so far behind and above.
_BEHIND, _ABOVE = 3.0, 2.6


class LivePage:
    """A page with a scene and a panel.

    Args:
        config, wishes: see there. title: of the page. voxel_size: m. radius, height: the robot's, m.
        next_port: whether a later port will do where the wanted one is taken.

    Attributes:
        paint: what the map is painted by, one of ``PAINTS``. on_paint: called with it when a visitor changes it.
        on_moment: called with the number of the keyframe that a visitor looks at; None: the present.

    Raises:
        InputError: the port is taken, or the address is not of this machine.
        ModuleNotFoundError: viser is not installed.
    """

    def __init__(
        self, config: PageConfig, wishes: Wishes, title: str = "embodied_nav", voxel_size: float = 0.05,
        radius: float = 0.2, height: float = 0.5, next_port: bool = True,
    ) -> None:  # fmt: skip
        self.config, self._wishes, self._body = config, wishes, (radius, height)
        self.paint = PAINTS[0]
        self.on_paint: Callable[[str], None] | None = None
        self.on_moment: Callable[[int | None], None] | None = None
        self._lock = threading.Lock()
        self._cloud = ChunkedCloud(8 * voxel_size, config.max_voxels)
        self._up = np.array([0.0, 0.0, 1.0])
        self._cloud.cut(self._up, CUT)
        self._dirty: dict[str, tuple] = {}
        self._moments: list[Moment] = []
        self._looked_at: int | None = None
        self._follow = False
        self._T_map_base: np.ndarray | None = None
        self._names: dict[int, str] = {}
        self._rooms: Sequence[RoomFloor] = ()
        self._server = guard.serve(config.host, config.port, title, next_port)
        self._scene = Scene(self._server, voxel_size, self.clicked)
        self._panel = Panel(
            self._server, wishes, self._scene.show_layer, self._painted, self._cut, self._followed,
            self.look_from_above, self._look_at,
        )  # fmt: skip
        self._came: list[Any] = []
        self._server.on_client_connect(self._came.append)
        self._server.initial_camera.position, self._server.initial_camera.look_at = (-4.0, -4.0, 7.0), (2.0, 0.0, 0.0)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it is served on."""
        return int(self._server.get_port())

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it."""
        host = self.config.host
        return f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else host}:{self.port}"

    @property
    def live_camera(self) -> bool:
        """Whether a visitor wants what the camera sees now, instead of keyframes with what was recognised in them."""
        return self._panel.live_camera

    @property
    def visitors(self) -> int:
        """How many look at it now."""
        return len(self._server.get_clients())

    def close(self) -> None:
        """Ends the server."""
        self._server.stop()

    # -- what is fed in: any thread ------------------------------------------------------------------------------------

    def whole_map(self, positions: np.ndarray, colors: np.ndarray) -> None:
        """All voxels: (N, 3) m, (N, 3) uint8."""
        with self._lock:
            self._cloud.replace(positions, colors)

    def changed_map(self, positions: np.ndarray, colors: np.ndarray) -> None:
        """All voxels of the blocks that changed: (N, 3) m, (N, 3) uint8."""
        with self._lock:
            self._cloud.update(positions, colors)

    def objects(self, found: Iterable[MemoryObject]) -> None:
        """All objects, gone ones too."""
        self._put("objects", tuple(found))

    def rooms(self, found: Sequence[RoomFloor]) -> None:
        """All rooms."""
        self._rooms = tuple(found)
        self._put("rooms", self._rooms)

    def robot(self, T_map_base: np.ndarray) -> None:
        """Where the robot is (4x4)."""
        self._T_map_base = T_map_base
        self._put("robot", T_map_base)

    def plan(self, path: np.ndarray) -> None:
        """The planned way: (N, 2) m."""
        self._put("plan", path)

    def way(self, path: np.ndarray) -> None:
        """The way driven so far: (N, 2) or (N, 3) m."""
        self._put("way", path)

    def decision(self, made: Decision | None) -> None:
        """The newest decision."""
        self._put("decision", made)

    def goal(self, instruction: str, state: str) -> None:
        """The sentence that is followed, and what becomes of it."""
        self._put("goal", instruction, state)

    def picture(self, image: np.ndarray, seen: Iterable[ObjectObservation] = ()) -> None:
        """What the camera sees, with what was recognised in it: (H, W, 3) uint8."""
        self._put("picture", image, tuple(seen))

    def sight(self, T_map_camera: np.ndarray, camera: Camera | None = None) -> None:
        """From where the newest picture was taken (4x4, map from optical frame)."""
        self._put("sight", T_map_camera, camera)

    def moment(self, moment: Moment) -> None:
        """One more keyframe to look back at; too many of them are thinned."""
        with self._lock:
            self._moments.append(moment)
            if len(self._moments) > _MOMENTS:
                half = len(self._moments) // 2
                self._moments = self._moments[:half:2] + self._moments[half:]
        self._put("moments")

    def graph(self, lines: Sequence[Lines]) -> None:
        """SLAM's graph."""
        self._put("graph", tuple(lines))

    def health(self, parts: Sequence[Health]) -> None:
        """The state of every part; one sample of the plots: call it once a second."""
        self._put("health", tuple(parts))

    def answer(self, text: str) -> None:
        """The answer to a visitor's question."""
        self._put("answer", text)

    def tell(self, text: str) -> None:
        """A remark under the sentence."""
        self._put("told", text)

    def up(self, direction: np.ndarray) -> None:
        """Which way is up: (3,) in map; +z unless told. The floor of such a map is not known: all is shown."""
        self._up = np.array(direction, np.float64)
        self._cut(HIGHEST)
        self._put("up", direction)

    def _put(self, what: str, *values: object) -> None:
        with self._lock:
            self._dirty.pop(what, None)
            self._dirty[what] = values

    # -- what goes out: the owner's thread -----------------------------------------------------------------------------

    def update(self) -> bool:
        """Sends what changed, if anybody looks. Call it ``config.rate`` times a second.

        Returns:
            Whether anybody looks.
        """
        if not self.visitors:
            return False
        with self._lock:
            dirty, self._dirty = self._dirty, {}
            chunks = list(self._cloud.changes(self.config.chunk_bytes))
        with self._server.atomic():
            for what, values in dirty.items():
                getattr(self, f"_send_{what}")(*values)
            for chunk in chunks:
                self._scene.chunk(*chunk)
        self._place_cameras()
        return True

    def _send_objects(self, found: tuple[MemoryObject, ...]) -> None:
        self._scene.objects(found)
        with self._lock:
            self._names = {o.id: o.name for o in found if o.status == "present"}
        self._panel.objects(found)

    def _send_rooms(self, found: Sequence[RoomFloor]) -> None:
        self._scene.rooms(found)

    def _send_robot(self, T: np.ndarray) -> None:
        self._scene.robot(T, *self._body)

    def _send_plan(self, path: np.ndarray) -> None:
        self._scene.plan(path)

    def _send_way(self, path: np.ndarray) -> None:
        self._scene.way(path)

    def _send_decision(self, made: Decision | None) -> None:
        self._scene.decision(made)
        self._panel.decision(made)

    def _send_goal(self, instruction: str, state: str) -> None:
        self._panel.goal(instruction, state)

    def _send_picture(self, image: np.ndarray, seen: tuple[ObjectObservation, ...]) -> None:
        self._panel.picture(pictures.shrunk(pictures.boxed(image, seen) if seen else image, _WIDEST))

    def _send_sight(self, T: np.ndarray, camera: Camera | None) -> None:
        if self._looked_at is None:
            self._scene.sight(T, camera)

    def _send_moments(self) -> None:
        self._panel.moments(len(self._moments))

    def _send_look(self) -> None:
        with self._lock:
            number, moments = self._looked_at, self._moments
        if number is not None and number < len(moments):
            chosen = moments[number]
            self._panel.moment(number, len(moments), chosen, pictures.decoded(chosen.picture), moments[0].stamp)
            self._scene.sight(chosen.T_map_camera, None)

    def _send_graph(self, lines: tuple[Lines, ...]) -> None:
        self._scene.graph(lines)

    def _send_health(self, parts: tuple[Health, ...]) -> None:
        self._panel.health(parts)
        latency = {f"{p.name} {stage}": ms for p in parts for stage, ms in p.latency_ms.items()}
        self._panel.sample(latency, {p.name: p.cpu for p in parts if p.cpu is not None})

    def _send_answer(self, text: str) -> None:
        self._panel.answer(text)

    def _send_told(self, text: str) -> None:
        self._panel.told(text)

    def _send_up(self, direction: np.ndarray) -> None:
        self._scene.up(direction)

    # -- cameras -------------------------------------------------------------------------------------------------------

    def look_from_above(self) -> None:
        """Has every visitor look at the whole map from above."""
        with self._lock:
            box = self._cloud.box()
        if box is None:
            return
        for client in self._server.get_clients().values():
            _look(client, box)

    def _place_cameras(self) -> None:
        """Shows the map to who has just come; follows the robot."""
        with self._lock:
            box = self._cloud.box() if self._came else None
        if box is not None:
            while self._came:
                _look(self._came.pop(), box)
        T = self._T_map_base
        if self._follow and T is not None:
            ahead, place = T[:3, 0], T[:3, 3]
            for client in self._server.get_clients().values():
                client.camera.position = tuple(place - _BEHIND * ahead + np.array([0, 0, _ABOVE]))
                client.camera.look_at = tuple(place + 0.8 * ahead)

    # -- what visitors do: viser's threads -----------------------------------------------------------------------------

    def clicked(self, found: MemoryObject) -> None:
        """A click on an object: the robot is sent there."""
        if self._wishes.go is None:
            self.tell(self._wishes.why_not or "nobody here drives")
        elif found.status != "present":
            self.tell(f"the {found.name} is gone")
        else:
            self._wishes.go(self.sentence_for(found))

    def sentence_for(self, found: MemoryObject) -> str:
        """The sentence that sends the robot to an object; with its room, where others have the same name."""
        with self._lock:
            alike = sum(name == found.name for name in self._names.values())
        if alike > 1 and (room := self._room_of(found.position)):
            return f"go to the {found.name} in the {room}"
        return f"go to the {found.name}"

    def _room_of(self, position: np.ndarray) -> str:
        """The name of the room that a place (3,) lies in, where it is a kind of room of which there is one."""
        near = [
            room.name
            for room in self._rooms
            if len(room.tiles) and np.abs(room.tiles - position[:2]).max(axis=1).min() < 2 * room.size
        ]
        names = [room.name for room in self._rooms]
        return near[0] if near and names.count(near[0]) == 1 and not near[0].startswith("room ") else ""

    def _painted(self, kind: str) -> None:
        self.paint = kind
        if self.on_paint is not None:
            self.on_paint(kind)

    def _cut(self, height: float) -> None:
        with self._lock:
            self._cloud.cut(self._up, height if height < HIGHEST else np.inf)

    def _followed(self, follow: bool) -> None:
        self._follow = follow

    def _look_at(self, number: int | None) -> None:
        self._looked_at = number
        self._put("look")
        if self.on_moment is not None:
            self.on_moment(number)


def _look(client: Any, box: tuple[np.ndarray, np.ndarray]) -> None:
    """Has one visitor look at a box (low, high; m) aslant from above."""
    low, high = box
    middle, size = (low + high) / 2, float(np.linalg.norm((high - low)[:2]))
    client.camera.position = tuple(middle + np.array([-0.2 * size, -0.4 * size, 0.6 * size + 1.0]))
    client.camera.look_at = tuple(middle)


def run(page: LivePage, until: Callable[[], bool]) -> None:
    """Brings a page up to date until something is so."""
    while not until():
        began = time.monotonic()
        page.update()
        time.sleep(max(0.0, 1.0 / page.config.rate - (time.monotonic() - began)))
