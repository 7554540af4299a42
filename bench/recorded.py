"""Which recorded frames the benchmarks take. Knows nothing of what they measure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embodied_nav.frames import RGBDFrame
from embodied_nav.recordings import open_recording

#: Where the tests look for frames, too (test/conftest.py).
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "7scenes-kitchen"


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Declares ``folder``: as given, else what EMBODIED_NAV_KITCHEN names, else :data:`DEFAULT`."""
    default = os.environ.get("EMBODIED_NAV_KITCHEN") or DEFAULT
    parser.add_argument("folder", nargs="?", default=default, type=Path, help="7-Scenes folder (default: %(default)s)")


def are_there(folder: Path) -> bool:
    """Whether there are frames; says it in one line where there are none.

    Raises:
        SystemExit: none in a folder that somebody named.
    """
    if (folder / "camera-intrinsics.txt").is_file():
        return True
    text = f"no recorded frames at {folder}; give a 7-Scenes folder, or name one by EMBODIED_NAV_KITCHEN"
    if folder != DEFAULT:
        raise SystemExit(text)
    print(f"left out: {text}")
    return False


def recorded_frames(folder: Path) -> Iterator[RGBDFrame]:
    """The recorded frames, depth in metres."""
    recording = open_recording(folder)
    for k in range(len(recording)):
        read = recording.read(k)
        depth = read.depth
        if depth.dtype == np.uint16:
            depth = np.where(depth > 0, depth * np.float32(0.001), np.float32(np.nan))
        yield RGBDFrame(read.stamp, recording.camera, read.T_map_camera, read.color, depth)
