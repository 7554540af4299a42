"""Reads TUM RGB-D sequences. Knows nothing of ROS and of what the frames are for.

A folder with ``rgb.txt`` and ``depth.txt`` (a stamp in seconds and a file name a line, # begins a comment),
``groundtruth.txt`` (stamp, position, quaternion x y z w of the colour camera) and the images that they name: depth PNG
of 16 bits, 5000 a metre, 0 invalid, registered to colour.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .frame import Calibration, RecordedFrame
from .images import check_headers, read_color, read_depth
from .motion import Track
from .pairs import pair

#: Depth's unit a metre.
_SCALE = 5000.0
#: fx, fy, cx, cy of the cameras that took the data set, for 640x480, as its authors give them.
_CAMERAS = {
    "1": (517.3, 516.5, 318.6, 255.3),
    "2": (520.9, 521.0, 325.1, 249.7),
    "3": (535.4, 539.2, 320.1, 247.6),
}
#: Poses farther apart (ns) than this say nothing of what lies between.
_LONGEST_GAP = 100_000_000
_MEND = "replace this image or remove its line"


class Tum:
    """A folder in the TUM RGB-D benchmark's format. ``read`` may be called from several threads at once.

    A frame is a colour and a depth image at most 0.02 s apart, stamped as depth is. Frames whose pose the ground truth
    does not tell are left out where there is a ground truth at all.

    Attributes:
        stamps: ns. poses: 4x4 each, map from the colour camera, or None without groundtruth.txt. odometry: None.
        camera: of the colour images. depth_camera: None where depth lies on colour's pixels. T_color_depth: 4x4.
        skipped: depth images without a colour image or a pose.

    Raises:
        InputError: no such folder or files, lines that are none, images missing, of another size or cut short, no
            intrinsics known.
    """

    odometry = None

    def __init__(
        self, folder: str | Path, max_frames: int | None = None, calibration: Calibration | None = None
    ) -> None:
        self.folder, calibration = Path(folder), calibration or Calibration()
        color, depth = (_read_list(self.folder / name) for name in ("rgb.txt", "depth.txt"))
        pairs = pair([stamp for stamp, _ in color], [stamp for stamp, _ in depth])
        if not pairs:
            raise InputError(f"{folder}: no image of rgb.txt is within 0.02 s of one of depth.txt")
        track = _read_truth(self.folder / "groundtruth.txt")
        poses = [None if track is None else track.at(depth[j][0]) for _, j in pairs]
        kept = [n for n, T in enumerate(poses) if track is None or T is not None][:max_frames]
        if not kept:
            raise InputError(f"{self.folder / 'groundtruth.txt'}: tells the pose of no frame; are the stamps others'?")
        self.skipped = len(depth) - len(kept) if max_frames is None else 0
        self.stamps = [depth[pairs[n][1]][0] for n in kept]
        self.poses = None if track is None else [poses[n] for n in kept]
        self._files = [(color[pairs[n][0]][1], depth[pairs[n][1]][1]) for n in kept]
        self._set_cameras(calibration)

    def _set_cameras(self, calibration: Calibration) -> None:
        color, depth = check_headers(self._files, _MEND)
        if calibration.registered and color != depth:
            sizes = f"color is {color[0]}x{color[1]}, depth {depth[0]}x{depth[1]}"
            raise InputError(f"{self.folder}: {sizes}; give the cameras' --calibration")
        values = calibration.color or _known_camera(self.folder, color)
        self.camera = Camera(*color, *values)
        self.T_color_depth = calibration.T_color_depth
        self.depth_camera = None if calibration.registered else Camera(*depth, *(calibration.depth or values))

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> RecordedFrame:
        """Decodes one frame.

        Raises:
            InputError: an image that cannot be decoded.
        """
        color, depth = self._files[index]
        units = read_depth(depth, _MEND)
        metres = units.astype(np.float32) / np.float32(_SCALE)
        metres[units == 0] = np.nan
        T = None if self.poses is None else self.poses[index]
        return RecordedFrame(self.stamps[index], read_color(color, _MEND), metres, T)


def _known_camera(folder: Path, size: tuple[int, int]) -> tuple[float, ...]:
    """Intrinsics by the data set's names: rgbd_dataset_freiburg1_desk, fr2_xyz."""
    match = re.search(r"(?:freiburg|fr)([123])(?!\d)", folder.resolve().name)
    if match is None or size != (640, 480):
        why = f"the images are {size[0]}x{size[1]}" if match else "its name says neither freiburg1, 2 nor 3"
        raise InputError(f"{folder}: the camera is not known ({why}); give --calibration fx,fy,cx,cy")
    return _CAMERAS[match[1]]


def _read_lines(path: Path, columns: int) -> list[tuple[int, list[str]]]:
    """(stamp in ns, words after it) of each line that is no comment."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is it a TUM RGB-D sequence?") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; is it a TUM RGB-D sequence?") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            if len(words) < columns:
                raise ValueError
            found.append((int(Decimal(words[0]) * 1_000_000_000), words[1:]))
        except (ValueError, OverflowError, InvalidOperation):
            raise InputError(f"{path}:{number}: '{line[:40]}' is not a stamp and {columns - 1} more") from None
    return found


def _read_list(path: Path) -> list[tuple[int, Path]]:
    """(stamp in ns, image)."""
    found = [(stamp, path.parent / words[0]) for stamp, words in _read_lines(path, 2)]
    if not found:
        raise InputError(f"{path}: names no image")
    return found


def _read_truth(path: Path) -> Track | None:
    if not path.exists():
        return None
    lines = _read_lines(path, 8)
    try:
        values = np.array([[float(w) for w in words[:7]] for _, words in lines]).reshape(-1, 7)
    except ValueError:
        raise InputError(f"{path}: holds something else than numbers, expected tx ty tz qx qy qz qw") from None
    if not np.isfinite(values).all() or (np.linalg.norm(values[:, 3:], axis=1) < 1e-6).any():
        raise InputError(f"{path}: holds a pose that is none (not finite, or a quaternion of zeros)")
    return Track([stamp for stamp, _ in lines], values[:, :3], values[:, 3:], _LONGEST_GAP)
