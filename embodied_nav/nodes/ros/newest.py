"""Keeps the newest message of a topic as it came, and reads it only when it is wanted. Knows nothing of what it is.

Reading a message in Python takes longer than its transport: who shows things five times a second need not read fifty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message


class Newest:
    """Subscribes to topics, raw.

    Args:
        node: owns the subscriptions.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: dict[str, deque[bytes]] = {}
        self._kinds: dict[str, type] = {}
        self._subscriptions: dict[str, Any] = {}

    def watch(
        self, kind: type, topic: str, profile: QoSProfile, keep: int = 1, only: Callable[[bytes], bool] | None = None
    ) -> None:
        """Begins to listen.

        Args:
            keep: messages that wait to be read, at most; older ones go. only: messages (serialized) that count.
        """
        if topic in self._subscriptions:
            return
        waiting = self._waiting[topic] = deque(maxlen=keep)

        def take(data: bytes) -> None:
            if only is None or only(data):
                waiting.append(data)

        self._kinds[topic] = kind
        self._subscriptions[topic] = self._node.create_subscription(kind, topic, take, profile, raw=True)

    def leave(self, topic: str) -> None:
        """Ends listening; what waited is forgotten."""
        subscription = self._subscriptions.pop(topic, None)
        if subscription is not None:
            self._node.destroy_subscription(subscription)
            self._waiting[topic].clear()

    def take(self, topic: str) -> list[Any]:
        """The messages that came since the last call, oldest first."""
        waiting, kind = self._waiting.get(topic, deque()), self._kinds.get(topic)
        return [deserialize_message(waiting.popleft(), kind) for _ in range(len(waiting))]

    def newest(self, topic: str) -> Any | None:
        """The newest message that came since the last call, or None."""
        found = self.take(topic)
        return found[-1] if found else None
