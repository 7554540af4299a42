"""Buffer: a BufferCore that can wait for transforms and forgets when time jumps back. Knows nothing of topics."""

import threading
import time as steady
from collections.abc import Callable

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph
from tf2_py import BufferCore

from .buffer_interface import NO_WAIT, BufferInterface


class Buffer(BufferCore, BufferInterface):
    """Stores transforms and answers for any pair of frames.

    Timeouts run on the steady clock, also under simulated time. A call that waits blocks its thread: what feeds the
    buffer (the listener's executor) must spin in another one.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        """Keep cache_time (10 s); with a node also serve `tf2_frames` and follow its clock."""
        BufferCore.__init__(self, cache_time)
        BufferInterface.__init__(self)
        self._news = threading.Condition(self._lock)
        self._waiters: list[Callable[[], None]] = []
        self.clock = Clock() if node is None else node.get_clock()
        if node is not None:
            self.srv = node.create_service(FrameGraph, "tf2_frames", self._frames_service)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def _frames_service(self, request: FrameGraph.Request, response: FrameGraph.Response) -> FrameGraph.Response:
        response.frame_yaml = self.all_frames_as_yaml()
        return response

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget all transforms but the static ones: their stamps lie in a future that will not come."""
        get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform and wake whoever waits for one."""
        super().set_transform(transform, authority)
        self._announce()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform that holds at all times and wake whoever waits for one."""
        super().set_transform_static(transform, authority)
        self._announce()

    def _announce(self) -> None:
        with self._news:
            self._news.notify_all()
            waiters = list(self._waiters)
        # Outside the lock: a future's callbacks may do anything, also come back here.
        for waiter in waiters:
            waiter()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Return T_target_source at the time (0: newest common), waiting for it up to timeout.

        Raises:
            LookupException, ConnectivityException, ExtrapolationException, InvalidArgumentException.
        """
        if timeout.nanoseconds > 0:
            self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> TransformStamped:
        """Return the source frame at source_time seen from the target frame at target_time; see lookup_transform."""
        where = (target_frame, target_time, source_frame, source_time, fixed_frame)
        if timeout.nanoseconds > 0:
            self.can_transform_full(*where, timeout)
        return self.lookup_transform_full_core(*where)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool:
        """Return whether the look-up succeeds within timeout; with return_debug_tuple (1 or 0, why not)."""
        result = self._wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool:
        """Return whether the look-up between two times succeeds within timeout."""
        where = (target_frame, target_time, source_frame, source_time, fixed_frame)
        result = self._wait(lambda: self.can_transform_full_core(*where), timeout)
        return result if return_debug_tuple else result[0]

    def _wait(self, check: Callable[[], tuple[int, str]], timeout: Duration) -> tuple[int, str]:
        """Run the check at every new transform until it succeeds or the time is up; return its last result."""
        result = check()
        if result[0] or timeout.nanoseconds <= 0:
            return result
        deadline = steady.monotonic() + timeout.nanoseconds * 1e-9
        with self._news:
            while not (result := check())[0]:
                remaining = deadline - steady.monotonic()
                if remaining <= 0.0:
                    break
                self._news.wait(remaining)
        return result

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """Return T_target_source as soon as there is one."""
        return await self.wait_for_transform_async(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self, target_frame: str, target_time: Time, source_frame: str, source_time: Time, fixed_frame: str
    ) -> TransformStamped:
        """Return the transform between two times as soon as there is one."""
        return await self.wait_for_transform_full_async(
            target_frame, target_time, source_frame, source_time, fixed_frame
        )

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future of the transform."""
        where = (target_frame, source_frame, time)
        return self._promise(
            lambda: self.can_transform_core(*where)[0] and self.lookup_transform_core(*where),
        )

    def wait_for_transform_full_async(
        self, target_frame: str, target_time: Time, source_frame: str, source_time: Time, fixed_frame: str
    ) -> Future:
        """Return a future of the transform between two times."""
        where = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._promise(
            lambda: self.can_transform_full_core(*where)[0] and self.lookup_transform_full_core(*where),
        )

    def _promise(self, attempt: Callable[[], TransformStamped | int]) -> Future:
        """Return a future that is set by the first attempt that brings a transform; one attempt at every new one."""
        future = Future()

        def try_now() -> None:
            if future.done():
                return
            try:
                found = attempt()
            except Exception as error:
                future.set_exception(error)
                return
            if found:
                future.set_result(found)

        def forget(_: Future) -> None:
            with self._lock:
                if try_now in self._waiters:
                    self._waiters.remove(try_now)

        # Listen first, then look: a transform that arrives between the two is not missed.
        with self._lock:
            self._waiters.append(try_now)
        future.add_done_callback(forget)
        try_now()
        return future
