"""Refuses to shadow the real packages; everything else is in pyproject.toml."""

import importlib.machinery
import os
import sys
from pathlib import Path

from setuptools import setup

MODULES = {
    "message_filters": "message_filters",
    "tf2_py": "tf2_py",
    "tf2_ros": "tf2_ros_py",
    "tf_transformations": "tf_transformations",
}


def is_stand_in(module: Path) -> bool:
    """Return whether the file is one of ours: their first lines say so."""
    return module.read_text(encoding="utf-8", errors="replace").startswith('"""Stand-in')


def real_packages() -> list[str]:
    """Return where real packages lie: on Python's path, or (a build may hide that) in a sourced ROS prefix."""
    found = []
    for module, package in MODULES.items():
        spec = importlib.machinery.PathFinder.find_spec(module)
        if spec is not None and spec.origin and not is_stand_in(Path(spec.origin)):
            found.append(spec.origin)
        for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
            manifest = Path(prefix, "share", package, "package.xml")
            if manifest.is_file():
                found.append(str(manifest))
    return found


if real := real_packages():
    sys.exit(
        "embodied-nav-ros-compat stands in for ROS packages that this machine has "
        f"({', '.join(real)}): there is nothing to install."
    )
setup()
