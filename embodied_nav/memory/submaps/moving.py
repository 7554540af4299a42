"""Moves the keyframes of a running map to corrected poses, as after a loop closure. Knows no files and no questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...frames import RGBDFrame
from ...geometry import invert, is_rigid
from .correction import Correction, Placed, anchors, records
from .local_clouds import LocalCloud
from .map_state import MapState, Postponed

#: A frame may come this long after a correction that it does not know of yet, ns.
_LATE = 5_000_000_000


def begin_correction(
    state: MapState, poses: Mapping[int, np.ndarray], stamp: int | None = None, everything: bool = False
) -> Correction:
    """Begins to move keyframes; see ``SpatialMemory.begin_correction``.

    Raises:
        InputError: an unknown keyframe, or a pose that is not rigid.
    """
    _check(state, poses)
    if (waiting := state.postponed) is not None:
        poses, stamp, state.postponed = {**waiting.poses, **poses}, waiting.stamp if stamp is None else stamp, None
    everything = everything or state.voxels.on_disk > 0
    if state.correction is not None:
        poses, everything = {**state.correction.poses, **poses}, everything or state.correction.everything
    poses = {i: np.array(T, np.float64) for i, T in poses.items()}
    growing, clouds = state.split_cloud(), state.content.clouds
    placed = [Placed.now(c, _place(state, c, i, poses)) for c, i in zip(clouds, anchors(clouds), strict=True)]
    if growing is not None:
        here = _place(state, growing, anchors([*clouds, growing])[-1], poses)
        if stamp is not None:
            state.late = (int(stamp), here @ invert(growing.T_map_cloud))
        state.builder.start(growing.keyframe_id, here, growing.stamp)
    known = state.voxels.store.used_blocks()
    content, n = state.content, len(placed)
    state.correction = Correction(
        state.config, placed, poses, content.classes, state.voxels.grid, known, everything, lambda: content.clouds[n:]
    )
    return state.correction


def _check(state: MapState, poses: Mapping[int, np.ndarray]) -> None:
    for i, T in poses.items():
        if i not in state.content.keyframes:
            raise InputError(f"keyframe {i} is not in the memory")
        if not is_rigid(T):
            raise InputError(f"pose of keyframe {i} is not a finite rigid transform")


def postpone(state: MapState, poses: Mapping[int, np.ndarray], stamp: int | None) -> None:
    """Notes corrected poses that wait; see ``SpatialMemory.follow``.

    Raises:
        InputError: an unknown keyframe, or a pose that is not rigid.
    """
    _check(state, poses)
    waiting = {} if state.postponed is None else state.postponed.poses
    poses, newest = {**waiting, **poses}, max(state.content.keyframes)
    here = expected_pose(state, newest)
    state.postponed = Postponed(poses, stamp, here @ invert(poses.get(newest, here)))


def apply(state: MapState, correction: Correction) -> None:
    """Exchanges the map with the corrected one at once; a correction that was not run is run now.

    Raises:
        InputError: another correction was begun since.
    """
    if correction is not state.correction:
        raise InputError("another correction was begun since: apply that one")
    if not correction.done:
        correction.run(urgent=True)
    correction.failed = True  # until all is exchanged: the next one takes in what could not be
    voxels = state.voxels
    refilled = voxels.swapper is not None and (correction.blocks is None or not voxels.takes(correction.store.nbytes))
    if refilled and correction.blocks is not None:
        # What left for the disk meanwhile cannot be exchanged block by block.
        correction.everything = True
        correction.run(urgent=True)
    growing = state.split_cloud()
    correction.catch_up(state.content.clouds[len(correction.clouds) :])
    if growing is not None:
        state.builder.start(growing.keyframe_id, growing.T_map_cloud, growing.stamp)
    _move(state, correction)
    if refilled:
        voxels.refill(*records(correction.store))
    elif correction.exchange(voxels.store):
        voxels.restarted_at = voxels.store.clock
    voxels.exchange_grid(correction.grid)
    state.objects.touch_all(voxels.store)
    state.correction = None
    state.corrections += 1
    state.read_from_disk = True


def rebuild(state: MapState) -> None:
    """Makes all of the map anew from the local clouds."""
    apply(state, begin_correction(state, {}, everything=True))


def expected_pose(state: MapState, keyframe_id: int) -> np.ndarray:
    """4x4 pose of a keyframe, after a correction that is under way."""
    poses = {} if state.correction is None else state.correction.poses
    return poses.get(keyframe_id, state.content.keyframes[keyframe_id].T_map_camera)


def corrected_pose(state: MapState, frame: RGBDFrame) -> np.ndarray:
    """4x4 pose of a frame in the map as it is; that of one from before a correction, which comes after it, is corrected
    too, and one that comes with corrected poses, which wait, is put where the map is."""
    T = np.array(frame.T_map_camera, np.float64)
    if (waiting := state.postponed) is not None and (waiting.stamp is None or frame.stamp >= waiting.stamp):
        return waiting.T @ T
    if state.late is not None and state.late[0] - _LATE <= frame.stamp < state.late[0]:
        return state.late[1] @ T
    return T


def _place(state: MapState, cloud: LocalCloud, anchor: int, poses: Mapping[int, np.ndarray]) -> np.ndarray:
    """Where a cloud belongs (4x4): with its keyframe; one from before the first keyframe moves as that does."""
    if anchor not in poses:
        return cloud.T_map_cloud
    T = poses[anchor]
    if cloud.keyframe_id < 0:
        T = T @ invert(state.content.keyframes[anchor].T_map_camera) @ cloud.T_map_cloud
    return cloud.T_map_cloud if np.array_equal(T, cloud.T_map_cloud) else T


def _move(state: MapState, correction: Correction) -> None:
    """Gives clouds, sightings and keyframes their corrected poses."""
    for p in correction.clouds:
        if p.moved:
            p.cloud.T_map_cloud = p.after
    poses, keyframes = correction.poses, state.content.keyframes
    for s in (s for s in state.objects.sightings if s.keyframe_id in poses):
        T = poses[s.keyframe_id] @ invert(keyframes[s.keyframe_id].T_map_camera)
        s.position = T[:3, :3] @ s.position + T[:3, 3]
    for i, T in poses.items():
        keyframes[i] = replace(keyframes[i], T_map_camera=T)
