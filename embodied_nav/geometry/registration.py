"""Registers depth to the pixels of another camera's colour image. Knows nothing of where the images come from.

Not needed for cameras that publish registered (aligned) depth. With two calibrated cameras every depth pixel is
projected into the colour image; nearer points occlude farther ones, and pixels that the depth camera did not see have
no depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..errors import InputError
from .camera import Camera
from .transforms import invert, is_rigid, matrix_from_quaternion

#: Each depth pixel is drawn larger by this factor, so that rotated cameras leave no gaps between pixels.
_MARGIN = 1.1
#: Neighbours whose depths differ by more (m, and share of the depth) lie on different surfaces.
_STEP, _RELATIVE_STEP = 0.02, 0.03
#: The refinement has converged if depth changes by less than this share.
_SETTLED = 0.002


@dataclass(frozen=True)
class RegistrationConfig(Config):
    """Calibration between the colour and the depth camera."""

    mode: str = param(
        "auto",
        "registered: depth lies on colour's pixels; register: it is brought there; auto: brought there where its "
        "frame, its size or its own camera info differ from colour's",
        choices=("auto", "registered", "register"),
    )
    color_intrinsics: tuple[float, ...] = param(
        (0.0, 0.0, 0.0, 0.0), "fx, fy, cx, cy of the colour image; zeros: as in camera info"
    )
    depth_intrinsics: tuple[float, ...] = param(
        (0.0, 0.0, 0.0, 0.0), "fx, fy, cx, cy of the depth image; zeros: as in depth's camera info, or else as colour's"
    )
    translation: tuple[float, ...] = param(
        (0.0, 0.0, 0.0), "the depth camera's origin in the colour camera's frame; zeros, with no rotation: from TF",
        unit="m",
    )  # fmt: skip
    rotation: tuple[float, ...] = param(
        (0.0, 0.0, 0.0, 1.0), "quaternion x, y, z, w, colour camera's frame from depth camera's"
    )


class Registration:
    """Applies a :class:`RegistrationConfig`.

    Attributes:
        T_color_depth: 4x4 float64 if the settings give it, else None.

    Raises:
        InputError: a tuple of the wrong length, or a zero quaternion.
    """

    def __init__(self, config: RegistrationConfig | None = None) -> None:
        self.config = config = config or RegistrationConfig()
        for name, n in (("color_intrinsics", 4), ("depth_intrinsics", 4), ("translation", 3), ("rotation", 4)):
            if len(getattr(config, name)) != n:
                raise InputError(f"registration.{name} = {getattr(config, name)}: expected {n} numbers")
        try:
            T = matrix_from_quaternion(config.rotation, config.translation)
        except ValueError as error:
            raise InputError(f"registration.rotation: {error}") from None
        self.T_color_depth = None if np.allclose(T, np.eye(4), atol=1e-12) else T

    @property
    def calibrated(self) -> bool:
        """Whether the settings give anything about the cameras."""
        return self.T_color_depth is not None or any(self.config.color_intrinsics + self.config.depth_intrinsics)

    @property
    def needs_info(self) -> bool:
        """Whether depth in another frame can only be used with its own camera info."""
        return self.config.mode != "registered" and not self.calibrated

    def needed(
        self, color_camera: Camera, depth_camera: Camera | None, depth_shape: tuple[int, ...], same_frame: bool
    ) -> bool:
        """Whether depth must be registered to colour.

        Args:
            color_camera: from colour's camera info. depth_camera: from depth's own, or None without one.
            depth_shape: (height, width) of the depth image. same_frame: both images have the same frame_id.
        """
        if self.config.mode != "auto":
            return self.config.mode == "register"
        if any(self.config.depth_intrinsics) or self.T_color_depth is not None or not same_frame:
            return True
        if depth_shape != (color_camera.height, color_camera.width):
            return True
        return depth_camera is not None and not np.allclose(depth_camera.K, color_camera.K, rtol=1e-4, atol=0.01)

    def color_camera(self, camera: Camera) -> Camera:
        """The colour camera: from camera info, with the settings' intrinsics if given."""
        return _with_intrinsics(camera, self.config.color_intrinsics)

    def depth_camera(self, camera: Camera, shape: tuple[int, int]) -> Camera:
        """The camera of a depth image of ``shape`` (height, width): ``camera``, or the settings' if given."""
        return _with_intrinsics(camera, self.config.depth_intrinsics, shape)

    def apply(
        self,
        depth: np.ndarray,
        color_camera: Camera,
        depth_camera: Camera | None = None,
        T_color_depth: np.ndarray | None = None,
    ) -> np.ndarray:
        """Depth at the pixels of ``color_camera``, see :func:`registered_depth`.

        Args:
            depth: HxW float32, m, NaN invalid.
            depth_camera: from depth's camera info; default ``color_camera``. The settings' intrinsics take precedence.
            T_color_depth: 4x4; the settings' takes precedence; default: identity.

        Raises:
            InputError: depth has another size than its camera.
        """
        depth_camera = self.depth_camera(depth_camera or color_camera, depth.shape)
        T = self.T_color_depth if self.T_color_depth is not None else T_color_depth
        return registered_depth(depth, depth_camera, color_camera, np.eye(4) if T is None else T)


