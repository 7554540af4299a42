"""Reads 7-Scenes sequences. Knows nothing of ROS and of what the frames are for.

A folder with ``frame-000000.color.png`` (or .jpg), ``frame-000000.depth.png`` (16 bit, mm, 65535 invalid),
``frame-000000.pose.txt`` (4x4, world from the depth camera) and optionally ``camera-intrinsics.txt`` (3x3). Frame n was
taken at n / 30 s.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera, invert, is_rigid
from .frame import Calibration, RecordedFrame
from .images import check_headers, read_color, read_depth

#: Intrinsics of the Kinect that took 7-Scenes, for 640x480, where the folder holds none.
_SEVEN_SCENES = (585.0, 585.0, 320.0, 240.0)
#: Frames a second of 7-Scenes' numbering.
_SEVEN_SCENES_RATE = 30
_MEND = "replace this frame or remove its three files"


class SevenScenes:
    """A folder in 7-Scenes' format. ``read`` may be called from several threads at once.

    Attributes:
        stamps: ns. poses: 4x4 each, map from the colour camera. odometry: None. camera: of the colour images.
        depth_camera: None where depth lies on colour's pixels. T_color_depth: 4x4. skipped: 0.

    Raises:
        InputError: no such folder, no frames in it, a file of a frame missing, of another size or cut short, poses or
            intrinsics that are none.
    """

    odometry = None
    skipped = 0

    def __init__(
        self, folder: str | Path, max_frames: int | None = None, calibration: Calibration | None = None
    ) -> None:
        self.folder, calibration = Path(folder), calibration or Calibration()
        if not self.folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; give one with frame-NNNNNN.color.png, .depth.png and .pose.txt"
            )
        self._files, numbers = _find(self.folder, max_frames)
        color, depth = check_headers([(f["color"], f["depth"]) for f in self._files], _MEND)
        if calibration.registered and color != depth:
            sizes = f"color is {color[0]}x{color[1]}, depth {depth[0]}x{depth[1]}"
            raise InputError(f"{self._files[0]['color']}: {sizes}; give the cameras' --calibration")
        self.stamps = [n * 1_000_000_000 // _SEVEN_SCENES_RATE for n in numbers]
        recorded = _read_intrinsics(self.folder / "camera-intrinsics.txt", *depth, calibration)
        self.T_color_depth = calibration.T_color_depth
        self.depth_camera = None if calibration.registered else calibration.depth_camera(recorded)
        if calibration.color is not None:
            self.camera = Camera(*color, *calibration.color)
        else:
            self.camera = recorded if color == depth else recorded.resized(*color)
        # The poses are those of the depth camera, which took part in making them.
        self.poses = [_read_pose(files["pose"]) @ invert(self.T_color_depth) for files in self._files]

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> RecordedFrame:
        """Decodes one frame.

        Raises:
            InputError: an image that cannot be decoded.
        """
        files = self._files[index]
        depth = read_depth(files["depth"], _MEND)
        depth[depth == 65535] = 0
        return RecordedFrame(self.stamps[index], read_color(files["color"], _MEND), depth, self.poses[index])


def _find(folder: Path, max_frames: int | None) -> tuple[list[dict[str, Path]], list[int]]:
    """The files of each frame, and the frames' numbers."""
    names: dict[int, dict[str, Path]] = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"frame-(\d+)\.(color|depth|pose)\.(png|jpe?g|txt)", path.name)
        if match:
            names.setdefault(int(match[1]), {})[match[2]] = path
    numbers = sorted(names)[:max_frames]
    if not numbers:
        raise InputError(f"{folder}: holds no frame-NNNNNN.color.png; is it a 7-Scenes sequence (seq-01)?")
    for number in numbers:
        for part in ("color", "depth", "pose"):
            if part not in names[number]:
                raise InputError(f"{folder}: frame-{number:06d} has no {part} file")
    return [names[n] for n in numbers], numbers


def _read_numbers(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file: said below
            values = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, UnicodeDecodeError):
        raise InputError(f"{path}: holds something else than numbers, expected {shape[0]}x{shape[1]} of them") from None
    if values.shape != shape:
        raise InputError(f"{path}: holds {values.shape[0]}x{values.shape[1]} numbers, expected {shape[0]}x{shape[1]}")
    return values


def _read_pose(path: Path) -> np.ndarray:
    T = _read_numbers(path, (4, 4))
    if not is_rigid(T, tolerance=1e-2):
        raise InputError(f"{path}: is no rigid transform; remove this frame or mend its pose")
    return T


def _read_intrinsics(path: Path, width: int, height: int, calibration: Calibration) -> Camera:
    """The depth images' camera; what the user gives for them is not looked for in the folder."""
    given = calibration.color if calibration.registered else calibration.depth
    if given is not None:
        return Camera(width, height, *given)
    if not path.exists():
        if (width, height) != (640, 480):
            raise InputError(f"{path}: missing, and the images are {width}x{height} instead of 7-Scenes' 640x480")
        return Camera(width, height, *_SEVEN_SCENES)
    K = _read_numbers(path, (3, 3))
    try:
        camera = Camera.from_matrix(K, width, height)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not (0.25 * width < camera.cx < 0.75 * width and 0.25 * height < camera.cy < 0.75 * height):
        text = f"principal point ({camera.cx:g}, {camera.cy:g}) is far from the middle of the {width}x{height} images"
        raise InputError(f"{path}: {text}: intrinsics of another image size?")
    return camera
