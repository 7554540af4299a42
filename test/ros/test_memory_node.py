"""Keyframe, perception and memory on a running graph: faults of the camera, services, late listeners, kill -9."""

import os
import signal

import numpy as np
import pytest

from embodied_nav.bringup import Process

pytestmark = pytest.mark.ros

CAMERA = {"camera/color/image_raw", "camera/depth/image_raw", "camera/color/camera_info"}


class Remembering:
    """The three nodes with a simulated camera; calls services while it spins."""

    def __init__(self, start_graph, file="") -> None:
        parameters = {"checks.persist": 1000}
        self.graph = start_graph(
            [
                Process("keyframe", "keyframe", parameters),
                Process("perception", "perception", {"backend": "geometric"}),
                Process("memory", "memory", {**parameters, "file": file, "scan": True}),
            ]
        )
        self.diagnostics = self.graph.diagnostics()
        from ros_robot import TestRobot

        self.robot = TestRobot(self.graph.node)

    def count(self, name):
        """Refused frames of a kind, as keyframe and memory tell it."""
        return min(int(self.diagnostics(n).get(f"refused_{name}", 0)) for n in ("keyframe", "memory"))

    def voxels(self):
        return int(self.diagnostics("memory").get("voxels", 0))

    def call(self, kind, name, timeout=10.0, **fields):
        client = self.graph.node.create_client(kind, name)
        assert self.graph.until(client.service_is_ready, timeout), f"no service {name}"
        answer = self.graph.ask(client, kind.Request(**fields), timeout, again=1.0)
        assert answer is not None, f"no answer from {name}"
        self.graph.node.destroy_client(client)
        return answer


@pytest.fixture
def remembering(start_graph, tmp_path):
    found = Remembering(start_graph, str(tmp_path / "memory.db"))
    assert found.graph.until(lambda: found.voxels() > 1000, 60.0), found.diagnostics("memory")
    return found


def test_bad_frames_are_refused_counted_and_leave_the_memory_alone(remembering):
    from embodied_nav.srv import QueryMemory

    r, robot = remembering, remembering.robot

    def content():
        far = {"x": 100.0, "y": 100.0, "z": 100.0}
        request = {"use_box": True, "include_voxels": True}
        from geometry_msgs.msg import Point

        answer = r.call(
            QueryMemory,
            "memory/query",
            box_min=Point(**{k: -v for k, v in far.items()}),
            box_max=Point(**far),
            **request,
        )
        assert answer.success
        return answer.voxels.width

    good = dict(vars(robot))
    faults = (
        ("encoding", {"depth_encoding": "16UC1"}),
        ("encoding", {"color_encoding": "yuv422"}),
        ("size_changed", {"size": (160, 120)}),
        ("out_of_order", {"shift": -5_000_000_000}),
    )
    robot.off |= CAMERA
    r.graph.spin(0.5)
    before = content()
    for name, fault in faults:
        count = r.count(name)
        vars(robot).update(fault)
        robot.off.clear()
        assert r.graph.until(lambda name=name, count=count: r.count(name) > count, 5.0), (
            f"{name}: {r.diagnostics('memory')}"
        )
        robot.off |= CAMERA
        vars(robot).update({k: good[k] for k in fault})
        r.graph.spin(0.6)
        assert content() == before, name
    robot.off.clear()
    # A transform that is not a number never gets into TF: the frame has no pose.
    robot.nan_pose = True
    total = r.count("no_transform") + r.count("nan_pose")
    assert r.graph.until(lambda: r.count("no_transform") + r.count("nan_pose") > total, 5.0)
    robot.nan_pose = False
    frames = robot.frames
    rate = lambda: r.diagnostics("memory").get("level")  # noqa: E731
    assert r.graph.until(lambda: robot.frames > frames + 10 and rate() == "0", 8.0), "goes on by itself"


