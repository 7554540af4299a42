"""Camera calibration to pinhole images: intrinsics, and undistortion where needed. Knows neither ROS nor files.

A :class:`Lens` holds the numbers of sensor_msgs/CameraInfo with that message's meaning: K and D belong to the raw
image at full resolution, P to the rectified one; binning and the region of interest give which part of it was sent and
by how much reduced.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .camera import Camera

#: Distortion models by the names that drivers use; the coefficients are OpenCV's.
_POLYNOMIAL = ("plumb_bob", "rational_polynomial", "brown_conrady", "radtan", "")
_FISHEYE = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4")
#: Lengths of D that OpenCV accepts.
_LENGTHS = (4, 5, 8, 12, 14)
#: Tolerance of aspect ratios, which differ by rounding to whole pixels only.
_ASPECT = 0.01
_MEND = "calibrate the camera, or give the intrinsics (live registration.color_intrinsics, recordings --calibration)"


class Uncalibrated(InputError):
    """The calibration is all zeros: the driver has none, or none yet."""


@dataclass(frozen=True)
class Lens:
    """Calibration of one camera; hashable.

    Attributes:
        width, height: px, of the calibrated image; 0 if unknown.
        model, D: distortion. K, R, P: 9, 9 and 12 values, row-major.
        binning: (x, y), 0 is 1. roi: (x, y, width, height) of the full resolution, zeros for all of it.
    """

    width: int
    height: int
    model: str
    D: tuple[float, ...]
    K: tuple[float, ...]
    R: tuple[float, ...]
    P: tuple[float, ...]
    binning: tuple[int, int] = (1, 1)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, info: Any) -> Lens:
        """From a CameraInfo message of rclpy or of another reader."""
        roi = info.roi
        return cls(
            info.width, info.height, info.distortion_model.strip().lower(), _floats(info.d), _floats(info.k),
            _floats(info.r), _floats(info.p), (max(info.binning_x, 1), max(info.binning_y, 1)),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
        )  # fmt: skip

    @property
    def calibrated(self) -> bool:
        """Whether the calibration is not all zeros."""
        return bool(self.K[0] or self.K[4] or self.P[0] or self.P[5])

    @property
    def distorted(self) -> bool:
        """Whether the raw image is distorted."""
        return any(self.D)

    def alike(self, other: Lens) -> bool:
        """Whether two calibrations are close enough for one camera: half a percent, two pixels."""
        if (self.width, self.height, self.binning, self.roi) != (other.width, other.height, other.binning, other.roi):
            return False
        pairs = zip(self.K[:6] + self.P[:6], other.K[:6] + other.P[:6], strict=True)
        if any(abs(a - b) > max(0.005 * abs(a), 2.0) for a, b in pairs) or len(self.D) != len(other.D):
            return False
        return all(abs(a - b) <= 0.02 + 0.02 * abs(a) for a, b in zip(self.D, other.D, strict=True))

    def view(self, size: tuple[int, int], rectified: bool) -> View:
        """The pinhole view of images of this camera.

        Args:
            size: width and height of the images, px.
            rectified: the images are rectified already.

        Raises:
            Uncalibrated: all zeros.
            InputError: invalid numbers, an unknown distortion model, or a calibration for another image size.
        """
        return _view(self, size, rectified)


@dataclass(frozen=True, eq=False)
class View:
    """Converts images to those of a pinhole camera.

    Attributes:
        camera: the pinhole camera. columns, rows: HxW float32, source pixel of each pixel, -1 outside; None if images
            need no change.
    """

    camera: Camera
    columns: np.ndarray | None = None
    rows: np.ndarray | None = None

    def color(self, image: np.ndarray) -> np.ndarray:
        """Undistorts HxWx3 to HxWx3; black outside the source image."""
        if self.columns is None or self.rows is None:
            return image
        import cv2

        return cv2.remap(image, self.columns, self.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def depth(self, image: np.ndarray) -> np.ndarray:
        """Undistorts HxW uint16 (0 invalid) or float32 (NaN invalid) by nearest neighbour, since depths of two surfaces
        must not be averaged. Depth along the optical axis does not change."""
        if self.columns is None or self.rows is None:
            return image
        import cv2

        border = 0 if image.dtype == np.uint16 else float("nan")
        flags = cv2.INTER_NEAREST
        return cv2.remap(image, self.columns, self.rows, flags, borderMode=cv2.BORDER_CONSTANT, borderValue=border)


def named_rectified(topic: str) -> bool:
    """Whether an image topic's name says that its images are rectified: image_rect, image_rect_raw, rectified/image."""
    words = topic.replace("/", "_").lower().split("_")
    return not {"rect", "rectified", "undistorted"}.isdisjoint(words)


@lru_cache(maxsize=16)
def _view(lens: Lens, size: tuple[int, int], rectified: bool) -> View:
    matrix, undistort = _matrix(lens, rectified)
    camera = _sent(lens, matrix, size)
    if not undistort:
        return View(camera)
    wanted = camera
    if lens.P[0] > 0 and lens.P[5] > 0 and np.allclose(np.reshape(lens.R, (3, 3)), np.eye(3), atol=1e-6):
        with contextlib.suppress(InputError):  # use the rectified image's field of view if P is valid
            wanted = _sent(lens, _square(lens.P, 4), size)
    return View(wanted, *_maps(lens, camera, wanted))


