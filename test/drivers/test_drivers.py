"""Drivers by name, and one that a newcomer would write: discrete actions through the same loop."""

import numpy as np
import pytest

from embodied_nav.drivers import DRIVERS, Agent, Blind, Driver
from embodied_nav.errors import InputError
from embodied_nav.evaluation import runner
from embodied_nav.evaluation.drivers import AGENTS
from embodied_nav.evaluation.localization import OdomLocalization
from embodied_nav.evaluation.runner import CONTROL_PERIOD, TICKS_PER_FRAME, run_episode
from embodied_nav.frames import ACTIONS, Tracking, Velocity
from embodied_nav.models.small_lm import shipped_weights
from embodied_nav.reasoner import POLICIES
from embodied_nav.registry import Entry
from embodied_nav.robot import RobotProfile
from embodied_nav.sim import SIMULATORS
from embodied_nav.sim.embedded import SimulatorConfig
from embodied_nav.sim.episodes import make_episode

ROBOT = RobotProfile()
#: Drivers that need a model which the package does not bring, and what they say without one.
MODELS = {"compact": "train reasoner", "causal_lm": "causal_lm.model is empty"}
OWN = [name for name in AGENTS if name not in MODELS]


class Walker(Blind):
    """Walks four sides of a square by Habitat's actions, then stops; notes what it was given."""

    needs_camera = True

    def __init__(self, robot, perception, parameters):
        self.frames, self.asked, self.status = [], [], "running"

    def reset(self, instruction, *, seed=""):
        self.instruction, self.seed, self.status = instruction, seed, "running"
        self._left = ["forward", *["left"] * 6] * 4

    def observe(self, frame, T_map_base, T_odom_base=None, T_base_camera=None):
        self.frames.append((frame.stamp, T_map_base))
        assert frame.color.shape[:2] == frame.depth.shape
        assert np.allclose(T_map_base @ T_base_camera, frame.T_map_camera)

    def control(self, stamp, T_odom_base):
        self.asked.append(stamp)
        if not self._left:
            self.status = "stopped"
            return "stop"
        return self._left.pop(0)


@pytest.fixture(scope="module")
def simulator():
    return SIMULATORS.create("embedded", None, ROBOT, settings=SimulatorConfig(odometry_noise=False))


def test_every_name_makes_a_driver_and_says_what_it_is():
    assert set(DRIVERS) == set(POLICIES) and set(AGENTS) == {*DRIVERS, "oracle"}
    wanted = {name for name in dir(Driver) if not name.startswith("_")} | {"needs_camera"}
    for name in OWN:
        driver = AGENTS.create(name, ROBOT, "simulator", {})
        assert wanted <= set(dir(driver)), name
        assert driver.status == "running" and isinstance(driver.reason, str)
        assert 10 < len(AGENTS[name].description) < 100
    assert isinstance(DRIVERS.create("rules", ROBOT, "simulator", {}), Agent)
    assert DRIVERS.create("frontier", ROBOT, "simulator", {}).navigator.policy.name == "frontier"
    with pytest.raises(InputError, match=r"unknown agent 'rulez'.*did you mean rules"):
        AGENTS.create("rulez", ROBOT, "simulator", {})


@pytest.mark.parametrize("name", MODELS)
def test_a_driver_without_its_model_says_what_to_give(name):
    if name == "compact" and shipped_weights() is not None:
        pytest.skip("its weights are in the package")
    with pytest.raises(InputError, match=MODELS[name]):
        AGENTS.create(name, ROBOT, "simulator", {})


def test_no_driver_is_told_the_truth():
    """Only the oracle, which is none of the drivers, has a way to be told."""
    assert [name for name in OWN if hasattr(AGENTS.create(name, ROBOT, "simulator", {}), "tell")] == ["oracle"]
    assert "oracle" not in DRIVERS


def test_a_driver_of_discrete_actions_runs_by_its_name(simulator):
    AGENTS.add(Entry("walker", "walks a square", Walker))
    try:
        walker = AGENTS.create("walker", ROBOT, "simulator", {})
    finally:
        AGENTS.remove("walker")
    episode = make_episode(0, "object", 0)
    row = run_episode(simulator, walker, episode, seed=5)
    assert walker.instruction == episode.instruction and walker.seed == f"5/{episode.id}"
    assert row["steps"] == 28 and walker.status == "stopped" and not row["success"]
    assert row["path_length"] == pytest.approx(1.0, abs=0.15)
    stamps = [stamp for stamp, _ in walker.frames]
    assert stamps == walker.asked, "each action is chosen by a frame of its own"
    first, last = walker.frames[0][1], walker.frames[-1][1]
    assert np.allclose(first[:2, 3], last[:2, 3], atol=0.05), "a square ends where it began"
    quarter = walker.frames[7][1]
    assert np.allclose(first[:3, 0] @ quarter[:3, 0], 0.0, atol=1e-6)


class LostAtFirst(OdomLocalization):
    """Does not know where it is for so many frames."""

    def __init__(self, frames):
        self._left = frames + 1  # each is counted before its state is asked for

    @property
    def tracking(self):
        return Tracking(state="lost") if self._left > 0 else Tracking()

    def see(self, observation):
        self._left -= 1


def test_a_robot_that_is_lost_stands_and_goes_on_where_it_was(simulator, monkeypatch):
    monkeypatch.setattr(runner, "create_localization", lambda name, simulator, parameters: LostAtFirst(5))
    walker = Walker(ROBOT, "simulator", {})
    row = run_episode(simulator, walker, make_episode(0, "object", 0))
    stood = 5 * TICKS_PER_FRAME
    assert row["steps"] == stood + 28 and row["path_length"] == pytest.approx(1.0, abs=0.15), "no action is missing"
    assert [stamp for stamp, _ in walker.frames] == walker.asked, "nothing is asked of a driver without a place"
    assert walker.asked[0] > stood * CONTROL_PERIOD * 1e9


def test_a_robot_that_stays_lost_stands_until_the_time_is_up(simulator, monkeypatch):
    monkeypatch.setattr(runner, "create_localization", lambda name, simulator, parameters: LostAtFirst(1000))
    walker = Walker(ROBOT, "simulator", {})
    row = run_episode(simulator, walker, make_episode(0, "object", 0), time_limit=2.0)
    assert walker.frames == [] and walker.asked == []
    assert row["path_length"] == 0.0 and row["steps"] == round(2.0 / CONTROL_PERIOD)


def test_simulators_and_actions_stand_in_one_place(simulator):
    assert list(SIMULATORS) == ["embedded", "habitat"]
    assert SIMULATORS.settings()[0] == (SimulatorConfig, "simulator") and SIMULATORS.settings()[1][1] == "habitat"
    assert not simulator.config.odometry_noise
    simulator.reset(make_episode(0, "object", 0))
    for action in ACTIONS:
        simulator.step_action(action)
    with pytest.raises(InputError, match="stop, forward, left, right"):
        simulator.step_action("jump")
    assert Velocity() == Velocity(0.0, 0.0)
