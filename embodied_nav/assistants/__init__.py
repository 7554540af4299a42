"""What an assistant (a language model in another program) may do with the robot. Knows no ROS and no algorithm.

It chooses goals and reads answers; it never drives. :mod:`.tools` is all that it can call, :mod:`.robot` all that the
tools can ask of a robot, :mod:`.server` how they are offered over the Model Context Protocol.
"""

from .call_log import CallLog, default_log
from .limits import Limits
from .robot import Found, Goal, Health, Picture, Reply, Robot
from .tools import TOOLS, Result, Tools

__all__ = [
    "TOOLS",
    "CallLog",
    "Found",
    "Goal",
    "Health",
    "Limits",
    "Picture",
    "Reply",
    "Result",
    "Robot",
    "Tools",
    "default_log",
]
