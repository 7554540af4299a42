"""Where the shipped files lie (launch, config, rviz). Knows the three ways to install, nothing of the files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError


def share_path(name: str) -> Path:
    """A shipped file or folder by its name from the package's root: ``share_path("config/fastdds.xml")``.

    Looks in the source folder, then in the share folders of ROS prefixes (colcon), then in pip's data folder.

    Raises:
        InputError: it is in none of them.
    """
    folders = list(_share_folders())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    looked = ", ".join(str(f) for f in folders)
    raise InputError(f"{name} is not installed (looked in {looked}); install embodied_nav again")


def _share_folders() -> Iterator[Path]:
    source = Path(__file__).resolve().parent.parent
    if (source / "package.xml").is_file():
        yield source
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix, "share", "embodied_nav")
    yield Path(sys.prefix, "share", "embodied_nav")
