"""The control node drives a kinematic robot through what must stop it, and through what only looks as if it should.

They run in one process beside the tests, several at once, each in a ROS domain of its own; a test waits for the record
of its own scenario. EMBODIED_NAV_ALL_SCENARIOS=1 runs the further variants of each kind, too.
"""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from kinematic_rig import SAFE, UNSAFE, VARIANTS, Record
from kinematic_rig.scenario import ROUNDING

from embodied_nav.robot import RobotProfile

pytestmark = [pytest.mark.ros, pytest.mark.both_cores, pytest.mark.timeout(600)]

#: How many at once: each takes a third of a core.
JOBS = 2 * (os.cpu_count() or 2)
#: Longest wait for one record (s), on a machine that has other things to do.
PATIENCE = 500.0


class Records:
    """The records of a running process, as they come."""

    def __init__(self, names: list[str]) -> None:
        command = [sys.executable, "-m", "kinematic_rig", "--jobs", str(JOBS), *names]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
        self._news, self._found = threading.Condition(), {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            record = json.loads(line)
            with self._news:
                self._found[record["name"]] = record
                self._news.notify_all()
        with self._news:
            self._found.setdefault("", {})
            self._news.notify_all()

    def of(self, name: str) -> dict:
        """What a scenario's run showed; waits for it."""
        with self._news:
            self._news.wait_for(lambda: name in self._found or "" in self._found, PATIENCE)
            assert name in self._found, f"no record of {name}: see what the rig printed"
            return self._found[name]

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def records(request):
    scenarios = [item.callspec.params.get("scenario") for item in request.session.items if hasattr(item, "callspec")]
    found = Records([scenario.name for scenario in scenarios if scenario in (*UNSAFE, *SAFE)])
    yield found
    found.close()


def _chosen(scenarios) -> list:
    every = os.environ.get("EMBODIED_NAV_ALL_SCENARIOS", "0") != "0"
    return [pytest.param(s, id=s.name) for s in scenarios if every or s.name not in VARIANTS]


@pytest.mark.parametrize("scenario", _chosen(UNSAFE))
def test_never_touches_nor_falls_nor_passes_a_limit(scenario, records):
    record, robot = records.of(scenario.name), RobotProfile()
    assert record["ready"] and record["happened"] == len(scenario.events), record
    assert record["gap"] >= 0.0, record
    assert record["linear"] <= robot.max_linear + ROUNDING and record["angular"] <= robot.max_angular + ROUNDING, record
    assert record["other"] == 0.0, record
    if scenario.stands:
        assert record["moved"] <= scenario.creeps, record
    if scenario.says:
        assert any(re.search(scenario.says, text) for text in record["said"]), record


@pytest.mark.parametrize("scenario", _chosen(SAFE))
def test_arrives_without_standing_longer_than_before(scenario, records):
    record = records.of(scenario.name)
    assert record["ready"] and record["happened"] == len(scenario.events), record
    assert record["gap"] >= 0.0, record
    if not record["arrived"] and record["excused"] > 0.5 * scenario.seconds:
        pytest.skip(f"the machine kept the nodes from running, thrice; {record['excused']:.0f} s in the last run")
    assert record["arrived"], record
    assert record["stood"] - record["excused"] <= scenario.stood, record


def test_only_what_the_machine_may_have_done_is_run_again():
    box, way = UNSAFE[0], next(s for s in SAFE if s.name == "nothing_wrong")
    starved = {"ready": True, "began": True, "gap": 0.5, "excused": 3.0, "stood": 3.0}
    assert Record(box.name, **starved).tells_nothing(box), "it has not said why it stands"
    assert Record(way.name, **starved).tells_nothing(way), "it has not arrived"
    assert not Record(way.name, **{**starved, "excused": 0.1}).tells_nothing(way)
    for harm in ({"gap": -0.01}, {"linear": 3.0}, {"angular": 9.0}, {"other": 0.1}, {"moved": 1.0}):
        record = Record(box.name, **{**starved, **harm})
        assert record.is_unsafe(box) and not record.tells_nothing(box), harm


def test_the_rig_measures_what_it_should():
    """A box ahead at a known place, a wall at the side, an edge: by the analytic camera, the gap and the scanner."""
    import numpy as np
    from kinematic_rig.world import room, stairs_down

    robot = RobotProfile(camera_height=0.85, camera_pitch=0.0, camera_forward=0.1)
    world = room((2.0, -0.5, 0.0, 2.3, 0.5, 1.2))
    depth = world.depth(robot.T_base_camera(), 160, 120, 140.0)
    assert depth[60, 80] == pytest.approx(1.9, abs=1e-6)  # along the optical axis, not along the ray
    lowest = 0.85 * 140.0 / (119 - 59.5)  # the floor, in the lowest row
    assert depth[119, 80] == pytest.approx(min(lowest, 1.9), abs=1e-5)
    assert world.gap(1.0, 0.0, 0.18) == pytest.approx(0.82)
    assert world.gap(1.9, 0.0, 0.18) == pytest.approx(-0.08)
    ranges = world.ranges(0.0, 0.0, 0.0, 0.25, 360)
    assert ranges[180] == pytest.approx(2.0) and ranges[0] == pytest.approx(4.0) and ranges[270] == pytest.approx(3.0)
    stairs = stairs_down(1.5)
    assert stairs.gap(1.0, 0.0, 0.18) == pytest.approx(0.32) and stairs.floor(1.6, 0.0) == pytest.approx(-0.17)
    level = stairs.depth(robot.T_base_camera(), 160, 120, 140.0)
    points = np.array([(v - 59.5) / 140.0 * level[v, 80] for v in range(120)])  # below the camera
    assert np.nanmax(points) > 0.85 + 0.17, "sees below the floor"
