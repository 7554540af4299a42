"""The stand-ins stay away from real ROS: installation, colcon, and the wire format."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMPAT = Path(__file__).resolve().parents[2] / "compat"

# What ROS 2 Jazzy's own tf2_msgs is known by on the wire (REP-2011). With another hash, nodes of real ROS machines
# would warn and refuse.
TFMESSAGE_HASH = "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"


def setup_py(path: str = "", prefixes: str = "") -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "AMENT_PREFIX_PATH")}
    environment |= {"PYTHONPATH": path} if path else {}
    environment |= {"AMENT_PREFIX_PATH": prefixes} if prefixes else {}
    command = [sys.executable, "setup.py", "--quiet", "--name"]
    return subprocess.run(command, cwd=COMPAT, env=environment, capture_output=True, text=True)


def test_installation_refuses_beside_a_real_module(tmp_path):
    module = tmp_path / "tf2_ros" / "__init__.py"
    module.parent.mkdir()
    module.write_text("from tf2_py import *\n")
    result = setup_py(path=str(tmp_path))
    assert result.returncode == 1
    assert str(module) in result.stderr
    assert "nothing to install" in result.stderr.splitlines()[-1]


def test_installation_refuses_in_a_sourced_ros_workspace(tmp_path):
    manifest = tmp_path / "share" / "tf2_ros_py" / "package.xml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("<package/>")
    result = setup_py(prefixes=f"/nowhere{os.pathsep}{tmp_path}")
    assert result.returncode == 1
    assert str(manifest) in result.stderr


def test_installation_goes_ahead_beside_stand_ins(tmp_path):
    shutil.copytree(COMPAT / "src", tmp_path / "site")
    result = setup_py(path=str(tmp_path / "site"))
    if "this machine has" in result.stderr:
        pytest.skip("real ROS packages are importable here")
    assert result.stdout.strip() == "embodied-nav-ros-compat"


@pytest.mark.skipif(shutil.which("colcon", path=os.path.dirname(sys.executable)) is None, reason="no colcon here")
def test_colcon_finds_the_interfaces_only_when_named(tmp_path):
    def listed(*arguments: str) -> list[str]:
        command = [sys.executable, "-m", "colcon", "--log-base", str(tmp_path / "log"), "list", "--names-only"]
        result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
        return result.stdout.split()

    assert "tf2_msgs" not in listed("--base-paths", str(COMPAT))
    assert "tf2_msgs" not in listed("--base-paths", str(COMPAT.parent))
    assert listed("--paths", str(COMPAT / "tf2_msgs")) == ["tf2_msgs"]


def test_the_interfaces_have_the_hash_of_jazzy(new_node):
    TFMessage = pytest.importorskip("tf2_msgs.msg", reason="no tf2_msgs here: make setup").TFMessage
    node = new_node("hash")
    publisher = node.create_publisher(TFMessage, "/tf", 1)
    end = time.monotonic() + 10.0
    while not (found := node.get_publishers_info_by_topic("/tf")) and time.monotonic() < end:
        time.sleep(0.01)
    assert publisher.topic_name == "/tf"
    assert str(found[0].topic_type_hash) in (f"RIHS01_{TFMESSAGE_HASH}", TFMESSAGE_HASH) or (
        bytes(found[0].topic_type_hash.value).hex() == TFMESSAGE_HASH
    )


def test_the_fields_of_services_and_actions():
    pytest.importorskip("tf2_msgs", reason="no tf2_msgs here: make setup")
    from tf2_msgs.action import LookupTransform
    from tf2_msgs.msg import TF2Error
    from tf2_msgs.srv import FrameGraph

    assert LookupTransform.Goal.get_fields_and_field_types() == {
        "target_frame": "string",
        "source_frame": "string",
        "source_time": "builtin_interfaces/Time",
        "timeout": "builtin_interfaces/Duration",
        "target_time": "builtin_interfaces/Time",
        "fixed_frame": "string",
        "advanced": "boolean",
    }
    assert LookupTransform.Result.get_fields_and_field_types() == {
        "transform": "geometry_msgs/TransformStamped",
        "error": "tf2_msgs/TF2Error",
    }
    assert FrameGraph.Response.get_fields_and_field_types() == {"frame_yaml": "string"}
    names = "NO_ERROR LOOKUP_ERROR CONNECTIVITY_ERROR EXTRAPOLATION_ERROR INVALID_ARGUMENT_ERROR TIMEOUT_ERROR"
    assert [getattr(TF2Error, name) for name in f"{names} TRANSFORM_ERROR".split()] == list(range(7))


#: All names of the real package's modules, but for those of typing.
NAMES = """
    ActionClient Buffer BufferClient BufferInterface Clock ConvertRegistration DurabilityPolicy Duration FrameGraph
    Future Header HistoryPolicy JumpThreshold LookupTransform MsgStamped Node NotImplementedException PointCloud2
    PointStamped PoseStamped PoseWithCovarianceStamped PyKDLType QoSProfile ReentrantCallbackGroup
    SingleThreadedExecutor Stamped StaticTransformBroadcaster TFMessage Thread Time TimeJump TransformBroadcaster
    TransformListener TransformRegistration TransformStamped TransformableObject TypeException Vector3Stamped buffer
    buffer_client buffer_interface builtin_interfaces convert rclpy static_transform_broadcaster tf2 threading
    transform_broadcaster transform_listener BufferCore ConnectivityException ExtrapolationException
    InvalidArgumentException LookupException TimeoutException TransformException
"""


def test_tf2_ros_hands_on_the_names_that_programs_import_from_it():
    everything: dict = {}
    exec("from tf2_ros import *", everything)
    assert set(NAMES.split()) <= set(everything)
