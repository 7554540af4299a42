"""Image encoders: a keyframe's picture becomes a grid of features, which the memory gives to its voxels.

An encoder stands beside the perception back end and is independent of which one names things. Knows nothing of ROS and
of what the memory does with features. The table of encoders is ``tables.ENCODERS``.
"""

from __future__ import annotations

from .background import BackgroundEncoder
from .encoder import Encoder, EncoderChoice, TextTower, check_grid
from .making import encoder_components, make_encoder, tower_of, with_features

__all__ = [
    "BackgroundEncoder",
    "Encoder",
    "EncoderChoice",
    "TextTower",
    "check_grid",
    "encoder_components",
    "make_encoder",
    "tower_of",
    "with_features",
]
