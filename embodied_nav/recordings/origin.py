"""Shifts maps with geodetic coordinates (UTM, ECEF) to a local origin. Knows no file format."""

from __future__ import annotations

import numpy as np

from .sequence import Sequence

#: Coordinates (m) up to this are not shifted: float32, the type of points, resolves 4 mm there, and voxels of 5 cm
#: reach 52 km.
_FARTHEST = 2.0**15
#: A local origin is a multiple of this (m), so that two recordings of one place get the same one.
_STEP = 1000.0


def to_local_origin(recording: Sequence) -> None:
    """Shifts the map of a recording, and its odometry, to a local origin if coordinates are too large.

    The offset subtracted from the map is ``recording.origin``.
    """
    if recording.poses is not None:
        recording.origin, recording.poses = _moved(recording.poses)
        if recording.origin.any():
            x, y, z = recording.origin
            recording.notes.append(
                f"the map's coordinates are large: its origin is at ({x:.0f}, {y:.0f}, {z:.0f}) m now"
            )
    if recording.odometry is not None:
        recording.odometry = _moved(recording.odometry)[1]


def _moved(poses: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    positions = np.array([T[:3, 3] for T in poses])
    if not len(positions) or np.abs(positions).max() <= _FARTHEST:
        return np.zeros(3), poses
    origin = np.round(np.median(positions, axis=0) / _STEP) * _STEP
    shift = np.eye(4)
    shift[:3, 3] = -origin
    return origin, [shift @ T for T in poses]
