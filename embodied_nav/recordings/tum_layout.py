"""Layouts of TUM-like folders: file names, cameras, depth unit, frame of the poses. Decodes no image.

ICL-NUIM: ``associations.txt`` with depth first and frames numbered, ``livingRoom1.gt.freiburg``, a negative fy. Bonn:
as TUM, its own camera. OpenLORIS: ``color.txt`` and ``aligned_depth.txt`` in mm, ``sensors.yaml``, ground truth of the
robot's base, and ``trans_matrix.yaml`` from there to the camera.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .intrinsics import find_intrinsics, openloris_camera
from .motion import FrameTree
from .stamps import decimal
from .text import lines_of, number, read_text

_COLOR_LISTS, _DEPTH_LISTS = ("rgb.txt", "color.txt", "colour.txt"), ("aligned_depth.txt", "depth.txt")
_COLOR_FOLDERS, _DEPTH_FOLDERS = ("rgb", "color", "colour", "image"), ("aligned_depth", "depth")
_ASSOCIATIONS = ("assoc*.txt", "*associat*.txt", "*_assoc.txt")
_TRUTHS = ("groundtruth.txt", "ground_truth.txt", "gt.txt", "*.gt.freiburg", "*.gt.freiburg.txt", "trajectory.txt")
#: Depth units per metre.
_TUM_UNIT, _MILLIMETRES = 5000.0, 1000.0
#: fx, fy, cx, cy for 640x480 as published by the data sets' authors, by pattern of the folder's name.
_KNOWN = (
    (r"(?:freiburg|fr)1(?!\d)", "TUM's freiburg1", (517.3, 516.5, 318.6, 255.3)),
    (r"(?:freiburg|fr)2(?!\d)", "TUM's freiburg2", (520.9, 521.0, 325.1, 249.7)),
    (r"(?:freiburg|fr)3(?!\d)", "TUM's freiburg3", (535.4, 539.2, 320.1, 247.6)),
    (r"rgbd_bonn|^bonn", "Bonn's", (542.822841, 542.576870, 315.593520, 237.756098)),
)
_ICL = ("ICL-NUIM's", (481.2, -480.0, 319.5, 239.5))
_BONN = _KNOWN[3][1:]
_SIZE = (640, 480)
_SENSOR, _DEPTH_SENSOR, _BASE = "d400_color_optical_frame", "d400_depth_optical_frame", "base_link"
#: Mirror matrices by the signs of fx and fy.
MIRRORS = {(1, -1): np.diag([1.0, -1, 1, 1]), (-1, 1): np.diag([-1.0, 1, 1, 1]), (-1, -1): np.diag([-1.0, -1, 1, 1])}


@dataclass
class Listed:
    """Images of one kind: their stamps as written, where those stand (file and line, or the image that is named so),
    their files, and the file that lists them."""

    words: list[str]
    places: list[str]
    paths: list[Path]
    source: str


@dataclass
class Layout:
    """Contents of a folder.

    Attributes:
        truth: file of poses, or None. depth_unit: units per metre. T_told_color: 4x4, the frame whose poses are given
            from the colour camera. depth_camera, T_color_depth: of unregistered depth. notes: assumptions.
    """

    folder: Path
    kind: str
    color: Listed
    depth: Listed
    truth: Path | None
    depth_unit: float = _TUM_UNIT
    T_told_color: np.ndarray = field(default_factory=lambda: np.eye(4))
    depth_camera: Camera | None = None
    T_color_depth: np.ndarray = field(default_factory=lambda: np.eye(4))
    notes: list[str] = field(default_factory=list)

    def without_end(self) -> int:
        """Removes missing files from the ends of the lists, e.g. if only part of a data set was copied; returns the
        number of depth images removed."""
        taken = 0
        for images in (self.color, self.depth):
            there = next((n for n in range(len(images.paths), 0, -1) if images.paths[n - 1].exists()), 0)
            if there:
                taken = len(images.paths) - there
                del images.paths[there:], images.words[there:], images.places[there:]
        return taken

    def camera(self, size: tuple[int, int]) -> tuple[float, ...]:
        """fx, fy, cx, cy of colour: the folder's own, or the data set's with a note.

        Raises:
            InputError: no intrinsics.
        """
        if self.kind == "openloris" and (self.folder / "sensors.yaml").is_file():
            told = openloris_camera(self.folder / "sensors.yaml", _SENSOR)
            if told is not None:
                return _values(_fitting(told, size, self.folder / "sensors.yaml"))
        found = find_intrinsics(self.folder)
        K = found.color if found.color is not None else found.depth
        if K is not None:
            self.notes.append(f"intrinsics are those of {found.paths[0]}")
            return _values(K)
        name, values = self._known()
        if values is None:
            text = "its name says neither freiburg1, 2, 3 nor bonn, and it holds no intrinsics"
            raise InputError(f"{self.folder}: the camera is not known ({text}); give --calibration fx,fy,cx,cy")
        if size != _SIZE:
            text = f"the images are {size[0]}x{size[1]}, {name} camera is known for {_SIZE[0]}x{_SIZE[1]}"
            raise InputError(f"{self.folder}: the camera is not known ({text}); give --calibration fx,fy,cx,cy")
        self.notes.append(f"the camera is taken for {name}: {','.join(f'{v:g}' for v in values)}")
        return values

    def _known(self) -> tuple[str, tuple[float, ...] | None]:
        if self.kind == "icl" or (self.truth is not None and ".gt.freiburg" in self.truth.name):
            return _ICL
        if self.kind == "bonn":
            return _BONN
        here = self.folder.resolve()
        for name in (here.name, here.parent.name):
            for pattern, text, values in _KNOWN:
                if re.search(pattern, name):
                    return text, values
        return "", None


def looks_like(folder: Path) -> str:
    """tum, icl or openloris, from the files in a folder; empty if none."""
    if any(folder.glob("*.gt.freiburg*")):
        return "icl"
    lists = [name for name in (*_COLOR_LISTS, *_DEPTH_LISTS) if (folder / name).is_file()]
    if "aligned_depth.txt" in lists or ("color.txt" in lists and (folder / "sensors.yaml").is_file()):
        return "openloris"
    if lists or _associations(folder) is not None:
        return "tum"
    images = _folder(folder, _COLOR_FOLDERS) and _folder(folder, _DEPTH_FOLDERS)
    return "tum" if images and _truth(folder) is not None else ""


def layout_of(folder: Path, kind: str) -> Layout:
    """The layout of a folder of a kind.

    Raises:
        InputError: files are missing or have other content.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with rgb.txt and depth.txt")
    colors, depths = (
        next((folder / n for n in names if (folder / n).is_file()), None) for names in (_COLOR_LISTS, _DEPTH_LISTS)
    )
    together = _associations(folder)
    if colors is not None and depths is not None:
        color, depth = _read_list(colors), _read_list(depths)
    elif together is not None:
        color, depth = _read_associations(together)
    elif there := colors or depths:
        missing = "rgb.txt" if colors is None else "depth.txt"
        raise InputError(f"{folder / missing}: is missing though {there.name} is there; copy it too")
    else:
        color, depth = (_by_names(folder, names) for names in (_COLOR_FOLDERS, _DEPTH_FOLDERS))
    layout = Layout(folder, kind, color, depth, _truth(folder))
    if kind == "openloris":
        layout.depth_unit = _MILLIMETRES
        _complete_openloris(layout, aligned="aligned" in depth.source)
    return layout


