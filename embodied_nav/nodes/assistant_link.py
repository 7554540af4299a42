"""What an assistant's tools ask, over ROS: the Robot of ``assistants`` for a graph that others have started.

Calls the action navigate (and its service that cancels all goals), the services memory/query and ask. Subscribes
/diagnostics, control/state, /tf, /tf_static, and for one picture camera/color/image_raw or its compressed form.
Publishes nothing. Knows nothing of protocols, limits and texts.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import rclpy
import tf2_ros
from action_msgs.srv import CancelGoal
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Point
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from embodied_nav.action import Navigate
from embodied_nav.srv import Ask, QueryMemory

from ..assistants import Found, Goal, Health, Picture, Reply
from ..errors import InputError
from ..geometry import yaw_of
from ..robot import RobotProfile
from .navigate import NavigateClient
from .ros import qos, standing
from .ros.conversions import BadMessage, matrix_from_transform
from .ros.optics import COLOR, color_pixels
from .ros.service_calls import ask

T = TypeVar("T")

#: Longest wait (s) for an answer of a service, for an image, for the end of a goal that is cancelled.
_ANSWERING, _SEEING, _CANCELLING = 30.0, 8.0, 10.0
#: After so long (s) a stop is asked for again; as long its end is waited for.
_AGAIN = 0.5
#: Diagnostics come every second: a node that is silent for so long (s) is left out.
_SILENT = 5.0
#: Width (pixels) of a picture, at most, and its JPEG quality.
_WIDTH, _QUALITY = 640, 80
_LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warn"}
_NUMBERS = ("voxels", "objects")


class AssistantLink:
    """A node in a thread of its own.

    Args:
        namespace: of the agent. remappings: topic from -> to. wait: longest time (s) for the reasoner to be found.
    """

    def __init__(self, namespace: str = "", remappings: Mapping[str, str] | None = None, wait: float = 10.0) -> None:
        rules = [word for pair in (remappings or {}).items() for word in ("-r", ":=".join(pair))]
        rclpy.init(args=["--ros-args", *rules] if rules else [], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            f"assistant_{os.getpid()}", namespace=namespace, start_parameter_services=False, enable_rosout=False
        )
        self._wait = wait
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._goal, self._ended = Goal(), Future[Goal]()
        self._client = NavigateClient(self._node, self._decided, self._over)
        self._cancel_all = self._node.create_client(CancelGoal, "navigate/_action/cancel_goal")
        self._query = self._node.create_client(QueryMemory, "memory/query")
        self._ask = self._node.create_client(Ask, "ask")
        self._nodes: dict[str, tuple[float, DiagnosticStatus]] = {}
        self._standing = ""
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._reported, qos.reliable(50))
        self._node.create_subscription(DiagnosticStatus, standing.TOPIC, self._stands, qos.latched())
        self._transforms = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._transforms, self._node)
        self._closing = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the goal that was given here, if it has not ended, and the node. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._goal.state in ("asked", "driving"):
            stopped = self.stop()
            try:
                stopped.result(timeout=_CANCELLING + 1.0)
            except (InputError, TimeoutError):
                self._node.get_logger().error("the goal is not cancelled: use the emergency stop (topic e_stop)")
        self._closing.set()
        self._thread.join(5.0)
        rclpy.try_shutdown()

    # -- what the tools ask (any thread) ---------------------------------------------------------------------------

    def navigate(self, sentence: str) -> Future[Goal]:
        """Sends a goal; done when it has ended. It replaces the one in hand."""
        ended: Future[Goal] = Future()
        self._soon(ended, lambda: self._begin(sentence, ended))
        return ended

    def goal(self) -> Goal:
        """The newest goal, as it stands."""
        return self._goal

    def stop(self) -> Future[int]:
        """Ends all goals, whoever gave them; how many there were, done once none is left."""
        stopped: Future[int] = Future()
        self._soon(stopped, lambda: self._stop(stopped))
        return stopped

    def find(self, description: str) -> Future[tuple[str, tuple[Found, ...]]]:
        """How a description was understood, and the things that fit it, best first."""
        request = QueryMemory.Request(text=description)
        pose = self._pose()
        if pose is not None:
            request.use_near, request.near = True, Point(x=pose[0], y=pose[1])

        def read(answer: QueryMemory.Response) -> tuple[str, tuple[Found, ...]]:
            return answer.message, _things(answer, pose) if answer.success else ()

        return self._asked(self._query, request, read)

    def ask(self, question: str) -> Future[Reply]:
        """An answer in words."""
        request = Ask.Request(text=question)
        pose = self._pose()
        if pose is not None:
            request.use_near, request.near = True, Point(x=pose[0], y=pose[1])
        return self._asked(self._ask, request, lambda a: Reply(a.success, a.answer, a.kind, a.found))

    def health(self) -> Health:
        """How the robot is."""
        now, prefix = time.monotonic(), self._node.get_namespace().strip("/")
        said = {name: status for name, (at, status) in self._nodes.copy().items() if now - at < _SILENT}
        here = {n.removeprefix(prefix).strip("/"): s for n, s in said.items() if n.startswith(prefix)}
        nodes = {name: (_LEVELS.get(s.level, "error"), s.message) for name, s in sorted(here.items())}
        memory = {pair.key: pair.value for s in (here.get("memory"),) if s is not None for pair in s.values}
        numbers = {key: int(memory[key]) for key in _NUMBERS if memory.get(key, "").isdigit()}
        return Health(self._client.ready(), self._pose(), self._standing, nodes, numbers)

    def picture(self) -> Future[Picture]:
        """What the colour camera shows now."""
        taken: Future[Picture] = Future()
        self._soon(taken, lambda: self._look(taken))
        return taken

    # -- in the node's thread ----------------------------------------------------------------------------------------

    def _spin(self) -> None:
        while not self._closing.is_set():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except Exception as error:  # a message that cannot be read must not end the way to stop
                self._node.get_logger().error(f"{type(error).__name__}: {error}")

    def _soon(self, future: Future[Any], work: Callable[[], None]) -> None:
        """Does something in the node's thread; what it raises becomes the future's."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                _fail(future, error)

        self._executor.create_task(guarded)

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        """Does something once, after so many seconds."""

        def once() -> None:
            timer.cancel()
            self._node.destroy_timer(timer)
            work()

        timer = self._node.create_timer(seconds, once, clock=self._steady)

    def _begin(self, sentence: str, ended: Future[Goal]) -> None:
        self._end_goal(False, "replaced by a newer goal")
        self._goal, self._ended = Goal(sentence, "asked"), ended
        self._send(ended, time.monotonic() + self._wait)

    def _send(self, ended: Future[Goal], until: float) -> None:
        """Sends the goal once there is a server; looks again until then."""
        if ended is not self._ended or ended.done():
            return  # replaced or stopped meanwhile
        if self._client.ready():
            self._client.send(self._goal.sentence)
        elif time.monotonic() < until:
            self._later(0.1, lambda: self._send(ended, until))
        else:
            self._goal = replace(self._goal, state="ended", success=False, reason="no agent was found")
            _fail(ended, InputError(self._nobody("reasoner", "navigate")))

    def _decided(self, feedback: Navigate.Feedback) -> None:
        decision = feedback.decision
        goal = replace(self._goal, state="driving", left=feedback.distance, driven=feedback.path_length)
        if decision.options:
            option = decision.options[decision.chosen].text
            goal = replace(goal, option=option, think=decision.think, decisions=decision.id + 1)
        if self._goal.state in ("asked", "driving"):
            self._goal = goal

    def _over(self, success: bool, reason: str, result: Navigate.Result) -> None:
        driven, decisions = max(self._goal.driven, result.path_length), max(self._goal.decisions, result.decisions)
        self._goal = replace(self._goal, driven=driven, decisions=decisions, left=0.0)
        self._end_goal(success, reason)

    def _end_goal(self, success: bool, reason: str) -> None:
        if self._goal.state in ("asked", "driving"):
            self._goal = replace(self._goal, state="ended", success=success, reason=reason)
            if not self._ended.done():
                self._ended.set_result(self._goal)

    def _stop(self, stopped: Future[int]) -> None:
        """Cancels all goals, again until ours has ended: the server may not have answered it yet."""
        if not self._client.sent:
            self._end_goal(False, "stopped before it was sent")
        self._cancel(stopped, time.monotonic() + _CANCELLING, 0)

    def _cancel(self, stopped: Future[int], until: float, count: int) -> None:
        def answered(response: CancelGoal.Response | None) -> None:
            ended = count + (len(response.goals_canceling) if response is not None else 0)
            if response is not None and self._goal.state not in ("asked", "driving"):
                _finish(stopped, ended)
            elif time.monotonic() < until:
                self._later(_AGAIN, lambda: over(ended))
            elif not self._cancel_all.service_is_ready():
                _fail(stopped, InputError(f"{self._nobody('reasoner', 'navigate')}; or use the topic e_stop"))
            else:
                why = "the reasoner does not end its goal" if response is not None else "the reasoner does not answer"
                _fail(stopped, InputError(f"{why}: use the emergency stop (topic e_stop)"))

        def over(ended: int) -> None:
            if self._goal.state in ("asked", "driving"):
                self._cancel(stopped, until, ended)
            else:
                _finish(stopped, max(ended, 1))

        left = max(until - time.monotonic(), _AGAIN)
        ask(self._node, self._cancel_all, CancelGoal.Request(), answered, _AGAIN, left)

    def _asked(self, client: Any, request: Any, read: Callable[[Any], T]) -> Future[T]:
        told: Future[T] = Future()

        def done(response: Any) -> None:
            if response is None:
                _fail(told, InputError(self._nobody("memory", client.srv_name)))
            else:
                _finish(told, read(response))

        self._soon(told, lambda: ask(self._node, client, request, done, patience=min(_ANSWERING, 3 * self._wait)))
        return told

    def _look(self, taken: Future[Picture]) -> None:
        """Subscribes until one image came."""
        kinds = ((Image, COLOR), (CompressedImage, f"{COLOR}/compressed"))

        def arrived(message: Image | CompressedImage) -> None:
            if taken.done():
                return
            try:
                _finish(taken, _jpeg(message))
            except BadMessage as error:
                _fail(taken, InputError(f"the camera's image cannot be read: {error}"))
            end()

        def end() -> None:
            _fail(taken, InputError(f"no image on {COLOR} within {_SEEING:.0f} s: is there a camera? see --remap"))
            self._executor.create_task(forget)

        def forget() -> None:
            while subscriptions:
                self._node.destroy_subscription(subscriptions.pop())

        subscriptions = [self._node.create_subscription(kind, topic, arrived, qos.sensor(1)) for kind, topic in kinds]
        self._later(_SEEING, end)

    def _reported(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._nodes[status.name] = (time.monotonic(), status)

    def _stands(self, message: DiagnosticStatus) -> None:
        self._standing = standing.state_of(message).why

    def _pose(self) -> tuple[float, float, float] | None:
        """(x, y, heading) of the robot in map by the newest transforms; None where there are none."""
        robot = RobotProfile()
        try:
            found = self._transforms.lookup_transform(robot.map_frame, robot.base_frame, Time())
        except tf2_ros.TransformException:
            return None
        T = matrix_from_transform(found.transform)
        pose = (float(T[0, 3]), float(T[1, 3]), float(yaw_of(T)))
        return pose if all(math.isfinite(v) for v in pose) else None

    def _nobody(self, node: str, service: str) -> str:
        below = self._node.get_namespace().rstrip("/")
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        return (
            f"no {node} serves {below}/{service.removeprefix(below).lstrip('/')} in ROS domain {domain}: start the "
            "agent (embodied-nav up) with the same ROS_DOMAIN_ID and --namespace"
        )


def _finish(future: Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _things(answer: QueryMemory.Response, pose: tuple[float, float, float] | None) -> tuple[Found, ...]:
    found = []
    rows = zip(answer.objects, answer.scores, answer.ages, answer.reasons, answer.rooms, strict=True)
    for o, score, age, why, room in rows:
        position = (o.position.x, o.position.y, o.position.z)
        away = None if pose is None else math.dist(position[:2], pose[:2])
        found.append(Found(f"{o.color} {o.label}".strip(), position, room, score, age, away, o.status, why))
    return tuple(found)


def _jpeg(message: Image | CompressedImage) -> Picture:
    """The picture of a message, no wider than a model needs.

    Raises:
        BadMessage: it cannot be read.
    """
    import cv2

    pixels = color_pixels(message)
    height, width = pixels.shape[:2]
    if width > _WIDTH:
        height, width = round(height * _WIDTH / width), _WIDTH
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise BadMessage("undecodable", "the image cannot be written as JPEG")
    return Picture(data.tobytes(), width, height)
