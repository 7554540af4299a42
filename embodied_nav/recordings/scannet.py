"""Reads ScanNet's exported sequences. Knows nothing of ROS and of how the frames are used.

A folder with ``color/0.jpg``, ``depth/0.png`` (16 bit, mm), ``pose/0.txt`` (4x4, world from camera; -inf where tracking
was lost) and ``intrinsic/intrinsic_color.txt`` and ``intrinsic_depth.txt`` (4x4): colour is larger than depth. Frame n
was taken at n / 30 s.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from .frame import Calibration
from .losses import Losses
from .sequence import Reading
from .seven_scenes import Numbered, complete

#: Folder names by content; exporters differ.
FOLDERS = {
    "color": ("color", "rgb", "image", "images"),
    "depth": ("depth", "depths"),
    "pose": ("pose", "poses"),
}
_MARK = "(?:frame|image|img|color|rgb|depth|pose)?[-_]?"


def part_folder(folder: Path, part: str) -> Path | None:
    """The folder with a recording's colour images, depth images or poses."""
    return next((folder / name for name in FOLDERS[part] if (folder / name).is_dir()), None)


class ScanNet(Numbered):
    """A folder in ScanNet's format.

    Raises:
        InputError: no frames, too many of them damaged, or no intrinsics.
    """

    def __init__(
        self,
        folder: str | Path,
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        reading: Reading | None = None,
    ) -> None:
        path, losses = Path(folder), Losses(str(folder))
        names: dict[int, dict[str, Path]] = {}
        for part in FOLDERS:
            place = part_folder(path, part)
            if place is None:
                raise InputError(f"{folder}: has no folder {part}; a ScanNet sequence has color, depth and pose")
            endings = "txt" if part == "pose" else "png|jpe?g"
            for file in place.iterdir():
                match = re.fullmatch(rf"{_MARK}(\d+)\.({endings})", file.name, re.IGNORECASE)
                if match:
                    names.setdefault(int(match[1]), {})[part] = file
        if not names:
            raise InputError(f"{folder}: color, depth and pose hold no numbered files (0.jpg, 0.png, 0.txt)")
        files = complete(names, path, losses, "frame {}", max_frames)
        super().__init__(folder, files, max_frames, calibration, reading, losses)
