"""Puts frames, keyframes and semantic deltas into a map. Knows no questions and no files."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...frames import Keyframe, RGBDFrame, SemanticDelta
from ...geometry import invert, is_rigid
from ..objects.named_places import begin_at
from ..objects.thinning import thin
from ..objects.visibility import empty_places
from ..objects.votes import cast_votes, count_votes, segments_of, votes_in_frame
from ..records import IntegrationStats, KeyframeRecord
from ..voxels.voxel_features import check_grid
from .bound import keep_within
from .local_clouds import VOTE
from .map_state import MapState
from .moving import corrected_pose
from .retiring import retire

THUMBNAIL_WIDTH = 160


def integrate(state: MapState, frame: RGBDFrame, features: np.ndarray | None = None) -> IntegrationStats:
    """Fuses one frame; see ``SpatialMemory.integrate``."""
    _check(frame)
    c, voxels = state.config, state.voxels
    features = None if features is None else check_grid(features, c.feature_dim)
    if frame.depth is None:
        return IntegrationStats(0, 0, 0, len(voxels.store))
    T = corrected_pose(state, frame)
    fused, carved = voxels.fuse(frame, T, features), 0
    if c.carve:
        carved, classes = voxels.carve(frame, T)
        state.objects.touch(classes)
    if state.growing is None:
        state.builder.start(-1, T, frame.stamp)
    state.builder.add(frame, T)
    if fused.features is not None:
        state.builder.add_features(fused.features)
    state.content.stamp = max(state.content.stamp, int(frame.stamp))
    state.content.frames += 1
    if fused.refused:
        state.left_out = state.content.frames
    return IntegrationStats(fused.points, fused.new, carved, len(voxels.store), fused.refused)


def add_keyframe(state: MapState, keyframe: Keyframe) -> int:
    """Keeps a keyframe and starts its local cloud; see ``SpatialMemory.add_keyframe``."""
    _check(keyframe.frame)
    number, f = state.keyframe_number(keyframe.id), keyframe.frame
    if number in state.content.keyframes:
        raise InputError(f"keyframe {keyframe.id} is already in the memory")
    state.close_cloud()
    retire(state)
    T = corrected_pose(state, f)
    state.content.keyframes[number] = KeyframeRecord(
        number, int(f.stamp), T, keyframe.reason, float(keyframe.overlap), int(keyframe.inliers), _thumbnail(f.color)
    )
    if number == state.content.sessions[-1]["first_keyframe"]:
        begin_at(state.content.places, state.content.keyframes[number])
    if state.postponed is not None and not np.array_equal(T, f.T_map_camera):
        state.postponed.poses[number] = np.array(f.T_map_camera, np.float64)
    state.builder.start(number, T, int(f.stamp))
    _keep(state.images, number, f, state.config.keyframe_images)
    if state.config.feature_dim and f.depth is not None:
        _keep(state.featureless, number, replace(f, color=None), state.config.keyframe_images)
    keep_within(state, T[:3, 3])
    return number


def _keep(frames: OrderedDict[int, RGBDFrame], number: int, frame: RGBDFrame, most: int) -> None:
    frames[number] = frame
    while len(frames) > most:
        frames.popitem(last=False)


def _holds(state: MapState, number: int, what: str) -> bool:
    """Whether a keyframe is in the memory; False for one that newer ones made redundant.

    Raises:
        InputError: it never was.
    """
    if number not in state.content.keyframes and number not in state.retired:
        raise InputError(f"{what}, which is not in the memory")
    return number in state.content.keyframes


def add_look(state: MapState, keyframe_id: int, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays with a keyframe; see ``SpatialMemory.add_look``."""
    content = state.content
    if _holds(state, keyframe_id, f"keyframe {keyframe_id}"):
        content.looks[keyframe_id] = {**content.looks.get(keyframe_id, {}), **arrays}


def add_delta(state: MapState, delta: SemanticDelta) -> None:
    """Counts a semantic delta as label votes; see ``SpatialMemory.add_delta``."""
    number = state.keyframe_number(delta.keyframe_id)
    _holds(state, number, f"delta of keyframe {delta.keyframe_id}")
    previous = state.keyframe_number(delta.previous_id) if delta.previous_id >= 0 else -1
    delta = replace(delta, keyframe_id=number, previous_id=previous)
    if not delta.stale:  # a better one may follow a stale one
        frame = state.images.pop(delta.keyframe_id, None)
        if frame is not None and frame.depth is not None:
            _vote(state, delta, frame)
    deltas = state.content.deltas
    deltas[next(reversed(deltas), -1) + 1] = replace(delta, segments=None)
    thin(deltas, int(delta.stamp), state.retention)
    state.forget_events()


