"""Which beams of a laser scan are hits, and whether silent beams mean free space. Knows nothing of grids and of guards.

A beam without a return is free space only if the scanner works at all. REP 117: inf is "nothing within range", -inf
"too near", NaN "no measurement"; a driver whose scanner is disconnected sends only inf, NaN or zeros.
"""

from __future__ import annotations

import math

import numpy as np

#: Share of beams that must have a return before silent beams count as free space.
LEAST_RETURNS = 0.05
_BIN = math.radians(5.0)


def returns(ranges: np.ndarray, range_min: float = 0.05, range_max: float = math.inf) -> np.ndarray:
    """N bool: which beams hit something within the scanner's range."""
    ranges = np.asarray(ranges, np.float64)
    return np.isfinite(ranges) & (ranges > 0.0) & (ranges >= range_min) & (ranges <= range_max)


def measures(ranges: np.ndarray, range_min: float = 0.05, range_max: float = math.inf) -> bool:
    """Whether the scanner works: enough beams return for its silent ones to mean free space."""
    hits = returns(ranges, range_min, range_max)
    return bool(len(hits) and hits.mean() >= LEAST_RETURNS)


def sees_behind(
    ranges: np.ndarray,
    angles: np.ndarray,
    T_base_laser: np.ndarray,
    own_radius: float,
    range_min: float = 0.05,
    range_max: float = math.inf,
) -> bool:
    """Whether a scan covers what lies behind the base, within 45 degrees of straight back.

    Args:
        ranges, angles: N, m and rad in the laser's frame.
        T_base_laser: 4x4.
        own_radius: m; returns nearer to the base's centre are from the robot itself and block the view.
        range_min, range_max: m.
    """
    ranges, angles = np.asarray(ranges, np.float64), np.asarray(angles, np.float64)
    if not measures(ranges, range_min, range_max):
        return False
    open_ = np.isposinf(ranges) | (np.isfinite(ranges) & (ranges > range_max))
    hits = returns(ranges, range_min, range_max)
    # A beam without a return is placed at one metre, for its direction.
    reach = np.where(hits, ranges, 1.0)
    seen = hits | open_
    local = np.stack([reach[seen] * np.cos(angles[seen]), reach[seen] * np.sin(angles[seen])], axis=1)
    points = local @ T_base_laser[:2, :2].T + T_base_laser[:2, 3]
    points = points[np.hypot(points[:, 0], points[:, 1]) > own_radius]
    back = np.abs(np.arctan2(points[:, 1], -points[:, 0]))  # angle from straight back
    bearing = np.arctan2(points[:, 1], -points[:, 0])[back < math.radians(45.0)]
    bins = np.unique(np.floor(bearing / _BIN).astype(np.int64))
    return len(bins) >= 0.85 * (math.radians(90.0) / _BIN)
