"""A picture of what the memory knows: rooms, objects by name, how they stand to one another. For people's eyes.

Knows arrays and records only. matplotlib is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid
from ...rooms import Rooms
from ..query.relations import RELATIONS, Relation, relations_of
from .render import room_color

_WALL, _FREE, _UNKNOWN = (38, 50, 66), (250, 249, 245), (205, 210, 216)
_EDGES = {
    "red": "#d62728", "green": "#2ca02c", "blue": "#1f77b4", "yellow": "#c9a400", "orange": "#ff7f0e",
    "purple": "#8e44ad", "pink": "#e377c2", "brown": "#8c564b", "black": "#111111", "white": "#7d8790",
    "gray": "#707070", "turquoise": "#17a2b8",
}  # fmt: skip
#: Relations that are drawn, with their lines; each object has at most so many.
_LINES = {"on": "#c2410c", "under": "#c2410c", "above": "#7c3aed", "beside": "#0369a1", "between": "#15803d"}
_MOST_LINES = 1
_INCHES, _FONT, _ROOM_FONT = 13.0, 7.5, 14


def draw_object_map(
    path: str | Path,
    grid: OccupancyGrid,
    objects: Sequence[MemoryObject],
    rooms: Rooms,
    room_names: Mapping[int, str] | None = None,
    track: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draws one PNG: the map from above, rooms tinted and named, objects with names and relations, gone ones grey.

    Args:
        room_names: id -> name. track: Nx2 or Nx3 positions of the robot, m.

    Raises:
        InputError: the place cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = _bounds(grid)
    span = high - low
    width = _INCHES * min(1.6, max(0.6, float(span[0] / max(span[1], 1e-6))))
    figure = Figure(figsize=(width, _INCHES), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    _draw_floor(ax, grid, rooms)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_aspect("equal")
    if track is not None and len(track):
        ax.plot(track[:, 0], track[:, 1], "-", color="#9aa4b2", lw=1.0, alpha=0.8, zorder=2)
    names = _Names(ax, float(max(span)) / (72 * _INCHES * 0.93))
    for o in objects:
        _draw_box(ax, o)
    for o in sorted(objects, key=lambda o: (o.status != "present", -o.voxels, o.id)):
        names.put(o.position[:2], o.name, _edge(o), _FONT, o.status == "present")
    _draw_relations(ax, objects, rooms)
    for room in rooms.rooms:
        text = (room_names or {}).get(room.id, f"room {room.id}")
        names.put(np.array(room.middle), text, room_color(room.id), _ROOM_FONT, True, is_room=True)
    ax.set_xlabel("x [m]")
    ax.set_ylabel("y [m]")
    gone = sum(o.status != "present" for o in objects)
    count = f"{len(objects) - gone} objects, {len(rooms.rooms)} rooms" + (f", {gone} gone" if gone else "")
    ax.set_title(f"{title}: {count}" if title else count)
    try:
        figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a writable place with room") from None


def drawn_relations(objects: Sequence[MemoryObject], rooms: Rooms | None = None) -> list[Relation]:
    """What is drawn: of each present object the most telling relations, each pair once."""
    out, seen = [], set()
    present = [o for o in objects if o.status == "present"]
    for o in present:
        told = [r for r in relations_of(o, present, rooms) if r.kind in _LINES]
        told.sort(key=lambda r: (RELATIONS.index(r.kind) if r.kind in RELATIONS else len(RELATIONS), r.gap))
        for r in told[:_MOST_LINES]:
            pair = (min(r.subject, r.object), max(r.subject, r.object))
            if pair not in seen:
                seen.add(pair)
                out.append(r)
    return out


def _bounds(grid: OccupancyGrid) -> tuple[np.ndarray, np.ndarray]:
    known = np.argwhere(grid.data >= 0)
    if not len(known):
        known = np.array([[0, 0], np.array(grid.data.shape) - 1])
    return grid.centers(known.min(0)) - 0.3, grid.centers(known.max(0)) + 0.3


def _draw_floor(ax: Any, grid: OccupancyGrid, rooms: Rooms) -> None:
    image = np.empty((*grid.data.shape, 3))
    image[:] = np.array(_UNKNOWN) / 255
    image[grid.data == FREE] = np.array(_FREE) / 255
    if rooms.labels.shape == grid.data.shape:
        for room in rooms.rooms:
            mask = (rooms.labels == room.id) & (grid.data != OCCUPIED)
            image[mask] = 0.72 * np.array(_FREE) / 255 + 0.28 * np.array(room_color(room.id))
    image[grid.data == OCCUPIED] = np.array(_WALL) / 255
    h, w = grid.data.shape
    x, y = grid.origin
    extent = (x, x + w * grid.resolution, y, y + h * grid.resolution)
    ax.imshow(image, origin="lower", extent=extent, interpolation="nearest", zorder=0)


def _edge(o: MemoryObject) -> str:
    return _EDGES.get(o.color, "#444444") if o.status == "present" else "#9a9a9a"


def _draw_box(ax: Any, o: MemoryObject) -> None:
    from matplotlib.patches import Rectangle

    corner = o.position[:2] - o.extent[:2] / 2
    here = o.status == "present"
    style = {"ec": _edge(o), "lw": 1.2 if here else 0.9, "ls": "-" if here else ":", "zorder": 4}
    fill = {"fc": _edge(o), "alpha": 0.22, "ec": "none", "zorder": 3}
    ax.add_patch(Rectangle(corner, *o.extent[:2], **fill))
    ax.add_patch(Rectangle(corner, *o.extent[:2], fill=False, **style))


class _Names:
    """Puts names where there is room, with a thin line to what they belong to; leaves out what fits nowhere."""

    def __init__(self, ax: Any, metres_per_point: float) -> None:
        self._ax, self._scale = ax, metres_per_point
        self._taken: list[tuple[float, float, float, float]] = []

    def put(self, place: np.ndarray, text: str, edge: Any, font: float, here: bool, is_room: bool = False) -> None:
        """One name."""
        w, h = (0.58 * font * len(text) + 6) * self._scale, (font + 5) * self._scale
        where = self._free(place, w, h)
        if where is None:
            return
        self._taken.append((*where, w, h))
        if is_room:
            self._ax.text(*where, text, fontsize=font, ha="center", va="center", color="#1f2937", alpha=0.75,
                          fontweight="bold", fontstyle="italic", zorder=8)  # fmt: skip
            return
        if np.hypot(*(where - place)) > 1.2 * h:
            self._ax.plot([place[0], where[0]], [place[1], where[1]], "-", color=edge, lw=0.6, zorder=6)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": edge, "lw": 0.8, "alpha": 0.92 if here else 0.6}
        color = "#111827" if here else "#6b7280"
        self._ax.text(*where, text, fontsize=font, ha="center", va="center", color=color, bbox=box, zorder=7)

    def _free(self, place: np.ndarray, w: float, h: float) -> np.ndarray | None:
        (x0, x1), (y0, y1) = self._ax.get_xlim(), self._ax.get_ylim()
        for ring in range(7):
            for angle in np.linspace(0, 2 * np.pi, max(1, 8 * ring), endpoint=False) + np.pi / 2:
                x, y = place + ring * np.array([0.45 * w * np.cos(angle), 0.8 * h * np.sin(angle)])
                inside = x0 < x - w / 2 and x + w / 2 < x1 and y0 < y - h / 2 and y + h / 2 < y1
                if inside and not any(
                    abs(x - a) < (w + c) / 2 and abs(y - b) < (h + d) / 2 for a, b, c, d in self._taken
                ):
                    return np.array([x, y])
        return None


def _draw_relations(ax: Any, objects: Sequence[MemoryObject], rooms: Rooms) -> None:
    by_id = {o.id: o for o in objects}
    used = set()
    for r in drawn_relations(objects, rooms):
        used.add(r.kind)
        arrow = {"arrowstyle": "-|>", "color": _LINES[r.kind], "lw": 1.1, "shrinkA": 0, "shrinkB": 0, "alpha": 0.85}
        for other in (r.object, r.other):
            a, b = by_id[r.subject].position[:2], by_id[other].position[:2] if other in by_id else None
            if b is not None and np.hypot(*(a - b)) > 1e-6:
                ax.annotate("", xy=b, xytext=a, arrowprops=arrow, zorder=5)
    for kind in [k for k in _LINES if k in used]:
        ax.plot([], [], "-", color=_LINES[kind], lw=1.4, label=f"is {kind}")
    if used:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), ncol=len(used), frameon=False)
