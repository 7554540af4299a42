"""Stand-in for tf2_ros: transform buffer, listener, broadcasters and the client of a transform server."""

# ruff: noqa: F401
# The real package hands on all names of its modules, those that they import included: programs say
# ``from tf2_ros import Duration, TransformStamped``.
import threading
import warnings
from copy import deepcopy
from threading import Thread
from time import sleep
from typing import Any, Callable, List, Optional, Tuple, TypeVar, Union  # noqa: UP035

import builtin_interfaces
import rclpy
import tf2_py as tf2
from geometry_msgs.msg import (
    PointStamped,
    PoseStamped,
    PoseWithCovarianceStamped,
    TransformStamped,
    Vector3Stamped,
)
from rclpy.action.client import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from rclpy.task import Future
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TFMessage
from tf2_msgs.srv import FrameGraph
from tf2_py import (
    BufferCore,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)

from .buffer import Buffer
from .buffer_client import BufferClient
from .buffer_interface import (
    BufferInterface,
    ConvertRegistration,
    NotImplementedException,
    Stamped,
    TransformRegistration,
    TypeException,
    convert,
)
from .static_transform_broadcaster import StaticTransformBroadcaster
from .transform_broadcaster import TransformBroadcaster
from .transform_listener import TransformListener

MsgStamped = PointStamped | PoseStamped | PoseWithCovarianceStamped | Vector3Stamped | PointCloud2
PyKDLType = TypeVar("PyKDLType")
TransformableObject = Union[MsgStamped, PyKDLType]  # noqa: UP007 (| knows no TypeVar of messages)
TransformableObjectType = TypeVar("TransformableObjectType")
FrameGraphSrvRequest = TypeVar("FrameGraphSrvRequest")
FrameGraphSrvResponse = TypeVar("FrameGraphSrvResponse")
LookupTransformGoal = TypeVar("LookupTransformGoal")
LookupTransformResult = TypeVar("LookupTransformResult")
