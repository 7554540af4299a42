"""Simulated time waits for who is behind and lives; silence counts by it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from embodied_nav.msg import Progress  # noqa: E402

from embodied_nav.nodes.lockstep import pace as pace_module  # noqa: E402
from embodied_nav.nodes.lockstep.pace import Pace  # noqa: E402
from embodied_nav.nodes.ros.conversions import header  # noqa: E402
from embodied_nav.nodes.ros.diagnostics import Input  # noqa: E402
from embodied_nav.nodes.ros.living import FACT, Living, SilenceClock, this_process  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.both_cores]
SECOND = 1_000_000_000


def word(node, seconds, stage="frame", taken=True):
    return Progress(header=header(round(seconds * 1e9), ""), node=node, stage=stage, taken=taken)


def frames(pace, *seconds):
    for s in seconds:
        pace.published(round(s * 1e9))


def test_time_waits_for_the_slowest_node_that_lives():
    dead = set()
    pace = Pace(lambda name: name not in dead)
    frames(pace, 0.1, 0.2, 5.0)
    assert pace.late() == "", "who has never said anything is not waited for"
    for node in ("keyframe", "memory", "slam"):
        pace.progress(word(node, 5.0))
    frames(pace, 5.1)
    assert pace.late() == ""
    frames(pace, 5.2)
    assert pace.late() == "slam", "SLAM must be nearly through: all others wait for where the camera stands"
    pace.progress(word("slam", 5.2))
    frames(pace, 5.3, 5.5)
    pace.progress(word("keyframe", 5.5, taken=False))
    pace.progress(word("slam", 5.5))
    assert pace.late() == "memory"
    threading.Timer(0.1, pace.progress, [word("memory", 5.4, taken=False)]).start()
    assert pace.wait(5.0) == "", "a refused frame is through, too"
    frames(pace, 6.5)
    dead.update(("keyframe", "slam"))
    assert pace.late() == "memory"
    dead.add("memory")
    assert pace.late() == "", "nobody waits for the dead"


def test_reasoner_and_perception_are_waited_for_by_what_they_have_in_hand():
    pace = Pace(lambda name: True)
    pace.progress(word("reasoner", 1.0, "map"))
    pace.progress(word("perception", 1.0, "keyframe"))
    frames(pace, 9.0)
    pace.progress(word("keyframe", 9.0, taken=False))
    pace.progress(word("memory", 9.0, taken=False))
    assert pace.late() == "", "no new map, no new keyframe"
    pace.progress(word("memory", 9.0))
    assert pace.late() == "reasoner"
    pace.progress(word("reasoner", 8.5, "map"))
    assert pace.late() == ""
    pace.progress(word("keyframe", 9.0))
    assert pace.late() == "", "perception may take its time"
    frames(pace, 10.2)
    for node in ("keyframe", "memory"):
        pace.progress(word(node, 10.2, taken=False))
    assert pace.late() == "perception"
    pace.progress(word("perception", 9.0, "keyframe", taken=False))
    assert pace.late() == ""


def test_what_was_lost_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(pace_module, "_LOST", 0.1)
    pace = Pace(lambda name: True)
    pace.progress(word("memory", 1.0))
    frames(pace, 2.0)
    assert pace.late() == "memory" and pace.wait(1.0) == ""
    frames(pace, 9.0)
    assert pace.late() == "", "until it says something again"
    pace.progress(word("memory", 3.0))
    assert pace.late() == "memory"


@pytest.fixture
def node(ros_domain):
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    made = []

    def make(**options):
        made.append(rclpy.create_node("watcher", context=context, **options))
        return made[-1]

    yield make
    for each in made:
        each.destroy_node()
    rclpy.shutdown(context=context)


def status(process, name="ns/memory"):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    return DiagnosticArray(status=[DiagnosticStatus(name=name, values=[KeyValue(key=FACT, value=process)])])


def test_a_process_of_this_machine_is_asked_for(node):
    code = "import sys; from embodied_nav.nodes.ros.living import this_process; print(this_process(), flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    living, process = Living(node()), child.stdout.readline().strip()
    assert not living.lives("memory") and living.process("memory") == ""
    living._arrived(status(process))
    assert living.lives("memory") and living.lives("memory", process) and living.process("memory") == process
    os.kill(child.pid, signal.SIGSTOP)  # held up for as long as one likes
    assert living.lives("memory")
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while living.lives("memory") and time.monotonic() < deadline:  # not waited for by its parent: a zombie is dead
        time.sleep(0.01)
    assert not living.lives("memory")
    child.communicate()
    living._arrived(status(this_process()))
    assert living.lives("memory") and not living.lives("memory", process), "another process of that name"


def test_elsewhere_silence_must_do(node, monkeypatch):
    from embodied_nav.nodes.ros import living as module

    living = Living(node())
    living._arrived(status("12 34 another-machine"))
    assert living.lives("memory")
    monkeypatch.setattr(module, "_SILENT", 0.05)
    time.sleep(0.1)
    assert not living.lives("memory")


def test_silence_counts_by_simulated_time_while_it_runs(node):
    from rosgraph_msgs.msg import Clock

    from embodied_nav.nodes.ros.conversions import time_msg

    simulated = node(parameter_overrides=[rclpy.parameter.Parameter("use_sim_time", value=True)])
    source = simulated._time_source

    def at(seconds):
        source.clock_callback(Clock(clock=time_msg(round(seconds * 1e9))))

    at(10.0)
    clock = SilenceClock(simulated, stands=0.3)
    watch = Input("x", 0.5, clock=clock.now)
    watch.arrived(0.0)
    time.sleep(0.2)
    assert not watch.stale and watch.age < 0.01, "time stands, nothing moves"
    at(10.4)
    assert watch.age == pytest.approx(0.4) and not watch.stale
    at(10.6)
    assert watch.stale
    watch.arrived(0.0)
    at(3.0)
    assert watch.age == pytest.approx(0.0, abs=1e-6), "a clock that begins anew"
    watch.arrived(0.7)
    assert watch.stale, "old when it came"
    watch.arrived(0.0)
    deadline = time.monotonic() + 5.0
    while not watch.stale and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watch.stale, "whoever gives the time is gone"


def test_silence_counts_by_the_steady_clock_on_a_robot(node):
    clock = SilenceClock(node())
    before, begun = clock.now(), time.monotonic()
    time.sleep(0.1)
    assert clock.now() - before == pytest.approx(time.monotonic() - begun, abs=0.02)
