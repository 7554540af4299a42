"""The pinhole camera: intrinsics, unprojection, projection, rays. Knows nothing of images' content or of ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class Camera:
    """A rectified pinhole camera; pixel centres at integer coordinates.

    Attributes:
        width, height: image size in pixels.
        fx, fy, cx, cy: intrinsics in pixels.

    Raises:
        InputError: a size or a focal length that is not positive and finite, or a principal point outside the image.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"camera size {self.width}x{self.height} must be positive")
        if not all(math.isfinite(v) and v > 0 for v in (self.fx, self.fy)):
            raise InputError(f"camera focal length ({self.fx}, {self.fy}) must be positive and finite")
        if not (-1 < self.cx < self.width and -1 < self.cy < self.height):
            raise InputError(
                f"camera principal point ({self.cx}, {self.cy}) lies outside the {self.width}x{self.height} image: "
                "intrinsics of another image size?"
            )

    @classmethod
    def from_hfov(cls, width: int, height: int, hfov: float) -> Camera:
        """Camera with square pixels from its horizontal field of view (rad), with Habitat's convention."""
        f = width / (2.0 * math.tan(hfov / 2.0))
        return cls(width, height, f, f, (width - 1) / 2.0, (height - 1) / 2.0)

    @classmethod
    def from_matrix(cls, K: np.ndarray, width: int, height: int) -> Camera:
        """Camera from a 3x3 intrinsic matrix (or its 9 values, row-major, as in CameraInfo.k)."""
        K = np.asarray(K, dtype=np.float64).reshape(3, 3)
        return cls(width, height, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))

    @property
    def K(self) -> np.ndarray:
        """3x3 float64 intrinsic matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def hfov(self) -> float:
        """Horizontal field of view, rad."""
        return 2.0 * math.atan(self.width / (2.0 * self.fx))

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with its image resampled to another size (pixel centres stay at integers)."""
        sx, sy = width / self.width, height / self.height
        return Camera(width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5)

    def rays(self) -> np.ndarray:
        """HxWx3 float32 rays with z = 1 in the optical frame (cached, read-only)."""
        return _rays(self)

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """Points of a depth image.

        Args:
            depth: HxW float, metres along the optical axis, NaN invalid.

        Returns:
            HxWx3 float32 points in the optical frame, NaN where depth is.
        """
        if depth.shape != (self.height, self.width):
            raise InputError(f"depth is {depth.shape[1]}x{depth.shape[0]}, its camera {self.width}x{self.height}")
        return self.rays() * depth.astype(np.float32, copy=False)[..., None]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of points in the optical frame.

        Args:
            points: Nx3, metres.

        Returns:
            Nx2 float64 pixel coordinates (u, v), NaN where z <= 0, and N float64 depths z.
        """
        points = np.asarray(points, dtype=np.float64)
        z = points[:, 2]
        safe = np.where(z > 0, z, np.nan)
        uv = np.stack([points[:, 0] / safe * self.fx + self.cx, points[:, 1] / safe * self.fy + self.cy], axis=1)
        return uv, z


@lru_cache(maxsize=16)
def _rays(camera: Camera) -> np.ndarray:
    u = (np.arange(camera.width, dtype=np.float64) - camera.cx) / camera.fx
    v = (np.arange(camera.height, dtype=np.float64) - camera.cy) / camera.fy
    rays = np.ones((camera.height, camera.width, 3), dtype=np.float32)
    rays[..., 0] = u[None, :]
    rays[..., 1] = v[:, None]
    rays.setflags(write=False)
    return rays
