"""SLAM for a registered RGB-D camera: odometry, loops, pose graph. Knows nothing of ROS, memory and language.

The map frame is the camera's (or, with wheels, odometry's) frame at the start. ``trajectory`` gives every past frame by
stamp under the newest correction; memory moves its keyframes by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import Camera, invert
from .odometry import OdometryConfig, OdometryStep, RGBDOdometry
from .places import Places, View
from .pose_graph import PoseGraph


@dataclass(frozen=True)
class SlamConfig(Config):
    """Settings of :class:`Slam` beside those of its odometry."""

    loop_gap: int = param(8, "keyframes between the two ends of a loop, at least", low=2, high=10000)
    loop_candidates: int = param(4, "views that are checked for each keyframe", low=0, high=50)
    loop_inliers: int = param(25, "feature matches that a loop needs", low=8, high=500)
    correction: float = param(0.02, "shift of the newest keyframe that counts as a correction", unit="m", low=0.0)


@dataclass(frozen=True, eq=False)
class SlamUpdate:
    """One frame's result.

    Attributes:
        T_map_camera: 4x4.
        corrected: a loop moved past poses; read :meth:`Slam.trajectory` again.
        source: what the pose rests on: ``depth``, ``features``, ``prior`` or ``first``.
        loops: numbers of the keyframes that this frame closed a loop with.
    """

    T_map_camera: np.ndarray
    corrected: bool
    source: str
    loops: tuple[int, ...] = ()


class Slam:
    """Takes frames in order; see the module."""

    def __init__(self, config: SlamConfig | None = None, odometry: OdometryConfig | None = None) -> None:
        self.config = config or SlamConfig()
        self._odometry = RGBDOdometry(odometry)
        self._places = Places(self.config.loop_inliers)
        self._graph = PoseGraph()
        self._poses = np.zeros((0, 4, 4))
        self._frames: list[tuple[int, int, np.ndarray]] = []
        self._last_wheels: np.ndarray | None = None
        self.loops: list[tuple[int, int]] = []

    def process(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        color: np.ndarray | None = None,
        T_odom_camera: np.ndarray | None = None,
    ) -> SlamUpdate:
        """Registers one frame.

        Args:
            stamp: ns.
            depth: HxW float32 m, NaN invalid, registered to ``color``.
            color: HxWx3 uint8 RGB, or None (then no loops).
            T_odom_camera: 4x4 wheel odometry of the optical frame, or None.
        """
        wheels = None
        if T_odom_camera is not None and self._last_wheels is not None:
            wheels = invert(self._last_wheels) @ T_odom_camera
        self._last_wheels = T_odom_camera
        step = self._odometry.step(depth, camera, color, wheels)
        if step.source == "first":
            start = np.eye(4) if T_odom_camera is None else T_odom_camera
            self._poses = start[None].copy()
            self._graph.add(start, None, None)
            self._places.add(step.view)
            self._frames.append((stamp, 0, np.eye(4)))
            return SlamUpdate(start, False, step.source)
        loops, corrected = self._new_keyframe(step) if step.view is not None else ((), False)
        keyframe, T = (len(self._poses) - 1, np.eye(4)) if step.view else (step.keyframe, step.T_keyframe_camera)
        self._frames.append((stamp, keyframe, T))
        return SlamUpdate(self._poses[keyframe] @ T, corrected, step.source, loops)

    def trajectory(self) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (N int64 ns) and poses (Nx4x4, map from optical frame) of all frames, newest correction applied."""
        stamps = np.array([f[0] for f in self._frames], dtype=np.int64)
        poses = [self._poses[k] @ T for _, k, T in self._frames]
        return stamps, np.array(poses).reshape(-1, 4, 4)

    def keyframe_poses(self) -> np.ndarray:
        """Nx4x4, map from optical frame, of SLAM's own keyframes."""
        return self._poses.copy()

    def _new_keyframe(self, step: OdometryStep) -> tuple[tuple[int, ...], bool]:
        guess = self._poses[-1] @ step.T_keyframe_camera
        number = self._graph.add(guess, step.T_keyframe_camera, step.information)
        self._poses = np.concatenate([self._poses, guess[None]])
        loops = self._close_loops(step.view, number)
        self._places.add(step.view)
        if not loops:
            return (), False
        before, self._poses = self._poses, self._graph.optimise()
        shift = np.linalg.norm(self._poses[:, :3, 3] - before[:, :3, 3], axis=1).max()
        return loops, bool(shift > self.config.correction)

    def _close_loops(self, view: View, number: int) -> tuple[int, ...]:
        closed = []
        before = number - self.config.loop_gap
        for candidate in self._places.candidates(view, before, self.config.loop_candidates):
            found = self._places.confirm(view, candidate)
            if found is not None:
                self._graph.add_loop(candidate, number, found.T, found.information)
                closed.append(candidate)
                self.loops.append((candidate, number))
        return tuple(closed)
