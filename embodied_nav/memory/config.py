"""Settings of the spatial memory. Knows nothing of its code."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, param


@dataclass(frozen=True)
class MemoryConfig(Config):
    """What is fused, how free space is carved, what counts as obstacle, what counts as object."""

    voxel_size: float = param(0.05, "edge of a voxel and of a grid cell", unit="m", low=0.005, high=1.0)
    min_depth: float = param(0.1, "nearest depth that is fused", unit="m", low=0.0, high=10.0)
    max_depth: float = param(5.0, "farthest depth that is fused", unit="m", low=0.1, high=100.0)
    stride: int = param(1, "every n-th pixel of every n-th row is fused", unit="px", low=1, high=16)
    max_voxels: int = param(
        16_777_216,
        "voxels held at most; address space for them is reserved, memory is used as they come",
        low=4096,
        high=268_435_456,
    )
    max_mb: float = param(
        0.0,
        "memory of the map at most (voxels, clouds, keyframes, looks, grid, objects), 0 for no bound; what does not "
        "fit goes to disk and comes back when it is used",
        unit="MB",
        low=0.0,
        high=1e6,
    )
    feature_dim: int = param(0, "components of a voxel's feature, 0 for none", low=0, high=4096)
    feature_type: str = param("bf16", "how features are stored", choices=("bf16", "f32"))
    feature_pooling: str = param(
        "mean", "how the features that a voxel gets become one: weighted mean or maximum", choices=("mean", "max")
    )
    feature_source: str = param(
        "", "what makes the features, for a file to say; where both name one, only its own are added to it"
    )
    carve: bool = param(True, "remove voxels that the camera sees through")
    carve_margin: float = param(
        1.0,
        "how far before the measured surface a voxel must lie to count as seen through, plus depth_noise",
        unit="voxel",
        low=0.5,
        high=10.0,
    )
    carve_frames: int = param(8, "frames that see through a well-seen voxel until it is gone", low=1, high=100)
    depth_noise: float = param(0.01, "depth uncertainty per squared metre of depth", unit="1/m", low=0.0, high=0.2)
    near_range: float = param(
        2.0, "a sighting from within counts fully, beyond it with (near_range / range)^2", unit="m", low=0.2, high=20.0
    )
    full_points: int = param(3, "points in a voxel from which on a sighting counts fully", low=1, high=100)
    standing_after: float = param(
        30.0,
        "what appears where the camera had looked through before is an obstacle for good once it was seen there for "
        "this long in all; before that it may be somebody who passes; 0: at once",
        unit="s", low=0.0, high=3600.0,
    )  # fmt: skip
    passed_after: float = param(
        5.0, "such an obstacle is free again when it was out of view for this long", unit="s", low=0.0, high=3600.0,
    )  # fmt: skip
    max_evidence: float = param(6.0, "sightings that a voxel remembers at most", low=1.0, high=1000.0)
    min_evidence: float = param(1.0, "sightings that make a voxel an obstacle", low=0.0, high=100.0)
    floor_height: float = param(0.0, "the floor's z in map", unit="m", low=-1000.0, high=1000.0)
    min_height: float = param(0.1, "obstacles begin this high above the floor", unit="m", low=0.0, high=1.0)
    robot_height: float = param(1.0, "obstacles end this high above the floor", unit="m", low=0.1, high=3.0)
    floor_band: float = param(
        0.15, "a surface this much below the floor still is the floor", unit="m", low=0.0, high=1.0
    )
    clear_radius: float = param(
        0.3, "cells this near the camera are free: the robot stands there", unit="m", low=0.0, high=2.0
    )
    keyframe_images: int = param(16, "keyframes whose full images wait for their semantic delta", low=1, high=1000)
    min_object_voxels: int = param(5, "a smaller cluster is no object", low=1, high=1000)
    background_vote: float = param(
        0.5, "vote of a pixel that perception leaves unlabelled against all labels", low=0.0, high=1.0
    )


@dataclass(frozen=True)
class RetentionConfig(Config):
    """How long what is remembered of the past stays: of one place the newest keyframes, of the past ever less."""

    covered: float = param(
        0.95,
        "share of a keyframe's points whose place newer ones saw, from the same side, until it is dropped; 1 keeps all",
        low=0.0,
        high=1.0,
    )
    distance: float = param(
        1.0,
        "one of these was taken from this near, so that the place is still recognised",
        unit="m",
        low=0.0,
        high=10.0,
    )
    angle: float = param(0.6, "and pointing the same way within this", unit="rad", low=0.0, high=3.2)
    whole: float = param(
        1.0, "semantic deltas are kept one by one for this long, then put together by the hour", unit="h",
        low=0.01, high=1e5,
    )  # fmt: skip
    events: float = param(
        720.0, "what came, went and moved is known for this long, and objects that are gone", unit="h", low=0.01,
        high=1e5,
    )  # fmt: skip
    hourly: float = param(24.0, "from this age on they are put together by the day", unit="h", low=0.01, high=1e5)
