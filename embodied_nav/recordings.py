"""Reads recorded RGB-D sequences frame by frame. Knows nothing of ROS and of what the frames are for.

7-Scenes: a folder with ``frame-000000.color.png`` (or .jpg), ``frame-000000.depth.png`` (16 bit, mm, 65535 invalid),
``frame-000000.pose.txt`` (4x4, world from camera) and optionally ``camera-intrinsics.txt`` (3x3). Frame n was taken at
n / 30 s.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import InputError
from .geometry import Camera, is_rigid

#: Intrinsics of the Kinect that took 7-Scenes, for 640x480, where the folder holds none.
_SEVEN_SCENES = (585.0, 585.0, 320.0, 240.0)
#: Frames a second of 7-Scenes' numbering.
_SEVEN_SCENES_RATE = 30
#: How images begin and what stands near their end: PNG's last chunk, JPEG's end marker (padding may follow it).
_IMAGE_ENDS = ((b"\x89PNG\r\n\x1a\n", b"IEND"), (b"\xff\xd8\xff", b"\xff\xd9"))
_TAIL = 256


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One frame as it was recorded.

    Attributes:
        stamp: ns.
        color: HxWx3 uint8 RGB.
        depth: HxW uint16, mm, 0 invalid.
        T_map_camera: 4x4 float64, map from optical frame.
    """

    stamp: int
    color: np.ndarray
    depth: np.ndarray
    T_map_camera: np.ndarray


class SevenScenes:
    """A folder in 7-Scenes' format. ``read`` may be called from several threads at once.

    Raises:
        InputError: no such folder, no frames in it, a file of a frame missing, poses or intrinsics that are none.
    """

    def __init__(self, folder: str | Path, max_frames: int | None = None) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; give one with frame-NNNNNN.color.png, .depth.png and .pose.txt"
            )
        names = {}
        for path in self.folder.iterdir():
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
        self._files = [names[n] for n in numbers]
        for files in self._files:  # a bad file in the middle is found now, not after minutes
            _check_ends(files["color"])
            _check_ends(files["depth"])
        self.stamps = [n * 1_000_000_000 // _SEVEN_SCENES_RATE for n in numbers]
        self.poses = [_read_pose(files["pose"]) for files in self._files]
        first = self._read_images(0)
        height, width = first[1].shape
        self.camera = _read_intrinsics(self.folder / "camera-intrinsics.txt", width, height)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> RecordedFrame:
        """Decodes one frame.

        Raises:
            InputError: an image that cannot be decoded, or whose size differs from the camera's.
        """
        color, depth = self._read_images(index)
        size = (self.camera.width, self.camera.height)
        for name, image in (("color", color), ("depth", depth)):
            if (image.shape[1], image.shape[0]) != size:
                path = self._files[index][name]
                found = f"{image.shape[1]}x{image.shape[0]}"
                raise InputError(f"{path}: {found}, the first depth is {size[0]}x{size[1]}; mend this frame")
        return RecordedFrame(self.stamps[index], color, depth, self.poses[index])

    def _read_images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        files = self._files[index]
        color = _decode(files["color"], cv2.IMREAD_COLOR)
        depth = _decode(files["depth"], cv2.IMREAD_UNCHANGED)
        if depth.dtype != np.uint16 or depth.ndim != 2:
            raise InputError(
                f"{files['depth']}: expected one channel of 16 bits (mm), found {depth.dtype} {depth.shape}"
            )
        depth[depth == 65535] = 0
        return cv2.cvtColor(color, cv2.COLOR_BGR2RGB, dst=color), depth


def open_recording(folder: str | Path, format: str, max_frames: int | None = None) -> SevenScenes:
    """The recording in a folder.

    Raises:
        InputError: a format that is not read, or see the format's reader.
    """
    if format != "7scenes":
        raise InputError(f"--format {format}: not read yet; give 7scenes")
    return SevenScenes(folder, max_frames)


def _check_ends(path: Path) -> None:
    """Whether a file begins and ends as PNG and JPEG files do: neither another kind of file nor cut short."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(max(0, path.stat().st_size - _TAIL))
            tail = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    ends = [end for first, end in _IMAGE_ENDS if start.startswith(first)]
    if not ends or ends[0] not in tail:
        what = "is cut short" if ends else "is no PNG or JPEG image" if start else "is empty"
        raise InputError(f"{path}: {what}; replace this frame or remove its three files")


def _decode(path: Path, flags: int) -> np.ndarray:
    import cv2

    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise InputError(f"{path}: cannot be decoded; replace this frame or remove its three files")
    return image


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


def _read_intrinsics(path: Path, width: int, height: int) -> Camera:
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
