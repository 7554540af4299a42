"""Decides which frames become keyframes and why. Knows nothing of models, memory and ROS.

Depth reprojection tests every frame (some 50 microseconds). ORB features are used only if depth calls for a new
keyframe, gives no result, or has not been confirmed for a while. In Embodied-R (sec. 3.2) any failure makes a keyframe;
here a view without texture and depth is judged by the pose, and at rest becomes a keyframe only once.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Keyframe, RGBDFrame
from ..geometry import Camera, invert, rotation_angle
from .features import FeatureMatch, Features, extract, match
from .reprojection import depth_overlap

#: Camera motion (m, rad) below which the robot is considered at rest.
_STILL = (0.03, 0.02)
#: Depth range (m) assumed for a feature without depth; it defines the epipolar segment.
_NEAR, _FAR = 0.5, 1e6
#: Largest difference (grey levels) of thumbnails of the same view.
_SAME_THUMBNAIL = 4.0


@dataclass(frozen=True)
class KeyframeConfig(Config):
    """Settings of :class:`KeyframeGate`."""

    min_overlap: float = param(
        0.6, "a view of which less was seen by the last keyframe is a keyframe", low=0.0, high=1.0
    )
    min_kept: float = param(0.35, "a view that kept less than this of the last keyframe's is one", low=0.0, high=1.0)
    closer_translation: float = param(
        0.5, "distance from which that counts: before a near wall views shrink fast", unit="m", low=0.0, high=100.0
    )
    depth_tolerance: float = param(0.08, "relative depth difference of one surface", low=0.005, high=0.5)
    max_translation: float = param(1.0, "distance after which a keyframe is due", unit="m", low=0.05, high=100.0)
    max_rotation: float = param(0.8, "turn after which a keyframe is due", unit="rad", low=0.05, high=6.3)
    max_interval: float = param(0.0, "time after which one is due even at rest; 0 is never", unit="s", low=0.0)
    min_interval: float = param(0.0, "time before which none is taken", unit="s", low=0.0, high=60.0)
    lost_interval: float = param(
        0.5,
        "least time between keyframes taken for lost features or a pose that disagrees",
        unit="s",
        low=0.0,
        high=60.0,
    )
    features: int = param(500, "ORB features; 0 is depth and pose alone", low=0, high=5000)
    min_inliers: int = param(15, "matches that RANSAC must keep", low=8, high=500)
    check_every: int = param(15, "frames between checks of the pose against the features; 0 is never", low=0)
    pose_tolerance: float = param(
        0.08, "median distance of matches from where the pose puts them, in image widths", low=0.01, high=1.0
    )


class KeyframeGate:
    """Processes frames in order, returns a :class:`Keyframe` for those selected.

    Reasons: ``first``; ``overlap`` (too little of the view was seen before); ``closer`` (too little of the last
    keyframe is left in view); ``changed`` (camera at rest, scene differs); ``moved`` (distance, turn, or pose
    motion where neither depth nor features can tell); ``interval``; ``lost`` (no features match, no other cue);
    ``pose_jump`` (the pose contradicts what the features see).

    Attributes:
        last_overlap: overlap of the last processed frame with the last keyframe, NaN if unknown.
        last_inliers: feature matches of the last processed frame, 0 where features were not computed.
        counts: number of keyframes by reason.
    """

    def __init__(self, config: KeyframeConfig | None = None) -> None:
        self.config = config or KeyframeConfig()
        self.counts: Counter[str] = Counter()
        self._next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forgets the last keyframe; ids keep counting."""
        self._last: RGBDFrame | None = None
        self._last_features: Features | None = None
        self._features: Features | None = None
        self._unchecked = 0
        self.last_overlap = float("nan")
        self.last_inliers = 0

    def process(self, frame: RGBDFrame) -> Keyframe | None:
        """The frame as a keyframe, or None if the last keyframe still covers the view."""
        self.last_overlap, self.last_inliers, self._features = float("nan"), 0, None
        reason = self._reason(frame)
        if not reason:
            return None
        keyframe = Keyframe(self._next_id, frame, self.last_overlap, self.last_inliers, reason)
        self._next_id += 1
        self._last, self._last_features, self._unchecked = frame, self._features, 0
        self.counts[reason] += 1
        return keyframe

    def _reason(self, frame: RGBDFrame) -> str:
        if self._last is None:
            return "first"
        elapsed = (frame.stamp - self._last.stamp) * 1e-9
        if elapsed < self.config.min_interval:
            return ""
        T = _relative(self._last, frame)
        overlap, kept = self._depth_overlaps(frame, T)
        self._unchecked += 1
        if math.isnan(overlap) or T is None:
            reason = self._by_features(frame, T, elapsed)
        else:
            self.last_overlap = overlap
            reason = self._by_depth(frame, T, kept, elapsed)
        if not reason and 0.0 < self.config.max_interval <= elapsed:
            return "interval"
        return reason

    def _depth_overlaps(self, frame: RGBDFrame, T: np.ndarray | None) -> tuple[float, float]:
        """Share of this view that the last keyframe saw, and share of that keyframe that is still in view."""
        last = self._last
        if T is None or last is None or frame.depth is None or last.depth is None:
            return float("nan"), float("nan")
        tolerance = self.config.depth_tolerance
        return (
            depth_overlap(frame.depth, frame.camera, last.depth, last.camera, T, tolerance),
            depth_overlap(last.depth, last.camera, frame.depth, frame.camera, invert(T), tolerance),
        )

    def _by_depth(self, frame: RGBDFrame, T: np.ndarray, kept: float, elapsed: float) -> str:
        config, overlap = self.config, self.last_overlap
        few = overlap < config.min_overlap
        due = bool(config.check_every) and self._unchecked >= config.check_every
        if (few or due) and (matched := self._match(frame)) is not None and matched.inliers:
            if self._disagrees(matched, frame, T):
                return "pose_jump" if elapsed >= config.lost_interval else ""
            # Depth is noisy or has holes, but features match the same view. Clear depth results stand alone.
            if few and overlap > 0.6 * config.min_overlap and matched.overlap > min(0.95, config.min_overlap + 0.25):
                return ""
        if few:
            return "changed" if _still(T) else "overlap"
        if kept < config.min_kept and np.linalg.norm(T[:3, 3]) > config.closer_translation:
            return "closer"
        return self._moved_far(T)

    def _by_features(self, frame: RGBDFrame, T: np.ndarray | None, elapsed: float) -> str:
        """Used when depth gives no result: features, and without enough of these, the pose."""
        config = self.config
        matched = self._match(frame)
        if matched is not None and matched.inliers:
            self.last_overlap = matched.overlap
            if T is not None and self._disagrees(matched, frame, T):
                return "pose_jump" if elapsed >= config.lost_interval else ""
            if matched.overlap < config.min_overlap:
                return "overlap"
            return "" if T is None else self._moved_far(T)
        if T is not None and self._turned_away(frame, T):
            return "moved"
        same = matched is None or self._same_thumbnail()
        return "lost" if not same and elapsed >= config.lost_interval else ""

    def _match(self, frame: RGBDFrame) -> FeatureMatch | None:
        """Matches features against the last keyframe's; None if one has no colour."""
        if not self.config.features or frame.color is None or self._last is None or self._last.color is None:
            return None
        self._unchecked = 0
        if self._last_features is None:
            self._last_features = extract(self._last.color, self.config.features)
        self._features = extract(frame.color, self.config.features)
        matched = match(self._features, self._last_features, min_inliers=self.config.min_inliers)
        self.last_inliers = matched.inliers
        return matched

    def _same_thumbnail(self) -> bool:
        assert self._features is not None and self._last_features is not None  # matched just before
        return float(np.abs(self._features.thumbnail - self._last_features.thumbnail).mean()) < _SAME_THUMBNAIL

    def _moved_far(self, T: np.ndarray) -> str:
        far = np.linalg.norm(T[:3, 3]) > self.config.max_translation or rotation_angle(T) > self.config.max_rotation
        return "moved" if far else ""

    def _turned_away(self, frame: RGBDFrame, T: np.ndarray) -> bool:
        """Whether by the pose alone too little of the view is shared, assuming that the scene is 2 m away."""
        shift = math.atan2(float(np.linalg.norm(T[:3, 3])), 2.0)
        return rotation_angle(T) + shift > (1.0 - self.config.min_overlap) * frame.camera.hfov

    def _disagrees(self, matched: FeatureMatch, frame: RGBDFrame, T: np.ndarray) -> bool:
        """Whether matches lie far from the epipolar segments (or points, with depth) that the pose predicts."""
        assert self._last is not None
        camera, last = frame.camera, self._last.camera
        pixels = matched.points * camera.width
        rays = np.column_stack(
            [(pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy, np.ones(len(pixels))]
        )
        near, far = np.full(len(rays), _NEAR), np.full(len(rays), _FAR)
        if frame.depth is not None:
            u, v = np.minimum(pixels.astype(int), (camera.width - 1, camera.height - 1)).T
            z = frame.depth[v, u].astype(np.float64)
            near, far = np.where(z > 0, 0.8 * z, near), np.where(z > 0, 1.25 * z, far)
        a = _project(last, (rays * near[:, None]) @ T[:3, :3].T + T[:3, 3])
        b = _project(last, (rays * far[:, None]) @ T[:3, :3].T + T[:3, 3])
        distance = _segment_distance(matched.other_points * last.width, a, b) / last.width
        return float(np.median(distance)) > self.config.pose_tolerance


def _relative(last: RGBDFrame, frame: RGBDFrame) -> np.ndarray | None:
    """The last keyframe's optical frame from this one, or None where a pose is unknown."""
    if not (np.isfinite(last.T_map_camera).all() and np.isfinite(frame.T_map_camera).all()):
        return None
    return invert(last.T_map_camera) @ frame.T_map_camera


def _still(T: np.ndarray) -> bool:
    return bool(np.linalg.norm(T[:3, 3]) < _STILL[0] and rotation_angle(T) < _STILL[1])


def _project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Pixels of points (Nx3); those behind the camera get a pixel far outside the image."""
    z = np.maximum(points[:, 2], 1e-3)
    return np.column_stack([points[:, 0] / z * camera.fx + camera.cx, points[:, 1] / z * camera.fy + camera.cy])


def _segment_distance(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of each point to its segment, Nx2 each."""
    ab = b - a
    t = np.einsum("ij,ij->i", p - a, ab) / np.maximum(np.einsum("ij,ij->i", ab, ab), 1e-9)
    return np.linalg.norm(a + np.clip(t, 0.0, 1.0)[:, None] * ab - p, axis=1)
