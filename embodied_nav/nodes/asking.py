"""Calls of services that may come twice, asked again until they are answered. Knows nothing of what is asked.

A client finds a service a moment before the service finds the client, and an answer of that moment is lost; so is one
of a server that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

#: How often it is asked again, and for how long (s).
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
        node: that the client belongs to; its executor does the rest.
        request: does the same once and twice.
        done: called once, in the executor's thread, with the response; None where none came for ``patience`` seconds.
    """
    end, futures, over = time.monotonic() + patience, [], []

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
