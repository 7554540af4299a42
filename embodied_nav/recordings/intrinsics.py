"""Finds the cameras' intrinsics in the files of recordings. Knows nothing of images.

A text file with a 3x3 or 4x4 matrix, or with fx, fy, cx, cy (3DMatch: one folder above the sequence), ``info.txt``
(12-Scenes, 3RScan: lines of ``m_calibrationColorIntrinsic = ...``), OpenLORIS' ``sensors.yaml``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .text import lines_of, number, read_matrix, read_text

_MATRICES = (
    "camera-intrinsics.txt", "camera_intrinsics.txt", "intrinsics.txt", "intrinsic.txt", "camera-intrinsic.txt",
    "camera_intrinsic.txt", "K.txt", "calibration.txt", "camera.txt",
)  # fmt: skip
_INFO = ("info.txt", "_info.txt")
#: File names per camera (ScanNet), in its folder ``intrinsic`` or beside the images.
_OF_ONE = {"color": ("intrinsic_color.txt", "intrinsics_color.txt"),
           "depth": ("intrinsic_depth.txt", "intrinsics_depth.txt")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """What was found. ``color`` and ``depth``: 3x3 float64 or None; ``paths``: the files; empty if none."""

    color: np.ndarray | None = None
    depth: np.ndarray | None = None
    paths: tuple[Path, ...] = ()


def find_intrinsics(folder: Path) -> Intrinsics:
    """The intrinsics from files in a folder with images, or in the folder above.

    Raises:
        InputError: such a file has the wrong content.
    """
    inside = [folder, folder / "intrinsic", folder / "intrinsics"]
    for places in (inside, [folder.resolve().parent]):
        for find in (_pair, _matrix, _info):
            found = find(places)
            if found.paths:
                return found
    return Intrinsics()


def camera_of(K: np.ndarray, size: tuple[int, int], path: Path) -> Camera:
    """The camera of a 3x3 matrix for an image size.

    Raises:
        InputError: an invalid matrix, or one for another image size.
    """
    try:
        camera = Camera.from_matrix(K[:3, :3], *size)
    except InputError as error:
        raise InputError(f"{path}: {error}; give --calibration fx,fy,cx,cy") from None
    width, height = size
    if not (0.25 * width < camera.cx < 0.75 * width and 0.25 * height < camera.cy < 0.75 * height):
        text = f"principal point ({camera.cx:g}, {camera.cy:g}) is far from the middle of the {width}x{height} images"
        raise InputError(f"{path}: {text}: intrinsics of another image size? give --calibration fx,fy,cx,cy")
    return camera


def _pair(places: list[Path]) -> Intrinsics:
    found = {kind: _first(places, names) for kind, names in _OF_ONE.items()}
    matrices = {kind: None if path is None else read_matrix(path, ((4, 4), (3, 3))) for kind, path in found.items()}
    return Intrinsics(**matrices, paths=tuple(path for path in found.values() if path))


def _matrix(places: list[Path]) -> Intrinsics:
    path = _first(places, _MATRICES)
    if path is None:
        return Intrinsics()
    K = read_matrix(path, ((3, 3), (4, 4), (1, 4)))
    if K.shape == (1, 4):
        fx, fy, cx, cy = K[0]
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    return Intrinsics(K, K, (path,))


def _info(places: list[Path]) -> Intrinsics:
    path = _first(places, _INFO)
    if path is None:
        return Intrinsics()
    found = {}
    for line, text in lines_of(path):
        name, _, values = text.partition("=")
        match = re.fullmatch(r"m_calibration(Color|Depth)Intrinsic", name.strip())
        if match is None:
            continue
        try:
            numbers = [number(word) for word in values.split()]
            found[match[1].lower()] = np.array(numbers).reshape((4, 4) if len(numbers) == 16 else (3, 3))
        except ValueError:
            raise InputError(f"{path}:{line}: '{values.strip()[:40]}' is no matrix of 4x4 numbers") from None
    return Intrinsics(found.get("color"), found.get("depth"), (path,) if found else ())


def _first(places: list[Path], names: tuple[str, ...]) -> Path | None:
    return next((place / name for place in places for name in names if (place / name).is_file()), None)


def openloris_camera(path: Path, sensor: str) -> tuple[int, int, np.ndarray] | None:
    """Width, height and 3x3 matrix of a sensor of OpenLORIS' ``sensors.yaml``; None if the sensor is not in it.

    Raises:
        InputError: it cannot be read.
    """
    part = re.search(rf"^{sensor}:[^\n]*\n((?:[ \t]+[^\n]*\n?|\s*\n)*)", read_text(path), re.MULTILINE)
    if part is None:
        return None
    size = [re.search(rf"\b{name}:\s*(\d+)", part[1]) for name in ("width", "height")]
    data = re.search(r"\bintrinsics:.*?data:\s*\[([^\]]*)\]", part[1], re.DOTALL)
    values = [number(word) for word in re.split(r"[\s,]+", data[1].strip())] if data else []
    width, height = size
    if width is None or height is None or len(values) != 4:
        raise InputError(f"{path}: {sensor} lacks width, height or four intrinsics; give --calibration fx,fy,cx,cy")
    a, b, c, d = values  # fx, cx, fy, cy, the data set's order; some use fx, fy, cx, cy
    fx, fy, cx, cy = (a, c, b, d) if abs(a - c) < abs(a - b) else (a, b, c, d)
    return int(width[1]), int(height[1]), np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
