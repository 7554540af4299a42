"""Keyframe selection: overlap by depth, confirmed by features. Knows nothing of models and memory."""

from .features import FeatureMatch, Features, extract, match
from .gate import KeyframeConfig, KeyframeGate
from .reprojection import depth_overlap

__all__ = ["FeatureMatch", "Features", "KeyframeConfig", "KeyframeGate", "depth_overlap", "extract", "match"]
