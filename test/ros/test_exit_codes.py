"""A node that the user must help says so in one line and ends with 2: nobody starts it again."""

import os
import subprocess
import sys

import pytest

from embodied_nav.bringup import Process, Supervisor, local_environment
from embodied_nav.errors import AlreadyTold

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--log-level", "foo"], "Couldn't parse log level"),
        (["--params-file", "/nowhere.yaml"], "Couldn't parse params file"),
        (["--flog"], "no such ROS arguments"),
        (["-p", "use_sim_time:=foo"], "use_sim_time"),
        (["-p", "robot.max_linear:=fast"], "robot.max_linear = 'fast': expected float"),
    ],
)
def test_ros_arguments_that_nobody_takes(ros_domain, arguments, line):
    command = [sys.executable, "-P", "-m", "embodied_nav.nodes.control", "--ros-args", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=False)
    ours = [text for text in result.stderr.splitlines() if not text.startswith("[ERROR]")]  # rcl's logger
    assert result.returncode == 2 and len(ours) == 1, result.stderr
    assert ours[0].startswith("embodied-nav: error: ") and line in ours[0] and "Traceback" not in result.stderr


@pytest.mark.timeout(400)
def test_a_memory_file_that_cannot_be_written_ends_everything_at_the_start(ros_domain, capfd):
    memory = Process("memory", "memory", {"file": "/proc/home.db"})
    with pytest.raises(AlreadyTold), Supervisor([memory], local_environment()) as supervisor:
        while True:
            assert supervisor.restarts == {"memory": 0}
            supervisor.poll()
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("embodied-nav: error: ")]
    assert len(lines) == 1 and "/proc/home.db: " in lines[0]
