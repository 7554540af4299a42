"""BufferCore: the thread-safe store of transforms that speaks ROS messages. Knows nothing of nodes or topics."""

import math
import threading
from contextlib import suppress

from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger
from rclpy.time import Time

from ._cache import seconds_text
from ._errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from ._frame_tree import FrameTree
from ._rigid import IDENTITY, Rigid, canonical, compose, normalised
from ._velocity import twist

__all__ = [
    "BufferCore",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "TimeoutException",
    "TransformException",
]

DEFAULT_CACHE_TIME = 10_000_000_000


def nanoseconds(time, what: str = "time") -> int:
    """Return the ns of a Time or Duration, message or rclpy object; TypeError for anything else."""
    if hasattr(time, "nanoseconds"):
        return time.nanoseconds
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return time.sec * 1_000_000_000 + time.nanosec
    raise TypeError(f"{what} must have sec and nanosec, or nanoseconds.")


def _message(target: str, source: str, transform: Rigid, stamp: int) -> TransformStamped:
    message = TransformStamped()
    header, pose = message.header, message.transform
    header.stamp = TimeMsg(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)
    header.frame_id = target
    message.child_frame_id = source
    translation, rotation = pose.translation, pose.rotation
    translation.x, translation.y, translation.z = transform[:3]
    rotation.x, rotation.y, rotation.z, rotation.w = canonical(*transform[3:])
    return message


