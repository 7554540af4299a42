"""Completes an empty environment so that ROS 2 can start in it. Knows nothing of the subcommands."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def complete_environment() -> None:
    """Sets variables that rclpy and matplotlib need and a bare environment (cron, ``env -i``, a container) lacks.

    HOME, without which rclpy has no folder for logs and fails; ROS_LOG_DIR if HOME is not writable; and the ament
    prefix of the Python environment that set-up made. Variables that are set are kept.
    """
    home = os.environ.setdefault("HOME", os.path.expanduser("~"))
    if "ROS_LOG_DIR" not in os.environ and "ROS_HOME" not in os.environ and not _writable(Path(home, ".ros", "log")):
        os.environ["ROS_LOG_DIR"] = str(Path(tempfile.gettempdir(), f"embodied_nav-{os.getuid()}", "log"))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # bad images are reported by this package, in one line
    if Path(sys.prefix, "share", "ament_index").is_dir():
        os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)


def _writable(folder: Path) -> bool:
    """Whether the folder exists or can be created, and is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
