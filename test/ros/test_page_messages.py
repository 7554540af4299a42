"""What the page takes from messages is what the memory, SLAM and the nodes put into them."""

import os
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from tf2_msgs.msg import TFMessage

from embodied_nav.frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid
from embodied_nav.geometry import pose2d
from embodied_nav.nodes.ros import living, markers
from embodied_nav.nodes.ros.conversions import cloud_msg, header, transform_msg
from embodied_nav.nodes.ros.page_messages import (
    NodesHealth,
    floors_of,
    gone_objects,
    lines_of,
    transform_between,
    voxels_of,
)
from embodied_nav.rooms import segment_rooms

HEAD = header(1, "map")


def test_voxels_keep_place_and_colour():
    random = np.random.default_rng(2)
    positions = random.uniform(-5, 5, (200, 3)).astype(np.float32)
    colors = random.integers(0, 256, (200, 3)).astype(np.uint8)
    found = voxels_of(cloud_msg(positions, colors, np.zeros(200, np.int32), np.ones(200, np.float32), HEAD))
    assert np.array_equal(found[0], positions) and np.array_equal(found[1], colors)
    empty = voxels_of(cloud_msg(*(x[:0] for x in (positions, colors)), np.zeros(0, np.int32), np.zeros(0), HEAD))
    assert empty[0].shape == (0, 3) and empty[1].shape == (0, 3)


def test_only_gone_objects_are_taken_from_markers():
    def make(number, label, color, status):
        where, size = np.array([number, 1.0, 0.5]), np.array([0.5, 0.6, 0.7])
        return MemoryObject(number, label, color, where, size, 1.0, 9, 1, 1, 0, status=status)

    objects = [
        make(1, "sofa", "red", "present"),
        make(2, "coffee table", "brown", "gone"),
        make(3, "box (gone)", "", "present"),
    ]
    (found,) = gone_objects(markers.objects(objects, HEAD))
    assert (found.id, found.name, found.status) == (2, "brown coffee table", "gone")
    assert np.allclose(found.position, [2, 1, 0.5]) and np.allclose(found.extent, [0.5, 0.6, 0.7])


def test_rooms_keep_name_place_and_floor():
    data = np.full((100, 160), FREE, np.int8)
    data[[0, -1]], data[:, [0, -1]], data[:, 80] = OCCUPIED, OCCUPIED, OCCUPIED
    data[45:61, 80] = FREE
    rooms = segment_rooms(OccupancyGrid(data, 0.05, (1.0, 2.0)))
    assert len(rooms.rooms) == 2
    found = floors_of(markers.rooms(rooms, {rooms.rooms[0].id: "kitchen"}, HEAD))
    assert [r.name for r in found] == ["kitchen", f"room {rooms.rooms[1].id}"]
    for floor, room in zip(found, rooms.rooms, strict=True):
        assert np.allclose(floor.middle, room.middle)
        assert abs(len(floor.tiles) * floor.size**2 - room.area) < 0.15 * room.area
        assert np.linalg.norm(floor.tiles - np.array(room.middle), axis=1).min() < 0.1


def test_the_graph_keeps_its_edges():
    places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], float)
    found = lines_of(markers.graph(places, [(0, 1, False), (1, 2, False), (2, 0, True)], HEAD))
    assert [len(lines.points) for lines in found] == [2, 1]
    assert np.allclose(found[1].points[0], places[[2, 0]]) and found[0].color != found[1].color


def test_the_newest_transform_of_the_pair_counts_and_no_other():
    T = pose2d(1.0, 2.0, 0.3)
    message = TFMessage(
        transforms=[
            transform_msg(np.eye(4), 1, "map", "odom"), transform_msg(T, 2, "map", "odom"),
            transform_msg(np.eye(4), 2, "odom", "base_link"),
        ]
    )  # fmt: skip
    assert np.allclose(transform_between(message, "map", "odom"), T)
    assert transform_between(message, "map", "base_link") is None
    message.transforms[1].transform.translation.x = float("nan")
    assert transform_between(message, "map", "odom") is None


def test_health_tells_levels_latencies_cpu_and_silence(monkeypatch):
    health = NodesHealth(silent=5.0)
    values = {"fusion p50": "3.1 ms", "fusion p95": "9.0 ms", "rate": "5 Hz", living.FACT: living.this_process()}
    status = DiagnosticStatus(name="memory", level=DiagnosticStatus.WARN, message="slow")
    status.values = [KeyValue(key=k, value=v) for k, v in values.items()]
    health.hear(status)
    health.hear(DiagnosticStatus(name="control", level=DiagnosticStatus.ERROR, message="no depth"))
    control, memory = health.parts()
    assert (control.level, control.message, control.cpu) == (2, "no depth", None)
    assert (memory.level, memory.latency_ms) == (1, {"fusion": 3.1})

    before, at = sum(os.times()[:2]), time.monotonic()
    while sum(os.times()[:2]) < before + 0.4:
        sum(range(20000))
    measured = health.parts()[1].cpu
    share = (sum(os.times()[:2]) - before) / (time.monotonic() - at)
    assert measured == pytest.approx(share, rel=0.5) and measured > 0.02
    later = time.monotonic() + 6.0
    monkeypatch.setattr("embodied_nav.nodes.ros.page_messages.time.monotonic", lambda: later)
    assert {p.level for p in health.parts()} == {3} and "silent for" in health.parts()[0].message
