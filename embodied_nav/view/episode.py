"""What a recorded page shows, gathered from a memory: which voxel was seen first by which keyframe, the way, decisions.

Knows the memory's records, no file of it and no ROS. Times are seconds from the first keyframe or decision on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..frames import Decision, MemoryObject
from ..memory import SpatialMemory
from ..memory.output.render import label_color, upright
from ..memory.submaps.local_clouds import LocalCloud, cloud_points
from .records import Moment

#: Pixels a row of frames that a cloud keeps whole, when it is asked which voxels they hit.
_WIDTH = 200


@dataclass(frozen=True, eq=False)
class MadeDecision:
    """A decision. Attributes: stamp: ns; made; path_length: m driven until then."""

    stamp: int
    made: Decision
    path_length: float = 0.0


@dataclass(frozen=True, eq=False)
class Way:
    """The way that was driven or carried. Attributes: stamps: (N,) int64 ns; poses: (N, 3) x, y, z m in map.

    headings: (N,) rad, or None.
    """

    stamps: np.ndarray
    positions: np.ndarray
    headings: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """All that a recorded page shows, in a map whose z points up.

    Attributes:
        title, subtitle: what was to be done, and what came of it.
        voxel_size: m. positions: (N, 3) float32 m. colors: (N, 3) uint8. labels: (N,) int into label_names.
        births: (N,) index of the moment that saw each voxel first.
        label_names, label_colors: by label; the first is nothing.
        moments: keyframes, oldest first. way: or None. objects: gone ones too. rooms: (name, (x, y)).
        decisions: oldest first. goal: (x, y) m, or None. began, ended: ns.
        turn: 3x3, from the memory's map into this one; objects' sizes are along that map's axes.
    """

    title: str
    subtitle: str
    voxel_size: float
    positions: np.ndarray
    colors: np.ndarray
    labels: np.ndarray
    births: np.ndarray
    label_names: tuple[str, ...]
    label_colors: tuple[tuple[int, int, int], ...]
    moments: tuple[Moment, ...]
    way: Way | None
    objects: tuple[MemoryObject, ...]
    rooms: tuple[tuple[str, tuple[float, float]], ...]
    decisions: tuple[MadeDecision, ...]
    goal: tuple[float, float] | None
    began: int
    ended: int
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))


def record_episode(
    memory: SpatialMemory, title: str, subtitle: str = "", way: Way | None = None,
    decisions: Sequence[MadeDecision] = (), goal: Sequence[float] | None = None, up: np.ndarray | None = None,
    objects: Sequence[MemoryObject] | None = None, since: int = 0,
) -> EpisodeRecord:  # fmt: skip
    """Gathers what a recorded page shows.

    Args:
        way, goal: in the memory's map. up: (3,) which way is up in it; +z by default. Everything is turned upright.
        objects: those to be shown; by default all, gone ones too. since: ns; earlier keyframes are left out, and what
            only they saw is there from the beginning.
    """
    R = upright(up)
    voxels = memory.voxels()
    shown = tuple(memory.objects(include_gone=True) if objects is None else objects)
    found = moments(memory, since)
    names = tuple(name for name, _ in voxels.class_names)
    upwards = np.allclose(R, np.eye(3), atol=1e-6)
    stamps = [m.stamp for m in found] + [d.stamp for d in decisions]
    return EpisodeRecord(
        title=title,
        subtitle=subtitle,
        voxel_size=memory.config.voxel_size,
        positions=(voxels.positions.astype(np.float64) @ R.T).astype(np.float32),
        colors=voxels.colors,
        labels=voxels.labels,
        births=first_seen(memory, voxels.positions, found, voxels.last_seen),
        label_names=names,
        label_colors=tuple(label_color(name) for name in names),
        moments=tuple(Moment(m.stamp, _turned(R, m.T_map_camera), m.picture, m.words) for m in found),
        way=None if way is None else Way(way.stamps, way.positions @ R.T, way.headings if upwards else None),
        objects=shown if upwards else tuple(_turned_object(R, o) for o in shown),
        rooms=_rooms(memory) if upwards else (),
        decisions=tuple(decisions),
        goal=None if goal is None else (float(goal[0]), float(goal[1])),
        began=min(stamps, default=0),
        ended=max([*stamps, *([] if way is None or not len(way.stamps) else [int(way.stamps[-1])])], default=0),
        turn=R,
    )


def moments(memory: SpatialMemory, since: int = 0) -> tuple[Moment, ...]:
    """The keyframes of a memory from a stamp (ns) on, oldest first, with what perception told of each."""
    told = {d.keyframe_id: d.text for d in memory.deltas if not d.stale}
    return tuple(
        Moment(k.stamp, k.T_map_camera, k.thumbnail, told.get(i, ""))
        for i, k in sorted(memory.keyframes.items())
        if k.stamp >= since
    )


def first_seen(
    memory: SpatialMemory, positions: np.ndarray, found: Sequence[Moment], last_seen: np.ndarray
) -> np.ndarray:
    """(N,) int32 indices of the moments that saw N voxels (positions, m) first.

    What is known of it are the local clouds: one holds what came after its keyframe up to the next one, whose own frame
    is in it, too; so it is known from that next one on. A voxel that no cloud hits counts from when it was seen last.
    """
    stamps = np.array([m.stamp for m in found], np.int64)
    if not len(stamps):
        return np.zeros(len(positions), np.int32)
    size = memory.config.voxel_size
    keys = _cells(positions, size)
    order = np.argsort(keys)
    inner = keys[order]
    births = np.minimum(np.searchsorted(stamps, last_seen), len(stamps) - 1).astype(np.int32)
    for cloud in reversed(memory.state.local_clouds()):
        before = cloud.keyframe_id < 0 or cloud.stamp < stamps[0]
        moment = 0 if before else min(int(np.searchsorted(stamps, cloud.stamp, side="right")), len(stamps) - 1)
        hit = np.unique(_cells(_in_map(cloud, size), size))
        at = np.minimum(np.searchsorted(inner, hit), len(inner) - 1) if len(inner) else hit[:0]
        births[order[at[inner[at] == hit]]] = moment
    return births


def _in_map(cloud: LocalCloud, size: float) -> np.ndarray:
    """(N, 3) m, what a local cloud hit."""
    points = cloud_points(cloud, size, _WIDTH)
    return points @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]


def _cells(positions: np.ndarray, size: float) -> np.ndarray:
    """(N,) int64, one number for each voxel."""
    n = np.floor(np.asarray(positions, np.float64) / size).astype(np.int64) + (1 << 20)
    return n[:, 0] << 42 | n[:, 1] << 21 | n[:, 2]


def _rooms(memory: SpatialMemory) -> tuple[tuple[str, tuple[float, float]], ...]:
    names = memory.room_names()
    return tuple((names.get(r.id, f"room {r.id}"), r.middle) for r in memory.rooms().rooms)


def _turned(R: np.ndarray, T: np.ndarray) -> np.ndarray:
    out = np.array(T, np.float64)
    out[:3] = R @ out[:3]
    return out


def _turned_object(R: np.ndarray, o: MemoryObject) -> MemoryObject:
    """An object in the turned map; its size stays along the axes of the map before."""
    return replace(o, position=R @ o.position)
