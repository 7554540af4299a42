"""Runs several nodes in one process: shared inputs, an executor thread each. Knows nothing of what the nodes do.

Each node keeps its own name, parameters, lifecycle, diagnostics and topics. They share the camera's stream and TF (see
``shared``), one interpreter with its libraries, and the compiled kernels. If one of them fails, all of them end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from ...errors import InputError
from .lifecycle import AgentNode, rclpy_faults
from .shared import Shared

#: Python's thread switch interval (s). The default of 5 ms would be added to a frame's latency for every thread that
#: holds the interpreter meanwhile.
_SWITCH = 0.001
#: How long (s) all callbacks together may take to end.
_PATIENCE = 0.5


class Composition:
    """Nodes that run together; see :class:`~.lifecycle.Runner`.

    Args:
        makers: node name -> function that makes it, in the order of starting; they are stopped in reverse order.

    Attributes:
        error: what the user must fix, or None.
    """

    def __init__(self, makers: Mapping[str, Callable[[], AgentNode]]) -> None:
        self.error: InputError | None = None
        self.exit_code = 0
        self._crash: BaseException | None = None
        self._ended, self._stopping = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._nodes = [make() for make in makers.values()]
        self._shared = Shared(tuple(makers), _qos_overrides(self._nodes))
        # Spun from the start: with autostart off, nodes make their subscriptions long after it.
        self._host = self._shared.make_host()
        for node in self._nodes:
            node.shared = self._shared

    @property
    def finished(self) -> bool:
        """Whether a node's callback has raised: then the process ends, as that of a single node would."""
        if self._crash is not None:
            raise self._crash
        return False

    def start(self) -> None:
        """Starts the nodes one after the other, then makes the shared subscriptions."""
        sys.setswitchinterval(_SWITCH)
        for node in self._nodes:
            node.start()
        with rclpy_faults():
            self._shared.open()
        for node in (*self._nodes, self._host):
            self._spin(node)

    def spin_once(self, seconds: float) -> None:
        """Waits; the nodes spin in threads of their own."""
        self._ended.wait(seconds)

    def stop(self) -> None:
        """Stops the nodes, once no callback is running any more, or after :data:`_PATIENCE`."""
        self._stopping.set()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        for node in reversed(self._nodes):
            node.stop()
        for node in reversed(self._nodes):
            node.destroy_node()

    def _spin(self, node: Node) -> None:
        executor = SingleThreadedExecutor()
        executor.add_node(node)

        def loop() -> None:
            try:
                while not self._stopping.is_set():
                    executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                pass
            except BaseException as error:
                self._crash = error
                self._ended.set()

        thread = threading.Thread(target=loop, name=f"spin {node.get_name()}", daemon=True)
        self._threads.append(thread)
        thread.start()


def _qos_overrides(nodes: Iterable[AgentNode]) -> list[Parameter]:
    """The ``qos_overrides`` parameters of all nodes, for the shared subscriptions: the first node's win."""
    found: dict[str, Parameter] = {}
    for node in nodes:
        for name, parameter in node._parameter_overrides.items():
            if name.startswith("qos_overrides."):
                found.setdefault(name, parameter)
    return list(found.values())
