"""What a person at a terminal says to a running agent: a goal, or stop. Knows nothing of decisions and of the graph.

Calls the action navigate of a graph that others have started. A goal that is interrupted (Ctrl-C) is cancelled first:
the robot does not drive on for somebody who has gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from action_msgs.srv import CancelGoal
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from embodied_nav.action import Navigate

from ..errors import InputError
from .navigate import GoalLines, NavigateClient
from .ros.service_calls import ask

#: Longest wait (s) for the end of a goal that is cancelled.
_CANCELLING = 10.0
#: After so long (s) without an answer it is asked again.
_AGAIN = 1.0


def go(instruction: str, namespace: str = "", wait: float = 10.0) -> bool:
    """Sends a goal and prints a line for each decision until it ends; Ctrl-C cancels it.

    Args:
        instruction: the sentence. namespace: of the agent. wait: longest time (s) for the reasoner to be found.

    Returns:
        Whether the robot stopped at what it was sent to.

    Raises:
        InputError: no reasoner is found. KeyboardInterrupt: by Ctrl-C, once the goal has been cancelled.
    """
    with _joined(namespace) as (node, executor):
        shown = _Shown()
        client = NavigateClient(node, shown.decision, shown.done)
        _until(executor, client.ready, wait)
        if not client.ready():
            raise InputError(_nobody(node, wait))
        client.send(instruction)
        try:
            _until(executor, lambda: shown.over, None)
        except KeyboardInterrupt:
            print("go: cancelling the goal", flush=True)
            _cancel(client, executor, shown)
            raise
        return shown.success


def stop(namespace: str = "", wait: float = 10.0) -> int:
    """Cancels every goal of a running agent.

    Args:
        namespace: of the agent. wait: longest time (s) for the reasoner to be found, and for its answer.

    Returns:
        How many goals were cancelled.

    Raises:
        InputError: no reasoner is found, or none answers.
    """
    with _joined(namespace) as (node, executor):
        client = node.create_client(CancelGoal, "navigate/_action/cancel_goal")
        _until(executor, client.service_is_ready, wait)
        if not client.service_is_ready():
            raise InputError(_nobody(node, wait))
        answers: list[CancelGoal.Response | None] = []
        ask(node, client, CancelGoal.Request(), answers.append, _AGAIN, wait)  # no goal's id, no stamp: all of them
        _until(executor, lambda: answers, wait + 1.0)
        if not answers or answers[0] is None:
            raise InputError(f"the reasoner has not answered for {wait:g} s: use the emergency stop (topic e_stop)")
        return len(answers[0].goals_canceling)


def _cancel(client: NavigateClient, executor: SingleThreadedExecutor, shown: _Shown) -> None:
    """Cancels the goal, again until it has ended: the server may not have answered it yet."""
    end = time.monotonic() + _CANCELLING
    while not shown.over and time.monotonic() < end:
        client.cancel()
        _until(executor, lambda: shown.over, _AGAIN)
    if not shown.over:
        print(f"go: not cancelled after {_CANCELLING:g} s: use the emergency stop (topic e_stop)", flush=True)


class _Shown(GoalLines):
    """Prints what becomes of a goal, and knows when it is over."""

    def __init__(self) -> None:
        began = time.monotonic()
        super().__init__(lambda: time.monotonic() - began)
        self.over = self.success = False

    def done(self, success: bool, reason: str, _: Navigate.Result) -> None:
        """Takes the goal's end."""
        self.over, self.success = True, success
        self.end(success, reason)


@contextmanager
def _joined(namespace: str) -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """A node of this process and its executor, for as long as it is needed."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("terminal", namespace=namespace, start_parameter_services=False)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        yield node, executor
    finally:
        rclpy.try_shutdown()


def _until(executor: SingleThreadedExecutor, done, seconds: float | None) -> None:
    """Lets messages come until something is done, for so long at most."""
    end = None if seconds is None else time.monotonic() + seconds
    while not done() and (end is None or time.monotonic() < end):
        executor.spin_once(timeout_sec=0.1)


def _nobody(node: Node, wait: float) -> str:
    where = f"ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    below = node.get_namespace().rstrip("/")
    return (
        f"no reasoner serves {below}/navigate in {where} within {wait:g} s: start the agent (embodied-nav up) with the "
        "same ROS_DOMAIN_ID and --namespace"
    )
