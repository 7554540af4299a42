"""The three-dimensional half of a live page: records in, scene nodes out, where they changed. Knows viser, records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frames import Decision, MemoryObject
from ..geometry import Camera, quaternion_from_matrix
from ..memory.output.render import label_color
from .records import Lines, RoomFloor

if TYPE_CHECKING:
    import viser

#: Layers that a visitor can switch, with what is shown at first.
LAYERS = {
    "map": True, "objects": True, "names": True, "gone": True, "rooms": True, "robot": True, "plan": True,
    "options": True, "SLAM graph": False,
}  # fmt: skip
_GONE = (140, 140, 140)
_BY_KIND = {"frontier": (51, 153, 255), "object": (255, 153, 26), "look_around": (179, 102, 255), "stop": (255, 51, 51)}
#: m: lines on the floor are drawn so high; names nearer together than this would hide each other.
_UP, _CLOSE = 0.03, 0.6


class Scene:
    """What is drawn. Called from one thread; clicks come in others.

    Args:
        server: viser's. voxel_size: m, edge of a drawn voxel. clicked: called with the object that a visitor clicked.
    """

    def __init__(self, server: viser.ViserServer, voxel_size: float, clicked: Callable[[MemoryObject], None]) -> None:
        self._scene, self._voxel_size, self._clicked = server.scene, voxel_size, clicked
        self._lock = threading.Lock()
        self._roots = {
            name: self._scene.add_frame(f"/{name.replace(' ', '_')}", show_axes=False, visible=shown)
            for name, shown in LAYERS.items()
        }
        self._chunks: dict[int, Any] = {}
        self._drawn: dict[int, tuple] = {}
        self._objects: dict[int, tuple[Any, Any]] = {}
        self._known: dict[int, MemoryObject] = {}
        self._options: list[tuple[Any, Any]] = []
        self._parts: dict[str, list[Any]] = {}
        self._planned: np.ndarray | None = None
        self._robot: Any = None
        self._sight: Any = None

    def show_layer(self, name: str, shown: bool) -> None:
        """Switches one of LAYERS."""
        self._roots[name].visible = shown

    def up(self, direction: np.ndarray) -> None:
        """Which way is up: (3,) in map."""
        x, y, z = (float(v) for v in direction)
        self._scene.set_up_direction((x, y, z))

    def chunk(self, number: int, middle: np.ndarray, positions: np.ndarray, colors: np.ndarray) -> None:
        """Draws one chunk of the map anew: (3,) m, (N, 3) m about it, (N, 3) uint8."""
        old = self._chunks.get(number)
        if not len(positions):
            if old is not None:
                self._chunks.pop(number).remove()
            return
        if old is not None:  # a new handle would cost more than its points
            old.points, old.colors = positions, colors
            return
        self._chunks[number] = self._scene.add_point_cloud(
            f"/map/{number}", positions, colors, point_size=self._voxel_size, point_shape="square",
            point_shading="flat", precision="float16", position=tuple(middle),
        )  # fmt: skip

    def objects(self, found: Sequence[MemoryObject]) -> None:
        """Draws what is new or different, removes what is not there any more; gone objects are grey."""
        with self._lock:
            self._known = {o.id: o for o in found}
        for number in [n for n in self._objects if n not in self._known]:
            for handle in self._objects.pop(number):
                handle.remove()
            del self._drawn[number]
        named = _named(found)
        for o in found:
            look = (o.name, o.status)
            where = tuple(round(v, 2) for v in (*o.position.tolist(), *o.extent.tolist()))
            before = self._drawn.get(o.id)
            self._drawn[o.id] = (look, where)
            if before is None or before[0] != look:
                self._draw(o)
            elif before[1] != where:
                self._move(o)
            _set(self._objects[o.id][1], visible=o.id in named)

    def _draw(self, o: MemoryObject) -> None:
        for handle in self._objects.pop(o.id, ()):
            handle.remove()
        here = o.status == "present"
        place = f"/objects/{o.id}" if here else f"/gone/{o.id}"
        color = label_color(o.label) if here else _GONE
        box = self._scene.add_box(
            place, color, tuple(np.maximum(o.extent, 0.05)), opacity=0.2 if here else 0.15, position=tuple(o.position),
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        number = o.id
        box.on_click(lambda _: self._click(number))
        text = o.name if here else f"{o.name} (gone)"
        name = f"/names/{o.id}" if here else f"/gone/{o.id}_name"
        label = self._scene.add_label(name, text[:60], position=_top(o), anchor="bottom-center", font_screen_scale=0.75)
        self._objects[o.id] = (box, label)

    def _move(self, o: MemoryObject) -> None:
        """An object's box and name at its new place."""
        box, name = self._objects[o.id]
        box.position, name.position = tuple(o.position), _top(o)
        _set(box, dimensions=tuple(np.maximum(o.extent, 0.05).tolist()))

    def _click(self, number: int) -> None:
        with self._lock:
            found = self._known.get(number)
        if found is not None:
            self._clicked(found)

    def rooms(self, found: Sequence[RoomFloor]) -> None:
        """Draws the rooms' floors and names."""
        parts: list[Any] = []
        for i, room in enumerate(found):
            if len(room.tiles):
                vertices, faces = _tiles(room.tiles, room.size)
                parts.append(
                    self._scene.add_mesh_simple(
                        f"/rooms/{i}",
                        vertices,
                        faces,
                        color=room.color,
                        opacity=0.3,
                        side="double",
                        cast_shadow=False,
                        receive_shadow=False,
                    )
                )
            where = (*room.middle, 0.1)
            parts.append(
                self._scene.add_label(
                    f"/rooms/{i}_name", room.name, position=where, anchor="center-center", font_screen_scale=1.1
                )
            )
        self._exchange("rooms", parts)

    def robot(self, T_map_base: np.ndarray, radius: float, height: float) -> None:
        """Moves the robot: a body, and an arrow ahead."""
        wxyz, position = _pose(T_map_base)
        if self._robot is None:
            self._robot = self._scene.add_frame("/robot/base", axes_length=0.4, axes_radius=0.012)
            self._scene.add_cylinder(
                "/robot/base/body", radius, height, color=(30, 90, 200), opacity=0.8, position=(0, 0, height / 2)
            )
            points = np.array([[[0, 0, height], [2.2 * radius, 0, height]]], np.float32)
            self._scene.add_line_segments(
                "/robot/base/ahead", points, (255, 210, 0), thickness=6, thickness_units="screen"
            )
        self._robot.wxyz, self._robot.position = wxyz, position

    def sight(self, T_map_camera: np.ndarray | None, camera: Camera | None) -> None:
        """Draws from where the shown picture was taken; None: nothing."""
        if T_map_camera is None:
            if self._sight is not None:
                self._sight.visible = False
            return
        wxyz, position = _pose(T_map_camera)
        if self._sight is None:
            fov = 1.0 if camera is None else 2 * float(np.arctan(camera.height / 2 / camera.fy))
            aspect = 4 / 3 if camera is None else camera.width / camera.height
            self._sight = self._scene.add_camera_frustum(
                "/robot/sight", fov, aspect, scale=0.35, thickness=2, thickness_units="screen", color=(255, 120, 0)
            )
        self._sight.wxyz, self._sight.position, self._sight.visible = wxyz, position, True

    def plan(self, path: np.ndarray) -> None:
        """Draws the way that is planned: (N, 2) m."""
        if self._planned is not None and np.array_equal(path, self._planned):
            return
        self._planned = path
        if len(path) < 2:
            self._exchange("plan", [])
        elif self._parts.get("plan"):
            self._parts["plan"][0].points = _segments(path)
        else:
            self._exchange("plan", [self._line("/plan/way", path, (20, 160, 60), 5)])

    def way(self, path: np.ndarray) -> None:
        """Draws the way that was driven: (N, 2) or (N, 3) m."""
        self._exchange("way", [] if len(path) < 2 else [self._line("/robot/way", path, (220, 60, 60), 3)])

    def decision(self, made: Decision | None) -> None:
        """Draws the options with their letters, the chosen one larger. Handles are used again: new ones cost more."""
        options = [] if made is None else [(o, i == made.chosen) for i, o in enumerate(made.options) if o.position]
        while len(self._options) < len(options):
            self._options.append(self._option(len(self._options)))
        for (ball, letter), (option, chosen) in zip(self._options, options, strict=False):
            x, y = (float(v) for v in option.position or ())
            ball.position, letter.position = (x, y, 0.15), (x, y, 0.4)
            _set(ball, radius=0.16 if chosen else 0.09, opacity=1.0 if chosen else 0.6)
            _set(ball, color=_BY_KIND.get(option.kind, (200, 200, 200)))
            _set(letter, text=f"{option.letter} ✓" if chosen else option.letter)
        for i, handles in enumerate(self._options):
            for handle in handles:
                _set(handle, visible=i < len(options))

    def _option(self, number: int) -> tuple[Any, Any]:
        """Handles of an option's ball and letter."""
        ball = self._scene.add_icosphere(f"/options/{number}", 0.1, cast_shadow=False)
        return ball, self._scene.add_label(f"/options/{number}_letter", "", anchor="bottom-center")

    def graph(self, lines: Sequence[Lines]) -> None:
        """Draws SLAM's keyframes and what ties them."""
        parts = [
            self._scene.add_line_segments(
                f"/SLAM_graph/{i}", np.asarray(part.points, np.float32), part.color, thickness=2,
                thickness_units="screen",
            )
            for i, part in enumerate(lines)
            if len(part.points)
        ]  # fmt: skip
        self._exchange("graph", parts)

    def _line(self, name: str, path: np.ndarray, color: tuple[int, int, int], width: float):
        return self._scene.add_line_segments(name, _segments(path), color, thickness=width, thickness_units="screen")

    def _exchange(self, kind: str, parts: list[Any]) -> None:
        """Remembers what is drawn of a kind; removes what was before, unless its name was used again."""
        names = {part.name for part in parts}
        for old in self._parts.get(kind, ()):
            if old.name not in names:
                old.remove()
        self._parts[kind] = parts


