"""Graphs that end with the test, and a limit for tests that hang outside Python."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
sys.path.append(str(Path(__file__).parent))  # ros_robot, running_graph

from running_graph import Graph

from embodied_nav.bringup import Process

#: Longest time (s) of a test: pytest's own time-out cannot end one that hangs inside a library.
LONGEST = 900.0


@pytest.fixture(autouse=True)
def _ends(real_stderr: int) -> Iterator[None]:
    """Ends the run with all stacks printed where a test hangs outside Python."""
    faulthandler.dump_traceback_later(LONGEST, exit=True, file=real_stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def start_graph() -> Iterator[Callable[[list[Process]], Graph]]:
    """Starts graphs that end with the test."""
    graphs: list[Graph] = []

    def start(processes: list[Process]) -> Graph:
        graph = Graph(processes)
        graphs.append(graph)
        return graph.__enter__()

    yield start
    for graph in graphs:
        graph.__exit__()
