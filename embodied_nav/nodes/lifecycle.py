"""The base of all agent nodes: a lifecycle node that starts itself, and the loop that runs one in a process.

Knows nothing of any particular node. A node overrides ``configure`` (make publishers, subscriptions and components),
``activate``, ``deactivate`` and ``cleanup``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import ActionServer
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from embodied_nav.msg import Progress

from .. import bringup
from ..config import Config, param
from ..errors import InputError
from ..robot import RobotProfile
from . import params, qos
from .conversions import header, stamp_ns
from .diagnostics import Diagnostics

#: A node that has not ended this long after it was told to is ended the hard way (s).
_LAST_RESORT = 2.0


@dataclass(frozen=True)
class NodeConfig(Config):
    """What every agent node has."""

    autostart: bool = param(True, "configure and activate without being told by a lifecycle manager")
    lockstep: bool = param(
        False, "wait for each other's progress: slower than a camera, but loses and reorders nothing"
    )
    input_timeout: float = param(0.5, "an input silent for longer is stale", unit="s", low=0.05, high=10.0)
    tf_timeout: float = param(0.2, "longest wait for the transform at an image's stamp", unit="s", low=0.0, high=10.0)


class AgentNode(LifecycleNode):
    """A lifecycle node with settings, robot profile, diagnostics and a progress topic.

    Attributes:
        settings: what every node has; ``robot``: the shared profile; ``active``: between activate and deactivate.
        failure: the user's mistake that keeps the node from being configured, or None.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.settings = params.declare(self, NodeConfig)
        self.robot = params.declare(self, RobotProfile, "robot")
        self.diagnostics = Diagnostics(self, self.settings.input_timeout)
        self.active = False
        self.failure: InputError | None = None
        self._progress = self.create_publisher(Progress, "progress", self.handover(100))
        self._inputs_done: dict[str, int] = {}
        self._permanent: set[int] = set()
        self._ending = False
        self._refuse_impossible_transitions()

    # What a node overrides.

    def configure(self) -> None:
        """Makes components, publishers and subscriptions."""

    def activate(self) -> None:
        """Begins to act."""

    def deactivate(self) -> None:
        """Stops to act."""

    def cleanup(self) -> None:
        """Ends threads and saves what must be saved."""

    # What a node uses.

    def handover(self, depth: int = 10) -> QoSProfile:
        """The QoS between the agent's nodes."""
        return qos.handover(self.settings.lockstep, depth)

    def report_progress(self, stage: str, stamp: int, taken: bool) -> None:
        """Says on the progress topic that the input with this stamp (ns) is done."""
        self._inputs_done[stage] = self._inputs_done.get(stage, 0) + 1
        message = Progress(header=header(stamp, ""), node=self.get_name(), stage=stage, taken=taken)
        message.count = self._inputs_done[stage]
        self._progress.publish(message)

    def stamp_age(self, stamp: int) -> float:
        """Seconds of ROS time since a stamp (ns)."""
        return (self.get_clock().now().nanoseconds - stamp) * 1e-9

    def message_age(self, message: object) -> float:
        """Seconds of ROS time since a message's stamp."""
        return self.stamp_age(stamp_ns(message.header.stamp))

    def handle_error(self, error: Exception) -> None:
        """Counts and logs an exception of a worker thread; the node goes on."""
        self.diagnostics.counts["errors"] += 1
        trace = "".join(traceback.format_exception(error))
        self.get_logger().error(f"{type(error).__name__}: {error}\n{trace}", throttle_duration_sec=5.0)

    # Transitions.

    def start(self) -> None:
        """Configures and activates, unless a lifecycle manager is to do it.

        Raises:
            InputError: a setting or file with which the node cannot work.
            SystemExit: anything else went wrong; it has been logged.
        """
        if not self.settings.autostart:
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise self.failure or SystemExit(1)

    def stop(self) -> None:
        """Deactivates and cleans up, whatever the state; what is still to be sent can be sent afterwards."""
        self._ending = True
        if self.active:
            self.trigger_deactivate()
        if self._configured:
            self.trigger_cleanup()

    _configured = False

    def on_configure(self, state):
        """Lifecycle transition; see :meth:`configure`."""
        self.failure = None
        self._permanent = {id(entity) for entity in self._entities()}
        try:
            self.configure()
            params.refuse_unknown(self, bringup.SHARED_SETTINGS)
        except InputError as error:
            self.failure = error
            if not self.settings.autostart:  # else ``run`` ends with this very line
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.handle_error(error)
            raise
        self._configured = True
        return super().on_configure(state)

    def on_activate(self, state):
        """Lifecycle transition; see :meth:`activate`."""
        result = super().on_activate(state)
        self.active = True
        self._guarded(self.activate)
        return result

    def on_deactivate(self, state):
        """Lifecycle transition; see :meth:`deactivate`."""
        self._guarded(self.deactivate)
        self.active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        """Lifecycle transition; see :meth:`cleanup`."""
        self._guarded(self.cleanup)
        self._configured = False
        if not self._ending:
            self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state):
        """Lifecycle transition: cleans up first."""
        if self.active:
            self._guarded(self.deactivate)
            self.active = False
        if self._configured:
            self._guarded(self.cleanup)
            self._configured = False
        return super().on_shutdown(state)

    def _refuse_impossible_transitions(self) -> None:
        """Answers a request for one with success false; rclpy raises out of its executor, which would end the node."""
        service = self._service_change_state
        change = service.callback

        def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, response)
            except RCLError:
                wanted = request.transition.label or request.transition.id
                self.get_logger().warning(
                    f"refused: no transition {wanted} from {self._state_machine.current_state[1]}"
                )
                response.success = False
                return response

        service.callback = answer

    def _entities(self) -> list:
        kinds = (self.waitables, self.publishers, self.subscriptions, self.services, self.clients, self.timers)
        return [entity for kind in kinds for entity in kind]

    def _release(self) -> None:
        """Destroys what ``configure`` has made, so that it can make it anew."""
        self.diagnostics.forget_inputs()
        for server in [w for w in self.waitables if isinstance(w, ActionServer)]:
            server.destroy()
        for kind, destroy in (
            (self.publishers, self.destroy_lifecycle_publisher),
            (self.subscriptions, self.destroy_subscription),
            (self.services, self.destroy_service),
            (self.clients, self.destroy_client),
            (self.timers, self.destroy_timer),
        ):
            for entity in [e for e in kind if id(e) not in self._permanent]:
                destroy(entity)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # rclpy swallows it without a word
            self.handle_error(error)
            raise


