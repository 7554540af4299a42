"""Resources that the nodes of one process share, each made once. Knows nothing of what the resources are.

In a process of one node nothing is shared: each resource is the node's own, and messages go by topics alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.parameter import Parameter

from . import qos

T = TypeVar("T")

#: Separator of the nodes' names in the name of the node that subscribes for all of them.
_BETWEEN = "__"
#: How many messages passed within the process are remembered until their DDS copies arrive.
_ECHOES = 100
_PREFIX = f"_inputs{_BETWEEN}"


class Shared:
    """The shared resources of a process.

    Args:
        names: names of the nodes in the process; empty for a single node.
        overrides: parameters that change the QoS of the shared subscriptions.
    """

    def __init__(self, names: Sequence[str] = (), overrides: Sequence[Parameter] = ()) -> None:
        self._names, self._overrides = tuple(names), tuple(overrides)
        self._lock = threading.RLock()
        self._things: dict[Hashable, Any] = {}
        self._listeners: dict[str, list[tuple[Node, Callable[[Any], None]]]] = defaultdict(list)
        self._waiting: list[Callable[[], None]] | None = [] if names else None
        self.host: Node | None = None

    def once(self, key: Hashable, node: Node, make: Callable[[Node], T]) -> T:
        """The shared resource of a key, made on first use.

        Args:
            node: the caller. make: called with the node that is to subscribe: the shared one, or ``node`` if alone.
        """
        if not self._names:
            return make(node)
        with self._lock:
            if key not in self._things:
                self._things[key] = make(self.make_host())
            return self._things[key]

    def make_host(self) -> Node:
        """The node that subscribes for all, made on first use; whoever runs the process must spin it."""
        with self._lock:
            if self.host is None:
                self.host = _InputsNode(_PREFIX + _BETWEEN.join(self._names), self._overrides)
            return self.host

    def when_open(self, action: Callable[[], None]) -> None:
        """Calls ``action`` once all nodes of the process have started; at once if they already have."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(action)
                return
        action()

    def open(self) -> None:
        """All nodes have started: runs the deferred actions, such as subscribing."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
        for action in waiting:
            action()

    def listen(self, topic: str, node: Node, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Registers a callback for messages that other nodes of this process pass on directly before publishing them.

        Returns:
            The callback for the topic's subscription; it drops the DDS copies of messages already received directly.
        """
        if not self._names:
            return callback
        echoes: deque[Any] = deque(maxlen=_ECHOES)
        lock = threading.Lock()

        def told(message: Any) -> None:
            with lock:
                echoes.append(message)
            callback(message)

        def arrived(message: Any) -> None:
            with lock:
                if message in echoes:
                    echoes.remove(message)
                    return
            callback(message)

        self._listeners[topic].append((node, told))
        return arrived

    def tell(self, topic: str, message: Any) -> None:
        """Passes a message directly to the listeners in this process, in the calling thread."""
        for _, callback in tuple(self._listeners[topic]):
            callback(message)

    def forget(self, node: Node) -> None:
        """Removes a node's callbacks."""
        for topic, found in self._listeners.items():
            self._listeners[topic] = [entry for entry in found if entry[0] is not node]


def nodes_behind(name: str) -> tuple[str, ...]:
    """The nodes that receive messages through a node of this name: itself, or those that share it."""
    return tuple(name.removeprefix(_PREFIX).split(_BETWEEN)) if name.startswith(_PREFIX) else (name,)


class _InputsNode(qos.Overridable, Node):
    """Holds the subscriptions shared by several nodes."""

    def __init__(self, name: str, overrides: Sequence[Parameter]) -> None:
        super().__init__(
            name,
            parameter_overrides=[*overrides, Parameter("start_type_description_service", value=False)],
            start_parameter_services=False,
            enable_rosout=False,
        )