def test_services_and_late_listeners(remembering, tmp_path):
    from embodied_nav.msg import ObjectArray
    from embodied_nav.srv import ClearMemory, LoadMemory, QueryMemory, SaveMemory
    from nav_msgs.msg import OccupancyGrid
    from sensor_msgs.msg import PointCloud2
    from visualization_msgs.msg import MarkerArray

    from embodied_nav.memory import SpatialMemory
    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import cloud_arrays

    r = remembering
    latched = {
        "memory/occupancy": OccupancyGrid,
        "memory/object_list": ObjectArray,
        "memory/voxels": PointCloud2,
        "memory/voxels_by_label": PointCloud2,
    }
    heard = {topic: r.graph.listen(kind, topic, qos.latched()) for topic, kind in latched.items()}
    changes = r.graph.listen(PointCloud2, "memory/voxel_changes", qos.reliable())
    assert r.graph.until(lambda: all(heard.values()) and changes, 8.0), {k: len(v) for k, v in heard.items()}
    points = cloud_arrays(heard["memory/voxels"][-1])
    assert len(points) > 1000 and np.isfinite(points["x"]).all() and (points["weight"] > 0).all()
    grid = heard["memory/occupancy"][-1]
    assert grid.header.frame_id == "map" and {0, 100} <= set(grid.data)

    file = tmp_path / "saved.db"
    saved = r.call(SaveMemory, "memory/save", file_name=str(file))
    assert saved.success and saved.voxels == len(SpatialMemory.load(file))
    assert not r.call(SaveMemory, "memory/save", file_name=str(tmp_path / "no" / "such" / "folder.db")).success
    (tmp_path / "foreign.db").write_text("not a memory")
    assert not r.call(SaveMemory, "memory/save", file_name=str(tmp_path / "foreign.db")).success
    assert not r.call(LoadMemory, "memory/load", file_name=str(tmp_path / "foreign.db")).success
    assert (tmp_path / "foreign.db").read_text() == "not a memory"

    r.robot.off.add("camera/depth/image_raw")
    r.graph.spin(0.5)
    assert r.call(ClearMemory, "memory/clear").success
    assert r.call(QueryMemory, "memory/query", text="").objects == []
    loaded = r.call(LoadMemory, "memory/load", file_name=str(file))
    assert loaded.success and loaded.voxels == saved.voxels
    answer = r.call(QueryMemory, "memory/query", text="", max_results=3)
    assert answer.success and len(answer.objects) == len(answer.scores) <= 3
    assert r.graph.listen(MarkerArray, "memory/objects", qos.latched()) is not None


def two_things(path):
    """A memory file: a wall with a red door, 1.5 m ahead, and a blue picture to its right."""
    from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
    from embodied_nav.geometry import T_LINK_OPTICAL, Camera
    from embodied_nav.memory import SpatialMemory

    camera, T = Camera.from_hfov(80, 60, np.pi / 2), T_LINK_OPTICAL.copy()
    T[2, 3] = 1.0
    segments = np.zeros((60, 80), np.uint16)
    segments[20:50, 15:35], segments[20:30, 50:65] = 1, 2
    memory = SpatialMemory()
    frame = RGBDFrame(10**9, camera, T, np.full((60, 80, 3), 90, np.uint8), np.full((60, 80), 1.5, np.float32))
    memory.integrate(frame)
    memory.add_keyframe(Keyframe(0, frame, 0.5, 0, "first"))
    seen = [ObjectObservation(*name, 0.9, np.array([1.5, y, 0.9]), np.full(3, 0.4)) for *name, y in
            (("door", "red", 0.6), ("picture", "blue", -0.6))]  # fmt: skip
    memory.add_delta(SemanticDelta(0, -1, 10**9, "test", "", tuple(seen), segments=segments))
    memory.save(path)


