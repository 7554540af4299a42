"""Settings of SLAM beside those of its odometry. Knows nothing of what uses them."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, param


@dataclass(frozen=True)
class SlamConfig(Config):
    """Settings of :class:`.slam.Slam` beside those of its odometry."""

    loop_candidates: int = param(4, "views that are checked for each keyframe", low=0, high=50)
    loops_per_keyframe: int = param(2, "loops after which a keyframe is held well enough", low=1, high=50)
    loop_inliers: int = param(25, "feature matches that a loop needs", low=8, high=500)
    loop_uncertainty: float = param(0.04, "places held more tightly need no loop", unit="m", low=0.001, high=10.0)
    loop_gate: float = param(3.0, "standard deviations of the graph that a loop may be off", low=1.0, high=10.0)
    refresh_distance: float = param(
        0.8, "a keyframe this near to an older one, and as sure of it, refreshes that one; 0 keeps all", unit="m",
        low=0.0, high=10.0,
    )  # fmt: skip
    refresh_angle: float = param(0.5, "and pointing the same way within this", unit="rad", low=0.0, high=3.2)
    looks_per_place: int = param(
        3, "keyframes so near to an older one, however sure of it, that are kept, as by day and by night",
        low=1, high=1000,
    )  # fmt: skip
    frames_kept: int = param(
        1000, "newest frames of each keyframe that the trajectory holds; the place was seen since where it has more",
        low=10, high=10_000_000,
    )  # fmt: skip
    correction: float = param(0.02, "shift of a keyframe that counts as a correction", unit="m", low=0.0, high=10.0)
    planar: bool = param(True, "the floor is level: height and tilt of wheel odometry hold")
    level_height: float = param(0.02, "unevenness of the floor", unit="m", low=1e-4, high=10.0)
    level_tilt: float = param(0.01, "tilt of the base on it", unit="rad", low=1e-4, high=1.0)
