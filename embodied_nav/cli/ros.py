"""Checks whether ROS 2 is installed before anything that needs it starts. Imports none of it."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Library:
    """An importable library; ``apt``: its package on a ROS machine, ``extra``: the setup.py extra that installs it."""

    module: str
    why: str
    apt: str = ""
    extra: str = ""


ROS = (
    Library("rclpy", "nodes", "ros-jazzy-rclpy"),
    Library("sensor_msgs.msg", "messages", "ros-jazzy-sensor-msgs"),
    Library("nav_msgs.msg", "messages", "ros-jazzy-nav-msgs"),
    Library("visualization_msgs.msg", "messages", "ros-jazzy-visualization-msgs"),
    Library("diagnostic_msgs.msg", "messages", "ros-jazzy-diagnostic-msgs"),
    Library("std_srvs.srv", "services", "ros-jazzy-std-srvs"),
    Library("embodied_nav.msg", "our messages, built by colcon"),
    Library("embodied_nav.action", "our action, built by colcon"),
    Library("tf2_msgs.msg", "transforms", "ros-jazzy-tf2-msgs"),
    Library("tf2_ros", "transforms", "ros-jazzy-tf2-ros-py"),
    Library("message_filters", "colour and depth by stamp", "ros-jazzy-message-filters"),
)


def add_composed(parser: argparse.ArgumentParser) -> None:
    """Declares ``--composed`` and ``--no-composed``."""
    parser.add_argument(
        "--composed",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="slam, keyframe, perception and memory in one process, or each in its own (default: one)",
    )


def require_ros() -> None:
    """Raises without ROS 2 or without this package's messages.

    Raises:
        InputError: names what is missing and the two ways to get it.
    """
    missing = [name for name in dict.fromkeys(_wanted(library.module) for library in ROS) if not _is_there(name)]
    if missing:
        raise InputError(
            f"needs ROS 2, and this Python lacks {', '.join(missing)}: run 'make setup' in a clone of embodied_nav and "
            "use its .venv/bin/embodied-nav, or build the package on a machine with ROS 2 Jazzy (README.md) and "
            "source its install/setup.bash"
        )


def _wanted(module: str) -> str:
    """The module to check: of a ROS package the top-level one; of this package the generated part."""
    return module if module.startswith("embodied_nav.") else module.partition(".")[0]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