def _matrix(lens: Lens, rectified: bool) -> tuple[np.ndarray, bool]:
    """The 3x3 matrix of the image, and whether it must be undistorted."""
    if not lens.calibrated:
        raise Uncalibrated(f"camera info has no calibration (K is zero); {_MEND}")
    K, P = _square(lens.K, 3), _square(lens.P, 4)
    has_K, has_P = bool(K[0, 0] or K[1, 1]), bool(P[0, 0] or P[1, 1])
    use_P = (rectified and has_P) or not has_K
    if use_P and not rectified and lens.distorted:
        raise InputError(f"camera info has distortion, and its K is zero; {_MEND}")
    chosen, name = (P, "P") if use_P else (K, "K")
    if not np.isfinite(chosen).all():
        raise InputError(f"camera info's {name} is not finite; {_MEND}")
    undistort = lens.distorted and not rectified
    if undistort and not np.isfinite(lens.D).all():
        raise InputError(f"camera info's D is not finite; {_MEND}")
    return chosen, undistort


def _sent(lens: Lens, K: np.ndarray, size: tuple[int, int]) -> Camera:
    """The camera of images of ``size`` from a matrix for the full resolution; pixel centres at integers."""
    width, height = lens.width or size[0], lens.height or size[1]
    x, y, part_width, part_height = lens.roi
    if not part_width or not part_height or x + part_width > width or y + part_height > height:
        x, y, part_width, part_height = 0, 0, width, height
    bx, by = lens.binning
    sent = (part_width // bx, part_height // by)
    part_width, part_height = sent[0] * bx, sent[1] * by  # incomplete blocks are cut off
    camera = _camera(K, width, height, x, y, part_width, part_height)
    if size == sent or (size != (width, height) and _one_shape(size, sent)):
        return camera.resized(*size) if size != (part_width, part_height) else camera
    if _one_shape(size, (width, height)):  # the driver scaled the calibration itself, or it is of another mode
        whole = _camera(K, width, height, 0, 0, width, height)
        return whole.resized(*size) if size != (width, height) else whole
    text = f"camera info is of {width}x{height}, the images are {size[0]}x{size[1]}"
    raise InputError(f"{text}: another camera's, or cropped; let the driver send this mode's camera info")


def _camera(K: np.ndarray, width: int, height: int, x: int, y: int, part_width: int, part_height: int) -> Camera:
    """The part of a camera's image that begins at (x, y)."""
    Camera.from_matrix(K, width, height)  # raises if the whole image's matrix is invalid
    part = K.copy()
    part[0, 2] -= x
    part[1, 2] -= y
    return Camera.from_matrix(part, part_width, part_height)


def _one_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes have the same aspect ratio up to rounding."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(_ASPECT * a[0] * b[1], max(*a, *b))


def _maps(lens: Lens, camera: Camera, wanted: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows (HxW float32) in the image of ``camera`` of each pixel of ``wanted``."""
    import cv2

    size, kind = (wanted.width, wanted.height), cv2.CV_32FC1
    if lens.model in _FISHEYE:
        D = np.array((*lens.D, 0.0, 0.0, 0.0, 0.0)[:4])
        if any(lens.D[4:]):
            raise InputError(f"camera info has {len(lens.D)} numbers of '{lens.model}' distortion, expected 4")
        columns, rows = cv2.fisheye.initUndistortRectifyMap(camera.K, D, np.eye(3), wanted.K, size, kind)
        reach = _reach(lambda r: _fisheye(D, r))
    elif lens.model in _POLYNOMIAL:
        length = next((n for n in _LENGTHS if n >= len(lens.D)), 0)
        if not length:
            raise InputError(f"camera info has {len(lens.D)} numbers of distortion, expected at most {_LENGTHS[-1]}")
        D = np.array((*lens.D, *(0.0,) * 14)[:length])
        columns, rows = cv2.initUndistortRectifyMap(camera.K, D, np.eye(3), wanted.K, size, kind)
        reach = _reach(lambda r: _polynomial(D, r))
    else:
        known = ", ".join(name for name in (*_POLYNOMIAL, *_FISHEYE) if name)
        text = f"camera info's distortion model is '{lens.model}', which is not known (known: {known})"
        raise InputError(f"{text}; let image_proc rectify the images")
    rays = wanted.rays()[..., :2]
    folded = np.hypot(rays[..., 0], rays[..., 1]) > reach
    columns[folded] = rows[folded] = -1.0
    return columns, rows


def _reach(distorted: Callable[[np.ndarray], np.ndarray]) -> float:
    """Largest radius (at depth 1) up to which a distortion model is monotonic; beyond it the image would fold back on
    itself."""
    r = np.linspace(0.0, 4.0, 4001)
    falls = np.flatnonzero(np.diff(distorted(r)) <= 0)
    return float(r[falls[0]]) if falls.size else math.inf


def _polynomial(D: np.ndarray, r: np.ndarray) -> np.ndarray:
    k = np.concatenate([D, np.zeros(14)])
    s = r * r
    above, below = (1 + s * (k[i] + s * (k[j] + s * k[m])) for i, j, m in ((0, 1, 4), (5, 6, 7)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(r * above / below)


def _fisheye(D: np.ndarray, r: np.ndarray) -> np.ndarray:
    t = np.arctan(r)
    s = t * t
    return t * (1 + s * (D[0] + s * (D[1] + s * (D[2] + s * D[3]))))


def _square(values: tuple[float, ...], columns: int) -> np.ndarray:
    return np.reshape(values, (3, columns))[:, :3].copy()


def _floats(values: ArrayLike) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).tolist())
