"""JIT warm-up of this layer's kernels before the first keyframe arrives. Knows its public functions only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .. import trial
from ..config import Config
from ..errors import InputError
from ..models.compact import level_rotation, make_inputs
from ..robot import RobotProfile
from . import BACKENDS, KnowsInstances, create
from .visibility import visibility
from .words import UP


def warm_up(
    robot: RobotProfile | None = None,
    names: Iterable[str] | None = None,
    settings: Mapping[str, Config] | None = None,
) -> None:
    """Runs back ends on two synthetic frames.

    Args:
        names: of back ends, of which slow ones are left out; None: all that need no model of the user's.
        settings: by back end, where not the defaults.
    """
    keyframes = trial.keyframes(robot or RobotProfile())
    for name in (n for n in (BACKENDS if names is None else names) if not BACKENDS[n].slow):
        try:
            backend = create(name, (settings or {}).get(name))
        except InputError:
            if names is None:
                continue
            raise
        if isinstance(backend, KnowsInstances):
            backend.set_instances({1: ("box", "red")})
        for previous, current in zip((None, *keyframes), keyframes, strict=False):
            backend.perceive(previous, current, "find the red box")
    frame = keyframes[0].frame
    visibility(np.zeros((1, 3)), frame)
    # What `compact` runs before its network, which has to be trained first.
    rotation = level_rotation(frame.T_map_camera, UP)
    color = np.zeros((frame.camera.height, frame.camera.width, 3), np.uint8)
    make_inputs(color, frame.depth, frame.camera, rotation, 1.0)