def _read_list(path: Path) -> Listed:
    words, places, paths = [], [], []
    for line, text in lines_of(path):
        parts = re.split(r"[\s,]+", text, maxsplit=1)
        try:
            decimal(parts[0])
            name = parts[1].strip()
        except (ValueError, IndexError):
            raise InputError(f"{path}:{line}: '{text[:40]}' is not a stamp and the name of an image") from None
        words.append(parts[0])
        places.append(f"{path}:{line}")
        paths.append(_image(path.parent, name))
    if not paths:
        raise InputError(f"{path}: names no image")
    return Listed(words, places, paths, path.name)


def _read_associations(path: Path) -> tuple[Listed, Listed]:
    """Colour and depth from an associations file, whose lines have both."""
    places, rows = [], []
    for line, text in lines_of(path):
        row = text.replace(",", " ").split()
        try:
            decimal(row[0])
            decimal(row[2])
            rows.append((row[0], row[1], row[2], row[3]))
        except (ValueError, IndexError):
            expected = "a stamp, an image, a stamp and an image"
            raise InputError(f"{path}:{line}: '{text[:40]}' is not {expected}") from None
        places.append(f"{path}:{line}")
    if not rows:
        raise InputError(f"{path}: names no image")
    first = sum("depth" in row[1].lower() for row in rows) * 2 > len(rows)
    orders = ((2, 3), (0, 1)) if first else ((0, 1), (2, 3))
    color, depth = (
        Listed([row[s] for row in rows], places[:], [_image(path.parent, row[i]) for row in rows], path.name)
        for s, i in orders
    )
    return color, depth


