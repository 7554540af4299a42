"""Completes an empty environment so far that ROS 2 starts in it. Knows nothing of the subcommands."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def complete_environment() -> None:
    """Sets what rclpy and matplotlib need and a bare environment (cron, ``env -i``, a container) lacks.

    HOME, or else rclpy finds no folder for its logs and dies; ROS_LOG_DIR where HOME cannot be written; and the ament
    prefix of the Python environment that set-up made. What is already set stays.
    """
    home = os.environ.setdefault("HOME", os.path.expanduser("~"))
    if "ROS_LOG_DIR" not in os.environ and "ROS_HOME" not in os.environ and not _writable(Path(home, ".ros", "log")):
        os.environ["ROS_LOG_DIR"] = str(Path(tempfile.gettempdir(), f"embodied_nav-{os.getuid()}", "log"))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a bad image is ours to report, in one line
    if Path(sys.prefix, "share", "ament_index").is_dir():
        os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)


def _writable(folder: Path) -> bool:
    """Whether the folder is there, or could be made, and takes files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
