"""Reads recorded RGB-D sequences frame by frame. Knows nothing of ROS' nodes and of what the frames are for."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .frame import Calibration, RecordedFrame
from .seven_scenes import SevenScenes

__all__ = ["Calibration", "FORMATS", "RecordedFrame", "SevenScenes", "open_recording"]

#: What is read.
FORMATS = ("7scenes",)


def open_recording(folder: str | Path, format: str, max_frames: int | None = None) -> SevenScenes:
    """The recording in a folder.

    Raises:
        InputError: a format that is not read, or see the format's reader.
    """
    if format != "7scenes":
        raise InputError(f"--format {format}: not read yet; give 7scenes")
    return SevenScenes(folder, max_frames)
