"""The exceptions of tf2. Knows nothing of buffers or ROS."""


class TransformException(Exception):
    """Base of everything that a look-up can raise."""


class ConnectivityException(TransformException):
    """The two frames are known, but no path joins them."""


class LookupException(TransformException):
    """A frame is not known, or the tree has a loop."""


class ExtrapolationException(TransformException):
    """The path exists, but not at the time asked for."""


class InvalidArgumentException(TransformException):
    """A frame id is empty or begins with a slash."""


class TimeoutException(TransformException):
    """A transform server did not answer in time."""