def test_questions(remembering, tmp_path):
    from embodied_nav.srv import LoadMemory, QueryMemory
    from geometry_msgs.msg import Point, Pose

    from embodied_nav.geometry import T_LINK_OPTICAL, Camera
    from embodied_nav.nodes.ros.conversions import camera_info_msg, header, matrix_from_pose, pose_msg

    r = remembering
    r.robot.off |= CAMERA
    r.graph.spin(0.5)
    two_things(tmp_path / "two.db")
    assert r.call(LoadMemory, "memory/load", file_name=str(tmp_path / "two.db")).success

    def ask(**request):
        return r.call(QueryMemory, "memory/query", **request)

    here = {"use_viewer": True, "viewer": Point(x=0.0, y=0.0, z=1.0)}
    answer = ask(text="what is to the right of the door", **here)
    assert answer.success and answer.objects[0].label == "picture", answer.message
    assert answer.reasons[0].startswith("right of the red door") and answer.ages[0] >= 0.0
    assert np.allclose(matrix_from_pose(answer.views[0])[:3, 3], (0, 0, 1)) and len(answer.rooms) == len(answer.objects)
    assert answer.objects[0].confirmed == 1 and list(answer.objects[0].labels) == ["picture"]
    refused = ask(text="chair between the doors")
    assert not refused.success and "name two things" in refused.message
    T = T_LINK_OPTICAL.copy()
    T[:3, 3] = 0.0, -0.6, 1.0
    info = camera_info_msg(Camera.from_hfov(80, 60, 0.5), header(1, "camera"))
    view = {"use_frustum": True, "camera": info, "camera_pose": pose_msg(T), "camera_range": 3.0}
    assert [o.label for o in ask(**view).objects] == ["picture"]
    assert ask(**{**view, "camera_range": 1.0}).objects == []
    broken = Pose()
    broken.orientation.w, broken.position.x = 1.0, float("nan")
    assert not ask(**{**view, "camera_pose": broken}).success
    assert ask(use_near=True, near=Point(x=1.5, y=-0.6, z=1.0)).objects[0].label == "picture"


def test_a_laser_scan_is_laid_over_the_occupancy(remembering):
    import time

    from nav_msgs.msg import OccupancyGrid
    from sensor_msgs.msg import LaserScan

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import grid_from_msg, header

    r = remembering
    grids = r.graph.listen(OccupancyGrid, "memory/occupancy", qos.latched())
    behind = np.array([[-1.0, 0.0], [-2.0, 0.0]])  # a way back where the camera never looked, and a wall

    def seen():
        if not grids:
            return None
        grid = grid_from_msg(grids[-1])
        cells = grid.cells(behind)
        return [int(grid.data[tuple(c)]) if grid.inside(c) else -1 for c in cells]

    assert r.graph.until(lambda: seen() == [-1, -1], 5.0)
    scans = r.graph.node.create_publisher(LaserScan, "scan", qos.sensor())
    message = LaserScan(angle_min=-np.pi, angle_increment=np.pi / 180, range_min=0.1, range_max=8.0)
    message.ranges = [2.0] * 360

    def scan():
        message.header = header(time.time_ns() - 50_000_000, "base_link")
        scans.publish(message)

    timer = r.graph.node.create_timer(0.1, scan)
    assert r.graph.until(lambda: seen() == [0, 100], 5.0), seen()
    timer.cancel()


def test_comes_back_with_all_but_the_last_second_after_kill_9(remembering, tmp_path):
    from embodied_nav.srv import QueryMemory

    from embodied_nav.memory.file.inspection import describe, find_faults

    r, file = remembering, tmp_path / "memory.db"
    written = r.graph.until(lambda: describe(file)["keyframes"] > 0, 30.0)
    assert written, f"{describe(file)} {r.diagnostics('memory')} {r.diagnostics('keyframe')}"
    map_id = r.call(QueryMemory, "memory/query").map_id
    assert map_id == describe(file)["map"]
    frames = describe(file)["frames"]
    assert r.graph.until(lambda: describe(file)["frames"] > frames, 5.0)
    os.kill(r.graph.supervisor.pid("memory"), signal.SIGKILL)
    assert find_faults(file) == []
    kept = describe(file)
    r.robot.off.add("camera/depth/image_raw")
    assert r.graph.until(lambda: r.graph.supervisor.restarts["memory"] == 1, 3.0)
    answer = r.call(QueryMemory, "memory/query", timeout=30.0)  # DDS still knows the dead server, which does not answer
    assert answer.success and answer.map_id == map_id, "the same map, made again from its file"
    assert describe(file)["frames"] >= kept["frames"] and describe(file)["sessions"] == kept["sessions"] + 1
    r.robot.off.clear()
    assert r.graph.until(lambda: describe(file)["frames"] > kept["frames"] + 5, 15.0)
    assert any("memory killed by signal 9" in line for line in r.graph.said)
