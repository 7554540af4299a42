"""What a launch consists of: settings reach their nodes, and every mistake is found before anything starts."""

import os

import pytest

pytest.importorskip("rclpy")

from embodied_nav.bringup import agent_graph
from embodied_nav.bringup.agent_graph import AgentOptions, agent_processes, sim_localization, sim_process
from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.places import unwritable
from embodied_nav.resources import share_path

FILES = tuple(str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent"))


def options(**values) -> AgentOptions:
    return AgentOptions(**{"params_files": FILES, "say": "{}:=".format, **values})


def by_name(**values) -> dict:
    return {process.name: process for process in agent_processes(options(**values))}


def test_options_reach_the_nodes_that_have_them(tmp_path):
    more = tmp_path / "more.yaml"
    more.write_text("control:\n  ros__parameters: {control_rate: 10, robot: {max_linear: 0.3}}\n", encoding="utf-8")
    found = by_name(
        params_files=(*FILES, str(more)), namespace="robot1", use_sim_time=True, reasoner="random",
        remappings={"/tf": "tf"},
    )  # fmt: skip
    assert list(found) == ["keyframe", "perception", "memory", "reasoner", "control"]
    assert all(p.namespace == "robot1" and p.remappings == {"/tf": "tf"} for p in found.values())
    assert all(p.parameters["use_sim_time"] is True for p in found.values())
    assert found["reasoner"].parameters["policy"] == "random"
    assert found["perception"].parameters["backend"] == "geometric", "auto, as the file says, without a detector"
    assert found["control"].parameters["control_rate"] == 10.0
    assert found["control"].parameters["robot.max_linear"] == 0.3
    assert found["keyframe"].parameters["robot.max_linear"] == 0.5


def test_a_memory_file_is_that_of_the_home_folder_and_of_our_slam(tmp_path, monkeypatch):
    pytest.importorskip("gtsam")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = by_name(memory_file="~/home.db", slam="own")
    assert found["memory"].parameters["file"] == str(tmp_path / "home.db")
    assert found["memory"].parameters["new_map"] is True
    assert found["slam"].parameters["memory_file"] == str(tmp_path / "home.db")
    assert not (tmp_path / "home.db").exists() and list(tmp_path.iterdir()) == [], "looked at, not touched"


def test_our_slam_finds_itself_in_a_memory_file_of_the_parameter_file_too(tmp_path):
    pytest.importorskip("gtsam")
    more, home = tmp_path / "more.yaml", tmp_path / "home.db"
    more.write_text(f"memory:\n  ros__parameters: {{file: {home}}}\n", encoding="utf-8")
    found = by_name(params_files=(*FILES, str(more)), slam="own")
    assert found["slam"].parameters["memory_file"] == str(home) and found["memory"].parameters["new_map"] is True
    assert "new_map" not in by_name(params_files=(*FILES, str(more)))["memory"].parameters


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"reasoner": "oracle"}, "reasoner:=oracle: must be one of rules, frontier, random"),
        ({"perception": "yolo"}, "perception:=yolo: must be one of"),
        ({"namespace": "robot-1"}, "namespace:=robot-1: give letters"),
        ({"namespace": "1robot"}, "namespace:=1robot: give letters"),
        ({"namespace": "a//b"}, "namespace:=a//b: give letters"),
        ({"remappings": {"/tf": "t f"}}, "'/tf:=t f': is no remapping"),
        ({"params_files": ("nowhere.yaml",)}, "nowhere.yaml: cannot be read"),
        ({"memory_file": "/nowhere/home.db"}, "memory_file:=/nowhere/home.db: there is no folder /nowhere"),
        ({"memory_file": __file__}, f"{__file__}: is no memory file"),
        ({"memory_file": "/proc/home.db"}, "memory_file:=/proc/home.db: "),
        ({"memory_file": f"{__file__}/home.db"}, f"memory_file:={__file__}/home.db: cannot be written (Not a dir"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_anything_starts(values, line):
    with pytest.raises(InputError) as error:
        agent_processes(options(**values))
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_a_memory_file_that_only_its_owner_may_write_is_refused(tmp_path):
    """What is tried is the writing itself: as root, or on a read-only mount, permissions say nothing."""
    path = tmp_path / "home.db"
    SpatialMemory().save(path)
    assert unwritable(path) == ""
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        if os.geteuid() == 0:
            pytest.skip("root may write everything")
        assert "cannot be written (Permission denied)" in unwritable(path)
    finally:
        tmp_path.chmod(0o755)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home.db"], "nothing is left of the trial"


def test_without_gtsam_our_slam_is_refused_with_the_command_that_brings_it(monkeypatch):
    find = agent_graph.importlib.util.find_spec
    monkeypatch.setattr(agent_graph.importlib.util, "find_spec", lambda name: None if name == "gtsam" else find(name))
    with pytest.raises(InputError, match=r"slam:=own: needs GTSAM; install it with: .+"):
        agent_processes(options(slam="own"))


@pytest.mark.parametrize(
    ("localization", "slam", "result"),
    [
        ("", "external", "truth"), ("", "own", "slam"), ("", "none", "slam"),
        ("truth", "external", "truth"), ("odom", "external", "odom"), ("slam", "external", "slam"),
        ("slam", "own", "slam"), ("slam", "none", "slam"),
        ("truth", "own", None), ("odom", "own", None), ("truth", "none", None), ("odom", "none", None),
    ],
)  # fmt: skip
def test_never_two_publishers_of_map_to_odom(localization, slam, result):
    if result is None:
        with pytest.raises(InputError, match="both would publish map->odom"):
            sim_localization(localization, slam)
    else:
        assert sim_localization(localization, slam) == result


def test_the_simulator_reads_the_files_and_what_is_given(tmp_path):
    more = tmp_path / "more.yaml"
    more.write_text("sim:\n  ros__parameters: {frame_rate: 7, scene: 3}\n", encoding="utf-8")
    sim = sim_process(options(params_files=(*FILES, str(more))), {"scene": "1004", "rate": "2"})
    wanted = {"frame_rate": 7.0, "scene": 1004, "rate": 2.0, "robot.max_linear": 0.5, "use_sim_time": False}
    assert wanted.items() <= sim.parameters.items() and not sim.respawn


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"kind": "foo"}, "kind:=foo: must be one of object"),
        ({"scene": "flat"}, "scene:=flat: expected int"),
        ({"scene": "-1"}, "scene:=-1: out of range"),
        ({"rate": "1000"}, "rate:=1000: out of range"),
        ({"map_origin": "home"}, "map_origin:=home: must be one of"),
    ],
)
def test_a_mistake_about_the_simulator_is_one_line(given, line):
    with pytest.raises(InputError) as error:
        sim_process(options(), given)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("/tf:=tf", ("/tf", "tf")),
        ("camera/color/image_raw:=/front/image", ("camera/color/image_raw", "/front/image")),
        ("memory:slam/path:=/rtabmap/mapPath", ("memory:slam/path", "/rtabmap/mapPath")),
        ("~/x:=~/y", ("~/x", "~/y")),
        ("/tf", None), ("/tf=tf", None), (":=tf", None), ("/tf:=", None), ("a b:=c", None), ("/tf:=tf/", None),
    ],
)  # fmt: skip
def test_remappings(text, pair):
    if pair is None:
        with pytest.raises(InputError, match="give FROM:=TO, as in /tf:=tf"):
            agent_graph.remapping(text)
    else:
        assert agent_graph.remapping(text) == pair


def test_a_page_beside_the_agent_is_optional_and_draws_the_memorys_voxels(monkeypatch, tmp_path):
    monkeypatch.setattr(agent_graph, "why_no_page", lambda: "")
    file = tmp_path / "robot.yaml"
    file.write_text("memory: {ros__parameters: {memory: {voxel_size: 0.08}}}\n")
    options = agent_graph.AgentOptions(params_files=(str(file),), view=True)
    processes = {p.name: p for p in agent_graph.agent_processes(options)}
    view = processes["view"]
    assert view.optional and not view.respawn and view.parameters["voxel_size"] == 0.08
    assert not any(p.optional for name, p in processes.items() if name != "view")
    assert "view" not in agent_graph.nodes("external") and "view" in agent_graph.nodes("external", True)
    monkeypatch.setattr(agent_graph, "why_no_page", lambda: "viser is not installed")
    with pytest.raises(InputError, match="viser is not installed"):
        agent_graph.agent_processes(options)
