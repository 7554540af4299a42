"""Shows a memory on a live page: all that it knows, and with the slider what it knew earlier. Knows no file, no ROS."""

from __future__ import annotations

import numpy as np

from ..memory import SpatialMemory
from ..memory.output.render import estimate_up, label_colors, room_color
from ..rooms import Rooms
from .episode import first_seen, moments
from .live import LivePage
from .panel import PAINTS
from .records import Lines, RoomFloor

#: m: edge of a tile of a room's floor.
_TILE = 0.1
#: Cosine of the angle to +z from which a map counts as upright.
_UPRIGHT = 0.98


class MemoryPage:
    """Feeds a page with a memory that does not change meanwhile.

    Args:
        page: where it is shown; its slider then shows the map as it was at a keyframe.
    """

    def __init__(self, page: LivePage, memory: SpatialMemory) -> None:
        self._page, self._memory = page, memory
        self._voxels = memory.voxels()
        self._moments = moments(memory)
        self._births: np.ndarray | None = None
        self._moment: int | None = None
        page.on_moment, page.on_paint = self._look_at, self._paint
        for moment in self._moments:
            page.moment(moment)
        page.objects(memory.objects(include_gone=True))
        page.goal("", f"{len(memory):,} voxels, {len(memory.objects())} objects, {len(self._moments)} keyframes")
        up = (
            estimate_up([m.T_map_camera for m in self._moments], self._voxels) if self._moments else np.array([0, 0, 1])
        )
        if up[2] < _UPRIGHT:
            page.up(up)
        else:
            page.rooms(floors(memory.rooms(), memory.room_names()))
        page.graph(self._graph())
        page.way(np.array([m.T_map_camera[:3, 3] for m in self._moments]).reshape(-1, 3))
        self._show()

    def _show(self) -> None:
        """Hands on the voxels that were known at the moment that is looked at."""
        voxels = self._voxels
        colors = voxels.colors
        if self._page.paint != PAINTS[0]:
            colors = label_colors(voxels.labels, voxels.class_names)
        positions = voxels.positions
        if self._moment is not None:
            if self._births is None:
                self._births = first_seen(self._memory, positions, self._moments, voxels.last_seen)
            known = self._births <= self._moment
            positions, colors = positions[known], colors[known]
        self._page.whole_map(positions, colors)

    def _look_at(self, number: int | None) -> None:
        self._moment = number
        self._show()

    def _paint(self, _: str) -> None:
        self._show()

    def _graph(self) -> list[Lines]:
        """Keyframes that saw the same places."""
        poses = {i: k.T_map_camera[:3, 3] for i, k in self._memory.keyframes.items()}
        pairs = [(poses[a], poses[b]) for a, b, _ in self._memory.graph().edges(0.3) if a in poses and b in poses]
        return [Lines(np.array(pairs).reshape(-1, 2, 3), (51, 153, 255))]


def floors(found: Rooms, names: dict[int, str]) -> list[RoomFloor]:
    """The floors of rooms as tiles."""
    out = []
    step = max(1, round(_TILE / found.resolution))
    for room in found.rooms:
        rows, columns = np.nonzero(found.labels[::step, ::step] == room.id)
        cells = np.column_stack([columns, rows]) * step
        tiles = np.asarray(found.origin) + (cells + 0.5) * found.resolution
        red, green, blue = (round(255 * v) for v in room_color(room.id))
        name = names.get(room.id, f"room {room.id}")
        out.append(RoomFloor(name, room.middle, (red, green, blue), tiles, step * found.resolution))
    return out
