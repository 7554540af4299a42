"""Our measures beside habitat-lab's own code, and VLN-CE's, to the last digit. Skipped where these are not installed.

habitat-lab's measures need no simulator: pip install --no-deps habitat-lab and what it asks for; numpy 1.26, which it
pins, since newer ones let it add up lengths in single precision. EMBODIED_NAV_VLNCE_MEASURES names VLN-CE's
habitat_extensions/measures.py, which is in no package.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from abc import ABCMeta
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from embodied_nav.sim.habitat.measures import HabitatMeasures

if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    pytest.skip("habitat-lab pins numpy 1.26: with a newer one its own digits differ", allow_module_level=True)


class Anything(ABCMeta):
    """A class to derive from that has any attribute."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()

    def __call__(cls, *given, **named):
        return MagicMock() if cls.__bases__ == (object,) else super().__call__(*given, **named)


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the simulator's modules as empty ones: the measures do not use them, their package imports them."""

    def find_spec(self, name, path=None, target=None):
        """Only what belongs to the simulator."""
        if name.split(".")[0] in ("magnum", "corrade", "habitat_sim"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        """Anything is in it: classes to derive from, functions that do nothing."""
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: Anything(name, (), {}) if name[0].isupper() else MagicMock()
        return module

    def exec_module(self, module):
        """Nothing to run."""


if importlib.util.find_spec("habitat_sim") is None:
    sys.meta_path.append(Absent())
nav = pytest.importorskip("habitat.tasks.nav.nav")

RADIUS = 3.0


class Walk:
    """A trajectory in place of a simulator: where the agent is, how far from its goal."""

    def __init__(self, positions, goals):
        self.positions, self.goals, self.k, self.asked = positions, np.asarray(goals, np.float64), 0, 0
        self.previous_step_collided = False

    def get_agent_state(self):
        return SimpleNamespace(position=self.positions[self.k])

    def geodesic_distance(self, position, goals, episode=None):
        self.asked += 1
        found = np.asarray(goals, np.float64) - np.asarray(position, np.float64)
        return float(np.sqrt((found**2).sum(axis=1)).min())


def walks():
    """Random walks with pauses, blocked steps, tiny moves; goals near their ends or far away."""
    rng = np.random.default_rng(7)
    for number in range(120):
        steps = rng.normal(size=(int(rng.integers(1, 120)), 3)).astype(np.float32) * np.float32(0.2)
        steps[rng.random(len(steps)) < 0.3] = 0.0
        steps[rng.random(len(steps)) < 0.1] *= np.float32(1e-4)
        start = rng.uniform(-30.0, 30.0, 3)
        positions = np.cumsum(np.vstack([start, steps]), axis=0).astype(np.float32)
        near = positions[-1].astype(np.float64) + rng.normal(size=3) * (1.0 if number % 2 else 8.0)
        yield positions, [near, near + rng.normal(size=3)], bool(rng.random() < 0.7), rng


def lab(walk, stopped, extra=()):
    """habitat-lab's measures over a walk, by name."""
    episode = SimpleNamespace(goals=[SimpleNamespace(position=g) for g in walk.goals], episode_id="0")
    config = SimpleNamespace(distance_to="POINT", success_distance=RADIUS, SUCCESS_DISTANCE=RADIUS, FDTW=True)
    made = [kind(sim=walk, config=config) for kind in (nav.DistanceToGoal, nav.Success, nav.SPL, nav.SoftSPL)]
    made += [kind(sim=walk, config=config) for kind in extra]
    measures = SimpleNamespace(measures={m._get_uuid(): m for m in made}, check_measure_dependencies=lambda *_: None)
    task = SimpleNamespace(measurements=measures, is_stop_called=False)
    for measure in made:
        if hasattr(measure, "gt_json"):
            measure.gt_json = {"0": {"locations": walk.reference}}
        measure.reset_metric(episode=episode, task=task)
    for k in range(1, len(walk.positions)):
        walk.k = k
        task.is_stop_called = stopped and walk.k == len(walk.positions) - 1
        for measure in made:
            measure.update_metric(episode=episode, task=task, action=None)
    return {name: measure.get_metric() for name, measure in measures.measures.items()}


def ours(walk, stopped, reference=None):
    walk.k = 0
    measures = HabitatMeasures(
        walk.positions[0], lambda: walk.geodesic_distance(walk.positions[walk.k], walk.goals), RADIUS, reference
    )
    for k in range(1, len(walk.positions)):
        walk.k = k
        measures.update(walk.positions[walk.k])
    return measures.result(stopped)


def test_every_digit_is_that_of_habitat_lab():
    successes = 0
    for positions, goals, stopped, _ in walks():
        walk = Walk(positions, goals)
        wanted = lab(walk, stopped)
        asked, walk.asked = walk.asked, 0
        found = ours(walk, stopped)
        assert walk.asked == asked, "the distance is asked for as often"
        assert found["success"] == wanted["success"] and found["distance_to_goal"] == wanted["distance_to_goal"]
        assert found["spl"] == wanted["spl"] and found["soft_spl"] == wanted["soft_spl"]
        successes += found["success"]
    assert 10 < successes < 110


def test_every_digit_is_that_of_vlnce():
    source = os.environ.get("EMBODIED_NAV_VLNCE_MEASURES")
    if not source:
        pytest.skip("EMBODIED_NAV_VLNCE_MEASURES names no measures.py")
    fastdtw = pytest.importorskip("fastdtw")
    kinds = vlnce(Path(source), fastdtw.fastdtw)
    for positions, goals, stopped, rng in islice(walks(), 20):
        walk = Walk(positions, goals)
        walk.reference = np.cumsum(rng.normal(size=(int(rng.integers(1, 60)), 3)), axis=0).tolist()
        wanted, found = lab(walk, stopped, kinds), ours(walk, stopped, walk.reference)
        for name in ("oracle_success", "path_length", "ndtw", "sdtw"):
            assert found[name] == wanted[name], name
        assert found["steps"] == wanted["steps_taken"] and found["ndtw"] <= found["ndtw_exact"] + 1e-15


def vlnce(path, fastdtw):
    """Some of VLN-CE's classes, of a file that cannot be imported without its simulator."""
    wanted = ("PathLength", "OracleSuccess", "StepsTaken", "NDTW", "SDTW")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [n for n in tree.body if getattr(n, "name", "") in (*wanted, "euclidean_distance")]
    for node in kept:
        node.decorator_list = []
        for function in getattr(node, "body", ()):
            if node.name == "NDTW" and getattr(function, "name", "") == "__init__":
                function.body = ast.parse(
                    "self._sim, self._config, self.dtw_func, self.gt_json = sim, config, fastdtw, {}"
                ).body
    names = {
        "np": np, "fastdtw": fastdtw, "Any": object, "Union": {}, "List": {}, "Measure": nav.Measure,
        "Simulator": object, "EmbodiedTask": object, "Config": object, "DistanceToGoal": nav.DistanceToGoal,
        "Success": nav.Success, "ndarray": np.ndarray,
    }  # fmt: skip
    for node in ast.walk(ast.Module(kept, [])):  # annotations are of no use here
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
                if argument is not None:
                    argument.annotation = None
    exec(compile(ast.fix_missing_locations(ast.Module(kept, [])), str(path), "exec"), names)
    return [names[name] for name in wanted]