class BufferCore:
    """Keeps the transforms of the last `cache_time` (10 s) and answers for any pair of frames within it."""

    def __init__(self, cache_time=None) -> None:
        window = DEFAULT_CACHE_TIME if cache_time is None else nanoseconds(cache_time, "duration")
        self._tree = FrameTree(window)
        self._authorities: dict[str, str] = {}
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Forget all transforms but the static ones."""
        with self._lock:
            self._tree.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform. One that is not valid or too old is logged and ignored."""
        self._set(transform, authority, False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform that holds at all times."""
        self._set(transform, authority, True)

    def _set(self, message: TransformStamped, authority: str, is_static: bool) -> None:
        parent = message.header.frame_id.removeprefix("/")
        child = message.child_frame_id.removeprefix("/")
        stamp = nanoseconds(message.header.stamp)
        t, q = message.transform.translation, message.transform.rotation
        values = (float(t.x), float(t.y), float(t.z), float(q.x), float(q.y), float(q.z), float(q.w))
        if problem := _problem(parent, child, values, authority):
            get_logger("tf2").error(problem)
            return
        transform = values[:3] + normalised(*values[3:])
        with self._lock:
            if self._tree.insert(parent, child, stamp, transform, is_static):
                self._authorities[child] = authority
                return
        get_logger("tf2").warning(
            f"TF_OLD_DATA ignoring data from the past for frame {child} at time {seconds_text(stamp)} "
            f"according to authority {authority}\n"
            "Possible reasons are listed at http://wiki.ros.org/tf/Errors%20explained"
        )

    def lookup_transform_core(self, target_frame: str, source_frame: str, time) -> TransformStamped:
        """Return T_target_source at the time (0: newest common) or raise a TransformException."""
        transform, stamp = self._lookup(target_frame, source_frame, nanoseconds(time))
        return _message(target_frame, source_frame, transform, stamp)

    def lookup_transform_full_core(
        self, target_frame: str, target_time, source_frame: str, source_time, fixed_frame: str
    ) -> TransformStamped:
        """Return the source frame at source_time as seen from the target frame at target_time.

        The fixed frame is the one taken not to move between the two times.
        """
        source_stamp, target_stamp = nanoseconds(source_time), nanoseconds(target_time)
        with self._lock:
            for name, frame in (("target", target_frame), ("source", source_frame), ("fixed", fixed_frame)):
                self._tree.require(frame, f"lookupTransform argument {name}_frame")
            first, _ = self._lookup(fixed_frame, source_frame, source_stamp)
            second, stamp = self._lookup(target_frame, fixed_frame, target_stamp)
        return _message(target_frame, source_frame, compose(second, first), stamp)

    def _lookup(self, target: str, source: str, stamp: int) -> tuple[Rigid, int]:
        tree = self._tree
        with self._lock:
            if target == source:
                return IDENTITY, stamp or tree.latest_stamp(target)
            tree.require(target, "lookupTransform argument target_frame")
            tree.require(source, "lookupTransform argument source_frame")
            return tree.lookup(target, source, stamp)

    def can_transform_core(self, target_frame: str, source_frame: str, time) -> tuple[int, str]:
        """Return (1, '') or (0, why not)."""
        stamp = nanoseconds(time)
        if target_frame == source_frame:
            return 1, ""
        with self._lock:
            for name, frame in (("target", target_frame), ("source", source_frame)):
                if problem := self._tree.why_invalid(frame, f"canTransform argument {name}_frame"):
                    return 0, problem
            return self._can(target_frame, source_frame, stamp)

    def can_transform_full_core(
        self, target_frame: str, target_time, source_frame: str, source_time, fixed_frame: str
    ) -> tuple[int, str]:
        """Return (1, '') or (0, why not) for lookup_transform_full_core's arguments."""
        source_stamp, target_stamp = nanoseconds(source_time), nanoseconds(target_time)
        with self._lock:
            for name, frame in (("target", target_frame), ("source", source_frame), ("fixed", fixed_frame)):
                if problem := self._tree.why_invalid(frame, f"canTransform argument {name}_frame"):
                    return 0, problem
            result = self._can(target_frame, fixed_frame, target_stamp)
            return self._can(fixed_frame, source_frame, source_stamp) if result[0] else result

    def _can(self, target: str, source: str, stamp: int) -> tuple[int, str]:
        try:
            if target != source:
                self._tree.lookup(target, source, stamp)
        except TransformException as error:
            return 0, str(error)
        return 1, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the two frames can be joined (0 when all between is static)."""
        with self._lock:
            self._tree.require(target_frame, "get_latest_common_time")
            self._tree.require(source_frame, "get_latest_common_time")
            try:
                stamp = self._tree.latest_common_stamp(target_frame, source_frame)
            except TransformException as error:
                # The plain base class, as the extension module raises it here.
                raise TransformException(str(error)) from None
        return Time(nanoseconds=stamp)

    def lookupVelocityCore(self, tracking_frame: str, observation_frame: str, time, averaging_interval):
        """Return ((vx, vy, vz), (wx, wy, wz)), m/s and rad/s, of the tracking frame seen from the observation frame."""
        return self.lookupVelocityFullCore(
            tracking_frame, observation_frame, observation_frame, (0, 0, 0), tracking_frame, time, averaging_interval
        )

    def lookupVelocityFullCore(
        self,
        tracking_frame: str,
        observation_frame: str,
        reference_frame: str,
        reference_point: tuple[float, float, float],
        reference_point_frame: str,
        time,
        averaging_interval,
    ):
        """Return the twist of the tracking frame as above, in the reference frame and about the reference point."""
        with self._lock:
            # No common time, no window: the look-ups then say what is missing.
            latest = 0
            with suppress(TransformException):
                if tracking_frame in self._tree and observation_frame in self._tree:
                    latest = self._tree.latest_common_stamp(observation_frame, tracking_frame)
            return twist(
                self._lookup,
                (tracking_frame, observation_frame, reference_frame, reference_point_frame),
                tuple(float(v) for v in reference_point),
                nanoseconds(time),
                nanoseconds(averaging_interval, "duration"),
                latest,
            )

    def all_frames_as_string(self) -> str:
        """Return one sentence a frame."""
        with self._lock:
            return self._tree.describe()

    def all_frames_as_yaml(self) -> str:
        """Return parent, broadcaster, rate (Hz) and buffered times of every frame as YAML."""
        with self._lock:
            frames = [frame for frame in self._tree if self._tree.cache(frame) is not None]
            text = "".join(self._frame_yaml(frame) for frame in frames if self._tree.cache(frame).latest()[1])
            return text if len(list(self._tree)) else "[]"

    def _frame_yaml(self, frame: str) -> str:
        cache = self._tree.cache(frame)
        latest, parent = cache.latest()
        oldest = cache.oldest_stamp()
        rate = len(cache) * 1e9 / max(latest - oldest, 100_000)
        return (
            f"{frame}: \n"
            f"  parent: '{parent}'\n"
            f"  broadcaster: '{self._authorities.get(frame, 'no recorded authority')}'\n"
            f"  rate: {rate:.3f}\n"
            f"  most_recent_transform: {seconds_text(latest)}\n"
            f"  oldest_transform: {seconds_text(oldest)}\n"
            f"  buffer_length: {(latest - oldest) * 1e-9:.3f}\n"
        )

    def _frameExists(self, frame_id: str) -> bool:
        with self._lock:
            return frame_id in self._tree

    def _getFrameStrings(self) -> list[str]:
        with self._lock:
            return list(self._tree)


def _problem(parent: str, child: str, values: Rigid, authority: str) -> str:
    """Return why a transform must be ignored, '' when it is good."""
    if child and child == parent:
        return (
            f'TF_SELF_TRANSFORM: Ignoring transform from authority "{authority}" with frame_id and child_frame_id '
            f'"{child}" because they are the same'
        )
    if not child:
        return f'TF_NO_CHILD_FRAME_ID: Ignoring transform from authority "{authority}" because child_frame_id not set'
    about = f'Ignoring transform for child_frame_id "{child}" from authority "{authority}" because'
    if not parent:
        return f"TF_NO_FRAME_ID: {about} frame_id not set"
    if any(math.isnan(value) for value in values):
        return f"TF_NAN_INPUT: {about} of a nan value in the transform {values[:3]} {values[3:]}"
    # A quaternion of any other length is taken and normalised, as tf2 does on its way to a matrix.
    if not 0.0 < sum(value * value for value in values[3:]) < math.inf:
        return f"TF_DENORMALIZED_QUATERNION: {about} of an invalid quaternion in the transform {values[3:]}"
    return ""
