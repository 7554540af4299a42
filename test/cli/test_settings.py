"""``--set PARAM=VALUE`` gives each node what it has, typed and within its range."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from embodied_nav.bringup.agent_graph import agent_processes
from embodied_nav.bringup.parameter_files import node_settings
from embodied_nav.cli import demo, replay, up
from embodied_nav.cli.eval import components as evaluated
from embodied_nav.cli.main import build_parser as main_parser
from embodied_nav.cli.settings import assigned, deviating, given, parameters_by_node, weights
from embodied_nav.config import Config, param
from embodied_nav.drivers.agent_parameters import make_agent
from embodied_nav.errors import InputError
from embodied_nav.evaluation.localization import create_localization
from embodied_nav.memory import MemoryConfig
from embodied_nav.node_table import ALL_NODES
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Model(Config):
    """Stands for the settings of a back end with weights."""

    file: str = param("", "weights", path=True)


NODES = ("keyframe", "perception", "memory")


def test_each_node_gets_what_it_has():
    found = parameters_by_node(["camera.sync_slop=0.05", "memory.carve=false", "robot.map_frame=vicon"], NODES)
    assert found["memory"] == {"camera.sync_slop": 0.05, "memory.carve": False, "robot.map_frame": "vicon"}
    assert found["keyframe"] == {"camera.sync_slop": 0.05, "robot.map_frame": "vicon"}
    assert found["perception"] == {"robot.map_frame": "vicon"}
    assert given(found, "memory.carve") is False and given(found, "camera.depth_scale") is None
    whole = parameters_by_node(["camera.depth_scale=5"], NODES)["memory"]["camera.depth_scale"]
    assert (whole, type(whole)) == (5.0, float), "as ROS wants it"
    assert parameters_by_node([], NODES) == {name: {} for name in NODES}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("camera.sync_slip=0.1", "no node here has a parameter 'camera.sync_slip'; did you mean camera.sync_slop"),
        ("camera.sync_slop=9", r"sync_slop = 9.0: out of range \[0.0, 0.5\] s"),
        ("camera.sync_slop=soon", "sync_slop = 'soon': expected float"),
        ("camera.sync_slop", "give PARAM=VALUE"),
        ("=3", "give PARAM=VALUE"),
        ("camera.sync_slop=[1", "is no value"),
        ("odometry.window=3", "no node here has a parameter"),
    ],
)
def test_what_is_none_is_one_line(text, told):
    with pytest.raises(InputError, match=told) as refused:
        parameters_by_node([text], NODES)
    assert "\n" not in str(refused.value) and text in str(refused.value)


def test_what_a_command_sets_itself_is_not_set_twice():
    for name, told in (("backend=geometric", "give it by --perception"), ("result=x.json", "sets result itself")):
        with pytest.raises(InputError, match=told):
            parameters_by_node([name], ("perception", "sim"), demo.OWNED)
    known = {name for spec in ALL_NODES for kind, p in node_settings(spec) for name in full_names(kind, p)}
    assert {*demo.OWNED, *replay.OWNED, *up.OWNED} <= known, "names that no node has would refuse nothing"


def full_names(kind, prefix):
    return {f"{prefix}.{field}".lstrip(".") for field in kind.__dataclass_fields__}


def test_every_parameter_of_an_evaluation_reaches_its_component():
    """Each is set to something else, and read back where it works."""
    kinds = evaluated("rules", "geometric", "slam")
    texts = [f"{name}={value}" for kind, prefix in kinds for name, value in others(kind, prefix).items()]
    values = assigned(texts, {"eval": kinds})["eval"]
    assert len(values) > 100
    robot = RobotProfile.from_parameters(values, "robot")
    agent = make_agent("rules", "simulator", robot, values)
    held = {
        "robot": agent.robot, "memory": agent.memory.config, "retention": agent.memory.state.retention,
        "": agent.gate.config,
        "navigator": agent.navigator.config, "planning": agent.navigator.planning, "options": agent.navigator.options,
        "rules": agent.navigator.policy.config, "perception": agent.perception.config,
        "pursuit": agent.follower.pursuit.config, "guard": agent.follower.guard.config,
        "obstacles": agent.follower.guard.obstacles.config, "coverage": agent.follower.guard.coverage.config,
        "mount": agent.follower.guard.mount.config, "recovery": agent.follower.recovery.config,
        "contact": agent.follower._contact.config, "stall": agent.stall.config,
    }  # fmt: skip
    for name, value in values.items():
        prefix, _, field = name.rpartition(".")
        # An encoder wants a model: test_agent_encoder.py has it.
        if prefix not in ("simulator", "slam", "odometry", "random", "encoder", "vggt"):
            assert getattr(held[prefix], field) == value, name
    simulator = EmbeddedSimulator(
        robot=robot, config=SimulatorConfig.from_parameters({"simulator.width": 64}, "simulator")
    )
    assert simulator.camera().width == 64
    slam = create_localization("slam", simulator, {"slam.loop_inliers": 33, "odometry.max_depth": 3.0}).slam
    assert slam.config.loop_inliers == 33 and slam._odometry.config.max_depth == 3.0


def others(kind, prefix):
    """A value other than the default of each field, within its range."""
    found = {}
    for name, field in kind.__dataclass_fields__.items():
        full, meta, value = f"{prefix}.{name}".lstrip("."), field.metadata, field.default
        if isinstance(value, bool):
            found[full] = not value
        elif isinstance(value, str) and meta["choices"]:
            found[full] = next(c for c in meta["choices"] if c != value)
        elif isinstance(value, float):
            found[full] = value * 0.99 if meta["low"] is None or value * 0.99 >= meta["low"] else value + 0.001
        elif isinstance(value, int):
            found[full] = value + 1 if meta["high"] is None or value < meta["high"] else value - 1
    return found


def test_a_run_is_told_from_others_by_what_is_not_the_default(tmp_path):
    kinds = [(MemoryConfig, "memory"), (Model, "perception.model")]
    values = assigned(["memory.voxel_size=0.05", "memory.max_depth=4"], {"eval": kinds})["eval"]
    assert deviating(values, kinds) == {"memory.max_depth": 4.0}
    assert weights(values, kinds) == {}
    (tmp_path / "w.bin").write_bytes(b"abc")
    given = {"perception.model.file": str(tmp_path / "w.bin")}
    first = weights(given, kinds)
    assert first["perception.model.file"].startswith("ba7816bf8f01cfea"), "SHA-256 of abc, by FIPS 180-2"
    (tmp_path / "w.bin").write_bytes(b"abd")
    assert weights(given, kinds) != first
    with pytest.raises(InputError, match=r"perception.model.file = /no/model: cannot be read"):
        weights({"perception.model.file": "/no/model"}, kinds)


def test_up_lays_settings_over_the_files(tmp_path):
    args = main_parser().parse_args(
        ["up", "--agent", "frontier", "--set", "memory.voxel_size=0.1", "--set", "guard.margin=0.03"]
    )
    processes = {p.name: p.parameters for p in agent_processes(up._options(args))}
    assert processes["memory"]["memory.voxel_size"] == 0.1 and processes["control"]["guard.margin"] == 0.03
    assert processes["reasoner"]["policy"] == "frontier"
    args = main_parser().parse_args(["up", "--reasoner", "genius"])
    with pytest.raises(InputError, match=r"^--agent genius: must be one of rules"):
        agent_processes(up._options(args))


@pytest.mark.parametrize(
    ("options", "text", "told"),
    [
        (["--agent", "rules"], "policy=frontier", "give it by --agent"),
        ([], "backend=geometric", "give it by --perception"),
        (["--memory-file", "home.db"], "file=other.db", "give it by --memory-file"),
        (["--slam", "own"], "memory_file=other.db", "give it by --memory-file"),
        (["--slam", "own", "--memory-file", "home.db"], "new_map=false", "this command sets new_map itself"),
    ],
)
def test_up_refuses_what_an_option_would_override(options, text, told):
    with pytest.raises(InputError, match=f"^--set {text}: .*{told}$"):
        up._options(main_parser().parse_args(["up", *options, "--set", text]))


def test_up_begins_a_new_map_of_a_file_where_the_poses_are_from_elsewhere():
    args = main_parser().parse_args(["up", "--memory-file", "home.db", "--set", "new_map=true"])
    assert up._options(args).parameters["memory"] == {"new_map": True}


def test_demo_gives_each_node_its_settings(tmp_path):
    args = main_parser().parse_args(
        ["demo", "--localization", "truth", "--agent", "random", "--set", "robot.max_linear=0.4"]
    )
    given_ = parameters_by_node(args.settings, demo._nodes(args), demo.OWNED)
    episode = SimpleNamespace(instruction="find the sofa")
    processes = {p.name: p.parameters for p in demo._processes(args, episode, tmp_path, tmp_path, given_)}
    assert all(processes[name]["robot.max_linear"] == 0.4 for name in demo._nodes(args))
    assert "slam" not in processes and processes["reasoner"]["policy"] == "random"
