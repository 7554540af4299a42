"""Brings colour to the pixels of a depth image from another camera. Knows nothing of where the images come from.

Cameras that publish registered (aligned) depth need none of this. Where colour and depth come from two cameras whose
calibration is known, every valid depth pixel is projected into the colour image and takes the colour found there; the
geometry stays that of the depth camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..errors import InputError
from .camera import Camera
from .transforms import matrix_from_quaternion


@dataclass(frozen=True)
class RegistrationConfig(Config):
    """Calibration between the colour and the depth camera."""

    registered: bool = param(True, "depth is aligned to colour by the driver; the rest is then not used")
    color_intrinsics: tuple = param(
        (0.0, 0.0, 0.0, 0.0), "fx, fy, cx, cy of the colour image; zeros: as in camera info"
    )
    depth_intrinsics: tuple = param((0.0, 0.0, 0.0, 0.0), "fx, fy, cx, cy of the depth image; zeros: as in camera info")
    translation: tuple = param((0.0, 0.0, 0.0), "the depth camera's origin in the colour camera's frame", unit="m")
    rotation: tuple = param((0.0, 0.0, 0.0, 1.0), "quaternion x, y, z, w, colour camera's frame from depth camera's")


class Registration:
    """Applies a :class:`RegistrationConfig`.

    Raises:
        InputError: a tuple of the wrong length, or a rotation without a direction.
    """

    def __init__(self, config: RegistrationConfig | None = None) -> None:
        self.config = config = config or RegistrationConfig()
        for name, n in (("color_intrinsics", 4), ("depth_intrinsics", 4), ("translation", 3), ("rotation", 4)):
            if len(getattr(config, name)) != n:
                raise InputError(f"registration.{name} = {getattr(config, name)}: expected {n} numbers")
        try:
            self._T_color_depth = matrix_from_quaternion(config.rotation, config.translation)
        except ValueError as error:
            raise InputError(f"registration.rotation: {error}") from None

    def apply(self, camera: Camera, color: np.ndarray, depth: np.ndarray) -> tuple[Camera, np.ndarray]:
        """The depth image's camera and the colour at its pixels.

        Args:
            camera: intrinsics of camera info.
            color: HxWx3 uint8, may have another size than depth.
            depth: HxW float32, m, NaN invalid.

        Returns:
            The camera of ``depth``, and HxWx3 uint8 colours, black where the colour camera saw nothing.
        """
        if self.config.registered:
            return camera, color
        height, width = depth.shape
        depth_camera = _camera(self.config.depth_intrinsics, camera, width, height)
        color_camera = _camera(self.config.color_intrinsics, camera, color.shape[1], color.shape[0])
        return depth_camera, color_at_depth(color, depth, color_camera, depth_camera, self._T_color_depth)


def color_at_depth(
    color: np.ndarray, depth: np.ndarray, color_camera: Camera, depth_camera: Camera, T_color_depth: np.ndarray
) -> np.ndarray:
    """HxWx3 uint8: for each depth pixel the nearest colour pixel, black where there is none; blind to occlusion."""
    T = T_color_depth.astype(np.float32)
    rays = depth_camera.rays()
    turned = rays @ T[:3, :3].T
    z = turned[..., 2] * depth + T[2, 3]
    with np.errstate(invalid="ignore", divide="ignore"):
        u = (turned[..., 0] * depth + T[0, 3]) / z * np.float32(color_camera.fx) + np.float32(color_camera.cx + 0.5)
        v = (turned[..., 1] * depth + T[1, 3]) / z * np.float32(color_camera.fy) + np.float32(color_camera.cy + 0.5)
        seen = (z > 0) & (u >= 0) & (u < color_camera.width) & (v >= 0) & (v < color_camera.height)
    out = np.zeros((*depth.shape, 3), np.uint8)
    out[seen] = color[v[seen].astype(np.intp), u[seen].astype(np.intp)]
    return out


def _camera(values: tuple, camera: Camera, width: int, height: int) -> Camera:
    """A camera of the given image size: explicit intrinsics, or those of camera info, scaled where the sizes differ."""
    if any(values):
        return Camera(width, height, *values)
    return camera if (camera.width, camera.height) == (width, height) else camera.resized(width, height)
