"""Keeps all that a map takes in memory within one bound: who takes what, and what leaves for the disk.

Local clouds and looks, which are read seldom, leave first, those farthest from the camera before all; voxels get what
is left, and what of them does not fit leaves too (:mod:`..voxels.eviction`). All comes back when it is used. What
cannot leave (grid, objects, deltas, thumbnails, images that wait for perception) counts, so the rest gets less. Memory
that voxels took once is used again for others, never given back.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..voxels.mapped_arrays import on_disk, release, to_disk
from ..voxels.voxel_features import FeatureHits
from .local_clouds import LocalCloud
from .map_state import MapState

#: Shares of the bound that clouds with looks, and voxels, get at least, whatever else there is.
_CLOUDS, _VOXELS = 1 / 8, 1 / 4
#: Share of it that voxels find free when a keyframe comes, as long as clouds can leave instead.
_GROWTH = 1 / 10
#: Share of it that is filled when a keyframe comes: the rest is for what grows until the next one.
_FILLED = 0.93
#: Bytes that an entry of each kind takes, about: an object of Python's with some small arrays.
_ENTRY = 1500
#: A cloud with less than this (bytes) stays: a file of its own would cost as much.
_SMALL = 16384


class Usage(dict[str, int]):
    """Bytes in memory by what they are for: voxels, grid, clouds, looks, keyframes, images, records."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.values())


def usage(state: MapState) -> Usage:
    """What a map takes in memory; what is on disk does not count."""
    content, index = state.content, state.objects
    waiting = (*state.images.values(), *state.featureless.values())
    records = len(content.deltas) + len(content.events) + len(index.sightings) + len(index.known)
    return Usage(
        voxels=state.voxels.store.nbytes,
        grid=state.voxels.grid.nbytes,
        clouds=sum(map(_size, content.clouds)) + (0 if state.growing is None else state.growing.nbytes),
        looks=sum(_look_size(look) for look in content.looks.values()),
        keyframes=sum(len(k.thumbnail) for k in content.keyframes.values())
        + (0 if state.redundancy is None else state.redundancy.nbytes),
        images=sum(a.nbytes for f in waiting for a in (f.color, f.depth, f.instance_ids) if a is not None),
        records=_ENTRY * records,
    )


def keep_within(state: MapState, position: np.ndarray) -> None:
    """Lets leave what exceeds the bound, and gives the voxels what is left; without a bound it does nothing.

    Args:
        position: (3,) m, of the camera.
    """
    bound = int(_FILLED * state.config.max_mb * 1e6)
    if not bound:
        return
    if state.read_from_disk:
        release()
        state.read_from_disk = False
    used = usage(state)
    held = used["clouds"] + used["looks"]
    rest = bound - used.total + held - bound * _GROWTH  # for clouds and looks, beside the voxels as they are
    if held > max(rest, bound * _CLOUDS):
        held = _leave(state, position, held, 0.9 * max(rest, bound * _CLOUDS))
    fixed = used.total - used["voxels"] - used["clouds"] - used["looks"]
    clouds = max(held, int(bound * _CLOUDS))
    state.voxels.store.set_bound(max(bound - fixed - clouds, int(bound * _VOXELS)))


def _leave(state: MapState, position: np.ndarray, held: int, enough: float) -> int:
    """Puts clouds and looks on disk, farthest first, until so little is held or there are none; returns that."""
    clouds = sorted(
        (c for c in state.content.clouds if _size(c) > _SMALL),
        key=lambda c: -float(np.linalg.norm(c.T_map_cloud[:3, 3] - position)),
    )
    looks = state.content.looks
    try:
        for cloud in clouds:
            if held <= enough:
                break
            look = looks.get(cloud.keyframe_id, {})
            held -= _size(cloud) + _look_size(look)
            _put(cloud, look)
            held += _size(cloud) + _look_size(look)
    except OSError as error:
        state.problem = error.strerror or str(error)
    else:
        state.problem = ""
    return held


def _put(cloud: LocalCloud, look: dict[str, np.ndarray]) -> None:
    """Puts a closed cloud's arrays, and a keyframe's look, on disk."""
    there = iter(to_disk([*_arrays(cloud), *look.values()]))
    cloud.hits, cloud.details, cloud.votes = next(there), next(there), next(there)
    for view in cloud.views:
        view.depth = next(there)
        view.color = None if view.color is None else next(there)
    cloud.features[:] = [FeatureHits(*(next(there) for _ in hits)) for hits in cloud.features]
    for name in look:
        look[name] = next(there)


def _arrays(cloud: LocalCloud) -> Iterator[np.ndarray]:
    yield from (cloud.hits, cloud.details, cloud.votes)
    for view in cloud.views:
        yield view.depth
        if view.color is not None:
            yield view.color
    for hits in cloud.features:
        yield from hits


def _size(cloud: LocalCloud) -> int:
    """Bytes of a cloud in memory."""
    return sum(a.nbytes for a in _arrays(cloud) if not on_disk(a))


def _look_size(look: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in look.values() if not on_disk(a))
