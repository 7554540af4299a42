"""Frames by the keyframe that they were registered to. Knows nothing of the keyframes' poses.

Each frame takes 104 bytes: at 30 frames a second a Python object for each would be most of what SLAM holds.
"""

from __future__ import annotations

from array import array

import numpy as np

#: Numbers of the upper three rows of a pose.
_POSE = 12


class Trajectory:
    """Stamps and relative poses of the newest frames of each keyframe.

    Args:
        most: frames kept for a keyframe.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stamps: dict[int, array[int]] = {}
        self._poses: dict[int, array[float]] = {}

    def add(self, stamp: int, keyframe: int, T: np.ndarray) -> None:
        """Adds a frame: its stamp (ns) and its 4x4 pose from the keyframe."""
        self._append(keyframe, np.array([stamp], np.int64), np.asarray(T, np.float64)[None])

    def _append(self, keyframe: int, stamps: np.ndarray, poses: np.ndarray) -> None:
        held, motions = self._stamps.setdefault(keyframe, array("q")), self._poses.setdefault(keyframe, array("d"))
        held.frombytes(np.ascontiguousarray(stamps, np.int64).tobytes())
        motions.frombytes(np.ascontiguousarray(poses[:, :3]).tobytes())
        spare = max(len(held) - self._most, 0)
        del held[:spare], motions[: _POSE * spare]

    def hand_over(self, keyframe: int, heir: int, T: np.ndarray) -> None:
        """Frames of a keyframe become frames of another one; ``T`` is 4x4, the keyframe's pose from the heir."""
        if keyframe in self._stamps:
            stamps, poses = self._of(keyframe)
            del self._stamps[keyframe], self._poses[keyframe]
            self._append(heir, stamps, T @ poses)

    def forget_from(self, stamp: int) -> None:
        """Drops all frames from a stamp (ns) on."""
        for keyframe in list(self._stamps):
            stamps, poses = self._of(keyframe)
            del self._stamps[keyframe], self._poses[keyframe]
            self._append(keyframe, stamps[stamps < stamp], poses[stamps < stamp])

    def frames(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stamps (N int64 ns, ascending), keyframes (N) and poses from these (N x 4 x 4)."""
        if not self._stamps:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4, 4))
        parts = [self._of(keyframe) for keyframe in self._stamps]
        stamps, poses = (np.concatenate(p) for p in zip(*parts, strict=True))
        keyframes = np.repeat(list(self._stamps), [len(p[0]) for p in parts])
        order = np.argsort(stamps, kind="stable")
        return stamps[order], keyframes[order], poses[order]

    def _of(self, keyframe: int) -> tuple[np.ndarray, np.ndarray]:
        stamps = np.array(self._stamps[keyframe], np.int64)
        poses = np.tile(np.eye(4), (len(stamps), 1, 1))
        poses[:, :3] = np.array(self._poses[keyframe]).reshape(-1, 3, 4)
        return stamps, poses
