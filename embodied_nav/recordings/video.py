"""Reads plain RGB videos frame by frame. Knows no depth, no poses and nothing of how the frames are used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..frames import RGBDFrame
from ..geometry import Camera

#: Endings of files that are taken for videos.
SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")
#: Frames a second that are looked at (Embodied-R takes 1); assumed horizontal field of view, rad.
RATE, HFOV = 2.0, math.radians(70.0)


def is_video(path: str | Path) -> bool:
    """Whether a path is that of a video, by its ending."""
    return Path(path).suffix.lower() in SUFFIXES


def video_frames(
    path: str | Path, rate: float = RATE, start: float = 0.0, end: float = math.inf, max_frames: int = 0
) -> Iterator[RGBDFrame]:
    """The frames of a video as frames without depth; their poses are NaN, since nobody knows them.

    Args:
        rate: frames a second at most; those in between are passed over.
        start, end: s, of the part that is read. max_frames: at most so many; 0: all.

    Raises:
        InputError: no such file, or one that holds no frame that can be decoded.
    """
    import cv2

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give a video ({', '.join(SUFFIXES)})")
    capture = cv2.VideoCapture(str(path))
    try:
        fps = capture.get(cv2.CAP_PROP_FPS) or 0.0
        fps = fps if 0.1 < fps < 1000.0 else 30.0
        due, given, index = start, 0, -1
        while capture.grab():
            index += 1
            seconds = index / fps
            if seconds > end or (max_frames and given >= max_frames):
                break
            if seconds + 1e-6 < due:
                continue
            there, image = capture.retrieve()
            if not there:
                continue
            due = max(due + 1.0 / rate, seconds)
            given += 1
            color = np.ascontiguousarray(image[..., ::-1])
            camera = Camera.from_hfov(color.shape[1], color.shape[0], HFOV)
            yield RGBDFrame(int(seconds * 1e9) + 1, camera, np.full((4, 4), np.nan), color)
    finally:
        capture.release()
    if not given:
        raise InputError(f"{path}: holds no frame that can be decoded; give a video ({', '.join(SUFFIXES)})")
