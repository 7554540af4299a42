"""JIT warm-up of this layer's kernels before the first keyframe arrives. Knows its public functions only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .. import trial
from ..errors import InputError
from ..models.compact import level_rotation, make_inputs
from ..robot import RobotProfile
from . import BACKENDS, KnowsInstances, PerceptionBackend, PerceptionError, create
from .visibility import visibility
from .words import UP


def warm_up(robot: RobotProfile | None = None, backends: Iterable[PerceptionBackend] | None = None) -> None:
    """Runs back ends on two synthetic frames; the next keyframe that they get must be the first of a map.

    Args:
        backends: made ones, as they will be used: a model is loaded once. None: all that need no model of the user's.

    Raises:
        InputError: a back end cannot process the frames.
    """
    keyframes = trial.keyframes(robot or RobotProfile())
    frame = keyframes[0].frame
    visibility(np.zeros((1, 3)), frame)
    # What `compact` runs before its network, which has to be trained first.
    rotation = level_rotation(frame.T_map_camera, UP)
    color = np.zeros((frame.camera.height, frame.camera.width, 3), np.uint8)
    make_inputs(color, frame.depth, frame.camera, rotation, 1.0)
    for backend in _without_model() if backends is None else backends:
        if isinstance(backend, KnowsInstances):
            backend.set_instances({1: ("box", "red")})
        try:
            for previous, current in zip((None, *keyframes), keyframes, strict=False):
                backend.perceive(previous, current, "find the red box")
        except PerceptionError as error:
            raise InputError(f"perception '{backend.name}' fails at a made-up picture: {error}") from None
        if isinstance(backend, KnowsInstances):
            backend.set_instances({})


def _without_model() -> Iterator[PerceptionBackend]:
    """The back ends that can be made without settings."""
    for name in BACKENDS:
        if not BACKENDS[name].slow:
            try:
                yield create(name)
            except InputError:
                continue
