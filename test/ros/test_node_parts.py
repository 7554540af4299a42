"""The parts of nodes that need no graph: worker, lock-step order, parameters, table of nodes."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from embodied_nav import bringup, node_table  # noqa: E402
from embodied_nav.bringup import parameter_files  # noqa: E402
from embodied_nav.config import Config, param  # noqa: E402
from embodied_nav.errors import AlreadyTold, InputError  # noqa: E402
from embodied_nav.frames import Keyframe, RGBDFrame, SemanticDelta  # noqa: E402
from embodied_nav.geometry import Camera  # noqa: E402
from embodied_nav.nodes.lockstep.fusion_order import FusionOrder  # noqa: E402
from embodied_nav.nodes.ros import markers  # noqa: E402
from embodied_nav.nodes.ros.diagnostics import Input, percentiles_ms  # noqa: E402
from embodied_nav.nodes.ros.worker import Worker  # noqa: E402
from embodied_nav.resources import share_path  # noqa: E402


def test_a_worker_that_falls_behind_drops_the_oldest_and_counts():
    gate, done, dropped, errors = threading.Event(), [], [], []

    def handle(item):
        gate.wait(5)
        if item == 7:
            raise ValueError("seven")
        done.append(item)

    worker = Worker(handle, 3, errors.append, dropped.append)
    worker.put(0)
    time.sleep(0.05)  # 0 is in hand, 1 to 8 wait
    for item in range(1, 9):
        worker.put(item)
    gate.set()
    assert worker.drain(2.0)
    assert done == [0, 6, 8] and dropped == [1, 2, 3, 4, 5] and worker.dropped == 5
    assert [str(e) for e in errors] == ["seven"]
    worker.close()
    worker.put(9)
    assert worker.drain(0.1) and done[-1] == 8


def frame(stamp):
    return RGBDFrame(stamp, Camera.from_hfov(4, 3, 1.0), np.eye(4))


def test_lockstep_waits_for_verdict_and_delta():
    fused = []
    order = FusionOrder(lambda f, k, d: fused.append((f.stamp, k is not None, d is not None)))
    order.frame(frame(1))
    assert fused == []
    order.progress("keyframe", "frame", 1, False)
    assert fused == [(1, False, False)]
    order.progress("keyframe", "frame", 2, True)
    order.delta(SemanticDelta(0, -1, 2, "x", ""))
    order.frame(frame(2))
    assert len(fused) == 1
    order.keyframe(Keyframe(0, frame(2), 1.0, 0, "first"))
    assert fused[1:] == [(2, True, True)]
    order.frame(frame(3))
    order.progress("keyframe", "frame", 3, True)
    order.progress("perception", "keyframe", 3, False)  # refused there
    order.keyframe(Keyframe(1, frame(3), 1.0, 0, "moved"))
    assert fused[2:] == [(3, True, False)]


def test_lockstep_takes_deltas_that_overtake_their_keyframes():
    fused = []
    order = FusionOrder(lambda f, k, d: fused.append((f.stamp, k.id, d.keyframe_id)))
    order.progress("perception", "keyframe", 4, True)
    order.delta(SemanticDelta(7, -1, 4, "x", ""))
    order.progress("keyframe", "frame", 4, True)
    order.frame(frame(4))
    assert fused == []
    order.keyframe(Keyframe(7, frame(4), 1.0, 0, "first"))
    assert fused == [(4, 7, 7)]


def progress(node, stamp, stage="frame", taken=True):
    from embodied_nav.msg import Progress

    from embodied_nav.nodes.ros.conversions import header

    return Progress(header=header(stamp, ""), node=node, stage=stage, taken=taken)


def test_frames_in_flight_know_who_is_not_through():
    from embodied_nav.nodes.lockstep.frames_in_flight import FramesInFlight

    in_flight = FramesInFlight(("keyframe", "memory"))
    in_flight.published(5)
    assert in_flight.waiting_for(5) == ("keyframe", "memory") and not in_flight.wait_frame(5, 0.01)
    in_flight.progress(progress("keyframe", 5))
    in_flight.progress(progress("control", 5))
    in_flight.progress(progress("memory", 4))
    assert in_flight.waiting_for(5) == ("memory",) and not in_flight.wait_frame(5, 0.01)
    threading.Timer(0.05, in_flight.progress, [progress("memory", 5, taken=False)]).start()
    assert in_flight.wait_frame(5, 5.0) and in_flight.waiting_for(5) == (), "a refused frame is through, too"
    assert in_flight.frames == {"keyframe": 1, "memory": 1} and in_flight.keyframes == 1


def test_an_input_is_as_old_as_its_stamp_or_its_silence():
    watch = Input("x", 0.1)
    assert watch.stale and watch.age == float("inf")
    watch.arrived(0.0)
    assert not watch.stale
    watch.arrived(0.2)
    assert watch.stale, "old when it came"
    watch.arrived(0.0)
    time.sleep(0.15)
    assert watch.stale, "silent since"
    assert percentiles_ms([]) is None and percentiles_ms([0.001] * 10) == {"p50": 1.0, "p95": 1.0}


@dataclass(frozen=True)
class Sample(Config):
    number: float = param(1.0, "a number", unit="m", low=0.0, high=2.0)
    count: int = param(3, "a count", low=0)
    name: str = param("a", "a name", choices=("a", "b"))
    yes: bool = param(True, "a flag")
    values: tuple = param((1.0, 2.0), "numbers")


@pytest.fixture
def node_with():
    import rclpy
    from rclpy.context import Context
    from rclpy.parameter import Parameter

    context = Context()
    rclpy.init(context=context, domain_id=101)
    nodes = []

    def make(**overrides):
        given = [Parameter(name.replace("__", "."), value=value) for name, value in overrides.items()]
        nodes.append(rclpy.create_node("sample", context=context, parameter_overrides=given))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_watchers_are_known_by_name(node_with):
    from sensor_msgs.msg import Image

    from embodied_nav.nodes.ros.watchers import missing_watchers

    source = node_with()
    for _ in range(2):  # two viewers in a node of another name
        source.create_subscription(Image, "camera", lambda _: None, 1)
    wanted = {"camera": ("memory", "control"), "/tf": ()}
    assert missing_watchers(source, wanted) == ["control, memory to listen to camera"]
    assert missing_watchers(source, {"camera": ["sample"]}) == []


def test_settings_become_parameters(node_with):
    from embodied_nav.nodes.ros import params

    node = node_with(part__number=1, part__values=[4.0, 5.0, 6.0])  # an integer for a float is fine
    settings = params.declare(node, Sample, "part")
    assert settings == Sample(number=1.0, values=(4.0, 5.0, 6.0))
    assert node.get_parameter("part.number").value == 1.0
    descriptor = node.describe_parameter("part.number")
    assert descriptor.description == "a number [m]" and descriptor.read_only
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (0.0, 2.0)
    assert "a, b" in node.describe_parameter("part.name").additional_constraints
    params.refuse_unknown(node)
    with pytest.raises(InputError, match=r"number = 3.0.*\[0.0, 2.0\]"):
        params.declare(node_with(number=3.0), Sample)
    stray = node_with(numbr=1.0)
    params.declare(stray, Sample)
    with pytest.raises(InputError, match="numbr"):
        params.refuse_unknown(stray)


def test_the_table_names_every_parameter_file_entry_and_the_files_are_good():
    for name in ("robot", "agent"):
        parameter_files.check_params_file(share_path(f"config/{name}.yaml"))
    for spec in node_table.ALL_NODES:
        settings = parameter_files.node_settings(spec)
        names = [f"{prefix}.{f.name}" for kind, prefix in settings for f in fields(kind)]
        assert len(names) == len(set(names)), f"{spec.name}: a parameter twice"


def test_free_domains_differ_and_local_environments_stay_on_this_machine():
    environment = bringup.local_environment(42)
    assert environment["ROS_DOMAIN_ID"] == "42"
    profile = Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).read_text()
    assert "<address>127.0.0.1</address>" in profile and "<useBuiltinTransports>false<" in profile
    assert 1 <= bringup.free_domain_id() <= 100


def test_shared_memory_is_for_machines_whose_sockets_are_too_small_for_images(monkeypatch, tmp_path):
    from embodied_nav.bringup import isolated_graph

    limit_in = isolated_graph.socket_buffer_limit
    assert limit_in(str(tmp_path / "none")) == 0
    for limit, name in (("4194304", "fastdds.xml"), ("212992", "fastdds_shared_memory.xml")):
        (tmp_path / "rmem_max").write_text(limit + "\n")
        monkeypatch.setattr(isolated_graph, "socket_buffer_limit", lambda: limit_in(str(tmp_path / "rmem_max")))
        assert isolated_graph.dds_profile().name == name


@pytest.mark.parametrize(("name", "shares"), [("fastdds", False), ("fastdds_shared_memory", True)])
def test_transports_are_those_of_the_profile(name, shares):
    """rmw_fastrtps adds shared memory of its own for LOCALHOST; a process killed within it holds up its neighbours."""
    code = (
        "import rclpy, pathlib; rclpy.init(); node = rclpy.create_node('threads');"
        "print(*(p.read_text().strip() for p in pathlib.Path('/proc/self/task').glob('*/comm')))"
    )
    environment = bringup.local_environment()
    environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(share_path(f"config/{name}.xml"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    ports = {thread for thread in done.stdout.split() if thread.startswith(("dds.shm.", "dds.udp."))}
    assert any(thread.startswith("dds.udp.") for thread in ports), done.stderr
    assert any(thread.startswith("dds.shm.") and thread != "dds.shm.wdog" for thread in ports) == shares


def test_control_loads_nothing_heavy():
    code = "import sys, embodied_nav.nodes.control; print(*({'torch', 'cv2', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_only_segments_that_nobody_holds_are_swept(tmp_path):
    import fcntl

    for name in ("fastrtps_dead", "fastrtps_held", "other"):
        (tmp_path / name).write_text("segment")
        (tmp_path / f"{name}_el").write_text("")
    with (tmp_path / "fastrtps_held_el").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert bringup.sweep_shared_memory(str(tmp_path), least_age=3600.0) == 0, "too young to judge"
        assert bringup.sweep_shared_memory(str(tmp_path), least_age=0.0) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"fastrtps_held", "fastrtps_held_el", "other", "other_el"}


def test_supervisor_gives_up_on_a_node_that_cannot_start():
    bad = bringup.Process("keyframe", "keyframe", {"camera.queue": 0})
    supervisor = bringup.Supervisor([bad], bringup.local_environment(), print)
    with supervisor, pytest.raises(AlreadyTold, match="keyframe could not start"):
        for _ in range(300):
            supervisor.poll()
            time.sleep(0.1)


def test_an_error_is_told_at_once_and_so_is_its_end(ros_domain):
    """One that lasts less than the second between two statuses is told, too."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    from embodied_nav.nodes.ros.diagnostics import Diagnostics

    rclpy.init()
    node, told = rclpy.create_node("told"), []
    diagnostics = Diagnostics(node, 0.5)
    node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: told.append(m.status[0].message), 50)
    begin = time.monotonic()
    while time.monotonic() < begin + 1.8:
        rclpy.spin_once(node, timeout_sec=0.02)
        if "pose" not in diagnostics.errors and 1.2 < time.monotonic() - begin < 1.5:
            diagnostics.errors["pose"] = "odom jumped"
        elif time.monotonic() - begin > 1.5:
            diagnostics.errors.pop("pose", None)
    rclpy.shutdown()
    assert told.count("odom jumped") == 1 and told[-1] == "ok", told