def _named(found: Sequence[MemoryObject]) -> set[int]:
    """Ids of the objects whose names are drawn: the larger of two that stand close together."""
    ordered = sorted(found, key=lambda o: (o.status != "present", -o.voxels, o.id))
    places = np.array([o.position[:2] for o in ordered]).reshape(-1, 2)
    free, out = np.ones(len(ordered), bool), set()
    for i, o in enumerate(ordered):
        if free[i]:
            out.add(o.id)
            free &= np.abs(places - places[i]).max(axis=1) > _CLOSE
    return out


def _segments(path: np.ndarray) -> np.ndarray:
    """(N - 1, 2, 3) float32: a way, (N, 2) or (N, 3) m, a little above the floor."""
    points = np.zeros((len(path), 3), np.float32)
    points[:, : path.shape[1]] = path
    points[:, 2] += _UP
    return np.stack([points[:-1], points[1:]], axis=1)


def _set(handle: Any, **values: Any) -> None:
    """Sets what is different: viser sends a message for each value that is set."""
    for name, value in values.items():
        if getattr(handle, name) != value:
            setattr(handle, name, value)


def _top(o: MemoryObject) -> tuple[float, float, float]:
    """Where an object's name stands."""
    x, y, z = (float(v) for v in o.position)
    return x, y, z + 0.5 * float(o.extent[2]) + 0.1


def _pose(T: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(w, x, y, z) and position of a 4x4 pose."""
    x, y, z, w = (float(v) for v in quaternion_from_matrix(T[:3, :3]))
    return (w, x, y, z), tuple(float(v) for v in T[:3, 3])


def _tiles(middles: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (4N, 3) and faces (2N, 3) of square tiles on the floor."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * size / 2
    flat = (np.asarray(middles, np.float32)[:, None] + corners).reshape(-1, 2)
    vertices = np.column_stack([flat, np.full(len(flat), 0.02, np.float32)])
    first = 4 * np.arange(len(middles), dtype=np.uint32)[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2], np.uint32), first + np.array([0, 2, 3], np.uint32)])
    return vertices, faces
