"""JIT warm-up of this layer's kernels before the first frame arrives. Knows its public functions only."""

from __future__ import annotations

from .. import trial
from ..robot import RobotProfile
from .gate import KeyframeConfig, KeyframeGate


def warm_up(robot: RobotProfile | None = None, config: KeyframeConfig | None = None) -> None:
    """Runs the gate on two synthetic frames."""
    gate = KeyframeGate(config)
    for frame in trial.frames(robot or RobotProfile()):
        gate.process(frame)
