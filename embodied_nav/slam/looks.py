"""A keyframe's appearance as plain arrays, stored in the memory file so that later sessions can relocalise against it.

Knows nothing of graphs, and of files only which one holds the keyframes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..frames import RGBDFrame
from ..geometry import Camera
from ..keyframes import Features, extract
from ..memory.file.memory_file import read_looks
from .odometry import OdometryConfig, thinned
from .places import KeptView, View

#: Name -> (dtype, shape after the first axis).
_ARRAYS = {
    "descriptors": (np.uint8, (32,)),
    "pixels": (np.float32, (2,)),
    "points": (np.float32, (3,)),
    "depth_png": (np.uint8, ()),
    "camera": (np.float64, ()),
    "size": (np.int32, ()),
}


@dataclass(frozen=True, eq=False)
class Landmark:
    """A keyframe of an earlier session.

    Attributes:
        map_id: id of the map that T_map_camera refers to.
        T_map_camera: 4x4.
        look: its appearance.
    """

    map_id: str
    T_map_camera: np.ndarray
    look: KeptView


def look_of(frame: RGBDFrame) -> dict[str, np.ndarray]:
    """A frame's appearance, some 40 KB; empty without colour or without depth.

    Returns:
        descriptors (N, 32) uint8 ORB; pixels (N, 2) float32 in an image of ``size`` (width, height) int32; points
        (N, 3) float32 m in the optical frame, NaN without depth; depth_png (B,) uint8, PNG of uint16 mm; camera (6,)
        float64: width, height, fx, fy, cx, cy of the depth.
    """
    if frame.color is None or frame.depth is None:
        return {}
    settings = OdometryConfig()
    depth, camera = thinned(frame.depth, frame.camera, settings.width, settings.max_depth)
    features = extract(frame.color)
    kept = KeptView.of(View.of(depth, camera, features))
    c = kept.camera
    descriptors = np.zeros((0, 32), np.uint8) if features.descriptors is None else features.descriptors
    return {
        "descriptors": descriptors,
        "pixels": features.points,
        "points": kept.points,
        "depth_png": kept.depth_png,
        "camera": np.array([c.width, c.height, c.fx, c.fy, c.cx, c.cy]),
        "size": np.array(features.size, np.int32),
    }


def landmark(map_id: str, T_map_camera: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Landmark:
    """A landmark from arrays that :func:`look_of` returned in an earlier session.

    Raises:
        InputError: arrays that are missing or of the wrong dtype or shape.
    """
    for name, (dtype, shape) in _ARRAYS.items():
        array = arrays.get(name)
        if array is None or array.dtype != dtype or array.shape[1:] != shape:
            raise InputError(f"a keyframe's look lacks '{name}' of {np.dtype(dtype)}: not written by this package")
    width, height, *intrinsics = (float(v) for v in arrays["camera"])
    size = (int(arrays["size"][0]), int(arrays["size"][1]))
    descriptors = arrays["descriptors"] if len(arrays["descriptors"]) else None
    features = Features(arrays["pixels"], descriptors, size, np.zeros((12, 16), np.float32))
    camera = Camera(int(width), int(height), *intrinsics)
    look = KeptView(features, arrays["points"], np.ascontiguousarray(arrays["depth_png"]), camera)
    if look.depth_shape() != (camera.height, camera.width) or len(arrays["pixels"]) != len(arrays["points"]):
        raise InputError("a keyframe's look is damaged: its depth or its points do not fit")
    return Landmark(map_id, np.asarray(T_map_camera, np.float64), look)


def landmarks_of(path: str | Path) -> list[Landmark]:
    """All keyframes of a memory file with a stored appearance, oldest first; another process may be writing it.

    A missing file gives an empty list.

    Raises:
        InputError: the file is not a memory, is damaged or of a newer version, or its arrays are of the wrong kind.
    """
    if not Path(path).exists():
        return []
    return [landmark(k.map, k.T_map_camera, k.arrays) for k in read_looks(path) if k.arrays]
