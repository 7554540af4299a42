"""The reasoner node: the map in, decisions and a plan out. Knows nothing of how decisions are made.

Subscribes memory/occupancy, memory/object_list, memory/corrections (triggers replanning), slam/map (no decision is
made between SLAM's switch to another map and the memory's), odom, touched (nav_msgs/GridCells in odom: obstacles for
the rest of the goal), perception/sight (what it cannot name is not searched for), semantic_delta (where the
policy reads it), control/state (while control halts the robot, nothing is decided and no place is given up),
camera/color/camera_info (what will be in the picture where it stops), /tf, /tf_static, progress (to count keyframes,
and to see whether the memory works).
Publishes decision (embodied_nav/Decision), plan (nav_msgs/Path in map; one pose means "turn to it", an empty path
"stop"), instruction (std_msgs/String, latched), options (markers of the choices, the decision as text), progress,
/diagnostics. Serves the action navigate. Calls ask, where the sentence gives a place a name. The plan is repeated at
least twice a second as a heartbeat: when this node dies, control stops the robot.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import GridCells, Odometry, Path
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from rclpy._rclpy_pybind11 import GoalEvent
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String, UInt32
from visualization_msgs.msg import MarkerArray

from embodied_nav.action import Navigate
from embodied_nav.msg import Decision as DecisionMsg
from embodied_nav.msg import MapIdentity, ObjectArray, Progress
from embodied_nav.msg import SemanticDelta as DeltaMsg
from embodied_nav.srv import Ask

from .. import reasoner
from ..config import Config, param
from ..errors import InputError
from ..frames import MemoryObject, OccupancyGrid
from ..language import named_place
from ..planning import PlanningConfig, path_length
from ..planning.warm_up import warm_up_planner
from ..reasoner import POLICIES, Navigator, NavigatorConfig, NavigatorOutput, OptionConfig, Sight
from .ros import map_identity, markers, params, qos, sight, standing
from .ros.conversions import (
    BadMessage,
    camera_from_msg,
    cells_array,
    decision_msg,
    delta_from_msg,
    grid_from_msg,
    header,
    matrix_from_pose,
    objects_from_msg,
    path_msg,
    stamp_ns,
)
from .ros.goal_progress import GoalProgress
from .ros.lifecycle import AgentNode, run
from .ros.living import Living
from .ros.optics import INFO
from .ros.service_calls import ask
from .ros.tf_lookup import Transforms
from .ros.worker import Worker

#: Time-out (s) of the map, after which the robot is stopped.
_MAP_STALE = 1.0
#: Extra patience (s) of a goal while the memory merges two maps, or is alive but overloaded.
_JOINING = 60.0
#: Longest wait (s) for the memory to keep the name of a place.
_NAMING = 10.0


@dataclass(frozen=True)
class ReasonerNodeConfig(Config):
    """Settings of the reasoner node."""

    policy: str = param("rules", "who decides", choices=POLICIES.names)
    map_patience: float = param(
        15.0, "a goal is aborted after so long without a map (the memory is started again meanwhile); a minute more is "
        "waited for a memory whose process lives",
        unit="s", low=1.0, high=600.0,
    )  # fmt: skip
    standing_patience: float = param(
        120.0, "a goal is aborted, with the reason, when the robot does not get on for so long (ROS time)",
        unit="s", low=5.0, high=3600.0,
    )  # fmt: skip
    feedback_rate: float = param(4.0, "feedback and repeated plans, at least", unit="Hz", low=2.0, high=20.0)


@dataclass
class Goal:
    """The current goal. ``outcome``: (success, reason) once it has ended."""

    handle: ServerGoalHandle
    instruction: str
    accepted_at: float  # s, by the :class:`SilenceClock`
    decisions: int = 0
    keyframes: int = 0
    driven: float = 0.0
    naming: bool = False  # it only gives this place a name, which the memory keeps
    outcome: tuple[bool, str] | None = None


class ReasonerNode(AgentNode):
    """Ticks the navigator on every map, in a worker thread; goals come and go in the executor's thread."""

    def __init__(self) -> None:
        super().__init__("reasoner")

    def configure(self) -> None:
        """Makes policy, navigator and topics."""
        self._config = params.declare(self, ReasonerNodeConfig)
        own = params.declare_table(self, POLICIES).get(self._config.policy)
        policy = reasoner.create(self._config.policy, own)
        settings = params.declare(self, NavigatorConfig, "navigator")
        planning = params.declare(self, PlanningConfig, "planning")
        options = params.declare(self, OptionConfig, "options")
        warm_up_planner(self.robot)
        self._try(Navigator(settings, self.robot, reasoner.create(self._config.policy, own), planning, options))
        beside = POLICIES[self._config.policy].slow and not self.settings.lockstep
        self._navigator = Navigator(settings, self.robot, policy, planning, options, beside=beside)
        self._navigating = threading.Lock()
        self.diagnostics.facts.update(reasoner=policy.name, model=policy.name)
        self._goal: Goal | None = None
        self._objects, self._held_map = ObjectArray(), None
        self._sight = Sight()
        self._living = Living(self)
        self._map_at = self._memory_at = -1e9
        #: Id of the map that SLAM is localised in ("": not announced), and of the map of the newest decisions.
        self._expected_map = self._map_id = ""
        self._plan, self._plan_at, self._plan_length = Path(), 0.0, 0.0
        self._decision = DecisionMsg()
        self._last_xy: np.ndarray | None = None
        self._optics: tuple = ()  # of the camera that the navigator reckons with
        self._getting_on = GoalProgress()
        self._touched: deque[np.ndarray] = deque(maxlen=100)  # in odom, until handed to the navigator
        self._transforms = Transforms(self)
        self._worker = Worker(self._tick, 1, self.handle_error, name="navigator")
        self._make_topics()

    def deactivate(self) -> None:
        """Ends the goal and stops the robot."""
        if self._goal is not None:
            self._goal.outcome = (False, "the reasoner was deactivated")
            self._conclude()

    def cleanup(self) -> None:
        """Ends the threads."""
        self._worker.close()
        self._navigator.close()

    def _try(self, navigator: Navigator) -> None:
        """JIT warm-up: one decision on a synthetic map."""
        data = np.full((80, 80), -1, np.int8)
        data[20:60, 20:60] = 0
        data[30:34, 40] = 100
        plant = MemoryObject(1, "plant", "green", np.array([0.0, -0.4, 0.3]), np.full(3, 0.2), 1.0, 9, 1, 1, 0)
        navigator.reset("find the red sofa")
        for stamp in (1, 2):
            navigator.update(stamp * 1_000_000_000, np.eye(4), OccupancyGrid(data, 0.05, (-2.0, -2.0)), (plant,))

    def _make_topics(self) -> None:
        make = self.create_lifecycle_publisher
        self._plan_out = make(Path, "plan", self.handover())
        self._decision_out = make(DecisionMsg, "decision", qos.reliable())
        self._instruction_out = make(String, "instruction", qos.latched())
        self._options_out = make(MarkerArray, "options", qos.latched())
        self.create_subscription(OccupancyGridMsg, "memory/occupancy", self._map, qos.latched())
        self.create_subscription(ObjectArray, "memory/object_list", self._objects_in, qos.latched())
        self.create_subscription(Odometry, "odom", self._odometry, qos.camera(self.settings.lockstep, 10))
        self.create_subscription(CameraInfo, INFO, self._camera_told, qos.camera(self.settings.lockstep, 1))
        self.create_subscription(GridCells, "touched", self._touch, qos.reliable())
        self.create_subscription(DiagnosticStatus, standing.TOPIC, self._stands, qos.latched())
        self.create_subscription(DiagnosticStatus, sight.TOPIC, self._sees, qos.latched())
        self.create_subscription(Progress, "progress", self._progressed, qos.reliable(100))
        self.create_subscription(MapIdentity, map_identity.TOPIC, self._identified, map_identity.profile())
        if self._navigator.policy.reads:
            self.create_subscription(DeltaMsg, "semantic_delta", self._hear, self.handover())
        self.create_subscription(UInt32, "memory/corrections", self._corrected, qos.latched())
        self.diagnostics.input("memory/occupancy", required=False)
        self._ask_memory = self.create_client(Ask, "ask")
        self._server = ActionServer(
            self,
            Navigate,
            "navigate",
            execute_callback=self._result_of,
            handle_accepted_callback=self._accepted,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._config.feedback_rate, self._heartbeat, clock=steady)
        self.create_timer(0.02, self._conclude, clock=steady)

    # -- goals (executor's thread) -------------------------------------------------------------------------------------

    def _accepted(self, handle: ServerGoalHandle) -> None:
        """A new goal preempts the current one."""
        if self._goal is not None:
            self._goal.outcome = self._goal.outcome or (False, "replaced by a newer goal")
            self._conclude()
        # Not handle.execute(): its callback must return the result, and a waiting coroutine keeps the executor busy.
        handle._update_state(GoalEvent.EXECUTE)
        goal = Goal(handle, handle.request.instruction.strip(), self.diagnostics.silence.now())
        self._goal, self._decision = goal, DecisionMsg()
        self._getting_on.begin()
        try:
            if not self.active:
                raise InputError("the reasoner is not active")
            if handle.request.image.data or handle.request.image.width:
                raise InputError(
                    "the goal has an image, and nobody here can search by picture; give the sentence alone"
                )
            if named_place(goal.instruction):
                self._give_name(goal)
                return
            with self._navigating:
                self._touched.clear()
                known = objects_from_msg(self._objects)
                self._navigator.reset(goal.instruction, {o.label for o in known}, known)
            if refused := self._unseen():
                raise InputError(refused)
        except (InputError, BadMessage) as error:
            goal.outcome = (False, str(error))
            return
        self._instruction_out.publish(String(data=goal.instruction))
        self.get_logger().info(f"goal: {goal.instruction}")

    def _give_name(self, goal: Goal) -> None:
        """Lets the memory keep where the robot stands; the goal ends with its answer."""
        goal.naming = True

        def kept(answer: Ask.Response | None) -> None:
            silent = "the memory does not answer: the place is not kept; is the memory node running?"
            outcome = (False, silent) if answer is None else (answer.success, answer.answer)
            goal.outcome = goal.outcome or outcome

        ask(self, self._ask_memory, Ask.Request(text=goal.instruction), kept, patience=_NAMING)

    def _conclude(self) -> None:
        """Sends the result of a goal that has ended, and stops the robot."""
        goal = self._goal
        if goal is None:
            return
        if goal.outcome is None and goal.handle.is_cancel_requested:
            goal.outcome = (False, "cancelled")
        if goal.outcome is None:
            return
        self._goal = None
        self._stand()
        self._server.notify_execute(goal.handle, lambda handle: self._result_of(handle, goal))

    def _result_of(self, handle: ServerGoalHandle, goal: Goal | None = None) -> Navigate.Result:
        outcome = goal.outcome if goal is not None else None
        success, reason = outcome or (False, "the goal is not in hand")
        if success:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        result = Navigate.Result(success=success, reason=reason)
        if goal is not None:
            result.path_length, result.decisions, result.keyframes = goal.driven, goal.decisions, goal.keyframes
        return result

    def _heartbeat(self) -> None:
        """Sends feedback, repeats the plan, and handles a missing map."""
        goal = self._goal
        if goal is None or not self.active:
            return
        goal.outcome = goal.outcome or self._hopeless()
        if goal.outcome is not None:
            return
        silent = self.diagnostics.silence.now() - max(self._map_at, goal.accepted_at)
        if self.settings.lockstep:
            silent = 0.0
        joining, lives = not self._is_of_here(self._objects), self._living.lives("memory")
        # A memory that reports progress on frames is not overloaded: it gets no frame that it could fuse.
        busy = lives and self.diagnostics.silence.now() - self._memory_at > _MAP_STALE
        there = f" of map {self._expected_map}" * joining
        if silent > self._config.map_patience + _JOINING * (joining or busy):
            why = "the memory node lives, see what it says on /diagnostics" if lives else "is the memory node running?"
            goal.outcome = (False, f"no memory/occupancy{there} for {silent:.0f} s: {why}")
            return
        if silent > _MAP_STALE:
            who = "waiting for the memory node, which lives" if lives else "the memory node does not live"
            self.diagnostics.errors["map"] = f"no memory/occupancy{there} for {silent:.1f} s: standing, {who}"
            self._stand()
        else:
            self.diagnostics.errors.pop("map", None)
            if time.monotonic() - self._plan_at > 0.5 / self._config.feedback_rate and not self.settings.lockstep:
                self._plan_out.publish(self._plan)
        feedback = Navigate.Feedback(decision=self._decision, distance=self._plan_length, path_length=goal.driven)
        feedback.keyframes = goal.keyframes
        goal.handle.publish_feedback(feedback)

    def _hopeless(self) -> tuple[bool, str] | None:
        """The outcome of a goal without progress (the base is dead, or the robot is held for too long), else None."""
        seconds = self._getting_on.waits(self.get_clock().now().nanoseconds, self._last_xy)
        state = self._getting_on.state
        if state.dead:
            return (False, state.dead)
        if seconds <= self._config.standing_patience:
            return None
        return (False, f"the robot has not got on for {seconds:.0f} s: {state.why or 'control does not say why'}")

    def _stands(self, message: DiagnosticStatus) -> None:
        waited = self._getting_on.hear(standing.state_of(message), self.get_clock().now().nanoseconds)
        if waited:
            with self._navigating:
                self._navigator.waited(waited)

    def _sees(self, message: DiagnosticStatus) -> None:
        """Perception tells what it can name; a goal that it makes vain ends, as when it starts after the goal."""
        self._sight = Sight(*sight.sight_of(message))
        if self._goal is not None and not self._goal.naming and (refused := self._unseen()):
            self._goal.outcome = self._goal.outcome or (False, refused)

    def _unseen(self) -> str:
        """Why the instruction in hand would be followed in vain, "" where it would not."""
        instruction = self._navigator.instruction
        remembered = {o.label for o in self._objects.objects}
        return "" if instruction is None else self._sight.refusal(instruction, remembered)

    def _stand(self) -> None:
        self._plan_length = 0.0
        self._publish_plan(Path(header=header(self.get_clock().now().nanoseconds, self.robot.map_frame)))

    # -- inputs (executor's thread) ------------------------------------------------------------------------------------

    def _odometry(self, message: Odometry) -> None:
        T = matrix_from_pose(message.pose.pose)
        if not np.isfinite(T).all():
            return
        if self._goal is not None and self._last_xy is not None:
            self._goal.driven += float(np.linalg.norm(T[:2, 3] - self._last_xy))
        self._last_xy = T[:2, 3]

    def _camera_told(self, message: CameraInfo) -> None:
        """Tells the navigator the camera's intrinsics, once and whenever they change."""
        optics = (message.width, message.height, *message.k, *message.p)
        if optics == self._optics:
            return
        self._optics = optics
        try:
            self._navigator.facing.look_through(camera_from_msg(message))
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))

    def _touch(self, message: GridCells) -> None:
        try:
            if message.header.frame_id != self.robot.odom_frame:
                raise BadMessage("cells", f"touched is in '{message.header.frame_id}', not in {self.robot.odom_frame}")
            self._touched.append(cells_array(message))
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))

    def _corrected(self, _: UInt32) -> None:
        """Keyframes were moved: replan on the next map, since the plan is based on the uncorrected one."""
        with self._navigating:
            self._navigator.replan()

    def _hear(self, message: DeltaMsg) -> None:
        try:
            self._navigator.hear(delta_from_msg(message))
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))

    def _identified(self, message: MapIdentity) -> None:
        """SLAM has switched to another map: until the memory follows, its map and the robot's pose do not match.

        A new map that a restarted SLAM begins has no id yet: the memory gives it one.
        """
        self._expected_map = message.map_id

    def _progressed(self, message: Progress) -> None:
        if (message.node, message.stage) == ("memory", "frame"):
            self._memory_at = self.diagnostics.silence.now()
        if self._goal is not None and (message.node, message.stage) == ("keyframe", "frame"):
            self._goal.keyframes += message.taken

    def _objects_in(self, message: ObjectArray) -> None:
        self._objects = message
        self._match()

    def _map(self, message: OccupancyGridMsg) -> None:
        if self._is_of_here(self._objects):
            self._map_at = self.diagnostics.silence.now()
        self.diagnostics.input("memory/occupancy").arrived(self.message_age(message))
        self._held_map = message
        self._match()

    def _is_of_here(self, objects: ObjectArray) -> bool:
        """Whether the remembered objects belong to the map that SLAM is localised in."""
        return self._expected_map in ("", objects.map_id)

    def _match(self) -> None:
        """Passes the map to the worker; in lock-step only together with the object list of the same stamp."""
        held = self._held_map
        if held is None or not self.active or not self._is_of_here(self._objects):
            return
        if self.settings.lockstep and held.header.stamp != self._objects.header.stamp:
            return
        self._held_map = None
        self._worker.put((held, self._objects, self._goal))

    # -- deciding (worker's thread) ------------------------------------------------------------------------------------

    def _tick(self, item: tuple[OccupancyGridMsg, ObjectArray, Goal | None]) -> None:
        grid_message, objects, goal = item
        stamp = stamp_ns(grid_message.header.stamp)
        try:
            halted = self._getting_on.halted and not self.settings.lockstep
            empty = not grid_message.data  # a new map without a frame: no options yet
            if (
                goal is not None
                and goal is self._goal
                and goal.outcome is None
                and not (halted or empty or goal.naming)
            ):
                self._advance(goal, stamp, grid_message, objects)
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
        finally:
            if self.settings.lockstep and self._plan.header.stamp != grid_message.header.stamp:
                self._publish_plan(Path(header=grid_message.header))  # the simulator waits for a plan of every map
        self.report_progress("map", stamp, goal is not None)

    def _advance(self, goal: Goal, stamp: int, grid_message: OccupancyGridMsg, objects: ObjectArray) -> None:
        robot = self.robot
        T = self._transforms.in_map(robot.base_frame, stamp)
        if not np.isfinite(T).all():
            raise BadMessage("nan_pose", "the robot's pose is not finite")
        start = time.monotonic()
        with self._navigating:
            if goal is not self._goal or goal.outcome is not None:
                return  # another goal came while waiting for TF
            if objects.map_id != self._map_id:
                # Visited places and those given up are in coordinates of the other map.
                self._map_id = objects.map_id
                self._navigator.restart()
            self._hand_on_touched(stamp)
            out = self._navigator.update(stamp, T, grid_from_msg(grid_message), objects_from_msg(objects))
        seconds = time.monotonic() - start
        self.diagnostics.latency("reasoner").add(seconds)
        if goal is not self._goal or goal.outcome is not None:
            return
        if out.decision is not None:
            self._tell_decision(goal, out, seconds, T)
        self._plan_length = path_length(out.path) if len(out.path) > 1 else 0.0
        self._publish_plan(_plan_msg(out, stamp, robot.map_frame))
        if out.status != "running":
            # If the base never moved, report that: it is why nothing was found.
            unmoved = self._getting_on.state.unmoved if out.status == "failed" else ""
            goal.outcome = (out.status == "stopped", unmoved or out.reason)

    def _hand_on_touched(self, stamp: int) -> None:
        """Passes places touched since the last map to the navigator, with map->odom at the present map's stamp."""
        touched = [self._touched.popleft() for _ in range(len(self._touched))]
        if touched:
            robot = self.robot
            T = self._transforms.in_map(robot.odom_frame, stamp)
            self._navigator.touch(np.vstack(touched), T)

    def _tell_decision(self, goal: Goal, out: NavigatorOutput, seconds: float, T: np.ndarray) -> None:
        assert out.decision is not None
        self._decision = decision_msg(out.decision, goal.instruction, seconds, self.robot.map_frame)
        goal.decisions += 1
        self._decision_out.publish(self._decision)
        self._options_out.publish(markers.decision(out.decision, T[:3, 3], self._decision.header))

    def _publish_plan(self, plan: Path) -> None:
        self._plan, self._plan_at = plan, time.monotonic()
        self._plan_out.publish(plan)


def _plan_msg(out: NavigatorOutput, stamp: int, map_frame: str) -> Path:
    plan = path_msg(out.path, stamp, map_frame)
    if len(plan.poses) == 1:
        half = 0.5 * (out.heading or 0.0)
        plan.poses[0].pose.orientation.z, plan.poses[0].pose.orientation.w = float(np.sin(half)), float(np.cos(half))
    return plan


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(ReasonerNode, args)


if __name__ == "__main__":
    sys.exit(main())
