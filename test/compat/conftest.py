"""What the tests of the ROS look-alikes share. They run on whatever `import` finds, stand-in or real."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

MODULES = ("message_filters", "tf2_py", "tf2_ros", "tf_transformations")


def origin(module: str) -> str:
    """'real', 'stand-in' or 'missing'."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return "missing"
    return "stand-in" if Path(spec.origin).read_text(encoding="utf-8").startswith('"""Stand-in') else "real"


def pytest_report_header() -> str:
    """Say which ones are tested."""
    return "ROS Python packages: " + ", ".join(f"{name} {origin(name)}" for name in MODULES)


@pytest.fixture(scope="session", autouse=True)
def expected_packages() -> None:
    """COMPAT_EXPECT=real or stand-in: fail when it is the other one that would be tested."""
    expected = os.environ.get("COMPAT_EXPECT")
    if expected:
        assert {name: origin(name) for name in MODULES} == dict.fromkeys(MODULES, expected)


@pytest.fixture
def new_node(ros_domain: int) -> Iterator[Callable]:
    """Factory of nodes, each with a context of its own: between two of them messages go through DDS."""
    import rclpy
    from rclpy.context import Context

    made = []

    def make(name: str, **options):
        context = Context()
        rclpy.init(context=context, domain_id=ros_domain)
        node = rclpy.create_node(name, context=context, **options)
        made.append(node)
        return node

    yield make
    for node in made:
        node.destroy_node()
        rclpy.try_shutdown(context=node.context)


@pytest.fixture
def spin() -> Iterator[Callable]:
    """Function that spins a node in a thread until the test ends."""
    from rclpy.executors import SingleThreadedExecutor

    stop = threading.Event()
    threads = []

    def start(node, executor=None) -> None:
        executor = executor or SingleThreadedExecutor(context=node.context)
        executor.add_node(node)

        def loop() -> None:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.05)
            executor.remove_node(node)
            executor.shutdown()

        threads.append(threading.Thread(target=loop))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
