"""Base class of all agent nodes (self-starting lifecycle nodes), and a process's main loop. Knows no particular node.

A node overrides ``configure`` (make publishers, subscriptions and components), ``activate``, ``deactivate`` and
``cleanup``.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, Protocol

import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
from rclpy.action import ActionServer
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.signals import SignalHandlerOptions

from embodied_nav.msg import Progress

from ... import kernels
from ...config import Config, param
from ...errors import InputError
from ...robot import SHARED_SETTINGS, RobotProfile
from . import params, qos
from .conversions import header, stamp_ns
from .diagnostics import Diagnostics
from .shared import Shared

#: The fact in diagnostics that counts kernels missed by the JIT warm-up.
LATE_KERNELS = "kernels made ready late"
#: A node that has not ended this long (s) after the request is killed.
_LAST_RESORT = 2.0
#: What rclpy raises over values of its own parameters (use_sim_time, qos_overrides).
_OF_RCLPY = (ParameterException, InvalidQosOverridesError)


@dataclass(frozen=True)
class NodeConfig(Config):
    """Settings of every agent node."""

    autostart: bool = param(True, "configure and activate without being told by a lifecycle manager")
    lockstep: bool = param(
        False, "wait for each other's progress: slower than a camera, but loses and reorders nothing"
    )
    input_timeout: float = param(0.5, "an input silent for longer is stale", unit="s", low=0.05, high=10.0)
    tf_timeout: float = param(0.2, "longest wait for the transform at an image's stamp", unit="s", low=0.0, high=10.0)
    map_timeout: float = param(
        10.0, "map->odom, where it comes seldom, may be so old: odometry tells what moved since",
        unit="s", low=0.1, high=600.0,
    )  # fmt: skip


class AgentNode(qos.Overridable, LifecycleNode):
    """A lifecycle node with settings, robot profile, diagnostics and a progress topic.

    Attributes:
        settings: those of every node; ``robot``: the shared profile; ``active``: between activate and deactivate.
        shared: resources shared with other nodes of its process.
        failure: the user's mistake because of which configuring failed, or None.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.settings = params.declare(self, NodeConfig)
        self.robot = params.declare(self, RobotProfile, "robot")
        self.diagnostics = Diagnostics(self, self.settings.input_timeout)
        self.shared = Shared()
        self.active = False
        self.failure: InputError | None = None
        self._progress = self.create_publisher(Progress, "progress", self.handover(100))
        self._inputs_done: dict[str, int] = {}
        self._permanent: set[int] = set()
        self._ending = False
        self._unwatch: Callable[[], None] | None = None
        self._undo: list[Callable[[], object]] = []
        self._ready_kernels: set[tuple[str, str]] | None = None
        self.create_timer(1.0, self._count_late_kernels, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._refuse_impossible_transitions()

    # What a node overrides.

    def configure(self) -> None:
        """Makes components, publishers and subscriptions."""

    def activate(self) -> None:
        """Starts acting."""

    def deactivate(self) -> None:
        """Stops acting."""

    def cleanup(self) -> None:
        """Ends threads and saves what must be saved."""

    # What a node uses.

    def handover(self, depth: int = 10) -> QoSProfile:
        """The QoS between the agent's nodes."""
        return qos.handover(self.settings.lockstep, depth)

    def on_release(self, undo: Callable[[], object]) -> None:
        """Registers what undoes a step of ``configure`` that is not a publisher, subscription, service or timer."""
        self._undo.append(undo)

    def report_progress(self, stage: str, stamp: int, taken: bool) -> None:
        """Publishes on the progress topic that the input with this stamp (ns) has been processed."""
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
        """Configures and activates, unless that is left to a lifecycle manager.

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
        """Deactivates and cleans up, whatever the state; pending messages can still be sent afterwards."""
        self._ending = True
        if self.active:
            self.trigger_deactivate()
        if self._configured:
            self.trigger_cleanup()

    _configured = False

    def on_configure(self, state):
        """Lifecycle transition; see :meth:`configure`."""
        self.failure = None
        self._watch_kernels(False)
        self._permanent = {id(entity) for entity in self._entities()}
        try:
            self.configure()
            params.refuse_unknown(self, SHARED_SETTINGS)
        except (InputError, *_OF_RCLPY) as error:
            self.failure = _as_input_error(error)
            if not self.settings.autostart:  # else ``run`` prints this line at the end
                self.get_logger().error(str(self.failure))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.handle_error(error)
            raise
        self._configured = True
        # What the start of other nodes of the process compiles is not late.
        self.shared.when_open(lambda: self._watch_kernels(True))
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
        self.shared.forget(self)
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

    def _watch_kernels(self, on: bool) -> None:
        """Switches the count of late compilations on or off; it is on while the node is ready."""
        if self._unwatch is not None:
            self._unwatch()
        self._unwatch = kernels.watch(lambda kernel: _tell_late(self, kernel)) if on else None
        self._ready_kernels = kernels.signatures() if on else None

    def _count_late_kernels(self) -> None:
        """Counts kernels compiled, or loaded from the cache, after the node was ready: there should be none."""
        if self._ready_kernels is None:
            return
        late = self.diagnostics.facts.get(LATE_KERNELS, 0)
        if kernels.count() > len(self._ready_kernels) + late:
            names = sorted(f"{name}{types}" for name, types in kernels.signatures() - self._ready_kernels)
            self.get_logger().warning(f"made ready only after the node was: {'; '.join(names)[:400]}")
            late = len(names)
        self.diagnostics.facts[LATE_KERNELS] = late

    def _refuse_impossible_transitions(self) -> None:
        """Answers requests for invalid transitions with success=false; rclpy would raise and so end the node."""
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
        """Destroys what ``configure`` made, so that the node can be configured again."""
        self.diagnostics.forget_inputs()
        while self._undo:
            self._undo.pop()()
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
        except InputError as error:
            self.get_logger().error(str(error))
            raise
        except Exception as error:  # rclpy swallows it silently
            self.handle_error(error)
            raise


class Runner(Protocol):
    """What :func:`run_process` runs: a node, or several.

    Attributes:
        finished: True ends the loop. error: an InputError to end with, or None. exit_code: of the process.
    """

    finished: bool
    error: InputError | None
    exit_code: int

    def start(self) -> None:
        """Starts, in the main thread."""

    def spin_once(self, seconds: float) -> None:
        """Runs callbacks for at most so many seconds."""

    def stop(self) -> None:
        """Shuts down in order: publishers are still alive, and pending messages are sent."""


class _Alone:
    """A single node on its executor, in the main thread.

    The node may have ``start()`` and ``stop()``, called while publishers are alive, and a runner's attributes.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._executor = node, SingleThreadedExecutor()
        self._executor.add_node(node)

    def start(self) -> None:
        if hasattr(self._node, "start"):
            self._node.start()
        if not isinstance(self._node, AgentNode):
            kernels.watch(lambda kernel: _tell_late(self._node, kernel))

    def spin_once(self, seconds: float) -> None:
        self._executor.spin_once(timeout_sec=seconds)

    @property
    def finished(self) -> bool:
        return getattr(self._node, "finished", False)

    @property
    def error(self) -> InputError | None:
        return getattr(self._node, "error", None)

    @property
    def exit_code(self) -> int:
        return getattr(self._node, "exit_code", 0)

    def stop(self) -> None:
        if hasattr(self._node, "stop"):
            self._node.stop()
            for _ in range(10):  # send what stopping left pending, such as the result of an aborted goal
                self._executor.spin_once(timeout_sec=0.01)
        self._node.destroy_node()


def run(make: Callable[[], Node], args: list[str] | None = None) -> NoReturn:
    """Runs one node in this process until SIGINT or SIGTERM, and ends the process, see :func:`run_process`."""
    run_process(lambda: _Alone(make()), args)


def run_process(make: Callable[[], Runner], args: list[str] | None = None) -> NoReturn:
    """Runs a process's nodes until SIGINT or SIGTERM, and ends the process.

    It exits without Python's finalization, which can take seconds with compiled kernels loaded.

    Exit status: 0, or 2 if the user must fix something (one line on stderr says what).
    """
    code = _spin(make, args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell_late(node: Node, kernel: str) -> None:
    node.get_logger().warning(f"compiled only now, which its warm-up should have done: {kernel[:200]}")


def _spin(make: Callable[[], Runner], args: list[str] | None) -> int:
    stopping = threading.Event()
    # Until the node has started there is nothing to save, and a Python signal handler would wait for the JIT compiler.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        _init(args)
    except InputError as error:
        return _told(error)
    runner = None
    try:
        runner = _made(make)
        runner.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        while not stopping.is_set() and not runner.finished:
            runner.spin_once(0.1)
        if runner.error is not None:
            raise runner.error
        return runner.exit_code
    except InputError as error:
        return _told(error)
    finally:
        last_resort = threading.Timer(_LAST_RESORT, os._exit, (1,))
        last_resort.daemon = True
        last_resort.start()
        if runner is not None:
            runner.stop()
        rclpy.try_shutdown()
        last_resort.cancel()


def _init(args: list[str] | None) -> None:
    """Starts rclpy.

    Raises:
        InputError: invalid ROS arguments (log level, parameter file, remapping, name).
    """
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except UnknownROSArgsError as error:
        raise InputError(f"there are no such ROS arguments: {error}; see 'ros2 run --help' and docs.ros.org") from None
    except RCLError as error:
        reason = re.sub(r", at \S+:\d+", "", str(error)).removeprefix("failed to initialize rcl: ")
        raise InputError(f"ROS cannot start: {reason}; mend the arguments after --ros-args") from None


def _made(make: Callable[[], Runner]) -> Runner:
    with rclpy_faults():
        return make()


@contextlib.contextmanager
def rclpy_faults() -> Iterator[None]:
    """What is wrong in one of rclpy's own parameters (use_sim_time, qos_overrides) becomes an InputError."""
    try:
        yield
    except _OF_RCLPY as error:
        raise _as_input_error(error) from None


def _as_input_error(error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(f"{' '.join(str(error).split())}; mend it in the parameter file or after --ros-args")


def _told(error: InputError) -> int:
    """Prints what the user must fix; returns the exit code for it."""
    print(f"embodied-nav: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return 2
