"""What every buffer can do (transform messages between frames), and the registry of types. Knows no transforms."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header

NO_WAIT = Duration()


class TypeException(Exception):
    """No function is registered for a type."""

    def __init__(self, errstr: str) -> None:
        super().__init__(errstr)
        self.errstr = errstr


class NotImplementedException(Exception):
    """A buffer class lacks a look-up."""

    def __init__(self) -> None:
        self.errstr = "CanTransform or LookupTransform not implemented"
        super().__init__(self.errstr)


class _Registry:
    """Functions by key; the error text names the key that is missing."""

    def __init__(self) -> None:
        self._functions: dict[Any, Callable] = {}

    def add(self, key: Any, callback: Callable) -> None:
        self._functions[key] = callback

    def get(self, key: Any) -> Callable:
        if key not in self._functions:
            raise TypeException(f"Type {key} is not loaded or supported")
        return self._functions[key]


class TransformRegistration:
    """Functions (object, TransformStamped) -> object by type; one table for the whole process."""

    _table = _Registry()

    def print_me(self) -> None:
        """Print the table."""
        print(self._table._functions)

    def add(self, key: type, callback: Callable[[Any, TransformStamped], Any]) -> None:
        """Register the function that transforms objects of the type."""
        self._table.add(key, callback)

    def get(self, key: type) -> Callable[[Any, TransformStamped], Any]:
        """Return the function for the type; TypeException without one."""
        return self._table.get(key)


class ConvertRegistration:
    """Functions that turn one type into another, directly or by way of a message; tables for the whole process."""

    _from_msg, _to_msg, _direct = _Registry(), _Registry(), _Registry()

    def add_from_msg(self, key: type, callback: Callable) -> None:
        """Register message -> object of the type."""
        self._from_msg.add(key, callback)

    def add_to_msg(self, key: type, callback: Callable) -> None:
        """Register object of the type -> message."""
        self._to_msg.add(key, callback)

    def add_convert(self, key: tuple[type, type], callback: Callable) -> None:
        """Register a direct way from the first type to the second."""
        self._direct.add(key, callback)

    def get_from_msg(self, key: type) -> Callable:
        """Return message -> object; TypeException without one."""
        return self._from_msg.get(key)

    def get_to_msg(self, key: type) -> Callable:
        """Return object -> message; TypeException without one."""
        return self._to_msg.get(key)

    def get_convert(self, key: tuple[type, type]) -> Callable:
        """Return the direct function; TypeException without one."""
        return self._direct.get(key)


def convert(a: Any, b_type: type) -> Any:
    """Return `a` as an object of b_type: directly where registered, else a copy or through its message."""
    registration = ConvertRegistration()
    try:
        direct = registration.get_convert((type(a), b_type))
    except TypeException:
        if type(a) is b_type:
            return deepcopy(a)
        to_msg, from_msg = registration.get_to_msg(type(a)), registration.get_from_msg(b_type)
        return from_msg(to_msg(a))
    return direct(a)


def Stamped(obj: Any, stamp: Time, frame_id: str) -> Any:
    """Give the object a header and return it."""
    obj.header = Header(frame_id=frame_id, stamp=stamp)
    return obj


class BufferInterface:
    """Transforms stamped objects with the look-ups that a subclass brings."""

    def __init__(self) -> None:
        self.registration = TransformRegistration()

    def transform(self, object_stamped, target_frame: str, timeout: Duration = NO_WAIT, new_type: type | None = None):
        """Return the object in the target frame at its own time, waiting up to timeout; as new_type when given."""
        header = object_stamped.header
        apply = self.registration.get(type(object_stamped))
        moved = apply(object_stamped, self.lookup_transform(target_frame, header.frame_id, header.stamp, timeout))
        return moved if new_type is None else convert(moved, new_type)

    def transform_full(
        self,
        object_stamped,
        target_frame: str,
        target_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
        new_type: type | None = None,
    ):
        """Return the object in the target frame as that is at target_time, by way of a frame that stands still."""
        header = object_stamped.header
        apply = self.registration.get(type(object_stamped))
        found = self.lookup_transform_full(
            target_frame, target_time, header.frame_id, header.stamp, fixed_frame, timeout
        )
        moved = apply(object_stamped, found)
        return moved if new_type is None else convert(moved, new_type)

    def lookup_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT):
        """Return T_target_source; a subclass must bring it."""
        raise NotImplementedException()

    def lookup_transform_full(
        self, target_frame, target_time, source_frame, source_time, fixed_frame, timeout: Duration = NO_WAIT
    ):
        """Return T_target_source between two times; a subclass must bring it."""
        raise NotImplementedException()

    def can_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT) -> bool:
        """Return whether the look-up would succeed; a subclass must bring it."""
        raise NotImplementedException()

    def can_transform_full(
        self, target_frame, target_time, source_frame, source_time, fixed_frame, timeout: Duration = NO_WAIT
    ) -> bool:
        """Return whether the look-up between two times would succeed; a subclass must bring it."""
        raise NotImplementedException()
