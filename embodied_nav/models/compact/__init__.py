"""A small network that names what an RGB-D camera sees: category and offset to the object's centre, pixel by pixel.

Importing this package does not import torch; :mod:`.network` does.
"""

from .config import CompactConfig, shipped_weights
from .inputs import CHANNELS, entropy, level_rotation, make_inputs, nearest, network_camera, resized

__all__ = [
    "CHANNELS",
    "CompactConfig",
    "entropy",
    "level_rotation",
    "make_inputs",
    "nearest",
    "network_camera",
    "resized",
    "shipped_weights",
]
