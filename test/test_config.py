"""Settings: one dataclass for YAML, the command line and ROS; whatever is out of range is refused by name."""

import argparse
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.config import Config, param, read_yaml
from embodied_nav.errors import InputError
from embodied_nav.robot import RobotProfile


@dataclass(frozen=True)
class Example(Config):
    size: float = param(0.05, "edge of a voxel", unit="m", low=0.005, high=1.0)
    count: int = param(3, "how many", low=1)
    carve: bool = param(True, "remove what moved away (100% of it)")
    mode: str = param("fast", "which way", choices=("fast", "exact"))
    gains: tuple = param((1.0, 2.0), "gains", low=0.0)
    names: tuple = param(("a",), "names")


@given(st.floats(0.005, 1.0), st.integers(1, 10**6), st.booleans(), st.sampled_from(["fast", "exact"]))
def test_values_survive_yaml_and_command_line(size, count, carve, mode):
    config = Example(size=size, count=count, carve=carve, mode=mode)
    assert Example.from_mapping(config.to_mapping()) == config
    parser = argparse.ArgumentParser()
    Example.add_arguments(parser)
    given_options = ["--size", repr(size), "--count", str(count), "--carve", str(carve).lower(), "--mode", mode]
    assert Example.from_arguments(parser.parse_args(given_options)) == config


def test_options_not_given_keep_their_defaults():
    parser = argparse.ArgumentParser()
    Example.add_arguments(parser)
    assert Example.from_arguments(parser.parse_args(["--gains", "3,4"])) == Example(gains=(3.0, 4.0))
    assert "edge of a voxel [m]" in parser.format_help() and "100%" in parser.format_help()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 2.0}, r"size = 2\.0: out of range \[0\.005, 1\.0\] m$"),
        ({"size": math.nan}, "size = nan: out of range"),
        ({"size": "wide"}, "size = 'wide': expected float"),
        ({"size": True}, "size = True: expected float"),
        ({"count": 0}, r"count = 0: out of range \[1, inf\]$"),
        ({"count": 2.5}, "count = 2.5: expected int"),
        ({"count": True}, "count = True: expected int"),
        ({"carve": 1}, "carve = 1: expected bool"),
        ({"carve": "maybe"}, "carve = 'maybe': expected bool"),
        ({"mode": "slow"}, "mode = 'slow': must be one of fast, exact"),
        ({"mode": 3}, "mode = 3: expected str"),
        ({"gains": (1.0, -1.0)}, "gains = -1.0: out of range"),
        ({"gains": 5}, "gains = 5: expected tuple"),
    ],
)
def test_refusals_name_parameter_value_and_range(values, message):
    with pytest.raises(InputError, match=message):
        Example(**values)


def test_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"robot\.yaml: unknown parameter 'siez'; known: size, count"):
        Example.from_mapping({"siez": 1.0}, where="robot.yaml")


def test_yaml_file(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text("size: 0.1\nnames: [x, y]\n")
    assert Example.from_yaml(path) == Example(size=0.1, names=("x", "y"))
    path.write_text("")
    assert Example.from_yaml(path) == Example()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [1", "not valid YAML"), (b"- 1\n", "holds list"), (b"\xff\xfe\x00", "not valid YAML")],
)
def test_bad_yaml_is_one_line(tmp_path, content, message):
    path = tmp_path / "example.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_yaml(path)
    assert len(str(error.value).splitlines()) == 1


def test_missing_yaml_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.yaml: cannot be read"):
        read_yaml(tmp_path / "nothing.yaml")


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        Example().size = 1.0


def test_camera_mount_of_the_robot():
    """Level camera: its axis is the robot's x. Pitched down: the axis falls below the horizon."""
    level = RobotProfile(camera_pitch=0.0).T_base_camera()
    assert level[:3, 2] == pytest.approx([1, 0, 0]) and level[:3, 3] == pytest.approx([0.1, 0, 0.85])
    down = RobotProfile(camera_pitch=0.3).T_base_camera()
    assert down[:3, 2] == pytest.approx([math.cos(0.3), 0, -math.sin(0.3)])
    assert down[:3, 0] == pytest.approx([0, -1, 0])
