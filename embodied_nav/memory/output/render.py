"""Pictures of the map for people: occupancy or colours from above, trajectory, objects by name, goal; a slanted view.

Knows arrays and records only. matplotlib is imported where it is used.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid

if TYPE_CHECKING:
    from ..records import VoxelView

_WALL, _FREE, _UNKNOWN = (38, 50, 66), (250, 249, 245), (205, 210, 216)
#: Inches of a panel's side; points of the names' letters.
_PANEL, _FONT = 9.0, 7
#: Larger boxes (m) are outlined only: filled, a counter along two walls would veil the room between them.
_LARGEST_FILLED = 2.5
_NAMED = {
    "red": "#d62728", "green": "#2ca02c", "blue": "#1f77b4", "yellow": "#c9a400", "orange": "#ff7f0e",
    "purple": "#8e44ad", "pink": "#e377c2", "brown": "#8c564b", "black": "#111111", "white": "#7d8790",
    "gray": "#707070", "turquoise": "#17a2b8",
}  # fmt: skip


def draw_map(
    path: str | Path,
    grid: OccupancyGrid | None = None,
    trajectory: np.ndarray | None = None,
    objects: Sequence[MemoryObject] = (),
    goal: Sequence[float] | None = None,
    *,
    voxels: VoxelView | None = None,
    up: np.ndarray | None = None,
    camera_view: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draws one PNG with up to three panels: map from above, slanted view of the voxels, the robot's view.

    Args:
        grid: walls, free and unknown; where None the map panel shows the voxels' colours from above.
        trajectory: Nx2 or Nx3 positions in time order, m. goal: (x, y), m.
        voxels: their colours, for the slanted view. up: (3,) direction of up in map; +z by default. Where it is another
            one, everything is turned upright first and the grid, which lies in the map's x-y plane, is left out.
        camera_view: HxWx3 uint8.

    Raises:
        InputError: the place cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    R = upright(up)
    if up is not None and not np.allclose(R, np.eye(3), atol=1e-6):
        grid = None
    points = None if voxels is None or not len(voxels) else voxels.positions.astype(np.float64) @ R.T
    track = None if trajectory is None or not len(trajectory) else _three(trajectory) @ R.T
    panels = 1 + (points is not None) + (camera_view is not None)
    figure = Figure(figsize=(_PANEL * 1.05 * panels, _PANEL), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_above(axes[0], grid, points, None if voxels is None else voxels.colors, track)
    _draw_track(axes[0], track)
    _draw_objects(axes[0], objects, R)
    if goal is not None:
        g = R @ _three(np.atleast_2d(goal))[0]
        axes[0].plot(g[0], g[1], "*", ms=22, mfc="#ffd400", mec="#202020", mew=1.2, zorder=9, label="goal")
    _finish(axes[0], title or "map")
    if points is not None:
        _draw_slanted(axes[1], points, voxels.colors)
    if camera_view is not None:
        axes[-1].imshow(camera_view)
        axes[-1].set_title("robot's view")
        axes[-1].axis("off")
    try:
        # The tight box keeps titles that the equal aspect pushes over the edge.
        figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a writable place with room") from None


def room_color(room_id: int) -> tuple[float, float, float]:
    """A colour (RGB 0 to 1) that a room always has; those of ids in a row differ well."""
    import colorsys

    return colorsys.hsv_to_rgb(room_id * 0.618034 % 1.0, 0.55, 0.95)


def label_color(name: str) -> tuple[int, int, int]:
    """A colour (RGB 0 to 255) that a label always has; structure is grey."""
    if not name:
        return 128, 128, 128
    import colorsys

    hue = zlib.crc32(name.encode()) / 2**32
    red, green, blue = (int(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.75, 0.95))
    return red, green, blue


def label_colors(labels: np.ndarray, names: Sequence[tuple[str, str]]) -> np.ndarray:
    """Nx3 uint8 colours of N indices into ``names``, (label, colour) pairs of which the first is nothing."""
    return np.array([label_color(label) for label, _ in names], dtype=np.uint8)[labels]


def upright(up: np.ndarray | None) -> np.ndarray:
    """3x3 rotation that turns ``up`` into +z by the shortest way; the identity for None."""
    if up is None:
        return np.eye(3)
    a = np.asarray(up, np.float64) / np.linalg.norm(up)
    v, c = np.cross(a, [0.0, 0.0, 1.0]), a[2]
    if c < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + K + K @ K / (1 + c)


def estimate_up(poses: Sequence[np.ndarray], voxels: VoxelView | None = None) -> np.ndarray:
    """Which way is up in a map whose axes nobody chose: where cameras have their upper edge, refined by the voxels.

    Args:
        poses: 4x4, map from optical frame. voxels: surfaces; the direction within 25 degrees of the cameras' that packs
            them into the thinnest layers (floors, table tops) wins.
    """
    mean = -np.mean([np.asarray(T)[:3, 1] for T in poses], axis=0)
    up = mean / np.linalg.norm(mean)
    if voxels is None or len(voxels) < 100:
        return up
    points = voxels.positions.astype(np.float64)
    for width in (0.44, 0.2, 0.09, 0.04, 0.02):
        across = upright(up)[:2]
        tilts = [(i, j) for i in np.linspace(-width, width, 5) for j in np.linspace(-width, width, 5)]
        candidates = [up + across[0] * i + across[1] * j for i, j in tilts]
        candidates = [c / np.linalg.norm(c) for c in candidates]
        up = max(candidates, key=lambda c: _layering(points @ c))
    return up


def _layering(heights: np.ndarray, step: float = 0.025) -> float:
    """How much a few thin layers hold: sum of squares of the histogram."""
    counts = np.bincount(np.floor((heights - heights.min()) / step).astype(np.int64))
    return float((counts.astype(np.float64) ** 2).sum())


def top_view(points: np.ndarray, colors: np.ndarray, cell: float, ceiling: float) -> tuple[np.ndarray, tuple]:
    """Colours from above, the highest point below ``ceiling`` in each cell.

    Args:
        points: Nx3 m, z up. colors: Nx3 uint8. cell: m.

    Returns:
        HxWx4 uint8 RGBA, rows along y; (x0, x1, y0, y1) m.
    """
    keep = points[:, 2] < ceiling
    points, colors = points[keep], colors[keep]
    if not len(points):
        return np.zeros((1, 1, 4), np.uint8), (0.0, cell, 0.0, cell)
    low = points[:, :2].min(0)
    ij = np.floor((points[:, :2] - low) / cell).astype(np.int64)
    width, height = ij.max(0) + 1
    order = np.argsort(points[:, 2], kind="stable")
    image = np.zeros((height, width, 4), np.uint8)
    image[ij[order, 1], ij[order, 0], :3] = colors[order]
    image[ij[order, 1], ij[order, 0], 3] = 255
    return image, (low[0], low[0] + width * cell, low[1], low[1] + height * cell)


def slanted_view(points: np.ndarray, colors: np.ndarray, width: int = 900, height: int = 800) -> np.ndarray:
    """HxWx3 uint8 view of points (Nx3, z up) from above at a slant: orthographic, nearest wins, ceiling cut off."""
    shown = points[:, 2] < ceiling_of(points)
    points, colors = points[shown], colors[shown]
    yaw, pitch = np.radians(35), np.radians(40)
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]
    across = x
    upward = np.sin(pitch) * y + np.cos(pitch) * points[:, 2]
    near = -(np.cos(pitch) * y - np.sin(pitch) * points[:, 2])
    scale = 0.94 * min(width / max(np.ptp(across), 1e-6), height / max(np.ptp(upward), 1e-6))
    u = (width / 2 + (across - (across.min() + across.max()) / 2) * scale).astype(np.int64)
    v = (height / 2 - (upward - (upward.min() + upward.max()) / 2) * scale).astype(np.int64)
    half = max(1, int(np.ceil(scale * 0.055 / 2)))
    image, depth = np.full((height, width, 3), 245, np.uint8), np.full((height, width), -np.inf)
    order = np.argsort(near, kind="stable")
    u, v, near, colors = u[order], v[order], near[order], colors[order]
    for dv, du in np.ndindex(2 * half + 1, 2 * half + 1):
        i, j = np.clip(v + dv - half, 0, height - 1), np.clip(u + du - half, 0, width - 1)
        # In order of nearness the last write wins; between offsets the depth buffer decides.
        win = near >= depth[i, j]
        image[i[win], j[win]], depth[i[win], j[win]] = colors[win], near[win]
    return image


def ceiling_of(points: np.ndarray) -> float:
    """Height at which to cut so that one looks into the rooms: under the ceiling, where there is one."""
    low, high = np.percentile(points[:, 2], [1, 99])
    return low + 2.1 if high - low > 2.3 else high + 0.1


def _draw_above(ax: Any, grid: OccupancyGrid | None, points, colors, track) -> None:
    if grid is not None and grid.data.size:
        image = np.empty((*grid.data.shape, 3), np.uint8)
        image[:] = _UNKNOWN
        image[grid.data == FREE], image[grid.data == OCCUPIED] = _FREE, _WALL
        h, w = grid.data.shape
        x, y = grid.origin
        extent = (x, x + w * grid.resolution, y, y + h * grid.resolution)
        ax.imshow(image, origin="lower", extent=extent, interpolation="nearest")
        known = np.argwhere(grid.data >= 0)
        if len(known):
            low, high = grid.centers(known.min(0)), grid.centers(known.max(0))
            ax.set_xlim(low[0] - 0.4, high[0] + 0.4)
            ax.set_ylim(low[1] - 0.4, high[1] + 0.4)
    elif points is not None:
        image, extent = top_view(points, colors, 0.05, ceiling_of(points))
        ax.imshow(image, origin="lower", extent=extent, interpolation="nearest")
    ax.set_facecolor(np.array(_UNKNOWN) / 255)


def _draw_track(ax: Any, track: np.ndarray | None) -> None:
    if track is None:
        return
    ax.plot(track[:, 0], track[:, 1], "-", color="white", lw=4.5, zorder=5, solid_capstyle="round")
    ax.scatter(track[:, 0], track[:, 1], c=np.linspace(0, 1, len(track)), cmap="plasma", s=9, zorder=6)
    ax.plot(*track[0, :2], "o", ms=11, mfc="#2ca02c", mec="white", mew=1.5, zorder=8, label="start")
    ax.plot(*track[-1, :2], "s", ms=11, mfc="#d62728", mec="white", mew=1.5, zorder=8, label="end")


def _draw_objects(ax: Any, objects: Sequence[MemoryObject], R: np.ndarray) -> None:
    """Outlines and names, the largest objects first; a name that finds no room is left out, its outline is not."""
    from matplotlib.patches import Rectangle

    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    metres_per_point = max(x1 - x0, y1 - y0) / (72 * _PANEL * 0.86)
    taken: list[tuple[float, float, float, float]] = []
    for o in sorted(objects, key=lambda o: -float(np.prod(o.extent))):
        if o.status != "present":
            continue
        p, e = R @ o.position, np.abs(R) @ o.extent
        edge = _NAMED.get(o.color, "#444444")
        corner = (p[0] - e[0] / 2, p[1] - e[1] / 2)
        if max(e[:2]) < _LARGEST_FILLED:
            ax.add_patch(Rectangle(corner, e[0], e[1], fc=edge, ec="none", alpha=0.15, zorder=3))
        ax.add_patch(Rectangle(corner, e[0], e[1], fill=False, ec=edge, lw=0.9, zorder=4))
        w, h = (0.56 * _FONT * len(o.name) + 3) * metres_per_point, (_FONT + 4) * metres_per_point
        for dx, dy in ((0, 0), (0, 1), (0, -1), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1), (0, 2), (0, -2)):
            x, y = float(p[0]) + dx * w, float(p[1]) + dy * h
            if any(abs(x - a) < (w + c) / 2 and abs(y - b) < (h + d) / 2 for a, b, c, d in taken):
                continue
            taken.append((x, y, w, h))
            box = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": edge, "lw": 0.7, "alpha": 0.9}
            ax.text(x, y, o.name, fontsize=_FONT, ha="center", va="center", bbox=box, zorder=7)
            break


def _draw_slanted(ax: Any, points: np.ndarray, colors: np.ndarray) -> None:
    ax.imshow(slanted_view(points, colors))
    ax.set_title(f"{len(points):,} voxels")
    ax.axis("off")


def _finish(ax: Any, title: str) -> None:
    ax.set_aspect("equal")
    ax.set_xlabel("x [m]")
    ax.set_ylabel("y [m]")
    ax.set_title(title, wrap=True)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right", framealpha=0.9)


def _three(points: np.ndarray) -> np.ndarray:
    """Nx3 float64 of Nx2 or Nx3."""
    points = np.asarray(points, np.float64)
    return points if points.shape[1] == 3 else np.concatenate([points, np.zeros((len(points), 1))], axis=1)