def test_diagnostics_are_told_while_workers_count(ros_domain):
    import rclpy

    from embodied_nav.nodes.ros.diagnostics import Diagnostics

    rclpy.init()
    node = rclpy.create_node("told")
    diagnostics, over, errors = Diagnostics(node, 0.5), threading.Event(), []

    def work():
        n = 0
        while not over.is_set():
            n += 1
            diagnostics.counts[f"count {n % 500}"] += 1
            diagnostics.facts[f"fact {n % 500}"] = n
            diagnostics.latency(f"stage {n % 20}").add(0.01)
            diagnostics.input(f"topic {n % 20}", required=n % 2 == 0)
            if n % 500 == 0:
                diagnostics.counts.clear()
                diagnostics.facts.clear()

    threads = [threading.Thread(target=work) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        end = time.monotonic() + 1.0
        while time.monotonic() < end and not errors:
            try:
                diagnostics.publish()
            except RuntimeError as error:
                errors.append(error)
    finally:
        sys.setswitchinterval(interval)
        over.set()
        for thread in threads:
            thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
    assert not errors


def test_labels_keep_their_colours():
    names = (("", ""), ("sofa", "red"), ("chair", "blue"), ("sofa", "green"))
    colors = markers.label_colors(np.array([0, 1, 2, 3]), names)
    assert colors.dtype == np.uint8 and (colors[1] == colors[3]).all() and (colors[1] != colors[2]).any()


def test_what_tf_begins_after_is_not_waited_for():
    """A node that hears TF late would else wait for each of the frames before, and simulated time with it."""
    from types import SimpleNamespace

    import tf2_ros
    from geometry_msgs.msg import TransformStamped
    from rclpy.time import Time

    from embodied_nav.nodes.ros.conversions import BadMessage
    from embodied_nav.nodes.ros.tf_lookup import Transforms

    buffer = tf2_ros.Buffer()
    for seconds in (5, 6):
        transform = TransformStamped()
        transform.header.frame_id, transform.child_frame_id = "map", "odom"
        transform.header.stamp.sec = seconds
        buffer.set_transform(transform, "test")
    look = Transforms.__new__(Transforms)
    look._buffer = buffer
    look._clock = SimpleNamespace(now=lambda: Time(seconds=6))
    asked = []
    # A clock of its own on which a whole second passes at each look.
    look._silence = SimpleNamespace(simulated=True, now=lambda: asked.append(0) or float(len(asked)))
    with pytest.raises(BadMessage, match="past"):
        look.at("map", "odom", 4_000_000_000, 20.0)
    assert len(asked) == 1
    with pytest.raises(BadMessage, match="future"):
        look.at("map", "odom", 7_000_000_000, 0.3)
    assert len(asked) > 1
    assert look.at("map", "odom", 5_500_000_000).shape == (4, 4)
    # Simulated time that stands still for as long as somebody waits.
    look._silence = SimpleNamespace(simulated=True, now=lambda: 0.0)
    with pytest.raises(BadMessage, match="future"):
        look.at("map", "odom", 7_000_000_000, 20.0, vain=lambda: len(asked.append(0) or asked) > 5)