def registered_depth(
    depth: np.ndarray, depth_camera: Camera, color_camera: Camera, T_color_depth: np.ndarray
) -> np.ndarray:
    """Depth as the colour camera would have measured it.

    Args:
        depth: HxW float32, m along the depth camera's axis, NaN invalid.
        T_color_depth: 4x4 float64, rigid.

    Returns:
        float32 of the colour camera's size, m along its axis, NaN where the depth camera saw nothing.

    Raises:
        InputError: depth has another size than its camera, or the transform is not rigid.
    """
    if depth.shape != (depth_camera.height, depth_camera.width):
        size = f"{depth.shape[1]}x{depth.shape[0]}"
        raise InputError(f"depth is {size}, its camera {depth_camera.width}x{depth_camera.height}")
    if not is_rigid(T_color_depth):
        raise InputError("the transform between the colour and the depth camera is not rigid")
    forth = _homography(color_camera, T_color_depth, depth_camera)
    back = _homography(depth_camera, invert(T_color_depth), color_camera)
    out = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    scale = (color_camera.fx / depth_camera.fx, color_camera.fy / depth_camera.fy)
    _splat(np.ascontiguousarray(depth, dtype=np.float32), *forth, np.float32(scale[0]), np.float32(scale[1]), out)
    _refine(np.ascontiguousarray(depth, dtype=np.float32), *forth, *back, out)
    return out


