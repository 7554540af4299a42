"""The view node: what runs in the graph, as a page in a browser on this machine. Drives nothing by itself.

Subscribes decision, instruction, plan, odom, /tf, /tf_static, keyframes, semantic_delta, memory/object_list,
memory/corrections, /diagnostics; and only while somebody looks: memory/voxels, memory/voxel_changes or
memory/voxels_by_label, memory/objects, memory/rooms (markers), slam/graph; camera/color/image_raw while a visitor wants
it. Calls, when a visitor asks: the action
navigate (and its cancel), the service ask. Messages are read a few times a second, not as they come.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from action_msgs.srv import CancelGoal
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String, UInt32
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from embodied_nav.action import Navigate
from embodied_nav.msg import Decision, Keyframe, ObjectArray, SemanticDelta
from embodied_nav.srv import Ask

from ..config import Config, param
from ..errors import InputError
from ..frames import MemoryObject, ObjectObservation, RGBDFrame
from ..robot import RobotProfile
from ..view import LivePage, Moment, PageConfig, Wishes
from ..view.panel import PAINTS
from ..view.pictures import encoded
from .navigate import NavigateClient
from .ros import page_messages, params, qos
from .ros.conversions import (
    BadMessage,
    color_array,
    decision_from_msg,
    delta_from_msg,
    keyframe_from_msg,
    matrix_from_pose,
    objects_from_msg,
    path_array,
    stamp_ns,
)
from .ros.lifecycle import run
from .ros.newest import Newest
from .ros.optics import COLOR
from .ros.service_calls import ask

#: Topics that are listened to only while somebody looks, by what the map is painted by.
_CHANGES, _WHOLE, _BY_LABEL = "memory/voxel_changes", "memory/voxels", "memory/voxels_by_label"
_FOR_EYES = ((MarkerArray, "memory/objects"), (MarkerArray, "memory/rooms"), (MarkerArray, "slam/graph"))
#: s: the whole map is asked for so often, since changes do not tell of blocks that became empty.
_WHOLE_PERIOD = 20.0
#: s: patience with the answer to a question, to a stop.
_ASKING, _STOPPING = 15.0, 10.0
#: s without a word of perception, after which keyframes are shown without boxes.
_UNBOXED = 5.0
#: Pictures to look back at are so wide (pixels).
_PAST_WIDTH = 240
#: Priority (nice) below those who drive.
_NICE = 10


@dataclass(frozen=True)
class ViewNodeConfig(Config):
    """Settings of the view node."""

    goals: bool = param(True, "visitors may send the robot somewhere, and stop it")
    why_no_goals: str = param("", "what visitors are told where they may not")
    voxel_size: float = param(0.05, "edge of the memory's voxels", unit="m", low=0.005, high=1.0)


class ViewNode(qos.Overridable, Node):
    """Feeds a page; one thread (the executor's) does everything, visitors' wishes wait in a queue.

    Args:
        next_port: whether a later port will do where the wanted one is taken. options: of the node.
    """

    def __init__(self, next_port: bool = True, **options) -> None:
        super().__init__("view", **options)
        self.config = params.declare(self, ViewNodeConfig)
        self.robot = params.declare(self, RobotProfile, "robot")
        page = params.declare(self, PageConfig, "page")
        params.refuse_unknown(self)
        self.finished, self.exit_code = False, 0
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.page = self._make_page(page, next_port)
        self.page.on_paint = lambda _: self._wishes.put(self._repaint)
        self._newest, self._health = Newest(self), page_messages.NodesHealth()
        self._client = NavigateClient(self, self._on_feedback, self._on_done)
        self._cancel = self.create_client(CancelGoal, "navigate/_action/cancel_goal")
        self._ask = self.create_client(Ask, "ask")
        self._instruction, self._own_goal = "", False
        self._T_map_odom: np.ndarray = np.eye(4)
        self._T_odom_base: np.ndarray | None = None
        self._present: tuple[MemoryObject, ...] = ()
        self._gone: tuple[MemoryObject, ...] = ()
        self._frames: dict[int, RGBDFrame] = {}
        self._boxed_at = -np.inf
        self._ups: list[np.ndarray] = []
        self._looked_at, self._whole_at, self._corrections = False, 0.0, 0
        self._listen()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / page.rate, self._tick, clock=steady)
        self.create_timer(1.0, self._every_second, clock=steady)
        taken = f" (port {page.port} is taken)" if page.port not in (0, self.page.port) else ""
        print(f"view: {self.page.address}{taken}", flush=True)

    def _make_page(self, config: PageConfig, next_port: bool) -> LivePage:
        """The page, with wishes that are done in the executor's thread."""

        def later(do: Callable[..., None]) -> Callable[..., None]:
            return lambda *given: self._wishes.put(lambda: do(*given))

        goals = self.config.goals
        wishes = Wishes(
            go=later(self._go) if goals else None,
            stop=later(self._stop) if goals else None,
            ask=later(self._inquire),
            camera=True,
            why_not=self.config.why_no_goals or ("" if goals else "goals are given elsewhere"),
        )
        title = self.get_namespace().strip("/") or "embodied_nav"
        return LivePage(
            config, wishes, title, self.config.voxel_size, self.robot.footprint_radius, self.robot.height, next_port
        )

    def _listen(self) -> None:
        watch = self._newest.watch
        robot = self.robot
        watch(Decision, "decision", qos.reliable())
        watch(String, "instruction", qos.latched())
        watch(Path, "plan", qos.reliable())
        watch(Odometry, "odom", qos.sensor(1))
        names = tuple(f"{name}\0".encode() for name in (robot.map_frame, robot.odom_frame))
        for topic, profile in (("/tf", qos.reliable(100)), ("/tf_static", qos.latched(100))):
            # Most of TF is of no use here; a look at the bytes tells.
            watch(TFMessage, topic, profile, only=lambda data: all(name in data for name in names))
        watch(Keyframe, "keyframes", qos.reliable(), keep=10)
        watch(SemanticDelta, "semantic_delta", qos.reliable(), keep=10)
        watch(ObjectArray, "memory/object_list", qos.latched())
        watch(UInt32, "memory/corrections", qos.latched())
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, qos.reliable(50))

    # -- a few times a second ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Does what visitors want, hands on what is new, brings the page up to date."""
        while not self._wishes.empty():
            self._wishes.get()()
        self._attend(self.page.visitors > 0)
        for feed in (self._feed_robot, self._feed_goal, self._feed_memory, self._feed_keyframes):
            try:
                feed()
            except (BadMessage, InputError, ValueError) as error:
                self.get_logger().warning(f"not shown: {error}", throttle_duration_sec=5.0)
        if self._looked_at:
            self._feed_map()
            self._feed_camera()
        self.page.update()

    def _attend(self, looked_at: bool) -> None:
        """Begins to listen to what is for eyes only, and ends it when nobody looks any more."""
        if looked_at == self._looked_at:
            return
        self._looked_at = looked_at
        for kind, topic in _FOR_EYES:
            if looked_at:
                self._newest.watch(kind, topic, qos.latched())
            else:
                self._newest.leave(topic)
        self._repaint()

    def _repaint(self) -> None:
        """Listens to the map in the colours that are wanted."""
        for topic in (_CHANGES, _WHOLE, _BY_LABEL):
            self._newest.leave(topic)
        if not self._looked_at:
            return
        if self.page.paint == PAINTS[0]:
            self._newest.watch(PointCloud2, _CHANGES, qos.reliable(5), keep=5)
            self._ask_for_whole()
        else:
            self._newest.watch(PointCloud2, _BY_LABEL, qos.latched())

    def _ask_for_whole(self) -> None:
        """The memory sends a new listener the whole map at once; it is left again when the map came."""
        self._whole_at = time.monotonic()
        self._newest.watch(PointCloud2, _WHOLE, qos.latched())

    def _feed_map(self) -> None:
        for message in self._newest.take(_CHANGES):
            self.page.changed_map(*page_messages.voxels_of(message))
        for topic in (_WHOLE, _BY_LABEL):
            message = self._newest.newest(topic)
            if message is not None:
                self.page.whole_map(*page_messages.voxels_of(message))
                if topic == _WHOLE:
                    self._newest.leave(topic)
        if self.page.paint == PAINTS[0] and time.monotonic() - self._whole_at > _WHOLE_PERIOD:
            self._ask_for_whole()

    def _feed_camera(self) -> None:
        """The camera itself, while a visitor wants it; else the keyframes are shown, with what was recognised."""
        if not self.page.live_camera:
            self._newest.leave(COLOR)
            return
        self._newest.watch(Image, COLOR, qos.sensor(1))
        message = self._newest.newest(COLOR)
        if message is not None:
            with contextlib.suppress(BadMessage):
                self.page.picture(color_array(message))

    def _feed_robot(self) -> None:
        for topic in ("/tf_static", "/tf"):
            for message in self._newest.take(topic):
                T = page_messages.transform_between(message, self.robot.map_frame, self.robot.odom_frame)
                self._T_map_odom = self._T_map_odom if T is None else T
        odometry = self._newest.newest("odom")
        if odometry is not None:
            T = matrix_from_pose(odometry.pose.pose)
            if np.isfinite(T).all():
                self._T_odom_base = T
                self.page.robot(self._T_map_odom @ T)

    def _feed_goal(self) -> None:
        instruction = self._newest.newest("instruction")
        if instruction is not None:
            self._instruction = instruction.data
            self.page.goal(self._instruction, "on the way")
            self.page.decision(None)
        decision = self._newest.newest("decision")
        if decision is not None and decision.options:
            self.page.decision(decision_from_msg(decision))
            if decision.instruction != self._instruction:  # the sentence came before this node
                self._instruction = decision.instruction
                self.page.goal(self._instruction, "on the way")
        plan = self._newest.newest("plan")
        if plan is not None:
            self.page.plan(path_array(plan))

    def _feed_memory(self) -> None:
        objects, markers = self._newest.newest("memory/object_list"), self._newest.newest("memory/objects")
        if objects is not None:
            self._present = tuple(objects_from_msg(objects))
        if markers is not None:
            self._gone = tuple(page_messages.gone_objects(markers))
        if objects is not None or markers is not None:
            here = {o.id for o in self._present}
            self.page.objects((*self._present, *(o for o in self._gone if o.id not in here)))
        rooms, graph = self._newest.newest("memory/rooms"), self._newest.newest("slam/graph")
        if rooms is not None:
            self.page.rooms(page_messages.floors_of(rooms))
        if graph is not None:
            self.page.graph(page_messages.lines_of(graph))
        corrections = self._newest.newest("memory/corrections")
        if corrections is not None and corrections.data != self._corrections:
            self._corrections = corrections.data
            if self._looked_at and self.page.paint == PAINTS[0]:
                self._newest.leave(_WHOLE)
                self._ask_for_whole()  # everything may have moved

    def _feed_keyframes(self) -> None:
        for message in self._newest.take("keyframes"):
            frame = keyframe_from_msg(message).frame
            self._frames[frame.stamp] = frame
            while len(self._frames) > 8:
                self._frames.pop(next(iter(self._frames)))
            self._turn_upright(frame)
            if time.monotonic() - self._boxed_at > _UNBOXED:
                self._show(frame, ())
        for message in self._newest.take("semantic_delta"):
            stamp = stamp_ns(message.header.stamp)
            if stamp not in self._frames:
                continue
            frame, delta = self._frames.pop(stamp), delta_from_msg(message)
            self._boxed_at = time.monotonic()
            self._show(frame, delta.objects)
            if frame.color is not None:
                picture = encoded(frame.color, _PAST_WIDTH)
                self.page.moment(Moment(frame.stamp, frame.T_map_camera, picture, delta.text))

    def _show(self, frame: RGBDFrame, seen: tuple[ObjectObservation, ...]) -> None:
        if frame.color is not None and not self.page.live_camera:
            self.page.picture(frame.color, seen)
        self.page.sight(frame.T_map_camera, frame.camera)

    def _turn_upright(self, frame: RGBDFrame) -> None:
        """A recording's map may lie on its side: cameras are held upright on average."""
        if len(self._ups) < 30:
            self._ups.append(-frame.T_map_camera[:3, 1])
            up = np.mean(self._ups, axis=0)
            if up[2] < 0.9 * np.linalg.norm(up):
                self.page.up(up / np.linalg.norm(up))

    # -- health --------------------------------------------------------------------------------------------------------

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._health.hear(status)

    def _every_second(self) -> None:
        self.page.health(self._health.parts())

    # -- what visitors want --------------------------------------------------------------------------------------------

    def _go(self, sentence: str) -> None:
        if not self._client.ready():
            self.page.tell("no reasoner serves 'navigate': is the agent running?")
            return
        self._own_goal, self._instruction = True, sentence.strip()
        self.page.goal(self._instruction, "sent")
        self._client.send(self._instruction)

    def _stop(self) -> None:
        if not self._cancel.service_is_ready():
            self.page.tell("no reasoner answers: use the emergency stop (topic e_stop)")
            return
        self.page.tell("stopping")
        ask(self, self._cancel, CancelGoal.Request(), self._stopped, 1.0, _STOPPING)  # no id, no stamp: all goals

    def _stopped(self, answer: CancelGoal.Response | None) -> None:
        if answer is None:
            self.page.tell("the reasoner does not answer: use the emergency stop (topic e_stop)")
        elif not self._own_goal:
            self.page.tell("stopped" if answer.goals_canceling else "there was no goal")

    def _inquire(self, question: str) -> None:
        if not self._ask.service_is_ready():
            self.page.answer("nobody answers: is the memory node running?")
            return
        request = Ask.Request(text=question.strip())
        if self._T_odom_base is not None:
            x, y, z = (self._T_map_odom @ self._T_odom_base)[:3, 3]
            request.use_near, request.near.x, request.near.y, request.near.z = True, float(x), float(y), float(z)
        self.page.answer("...")
        ask(self, self._ask, request, self._answered, 3.0, _ASKING)

    def _answered(self, answer: Ask.Response | None) -> None:
        self.page.answer("no answer: is the memory node running?" if answer is None else answer.answer)

    def _on_feedback(self, feedback: Navigate.Feedback) -> None:
        driven, left = feedback.path_length, feedback.distance
        self.page.goal(self._instruction, f"on the way: {driven:.1f} m driven, {left:.1f} m of the plan left")

    def _on_done(self, success: bool, reason: str, _: Navigate.Result) -> None:
        self._own_goal = False
        self.page.goal(self._instruction, f"{'arrived' if success else 'ended'}: {reason}")

    def stop(self) -> None:
        """Ends the page; a goal that was sent from it is cancelled: nobody watches it any more."""
        if self._own_goal:
            self._client.cancel()
        self.page.close()


def show(host: str, port: int, namespace: str, next_port: bool) -> None:
    """Serves the page of a running graph until Ctrl-C.

    Raises:
        InputError: the port is taken, or the address is not of this machine.
    """
    overrides = [Parameter("page.host", value=host), Parameter("page.port", value=port)]
    run(lambda: ViewNode(next_port, namespace=namespace, parameter_overrides=overrides), [])


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process, behind those who drive."""
    os.nice(_NICE)
    return run(ViewNode, args)


if __name__ == "__main__":
    sys.exit(main())
