"""Reads recorded RGB-D sequences frame by frame. Knows nothing of nodes and of how the frames are used."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .finding import FORMATS, find, found_format
from .frame import Calibration, RecordedFrame, UnusableFrame
from .origin import to_local_origin
from .plausible import check_scale
from .sequence import Reading, Sequence
from .seven_scenes import SevenScenes
from .topics import Topics

__all__ = ["Calibration", "FORMATS", "Reading", "RecordedFrame", "Recording", "SevenScenes", "Topics", "UnusableFrame",
           "found_format", "open_recording"]  # fmt: skip

#: What every reader returns.
Recording = Sequence


def open_recording(
    folder: str | Path,
    format: str = "",
    max_frames: int | None = None,
    calibration: Calibration | None = None,
    topics: Topics | None = None,
    reading: Reading | None = None,
) -> Recording:
    """Opens the recording in a folder, in the only subfolder that has one, or that a given file is part of.

    Args:
        format: one of FORMATS; empty: detected.
        topics: of a bag, if names and types are ambiguous.
        reading: options of reading.

    Raises:
        InputError: an unsupported format, implausible depth, or an error of the format's reader.
    """
    if format and format not in FORMATS:
        raise InputError(f"--format {format}: give one of {', '.join(FORMATS)}")
    place, format = _place(folder, format)
    if topics not in (None, Topics()) and not format.startswith("rosbag"):
        raise InputError(f"{folder}: is {format}, which has no topics; leave --color-topic and the like out")
    recording = _reader(place, format, max_frames, calibration, topics, reading)
    if place != Path(folder):
        recording.notes.insert(0, f"the recording is {place}")
    check_scale(recording)
    to_local_origin(recording)
    recording.notes[:] = dict.fromkeys(recording.notes)
    return recording


def _place(folder: str | Path, format: str) -> tuple[Path, str]:
    """Path and format of a recording; a given format is not checked."""
    if not format:
        return find(folder)
    try:
        place, found = find(folder)
    except InputError:
        return Path(folder), format
    return (place if found == format else Path(folder)), format


def _reader(place, format, max_frames, calibration, topics, reading) -> Recording:
    if format == "7scenes":
        return SevenScenes(place, max_frames, calibration, reading)
    if format == "scannet":
        from .scannet import ScanNet

        return ScanNet(place, max_frames, calibration, reading)
    if format.startswith("rosbag"):
        from .rosbag2 import Rosbag2

        return Rosbag2(place, max_frames, calibration, topics, reading)
    from .tum import Tum

    return Tum(place, max_frames, calibration, reading, format)
