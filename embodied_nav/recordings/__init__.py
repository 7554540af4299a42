"""Reads recorded RGB-D sequences frame by frame. Knows nothing of nodes and of what the frames are for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .frame import Calibration, RecordedFrame
from .seven_scenes import SevenScenes
from .topics import Topics

__all__ = ["Calibration", "FORMATS", "RecordedFrame", "Recording", "SevenScenes", "Topics", "found_format",
           "open_recording"]  # fmt: skip

#: What is read.
FORMATS = ("7scenes", "tum", "rosbag2")


class Recording(Protocol):
    """What every reader offers; ``read`` may be called from several threads at once.

    Attributes:
        stamps: of the frames, ns, ascending.
        poses: 4x4 float64 each, map from the colour camera's optical frame; None where the recording tells none.
        odometry: the same by wheel odometry, in odom; None where there is none.
        camera: of the colour images.
        depth_camera: None where depth lies on colour's pixels.
        T_color_depth: 4x4, the depth camera in the colour camera's optical frame.
        skipped: depth images that are no frame: without a colour image, or without a pose where others have one.
    """

    stamps: list[int]
    poses: list[np.ndarray] | None
    odometry: list[np.ndarray] | None
    camera: Camera
    depth_camera: Camera | None
    T_color_depth: np.ndarray
    skipped: int

    def __len__(self) -> int: ...

    def read(self, index: int) -> RecordedFrame: ...


def found_format(folder: str | Path) -> str:
    """The format of a recording, by what lies in its folder.

    Raises:
        InputError: nothing there, or nothing that is known.
    """
    path = Path(folder)
    if path.is_file() and path.suffix in (".db3", ".mcap"):
        return "rosbag2"
    if not path.is_dir():
        raise InputError(f"{folder}: no such folder; give one with a recording (7-Scenes, TUM RGB-D or rosbag2)")
    if (path / "metadata.yaml").exists() or any(path.glob("*.mcap")) or any(path.glob("*.db3")):
        return "rosbag2"
    if (path / "rgb.txt").exists() or (path / "depth.txt").exists():
        return "tum"
    if any(path.glob("frame-*.*")):
        return "7scenes"
    text = "frame-NNNNNN.color.png (7-Scenes), rgb.txt and depth.txt (TUM), metadata.yaml (rosbag2)"
    raise InputError(f"{folder}: holds no recording that is known here; looked for {text}")


def open_recording(
    folder: str | Path,
    format: str = "",
    max_frames: int | None = None,
    calibration: Calibration | None = None,
    topics: Topics | None = None,
) -> Recording:
    """The recording in a folder.

    Args:
        format: one of FORMATS; empty: what is found there.
        topics: of a rosbag2, where names and types do not tell.

    Raises:
        InputError: a format that is not read, or see the format's reader.
    """
    format = format or found_format(folder)
    if format not in FORMATS:
        raise InputError(f"--format {format}: give one of {', '.join(FORMATS)}")
    if topics not in (None, Topics()) and format != "rosbag2":
        raise InputError(f"{folder}: is {format}, which has no topics; leave --color-topic and the like out")
    if format == "7scenes":
        return SevenScenes(folder, max_frames, calibration)
    if format == "tum":
        from .tum import Tum

        return Tum(folder, max_frames, calibration)
    from .rosbag2 import Rosbag2

    return Rosbag2(folder, max_frames, calibration, topics)
