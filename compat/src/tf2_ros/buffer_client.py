"""The client of a transform server (action LookupTransform). Keeps no transforms itself."""

import threading
import warnings

import builtin_interfaces.msg
from geometry_msgs.msg import TransformStamped
from rclpy.action.client import ActionClient
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error
from tf2_py import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)

from .buffer_interface import NO_WAIT, BufferInterface

_PADDING = Duration(seconds=2.0)
_EXCEPTIONS = {
    TF2Error.LOOKUP_ERROR: LookupException,
    TF2Error.CONNECTIVITY_ERROR: ConnectivityException,
    TF2Error.EXTRAPOLATION_ERROR: ExtrapolationException,
    TF2Error.INVALID_ARGUMENT_ERROR: InvalidArgumentException,
    TF2Error.TIMEOUT_ERROR: TimeoutException,
}


def _as_time(time: Time) -> Time:
    if isinstance(time, builtin_interfaces.msg.Time):
        warnings.warn("Pass rclpy.time.Time: builtin_interfaces.msg.Time is deprecated here.", stacklevel=4)
        return Time.from_msg(time)
    if not isinstance(time, Time):
        raise TypeError("Must pass a rclpy.time.Time object.")
    return time


class BufferClient(BufferInterface):
    """Asks a server for transforms. The node must spin in another thread than the one that asks."""

    def __init__(
        self,
        node: Node,
        ns: str,
        check_frequency: float = 10.0,
        timeout_padding: Duration = _PADDING,
    ) -> None:
        """Ask the server `ns`; a call gives up at its timeout plus timeout_padding.

        check_frequency (Hz) is accepted as in tf2_ros; the answer itself ends the wait here.
        """
        super().__init__()
        self.node = node
        self.action_client = ActionClient(node, LookupTransform, action_name=ns)
        self.check_frequency = check_frequency
        self.timeout_padding = timeout_padding

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Return the server's T_target_source at the time, or raise the server's exception."""
        goal = LookupTransform.Goal(
            target_frame=target_frame,
            source_frame=source_frame,
            source_time=_as_time(time).to_msg(),
            timeout=timeout.to_msg(),
            advanced=False,
        )
        return self._ask(goal)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> TransformStamped:
        """Return the server's transform between two times, or raise the server's exception."""
        goal = LookupTransform.Goal(
            target_frame=target_frame,
            source_frame=source_frame,
            source_time=_as_time(source_time).to_msg(),
            timeout=timeout.to_msg(),
            target_time=_as_time(target_time).to_msg(),
            fixed_frame=fixed_frame,
            advanced=True,
        )
        return self._ask(goal)

    def can_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT) -> bool:
        """Return whether the server has the transform."""
        try:
            self.lookup_transform(target_frame, source_frame, time, timeout)
        except TransformException:
            return False
        return True

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> bool:
        """Return whether the server has the transform between two times."""
        try:
            self.lookup_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        except TransformException:
            return False
        return True

    def _ask(self, goal: LookupTransform.Goal) -> TransformStamped:
        if not self.action_client.server_is_ready():
            raise TimeoutException("The BufferServer is not ready.")
        seconds = (Duration.from_msg(goal.timeout).nanoseconds + self.timeout_padding.nanoseconds) * 1e-9
        handle = self._await(self.action_client.send_goal_async(goal), seconds, "accept the LookupTransform goal")
        if not handle.accepted:
            raise TimeoutException("The BufferServer refused the LookupTransform goal.")
        answer = self._await(handle.get_result_async(), seconds, "answer the LookupTransform goal")
        error = answer.result.error
        if error.error != TF2Error.NO_ERROR:
            raise _EXCEPTIONS.get(error.error, TransformException)(error.error_string)
        return answer.result.transform

    @staticmethod
    def _await(future: Future, seconds: float, what: str):
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(seconds):
            future.cancel()
            raise TimeoutException(f"The BufferServer did not {what} within {seconds:.1f} s.")
        return future.result()

    def destroy(self) -> None:
        """Release the action client."""
        self.action_client.destroy()
