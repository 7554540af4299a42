"""Answers that DDS loses: services are asked again, a goal whose answer is lost is sent again."""

import json
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from rclpy.task import Future  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from embodied_nav.nodes.ros.service_calls import ask  # noqa: E402


@pytest.fixture
def node(ros_domain):
    """A node, and ``until(done, seconds)`` that spins it."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    found = rclpy.create_node("asks", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(found)

    def until(done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        return done()

    found.until = until
    yield found
    executor.shutdown()
    found.destroy_node()
    rclpy.shutdown(context=context)


class Lossy:
    """A service's client whose first answers are lost on the way."""

    def __init__(self, client, lost):
        self._client, self.left, self.asked = client, lost, 0

    def call_async(self, request):
        self.asked += 1
        future = self._client.call_async(request)
        self.left -= 1
        return future if self.left < 0 else Future()

    def remove_pending_request(self, future):
        self._client.remove_pending_request(future)


@pytest.fixture
def client(node):
    """Of a service in the same process, which its node has found."""

    def answer(_, response):
        response.success = True
        return response

    node.create_service(Trigger, "asked", answer)
    found = node.create_client(Trigger, "asked")
    assert node.until(found.service_is_ready, 10.0)
    return found


def test_a_service_whose_answers_are_lost_is_asked_again(node, client):
    answers, lossy = [], Lossy(client, 2)
    ask(node, lossy, Trigger.Request(), answers.append, again=0.1)
    assert node.until(lambda: answers, 10.0) and answers[0].success
    node.until(lambda: False, 0.3)
    assert len(answers) == 1 and lossy.asked >= 3
    assert not list(node.timers), "nothing goes on asking"


def test_who_never_answers_is_given_up(node, client):
    answers, lossy = [], Lossy(client, 1000)
    ask(node, lossy, Trigger.Request(), answers.append, again=0.05, patience=0.3)
    assert node.until(lambda: answers, 5.0) and answers == [None]
    asked = lossy.asked
    node.until(lambda: False, 0.2)
    assert asked > 2 and lossy.asked == asked and len(answers) == 1


class Server:
    """Stands for the action's client: keeps what was sent."""

    def __init__(self):
        self.goals = []

    def send_goal_async(self, goal, feedback):
        self.goals.append(SimpleNamespace(goal=goal, feedback=feedback, answer=Future(), results=[]))
        return self.goals[-1].answer


def accept(goal):
    def get_result():
        goal.results.append(Future())
        return goal.results[-1]

    goal.answer.set_result(SimpleNamespace(accepted=True, get_result_async=get_result))


def test_a_goal_that_runs_without_an_answer_is_sent_again(node):
    from action_msgs.msg import GoalStatus
    from embodied_nav.action import Navigate

    from embodied_nav.nodes.navigate import NavigateClient

    outcome, heard = [], []
    client = NavigateClient(node, heard.append, lambda *told: outcome.append(told))
    client._client = server = Server()
    client.send("find the plant")
    feedback = SimpleNamespace(feedback="going")

    def running():
        server.goals[-1].feedback(feedback)
        return len(server.goals) > 1

    assert node.until(running, 10.0) and server.goals[1].goal == server.goals[0].goal
    accept(server.goals[0])  # too late: the server has let go of it for the other
    accept(server.goals[1])
    node.until(lambda: server.goals[-1].feedback(feedback), 1.5)
    assert len(server.goals) == 2 and not outcome
    assert len(server.goals[1].results) == 1 and server.goals[0].results == []
    # Over, but the result does not come: it is asked for once more.
    assert node.until(lambda: len(server.goals[1].results) > 1 or outcome, 5.0) and not outcome
    result = Navigate.Result(success=True, reason="there")
    server.goals[1].results[1].set_result(SimpleNamespace(status=GoalStatus.STATUS_SUCCEEDED, result=result))
    assert [o[:2] for o in outcome] == [(True, "there")] and heard


def test_a_goal_of_which_nothing_is_heard_is_reported_within_two_seconds(node):
    from embodied_nav.nodes.navigate import NavigateClient

    outcome = []
    client = NavigateClient(node, lambda _: None, lambda *told: outcome.append(told))
    client._client = server = Server()
    client.send("find the plant")
    start = time.monotonic()
    assert node.until(lambda: outcome, 5.0) and time.monotonic() - start < 2.5
    assert outcome[0][:2] == (False, "aborted: the reasoner does not answer") and len(server.goals) == 1


class Lives:
    """Stands for what is known of the reasoner's process."""

    def __init__(self):
        self.now = "1 2 here"

    def process(self, name):
        return self.now

    def lives(self, name, process=""):
        return self.now == process


def test_a_server_that_is_held_up_is_waited_for_while_its_process_lives(node):
    from embodied_nav.nodes.navigate import NavigateClient

    outcome = []
    client = NavigateClient(node, lambda _: None, lambda *told: outcome.append(told), patience=0.3)
    client._client, client._living = Server(), (known := Lives())
    client.send("find the plant")
    node.until(lambda: outcome, 1.5)
    assert not outcome, "silent for five times its patience, but there"
    known.now = "3 4 here"  # it was killed, and started again: another process, which knows no goal
    start = time.monotonic()
    assert node.until(lambda: outcome, 5.0) and time.monotonic() - start < 1.0
    assert outcome[0][:2] == (False, "aborted: the reasoner does not answer")


def test_a_goal_that_is_over_ends_the_client_whatever_the_memory_is_doing(start_graph, tmp_path):
    import rclpy
    from embodied_nav.action import Navigate
    from embodied_nav.srv import SaveMemory
    from rclpy.action import ActionServer

    from embodied_nav.bringup import Process

    over = []

    def execute(handle):
        handle.abort()
        over.append(time.monotonic())
        return Navigate.Result(success=False, reason="nothing known fits")

    result = tmp_path / "goal.json"
    parameters = {"instruction": "find the plant", "simulated": False, "result": str(result)}
    graph = start_graph([Process("navigate_client", "navigate", parameters, respawn=False)])
    server = ActionServer(graph.node, Navigate, "navigate", execute)
    busy = rclpy.create_node("busy_memory", context=graph.context)  # nobody spins it: it never answers
    busy.create_service(SaveMemory, "memory/save", lambda _, response: response)
    assert graph.until(lambda: over, 60.0)
    assert graph.until(result.exists, 5.0) and time.monotonic() - over[0] < 5.0
    assert json.loads(result.read_text())["reason"] == "nothing known fits"
    server.destroy()
    busy.destroy_node()
