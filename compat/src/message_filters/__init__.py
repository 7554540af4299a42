"""Stand-in for message_filters: joins messages of several topics by their time stamps, and keeps recent ones.

Knows nothing of what the messages carry but their header.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "Cache", "SimpleFilter", "Subscriber", "TimeSynchronizer"]

_NO_STAMP = (
    "can not use message filters for messages without timestamp information when 'allow_headerless' is disabled. "
    "Enable the constructor's option 'allow_headerless' to give them the ROS time of their arrival."
)


def _as_time(stamp: Any) -> Time:
    return stamp if hasattr(stamp, "nanoseconds") else Time.from_msg(stamp)


def _stamp(msg: Any, allow_headerless: bool, logger: str) -> Time | None:
    """Return the header's stamp, else the ROS time now where that is allowed, else None with a warning."""
    if hasattr(msg, "header") and hasattr(msg.header, "stamp"):
        return _as_time(msg.header.stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(logger).warning(_NO_STAMP)
    return None


class SimpleFilter:
    """The output side of every filter: callbacks that are called with each message or set of messages."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable, tuple]] = {}

    def registerCallback(self, cb: Callable, *args: Any) -> int:
        """Call cb(*messages, *args) at every output; return the number of the connection."""
        conn = len(self.callbacks)
        self.callbacks[conn] = (cb, args)
        return conn

    def signalMessage(self, *msg: Any) -> None:
        """Output: call all callbacks in the order in which they were registered."""
        for cb, args in list(self.callbacks.values()):
            cb(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as the first filter of a chain.

    Takes node, message type and topic by position, as the real one does (it raises IndexError without), and the
    keywords of Node.create_subscription; qos_profile is 10 unless given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node: Node = args[0]
        self.topic: str = args[2]
        kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(*args[1:], self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic's name as it was given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        # Everything else is the subscription's; `sub` itself is missing only while __init__ has not come that far.
        if key == "sub":
            raise AttributeError(key)
        return getattr(self.sub, key)


class Cache(SimpleFilter):
    """Keeps the last cache_size messages in the order of their arrival and passes them on."""

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take messages from the filter."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Store a message, drop the one that came first when full, and pass it on."""
        stamp = _stamp(msg, self.allow_headerless, "message_filters_cache")
        if stamp is None:
            return
        self.cache_times.append(stamp)
        self.cache_msgs.append(msg)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def _select(self, condition: Callable[[Time], bool]) -> list[Any]:
        return [msg for msg, time in zip(self.cache_msgs, self.cache_times, strict=True) if condition(time)]

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the messages with from_stamp <= stamp <= to_stamp."""
        assert from_stamp <= to_stamp
        return self._select(lambda time: from_stamp <= time <= to_stamp)

    def getElemAfterTime(self, stamp: Time) -> Any | None:
        """Return the first message at or after the time, None without one."""
        return next(iter(self._select(lambda time: time >= stamp)), None)

    def getElemBeforeTime(self, stamp: Time) -> Any | None:
        """Return the last message at or before the time, None without one."""
        return next(reversed(self._select(lambda time: time <= stamp)), None)

    def getLastestTime(self) -> Time | None:
        """Return the stamp of the message that came last (the name is spelt so in ROS)."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """Return the stamp of the message that came first."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any | None:
        """Return the first message at or after the latest time."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)


class TimeSynchronizer(SimpleFilter):
    """Outputs one message of every input as soon as all have one with the same stamp.

    Of every input the queue_size messages with the newest stamps wait. Outputs come one at a time, whatever threads
    the inputs come from. A set may complete after a newer one: message_filters from 4.11.10 on drops it, this one does
    not.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        # Reentrant: a callback may feed this filter.
        self.lock = threading.RLock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take messages from the filters; callbacks get them in this order."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in a message and output every set that it completes, oldest first."""
        with self.lock:
            self._store(msg, my_queue, _as_time(msg.header.stamp).nanoseconds)
            for stamp in sorted(set.intersection(*map(set, self.queues))):
                # A callback that fed this filter may have seen to this stamp already.
                if all(stamp in queue for queue in self.queues):
                    self._output([stamp] * len(self.queues))

    def _store(self, msg: Any, queue: dict[int, Any], stamp: int) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _output(self, stamps: Sequence[int]) -> None:
        self.signalMessage(*(queue.pop(stamp) for queue, stamp in zip(self.queues, stamps, strict=True)))


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Outputs one message of every input when their stamps lie less than `slop` seconds apart.

    The set is looked for around each new message, nearest stamps first, so it may be another one than the globally
    best. With allow_headerless, a message without a header gets the ROS time of its arrival.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in a message and output the set that it completes, if any."""
        time = _stamp(msg, self.allow_headerless, "message_filters_approx")
        if time is None:
            return
        stamp, slop = time.nanoseconds, self.slop.nanoseconds
        with self.lock:
            self._store(msg, my_queue, stamp)
            if stamp not in my_queue:
                return
            near = []
            for queue in self.queues:
                if queue is my_queue:
                    near.append([stamp])
                    continue
                near.append(sorted((s for s in queue if abs(s - stamp) <= slop), key=lambda s: abs(s - stamp)))
            for stamps in itertools.product(*near):
                if max(stamps) - min(stamps) < slop:
                    self._output(stamps)
                    return
