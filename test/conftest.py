"""What all tests share: the recorded kitchen, a ROS domain of their own, reasons for what cannot run here."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest

from embodied_nav.cli.environment import complete_environment

ROOT = Path(__file__).resolve().parent.parent


#: The same examples in every run, so that a red test is red for all; HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
_STDERR = pytest.StashKey[int]()
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure(config: pytest.Config) -> None:
    """An empty environment runs the tests too; pictures are drawn without a display."""
    complete_environment()
    os.environ.setdefault("MPLBACKEND", "Agg")
    config.stash[_STDERR] = os.dup(2)
    os.environ["EMBODIED_NAV_MODELS"] = "/nonexistent/models"  # what the user fetched changes no test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips, with the reason, what this machine lacks."""
    missing = {"gpu": _no_gpu(), "weights": _no_weights(), "ros": _no_ros()}
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _no_gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed (make setup EXTRAS=vlm)"
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


def _no_weights() -> str:
    folder = os.environ.get("EMBODIED_NAV_WEIGHTS", "")
    return "" if folder and Path(folder).is_dir() else "EMBODIED_NAV_WEIGHTS does not name a folder with model weights"


def _no_ros() -> str:
    missing = [name for name in ("rclpy", "tf2_ros") if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed: make setup, or source a ROS 2 workspace" if missing else ""


@pytest.fixture(scope="session")
def real_stderr(pytestconfig: pytest.Config) -> int:
    """File descriptor of the run's standard error, past pytest's capture."""
    return pytestconfig.stash[_STDERR]


@pytest.fixture(scope="session")
def kitchen() -> Path:
    """Folder of real RGB-D frames (7-Scenes format)."""
    given = os.environ.get("EMBODIED_NAV_KITCHEN")
    folder = Path(given) if given else ROOT.parent / "shared" / "data" / "7scenes-kitchen"
    if not (folder / "camera-intrinsics.txt").is_file():
        pytest.skip(f"no recorded frames at {folder}; EMBODIED_NAV_KITCHEN may name a 7-Scenes folder")
    return folder


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free ROS domain, on this machine only, with the shipped DDS profile: what demo and replay run in.

    The environment carries it to the nodes that a test starts; the value is the domain's number.
    """
    from embodied_nav.bringup import local_environment
    from embodied_nav.start_up import GRAPH

    environment = local_environment()
    for name in (GRAPH, "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, environment[name])
    return int(environment["ROS_DOMAIN_ID"])
