"""Which recorded frames the benchmarks take. Knows nothing of what they measure."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

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
