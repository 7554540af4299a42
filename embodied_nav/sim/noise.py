"""Sensor noise models: odometry drift and depth noise. Knows nothing of simulators."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numba import njit

from ..geometry import pose2d

#: Redwood's structured-light model: disparity = BASELINE / depth, in steps of 1 / STEPS (Choi, Zhou and Koltun,
#: "Robust reconstruction of indoor scenes", CVPR 2015); standard deviation of disparity, and of position in pixels.
BASELINE, STEPS, DISPARITY_NOISE, JITTER = 35.130, 8.0, 0.027778, 0.25
#: Share of odometry's variance at one metre that is constant over an episode (such as a wrong wheel radius).
SYSTEMATIC = 0.5
_TABLE_BITS = 12


class OdometryNoise:
    """Integrates true motion into odometry with drift.

    Half of the variance is a scale and a curvature error that are constant over the episode, half is a random walk;
    together the error after one metre has the given standard deviations.

    Args:
        drift: error of distance a metre, m/m.
        rotation_drift: error of heading a metre driven, rad/m.
        turn_drift: error of heading a radian turned, rad/rad.
        rng: all randomness.
    """

    def __init__(self, drift: float, rotation_drift: float, rng: np.random.Generator, turn_drift: float = 0.01) -> None:
        self.drift, self.rotation_drift, self.turn_drift, self.rng = drift, rotation_drift, turn_drift, rng
        scale, curvature, turn = rng.standard_normal(3) * math.sqrt(SYSTEMATIC)
        self._scale, self._curvature, self._turn = scale * drift, curvature * rotation_drift, turn * turn_drift
        self.x = self.y = self.yaw = 0.0

    def update(self, forward: float, left: float, angle: float) -> None:
        """Adds a true motion (m, m, rad), in the robot's frame before the motion."""
        distance = math.hypot(forward, left)
        walk = math.sqrt(1.0 - SYSTEMATIC)
        along, aside, course, turning = self.rng.standard_normal(4) * walk
        root = math.sqrt(distance)
        gain = 1.0 + self._scale
        u = forward * gain + self.drift * root * along
        v = left * gain + self.drift * root * aside
        turned = angle * (1.0 + self._turn) + self.turn_drift * math.sqrt(abs(angle)) * turning
        turned += self._curvature * distance + self.rotation_drift * root * course
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        self.x, self.y, self.yaw = self.x + c * u - s * v, self.y + s * u + c * v, self.yaw + turned

    @property
    def T_odom_base(self) -> np.ndarray:
        """4x4, odom from base_link."""
        return pose2d(self.x, self.y, self.yaw)


class DepthNoise:
    """Redwood's depth noise: position jitter of a quarter pixel and disparity in eighths.

    Args:
        seed: 64-bit, of all randomness; the same seed and images give bit-identical noise.
        far: depths beyond are lost, m.
        near: depths below are lost, m.
    """

    def __init__(self, seed: int, far: float = 10.0, near: float = 0.1) -> None:
        self.far, self.near = float(far), float(near)
        self._state = np.array([int(seed) & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Noisy depth of HxW float32 m, NaN invalid; a new array."""
        noisy = np.empty_like(depth)
        _redwood(depth, noisy, self._state, _normal_table(), self.near, self.far)
        return noisy


@lru_cache(maxsize=1)
def _normal_table() -> np.ndarray:
    """Quantiles of the normal distribution: the entry at a random index is a normal sample, for one look-up."""
    count = 1 << _TABLE_BITS
    values = np.array([NormalDist().inv_cdf((k + 0.5) / count) for k in range(count)])
    return (values / values.std()).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _redwood(depth, noisy, state, table, near, far):
    """See :class:`DepthNoise`; ``state`` is a splitmix64 counter (Steele, Lea and Flood, OOPSLA 2014).

    Row by row in three passes: the first and the last have no branches and no table look-ups, so that the compiler uses
    vector instructions.
    """
    height, width = depth.shape
    mask = np.uint64((1 << _TABLE_BITS) - 1)
    bits = np.empty(width, np.uint64)
    seen, noise = np.empty(width, np.float32), np.empty(width, np.float32)
    step = np.uint64(0x9E3779B97F4A7C15)
    counter = state[0]
    for v in range(height):
        for u in range(width):
            b = counter + np.uint64(u + 1) * step
            b = (b ^ (b >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            b = (b ^ (b >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits[u] = b ^ b >> np.uint64(31)
        counter += np.uint64(width) * step
        for u in range(width):
            b = bits[u]
            shift_u = np.float32(JITTER) * table[b & mask]
            shift_v = np.float32(JITTER) * table[(b >> np.uint64(16)) & mask]
            noise[u] = np.float32(DISPARITY_NOISE) * table[(b >> np.uint64(32)) & mask]
            x = min(max(np.int64(np.floor(u + shift_u + np.float32(0.5))), 0), width - 1)
            y = min(max(np.int64(np.floor(v + shift_v + np.float32(0.5))), 0), height - 1)
            seen[u] = depth[np.uint64(y), np.uint64(x)]
        row = noisy[v]
        for u in range(width):
            z = seen[u]
            steps = np.floor((np.float32(BASELINE) / z + noise[u]) * np.float32(STEPS) + np.float32(0.5))
            value = np.float32(BASELINE * STEPS) / steps
            good = (z >= near) & (z <= far) & (steps > np.float32(0.0)) & (value <= far)
            row[u] = value if good else np.float32(np.nan)
    state[0] = counter
