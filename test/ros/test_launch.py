"""The launch files under the real launch system: nothing starts where something is wrong, nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed: it is part of ROS 2 from apt, not of the wheels")

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

pytestmark = pytest.mark.ros

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from embodied_nav.resources import share_path
arguments = [text.split(":=", 1) for text in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:], noninteractive=True)
source = PythonLaunchDescriptionSource(str(share_path("launch/" + sys.argv[1])))
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture(autouse=True)
def executables(ros_domain):
    try:
        folder = Path(get_package_prefix("embodied_nav"), "lib", "embodied_nav")
    except PackageNotFoundError:
        pytest.skip("embodied_nav is not built by colcon")
    if not os.access(folder / "control", os.X_OK):
        pytest.skip(f"no executables in {folder}")


@pytest.fixture
def start():
    """Starts launches that end with the test."""
    started = []

    def launch(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", RUN, *arguments]
        started.append(
            subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        )
        return started[-1]

    yield launch
    for process in started:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def gone(group: int, timeout: float = 15.0) -> bool:
    end = time.monotonic() + timeout
    while alive(group) and time.monotonic() < end:
        time.sleep(0.1)
    return not alive(group)


@pytest.mark.parametrize(
    ("file", "arguments", "line"),
    [
        ("agent", ["slam:=foo"], "slam"),
        ("agent", ["params_file:=/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        ("agent", ["memory_file:=/nowhere/home.db"], "there is no folder /nowhere"),
        ("agent", ["use_sim_time:=maybe"], "use_sim_time:=maybe: give true or false"),
        ("sim", ["kind:=foo"], "kind"),
        ("sim", ["params_file:=/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        ("sim", ["slam:=own", "localization:=truth"], "both would publish map->odom"),
        ("sim", ["log_level:=foo"], "log_level"),
    ],
)
def test_nothing_starts_where_something_is_wrong(start, file, arguments, line):
    process = start(f"{file}.launch.py", *arguments)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "process started" not in text
    assert [said for said in text.splitlines() if "[launch]: Caught exception" in said and line in said]
    assert gone(process.pid)


@pytest.mark.parametrize("argument", ["rviz:=true", "slam:=none"])
def test_a_package_that_is_missing_is_named_before_anything_starts(start, argument):
    package = {"rviz:=true": "rviz2", "slam:=none": "tf2_ros"}[argument]
    if Path(os.environ.get("AMENT_PREFIX_PATH", "").split(":")[0], "lib", package).is_dir():
        pytest.skip(f"{package} is installed")
    process = start("sim.launch.py", argument)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "process started" not in text and f"{argument}: {package}/" in text


@pytest.mark.timeout(400)
def test_a_node_that_cannot_work_ends_the_launch_with_its_line(start, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("control:\n  ros__parameters: {start_type_description_service: foo}\n", encoding="utf-8")
    process = start("agent.launch.py", f"params_file:={file}")
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and text.count("process started") == 5, "none was started again"
    assert "control cannot work: Trying to set parameter 'start_type_description_service'" in text
    assert "Traceback" not in text and gone(process.pid)


@pytest.mark.timeout(400)
def test_a_killed_launch_leaves_nothing_behind(start):
    process = start("agent.launch.py", "namespace:=robot1")
    for _ in range(5):
        while "process started" not in process.stdout.readline():
            pass
    time.sleep(2.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(process.pid)