def _by_names(folder: Path, names: tuple[str, ...]) -> Listed:
    """Images whose file names are their stamps."""
    place = _folder(folder, names)
    if place is None:
        raise InputError(
            f"{folder / names[0]}: no such folder, and no list (rgb.txt, depth.txt); is it a TUM sequence?"
        )
    found = []
    for path in place.iterdir():
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            try:
                found.append((decimal(path.stem), path))
            except ValueError:
                raise InputError(f"{path}: its name is no stamp, and no list (rgb.txt, depth.txt) tells one") from None
    if not found:
        raise InputError(f"{place}: holds no image")
    found.sort()
    paths = [path for _, path in found]
    return Listed([path.stem for path in paths], [str(path) for path in paths], paths, f"{place.name}/")


def _image(folder: Path, name: str) -> Path:
    """The file that a list names; lists written on Windows have backslashes."""
    path = folder / name
    if not path.exists():
        for other in (name.replace("\\", "/"), name.split()[0], name.strip("'\"")):
            if (folder / other).exists():
                return folder / other
    return path


def _associations(folder: Path) -> Path | None:
    return next((path for pattern in _ASSOCIATIONS for path in sorted(folder.glob(pattern))), None)


def _truth(folder: Path) -> Path | None:
    return next((path for pattern in _TRUTHS for path in sorted(folder.glob(pattern))), None)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _values(K: np.ndarray) -> tuple[float, float, float, float]:
    return float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])


def _fitting(told: tuple[int, int, np.ndarray], size: tuple[int, int], path: Path) -> np.ndarray:
    width, height, K = told
    if (width, height) != size:
        text = f"tells of images of {width}x{height}, they are {size[0]}x{size[1]}"
        raise InputError(f"{path}: {text}; give --calibration fx,fy,cx,cy")
    return K


def _complete_openloris(layout: Layout, aligned: bool) -> None:
    """Sets the camera's pose on the robot's base, and the depth camera if depth is not aligned."""
    path = layout.folder / "trans_matrix.yaml"
    tree = FrameTree()
    if path.is_file():
        for parent, child, T in _transforms(path):
            tree.add(parent, child, T)
        T_told_color = tree.at(_BASE, _SENSOR, 0)
        if T_told_color is None:
            raise InputError(f"{path}: does not tell where {_SENSOR} is in {_BASE}, of which the ground truth is")
        layout.T_told_color = T_told_color
    elif layout.truth is not None:
        layout.notes.append(
            f"WARNING: {path.name} is missing, which tells where the camera is on the robot: the poses of "
            f"{layout.truth.name} are taken for the camera's"
        )
    sensors = layout.folder / "sensors.yaml"
    if not aligned and sensors.is_file():
        told, T_color_depth = openloris_camera(sensors, _DEPTH_SENSOR), tree.at(_SENSOR, _DEPTH_SENSOR, 0)
        if told is not None and T_color_depth is not None:
            layout.depth_camera, layout.T_color_depth = Camera(told[0], told[1], *_values(told[2])), T_color_depth


def _transforms(path: Path) -> list[tuple[str, str, np.ndarray]]:
    """(parent, child, 4x4) of OpenLORIS' ``trans_matrix.yaml``, which stores OpenCV matrices."""
    found = []
    text = read_text(path)
    for part in re.split(r"^\s*-\s", text, flags=re.MULTILINE)[1:]:
        parent, child = (re.search(rf"\b{name}_frame:\s*([\w/]+)", part) for name in ("parent", "child"))
        data = re.search(r"data:\s*\[([^\]]*)\]", part, re.DOTALL)
        try:
            if parent is None or child is None or data is None:
                raise ValueError
            values = [number(word) for word in re.split(r"[\s,]+", data[1].strip())]
            found.append((parent[1], child[1], np.array(values).reshape(4, 4)))
        except ValueError:
            raise InputError(f"{path}: holds a transform without parent, child and 4x4 numbers") from None
    return found
