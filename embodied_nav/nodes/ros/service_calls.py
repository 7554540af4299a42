"""Calls idempotent services with retries until they answer. Knows nothing of what is asked.

A client discovers a service shortly before the service discovers the client; a response sent in between is lost. So is
the response of a server that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

#: Retry period and overall time-out (s).
AGAIN, PATIENCE = 3.0, 60.0


def ask(
    node: Node,
    client: Client,
    request: Any,
    done: Callable[[Any], None],
    again: float = AGAIN,
    patience: float = PATIENCE,
) -> None:
    """Calls a service until it answers; returns at once.

    Args:
        node: owns the client; its executor runs the retries.
        request: must be idempotent.
        done: called once, in the executor's thread, with the response, or None after ``patience`` seconds without one.
    """
    end = time.monotonic() + patience
    futures: list[Any] = []
    over: list[bool] = []

    def finish(response: Any) -> None:
        if not over:
            over.append(True)
            timer.cancel()
            node.destroy_timer(timer)
            for future in futures:
                client.remove_pending_request(future)
            done(response)

    def send() -> None:
        if time.monotonic() > end:
            finish(None)
            return
        futures.append(client.call_async(request))
        futures[-1].add_done_callback(lambda future: finish(future.result()))

    timer = node.create_timer(again, send, clock=Clock(clock_type=ClockType.STEADY_TIME))
    send()
