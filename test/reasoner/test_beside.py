"""A policy that thinks beside the driving: the robot goes on, late and outdated answers do not drive it."""

import threading
import time

import numpy as np
import pytest

from embodied_nav.reasoner import Navigator, NavigatorConfig, RulesPolicy

from .test_navigator import Flat, things


class Slow:
    """The rules, after a while."""

    name = "slow"

    def __init__(self, seconds):
        self.seconds, self.threads = seconds, set()

    def answer(self, context):
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        return RulesPolicy().answer(context)


class Watched(Flat):
    """Notes what the navigator says while it runs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.said = []

    def drive(self, out):
        before = (self.x, self.y)
        super().drive(out)
        self.said.append((out.reason, np.hypot(self.x - before[0], self.y - before[1])))
        time.sleep(0.01)


def test_goes_on_along_its_path_while_the_policy_thinks():
    policy, flat = Slow(0.05), Watched(things())
    navigator = Navigator(policy=policy, beside=True)
    navigator.reset("find the black oven")
    out, decisions = flat.run(navigator)
    assert out.status == "stopped"
    assert {d.reasoner for d in decisions} == {"slow"}
    assert navigator.malformed == 0
    assert threading.current_thread().name not in policy.threads
    assert sum(driven for reason, driven in flat.said if reason == "thinking on the way") > 0.1
    assert all(driven < 1e-9 for reason, driven in flat.said if reason == "thinking")


def test_the_rules_decide_where_no_answer_comes_in_time():
    flat = Watched(things())
    navigator = Navigator(NavigatorConfig(think_limit=0.5), policy=Slow(3.0), beside=True)
    navigator.reset("find the black oven")
    _, decisions = flat.run(navigator, seconds=60.0)
    assert decisions[0].reasoner == "rules"
    assert navigator.malformed == sum(d.reasoner == "rules" for d in decisions) >= 1


@pytest.mark.parametrize("text", ["", "go left", "<answer>Q</answer>", "<think>B</think><answer>B"])
def test_what_is_no_answer_is_decided_by_the_rules_and_counted(text):
    class Babbler:
        name = "babbler"

        def answer(self, context):
            return text

    flat = Flat(things())
    navigator = Navigator(policy=Babbler())
    navigator.reset("find the black oven")
    out, decisions = flat.run(navigator)
    assert out.status == "stopped"
    assert navigator.malformed == len(decisions) > 0
    assert all(d.reasoner == "rules" and "no answer by babbler" in d.think for d in decisions)
