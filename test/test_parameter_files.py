"""Parameter files: what they say reaches the node that they mean, in any namespace, or is refused by name."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from embodied_nav.bringup import parameter_files
from embodied_nav.errors import InputError
from embodied_nav.node_table import ALL_NODES, NodeSpec

BY_NAME = {spec.name: spec for spec in ALL_NODES}
CONTROL, KEYFRAME = BY_NAME["control"], BY_NAME["keyframe"]


@pytest.fixture
def file(tmp_path):
    """Writes a parameter file."""

    def write(text: str, name: str = "params.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def section(key: str, values: str) -> str:
    return f"'{key}':\n  ros__parameters: {{{values}}}\n"


@pytest.mark.parametrize("key", ["control", "/control", "/**/control", "/**", "**", "/*"])
@pytest.mark.parametrize("namespace", ["", "robot1", "/house/robot1/"])
def test_a_name_without_namespace_means_the_node_in_any(file, key, namespace):
    path = file(section(key, "control_rate: 7"))
    parameter_files.check_params_file(path)
    assert parameter_files.resolve(CONTROL, namespace, [path]) == {"control_rate": 7.0}
    assert parameter_files.foreign_sections(namespace, [path]) == []


@pytest.mark.parametrize(
    "key",
    [
        "/robot1/control",
        "robot1/control",
        "/robot1/**",
        "/**/robot1/control",
        "/*/control",
        "/robot1/*",
        "/**/robot1/**",
    ],
)
def test_a_namespace_means_itself_and_others_are_told_as_unused(file, key):
    path = file(section(key, "control_rate: 7"))
    parameter_files.check_params_file(path)
    assert parameter_files.resolve(CONTROL, "robot1", [path]) == {"control_rate": 7.0}
    other = "a/b"
    assert parameter_files.resolve(CONTROL, other, [path]) == {}
    (line,) = parameter_files.foreign_sections(other, [path])
    assert key in line and str(path) in line and "/a/b" in line


@pytest.mark.parametrize("namespace", ["/", "/robot1", "/robot2", "/house/robot1"])
def test_names_with_a_namespace_match_as_those_of_rcl(file, namespace):
    """rcl itself says which sections a node in a namespace gets."""
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node

    keys = [
        "/**",
        "/*/control",
        "/robot1/control",
        "/**/robot1/control",
        "/robot1/*",
        "/robot2/**",
        "/house/**/control",
    ]
    path = file("".join(section(key, f"p{i}: {i}") for i, key in enumerate(keys)))
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", str(path)])
    try:
        node = Node("control", context=context, namespace=namespace, start_parameter_services=False)
        got = set(node._parameter_overrides)
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    ours = {f"p{i}" for i, key in enumerate(keys) if parameter_files.matches(key, namespace, "control")}
    assert ours == got and got


def test_later_files_win_and_full_names_win_over_wildcards(file):
    first = file(section("/**/control", "control_rate: 5, scan: true"), "first.yaml")
    second = file(section("control", "control_rate: 6") + section("/**", "control_rate: 7"), "second.yaml")
    third = file(section("/**", "control_rate: 8"), "third.yaml")
    rate = [parameter_files.resolve(CONTROL, "robot1", files)["control_rate"] for files in ([first, second], [second])]
    assert rate == [6.0, 6.0]
    resolved = parameter_files.resolve(CONTROL, "robot1", [first, second, third])
    assert resolved == {"control_rate": 8.0, "scan": True}


def test_a_wildcard_gives_a_node_what_it_has(file):
    path = file(section("/**", "robot.max_linear: 1, control_rate: 5, use_sim_time: true"))
    parameter_files.check_params_file(path)
    assert parameter_files.resolve(KEYFRAME, "", [path]) == {"robot.max_linear": 1.0, "use_sim_time": True}
    assert parameter_files.robot_profile([path]).max_linear == 1.0


def test_namespaces_may_be_nested_and_values_are_those_of_the_settings(file):
    path = file("robot1:\n  control:\n    ros__parameters:\n      robot: {max_linear: 1e-1}\n      scan: true\n")
    parameter_files.check_params_file(path)
    assert parameter_files.resolve(CONTROL, "robot1", [path]) == {"robot.max_linear": 0.1, "scan": True}
    assert parameter_files.resolve(CONTROL, "", [path]) == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (section("/**/controll", "control_rate: 5"), "no node is called '/**/controll'; known: keyframe,"),
        (section("control", "contol_rate: 5"), "control has no parameter 'contol_rate'; known:"),
        (section("/**", "robot.max_lineal: 5"), "/** has no parameter 'robot.max_lineal'"),
        (section("control", "control_rate: fast"), "control_rate = 'fast': expected float"),
        (section("/robot1/control", "robot.max_linear: 99"), "robot.max_linear = 99.0: out of range"),
        (section("reasoner", "policy: oracle"), "policy = 'oracle': must be one of"),
        (section("sim", "kind: foo"), "kind = 'foo': must be one of"),
        ("control:\n  control_rate: 5\n", "'control/control_rate' lacks 'ros__parameters:'"),
        ("control:\n", "'control' lacks 'ros__parameters:'"),
        ("control:\n  ros__parameters: 5\n", "holds no names and values"),
        ("- control\n", "holds list"),
        ("control: [\n", "not valid YAML"),
    ],
)
def test_what_nobody_would_read_is_refused_by_name(file, text, named):
    path = file(text)
    with pytest.raises(InputError) as error:
        parameter_files.check_params_file(path)
    assert str(path) in str(error.value) and named in str(error.value) and "\n" not in str(error.value)


def test_every_node_resolves_the_shipped_files():
    from embodied_nav.resources import share_path

    files = [share_path(f"config/{name}.yaml") for name in ("robot", "agent")]
    for spec in ALL_NODES:
        resolved = parameter_files.resolve(spec, "robot1", files)
        assert resolved["robot.footprint_radius"] == 0.18
    assert parameter_files.resolve(NodeSpec("other", "", lifecycle=False), "", files)["robot.map_frame"] == "map"
