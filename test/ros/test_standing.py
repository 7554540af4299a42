"""Why a robot stands, from control to the end of a goal: with its reason, in bounded time, and never for a pause."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from embodied_nav.bringup import Process
from embodied_nav.frames import Velocity
from embodied_nav.nodes.ros.diagnostics import Input
from embodied_nav.nodes.ros.goal_progress import GoalProgress
from embodied_nav.nodes.ros.standing import State, state_of

pytestmark = pytest.mark.ros

S = 1_000_000_000


def test_what_never_came_is_told_apart_from_what_was_refused():
    watch = Input("camera/color/camera_info", 0.3)
    assert str(watch) == "camera/color/camera_info (never)" and watch.stale
    for _ in range(12):
        watch.came()
    assert str(watch) == "camera/color/camera_info (12 came, none could be used yet)"
    watch.refused("K is\n zero")
    assert str(watch) == "camera/color/camera_info (12 came, refused: K is zero)" and watch.stale
    watch.came()
    watch.used(0.1)
    assert not watch.stale and 0.1 <= watch.age < 0.3
    time.sleep(0.35)
    assert watch.stale and "0.4" in str(watch), "silent after it was good"
    watch.refused("late")
    watch.came()
    assert "14 came, refused: late" in str(watch)


class Teller:
    """A node as far as a StateTeller needs one."""

    def __init__(self):
        self.told = []

    def create_lifecycle_publisher(self, kind, topic, profile):
        return self

    def publish(self, status):
        self.told.append(state_of(status))

    def get_name(self):
        return "control"


def test_control_state_there_and_back():
    from embodied_nav.nodes.ros.standing import StateTeller
    from embodied_nav.planning.stall import Stall, StallConfig

    node, stall = Teller(), Stall(StallConfig(patience=2.0))
    teller = StateTeller(node)
    teller.tell("", False, stall)
    assert node.told == [State()]
    teller.tell("no odom (0.51 s)", True, stall)
    teller.tell("no odom (0.56 s)", True, stall)
    assert node.told[1:] == [State("no odom (0.51 s)", True)], "the same with other numbers is no news"
    for k in range(60):
        stall.update(k * 50_000_000, np.eye(4), Velocity(0.3, 0.0))
        teller.tell("", False, stall)
    suspected, dead = node.told[3], node.told[-1]
    assert suspected.why == "" and "does not move" in suspected.unmoved and not suspected.dead
    assert dead.dead == dead.why and "commanded" in dead.dead


def test_a_pause_is_measured_and_getting_on_is_what_counts():
    progress = GoalProgress()
    assert progress.waits(0, None) == 0.0
    assert progress.waits(10 * S, np.array([0.0, 0.0])) == 0.0, "nothing told where it was before"
    assert progress.waits(20 * S, np.array([0.1, 0.1])) == 10.0
    assert progress.waits(21 * S, np.array([0.5, 0.1])) == 0.0
    assert progress.waits(5 * S, np.array([0.5, 0.1])) == 0.0, "the clock was set back"
    assert progress.hear(State("e_stop", True), 30 * S) == 0 and not progress.halted
    assert progress.hear(State("e_stop", True), 31 * S) == 0 and progress.halted
    assert progress.hear(State(), 37 * S) == 7 * S and not progress.halted
    progress.begin()
    assert progress.waits(100 * S, np.zeros(2)) == 0.0


@pytest.fixture
def goal(start_graph):
    """A sofa in a room, a reasoner on its own, what control says in the test's hand."""
    from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
    from embodied_nav.action import Navigate
    from rclpy.action import ActionClient

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.standing import TOPIC

    settings = {"standing_patience": 6.0, "navigator.patience": 2.5, "map_patience": 600.0}
    graph = start_graph([Process("reasoner", "reasoner", settings, respawn=False)])
    node = graph.node
    graph.show_a_room_with_a_sofa()
    states = node.create_publisher(DiagnosticStatus, TOPIC, qos.latched())
    graph.decisions = graph.listen(__import__("embodied_nav.msg", fromlist=["Decision"]).Decision, "decision", 10)

    def say(level, text, halted=False, unmoved=""):
        values = [KeyValue(key="halted", value=str(halted).lower()), KeyValue(key="unmoved", value=unmoved)]
        states.publish(DiagnosticStatus(level=level, message=text, values=values))

    def ends(timeout):
        """The goal's reason; asked for anew until the server has it."""
        assert graph.until(lambda: graph.results, timeout), "the goal does not end"
        return graph.results[-1]

    def begin():
        graph.results = []
        result = graph.send_goal(client, Navigate.Goal(instruction="find the red sofa")).get_result_async()
        result.add_done_callback(lambda f: graph.results.append(f.result().result))

    client = ActionClient(node, Navigate, "navigate")
    graph.say, graph.ends, graph.begin = say, ends, begin
    graph.hears = lambda: states.get_subscription_count() > 0
    yield graph
    client.destroy()


def test_goals_end_with_the_reason_for_which_the_robot_does_not_get_on(goal):
    from diagnostic_msgs.msg import DiagnosticStatus

    # Halted from the start for longer than the navigator's patience: nothing is decided, no place is given up.
    goal.saying = (DiagnosticStatus.WARN, "e_stop", True)
    goal.node.create_timer(0.5, lambda: goal.say(*goal.saying))
    assert goal.until(goal.hears, 30.0), f"the reasoner does not listen: {goal.said}"
    goal.spin(2.0)  # halted is what was told twice
    goal.begin()
    result = goal.ends(30.0)
    assert not result.success and "has not got on for" in result.reason and result.reason.endswith("e_stop")
    assert result.decisions <= 1, "decided while it could not move"

    # A pause, and then it is let go: the place that it wants is still the one.
    goal.begin()
    goal.spin(3.0)
    goal.saying = (DiagnosticStatus.OK, "ok", False)
    assert goal.until(lambda: goal.decisions, 10.0)
    assert any("sofa" in option.text for option in goal.decisions[-1].options)

    # The base is dead: at once.
    words = "the base does not move although told to (commanded 3.1 m in 15 s, moved 0.00 m)"
    goal.saying = (DiagnosticStatus.ERROR, words, False, words)
    start = time.monotonic()
    assert goal.ends(10.0).reason == words and time.monotonic() - start < 6.0