def _homography(to: Camera, T: np.ndarray, of: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A (3x3), b (3) float32: a pixel (u, v) of one camera at depth z lies at z A (u, v, 1) + b of the other."""
    A = to.K @ T[:3, :3] @ np.linalg.inv(of.K)
    return A.astype(np.float32), (to.K @ T[:3, 3]).astype(np.float32)


@njit(cache=True, nogil=True, fastmath={"contract", "arcp"})
def _splat(depth, A, b, scale_u, scale_v, out):
    """Projects each depth pixel into ``out`` (colour camera's HxW) and keeps the nearest depth per pixel."""
    height, width = depth.shape
    rows, columns = out.shape
    half_u, half_v = np.float32(0.5 * _MARGIN) * scale_u, np.float32(0.5 * _MARGIN) * scale_v
    for v in range(height):
        a0 = A[0, 1] * np.float32(v) + A[0, 2]
        a1 = A[1, 1] * np.float32(v) + A[1, 2]
        a2 = A[2, 1] * np.float32(v) + A[2, 2]
        for u in range(width):
            z = depth[v, u]
            if not (z > np.float32(0.0)) or z == np.inf:
                continue
            w = z * (A[2, 0] * np.float32(u) + a2) + b[2]
            if w <= np.float32(1e-3):
                continue
            inverse = np.float32(1.0) / w
            x = (z * (A[0, 0] * np.float32(u) + a0) + b[0]) * inverse
            y = (z * (A[1, 0] * np.float32(u) + a1) + b[1]) * inverse
            shrink = z * inverse
            du, dv = half_u * shrink, half_v * shrink
            if not (x + du >= 0 and x - du < columns and y + dv >= 0 and y - dv < rows):
                continue
            left, right = max(0, int(np.ceil(x - du))), min(columns - 1, int(np.floor(x + du)))
            top, bottom = max(0, int(np.ceil(y - dv))), min(rows - 1, int(np.floor(y + dv)))
            for j in range(top, bottom + 1):
                for i in range(left, right + 1):
                    if w < out[j, i]:
                        out[j, i] = w


@njit(cache=True, nogil=True)
def _across(out, j, i):
    """Mean depth of two neighbours on one surface: fills gaps where parallax stretches slanted surfaces."""
    rows, columns = out.shape
    if 0 < i < columns - 1 and 0 < j < rows - 1:
        for dv, du in ((0, 1), (1, 0), (1, 1)):
            a, b = out[j - dv, i - du], out[j + dv, i + du]
            if a > 0 and b > 0 and b < np.inf and abs(a - b) < np.float32(_STEP) + np.float32(_RELATIVE_STEP) * a:
                return np.float32(0.5) * (a + b)
    return np.float32(np.nan)


@njit(cache=True, nogil=True, fastmath={"contract", "arcp"})
def _refine(depth, A, b, B, c, out):
    """Replaces each depth by the bilinear surface of four depth pixels along the colour pixel's ray; inf by NaN."""
    height, width = depth.shape
    rows, columns = out.shape
    for j in range(rows):
        b0 = B[0, 1] * np.float32(j) + B[0, 2]
        b1 = B[1, 1] * np.float32(j) + B[1, 2]
        b2 = B[2, 1] * np.float32(j) + B[2, 2]
        for i in range(columns):
            w = out[j, i]
            if w == np.inf:
                w = _across(out, j, i)
                if not (w > np.float32(0.0)):
                    out[j, i] = np.nan
                    continue
            r0, r1, r2 = B[0, 0] * np.float32(i) + b0, B[1, 0] * np.float32(i) + b1, B[2, 0] * np.float32(i) + b2
            for _ in range(4):
                z = w * r2 + c[2]
                inverse = np.float32(1.0) / z
                x, y = (w * r0 + c[0]) * inverse, (w * r1 + c[1]) * inverse
                if not (x >= 0 and y >= 0 and x < width - 1 and y < height - 1):
                    break
                u, v = int(x), int(y)
                z00, z01, z10, z11 = depth[v, u], depth[v, u + 1], depth[v + 1, u], depth[v + 1, u + 1]
                allowed = np.float32(_STEP) + np.float32(_RELATIVE_STEP) * z
                low, high = z - allowed, z + allowed
                # A NaN or another surface among the four: keep the projected depth.
                if not (
                    z00 > low and z01 > low and z10 > low and z11 > low
                    and z00 < high and z01 < high and z10 < high and z11 < high
                ):  # fmt: skip
                    break
                p, q = x - np.float32(u), y - np.float32(v)
                upper, lower = z00 + p * (z01 - z00), z10 + p * (z11 - z10)
                z = upper + q * (lower - upper)
                before, w = w, z * (A[2, 0] * x + A[2, 1] * y + A[2, 2]) + b[2]
                if abs(w - before) < np.float32(_SETTLED) * w:
                    break
            out[j, i] = w


def _with_intrinsics(camera: Camera, values: tuple[float, ...], shape: tuple[int, int] | None = None) -> Camera:
    """Explicit intrinsics for an image of ``shape`` (default: the camera's), or the camera as it is."""
    if not any(values):
        return camera
    height, width = shape or (camera.height, camera.width)
    return Camera(width, height, *values)