def run(make: Callable[[], Node], args: list[str] | None = None) -> NoReturn:
    """Runs one node in this process until SIGINT or SIGTERM, and ends the process.

    It ends without taking the interpreter apart, which can take seconds with compiled kernels in it.

    The node may have ``start()`` and ``stop()``, called in this thread with publishers still alive, and the attributes
    ``finished`` (ends the loop), ``error`` (an InputError to end with) and ``exit_code``.

    Exit status: 0, or 2 where the user must mend something (one line on stderr says what).
    """
    code = _spin(make, args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _spin(make: Callable[[], Node], args: list[str] | None) -> int:
    stopping = threading.Event()
    # Until the node has started there is nothing to save, and a handler in Python would wait for kernels to compile.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = None
    executor = SingleThreadedExecutor()
    try:
        node = make()
        executor.add_node(node)
        if hasattr(node, "start"):
            node.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        while not stopping.is_set() and not getattr(node, "finished", False):
            executor.spin_once(timeout_sec=0.1)
        if getattr(node, "error", None) is not None:
            raise node.error
        return getattr(node, "exit_code", 0)
    except InputError as error:
        print(f"embodied-nav: error: {error}", file=sys.stderr, flush=True)
        return 2
    finally:
        last_resort = threading.Timer(_LAST_RESORT, os._exit, (1,))
        last_resort.daemon = True
        last_resort.start()
        if node is not None:
            if hasattr(node, "stop"):
                node.stop()
                for _ in range(10):  # what stopping has left to be sent: the result of an aborted goal
                    executor.spin_once(timeout_sec=0.01)
            node.destroy_node()
        rclpy.try_shutdown()
        last_resort.cancel()