def add_features(state: MapState, keyframe_id: int, features: np.ndarray) -> int:
    """Gives a keyframe's features to its voxels; see ``SpatialMemory.add_features``."""
    number, dim = state.keyframe_number(keyframe_id), state.config.feature_dim
    holds = _holds(state, number, f"features of keyframe {keyframe_id}")
    features = check_grid(features, dim)
    frame = state.featureless.pop(number, None)
    if frame is None or not holds:
        return 0
    # A loop closure may have moved it since its frame came.
    T = state.content.keyframes[number].T_map_camera
    given = state.voxels.give_features(frame, T, features)
    R = invert(T)
    points = (given.points.astype(np.float64) @ R[:3, :3].T + R[:3, 3]).astype(np.float32)
    state.cloud_of(number).features.append(given._replace(points=points))
    return len(points)


def _vote(state: MapState, delta: SemanticDelta, frame: RGBDFrame) -> None:
    """Gives each detection of a keyframe to an instance, and lets its voxels vote for that instance."""
    c, T, store = state.config, np.asarray(frame.T_map_camera, np.float64), state.voxels.store
    segments = _segments(delta, frame, T)
    values = np.array([c.background_vote] + [max(float(o.confidence), 1e-3) for o in delta.objects], np.float32)
    rows, numbers, shares = count_votes(
        store, frame.depth, segments, frame.camera, T, c.voxel_size, c.min_depth, c.max_depth
    )
    # Voxels that were carved since must not count for their objects.
    state.refresh_objects()
    pixels = np.bincount(segments.ravel(), minlength=len(values))
    classes = state.objects.see(
        store, state.content.classes, delta.keyframe_id, delta.objects, pixels, rows, numbers,
        lambda middles, sizes: empty_places(middles, sizes, frame.depth, frame.camera, T, c.voxel_size, c.depth_noise),
    )  # fmt: skip
    votes = (values[numbers] * shares).astype(np.float32)
    keep = votes > 0
    rows, numbers, votes = rows[keep], numbers[keep], votes[keep]
    state.objects.touch(cast_votes(store, rows, classes[numbers], votes))
    # A voxel with only "nothing" votes is what a rebuilt map has anyway, but they outvote errors: keep them all.
    cloud = state.cloud_of(delta.keyframe_id)
    kept = np.empty(len(rows), VOTE)
    # To 2 mm, far less than a vote may lie beside its voxel: that packs into half.
    kept["p"] = np.rint(votes_in_frame(store, rows, c.voxel_size, cloud.T_map_cloud) * 512.0) / 512.0
    kept["class"], kept["votes"] = classes[numbers], votes
    cloud.votes = np.concatenate([cloud.votes, kept])
    if c.carve and state.objects.looked_through:
        # Perception and depth agree that it is not there: that counts for half of what takes it off the map.
        lost = np.flatnonzero(np.isin(store.arrays.owner[: len(store.rows)], state.objects.looked_through))
        state.objects.touch(state.voxels.carve(frame, T, max(1, c.carve_frames // 2), lost)[1])


def _segments(delta: SemanticDelta, frame: RGBDFrame, T: np.ndarray) -> np.ndarray:
    """HxW uint16 object numbers of a delta, checked."""
    segments = segments_of(delta, frame.depth, frame.camera, T)
    if segments.shape != frame.depth.shape:
        raise InputError(
            f"segments are {segments.shape[1]}x{segments.shape[0]}, the keyframe's depth "
            f"{frame.depth.shape[1]}x{frame.depth.shape[0]}"
        )
    if segments.max(initial=0) > len(delta.objects):
        raise InputError(f"segments name object {segments.max()}, the delta holds {len(delta.objects)}")
    return segments


def _check(frame: RGBDFrame) -> None:
    """Raises InputError for images that do not fit their camera and a pose that is not rigid."""
    size = (frame.camera.height, frame.camera.width)
    if frame.depth is not None and frame.depth.shape != size:
        raise InputError(f"depth is {frame.depth.shape[1]}x{frame.depth.shape[0]}, its camera {size[1]}x{size[0]}")
    if frame.color is not None and (frame.color.shape != (*size, 3) or frame.color.dtype != np.uint8):
        raise InputError(f"color is {frame.color.shape} {frame.color.dtype}, expected ({size[0]}, {size[1]}, 3) uint8")
    if not is_rigid(frame.T_map_camera):
        raise InputError(f"pose of the frame at {frame.stamp} ns is not a finite rigid transform")


def _thumbnail(color: np.ndarray | None) -> bytes:
    """A small JPEG of an HxWx3 uint8 image; nothing for none."""
    if color is None:
        return b""
    import cv2

    height = max(1, round(color.shape[0] * THUMBNAIL_WIDTH / color.shape[1]))
    small = cv2.resize(color, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
