"""What a report is made of: kinds of failure, curves, and what a row tells of the way."""

import math

import pytest

from embodied_nav.evaluation import curves, failures
from embodied_nav.evaluation.drivers import create_driver
from embodied_nav.evaluation.results import Journal, load_results
from embodied_nav.evaluation.runner import run_episode
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode


def failed(**more):
    row = {"success": False, "oracle_success": False, "distance_to_goal": 5.0, "steps": 900, "ending": "stop"}
    return row | more


def track(*places):
    return [list(place) for place in places]


FAR = track((0, 0, 0), (4, 0, 60), (8, 0, 120), (9, 3, 170), (9, 4, 180))
STANDS = track((0, 0, 0), (4, 0, 60), (4.1, 0, 70), (4.1, 0.1, 120), (4.1, 0.1, 180))


@pytest.mark.parametrize(
    "row, kind",
    [
        (failed(), "stopped elsewhere"),
        (failed(distance_to_goal=0.4), "stopped short"),
        (failed(oracle_success=True), "left the goal"),
        (failed(ending="gave_up", oracle_success=True), "gave up"),
        (failed(ending="time", track=FAR), "still searching"),
        (failed(ending="time", track=STANDS), "stuck"),
        (failed(ending="time", track=FAR, slam_lost_s=60.0), "lost its place"),
        (failed(ending="time", oracle_success=True, track=FAR), "left the goal"),
        (failed(track=FAR, waypoints=[[5, 5]], goals=[[9, 5]]), "stopped past a way point"),
        (failed(track=FAR, waypoints=[[5, 5]], goals=[[1, 5]]), "stopped elsewhere"),
        (failed(ending=None), "ended elsewhere"),
        (failed(ending=None, steps=3600), "still searching"),
        (failed(distance_to_goal=None), "stopped elsewhere"),
    ],
)
def test_kinds_of_failure(row, kind):
    assert failures.kind_of(row) == kind and kind in failures.KINDS


def test_every_kind_is_shown_before_a_frequent_one_twice():
    rows = [failed(id=k) for k in range(5)] + [failed(id=9, ending="gave_up"), failed(id=10, success=True)]
    found = failures.sort(rows)
    assert {k: len(v) for k, v in found.items()} == {"stopped elsewhere": 5, "gave up": 1}
    assert [row["id"] for row in failures.some(found, 3)] == [0, 9, 1]
    assert failures.some(found, 0) == [] and len(failures.some(found, 99)) == 6


def test_success_against_distance_is_counted_by_bin():
    rows = [
        {"id": str(i), "scene": str(i), "success": i % 2 == 0, "start_distance": d, "rooms": 4}
        for i, d in enumerate((3.0, 4.0, 6.0, 6.5, 7.0, 40.0))
    ]
    (by_distance, by_rooms) = curves.plots([("a", {"episodes": [*rows, {"id": "old", "success": True}]})])
    (curve,) = by_distance.curves
    assert [(p.x, p.n) for p in curve.points] == [(3.5, 2), (6.5, 3), (40.0, 1)] and curve.missing == 1
    assert [p.mean for p in curve.points] == [0.5, pytest.approx(2 / 3), 0.0]
    assert [(p.x, p.n, p.mean) for p in by_rooms.curves[0].points] == [(4, 6, 0.5)]
    assert curves.plots([("old", {"episodes": [{"id": "1", "success": True}]})]) == []


def test_camera_is_the_default_robots_unless_set():
    robot = RobotProfile()
    assert curves.camera_of({}) == (robot.camera_height, round(math.degrees(robot.camera_pitch), 1))
    assert curves.camera_of({"set": {"robot.camera_height": 1.4, "robot.camera_pitch": 0.5236}}) == (1.4, 30.0)


def test_row_tells_the_way_and_the_file_keeps_it(tmp_path):
    simulator, robot = EmbeddedSimulator(), RobotProfile()
    episode = make_episode(1, "route", 0)
    row = run_episode(simulator, create_driver("oracle", "simulator", robot), episode)
    assert row["ending"] == "stop" and row["success"] and row["instruction"] == episode.instruction
    assert row["start_distance"] == pytest.approx(episode.geodesic_distance, abs=1e-3)
    assert row["rooms"] == len(simulator.privileged().rooms()) and len(row["waypoints"]) == len(episode.waypoints)
    way = row["track"]
    assert way[0] == [*(round(v, 2) for v in episode.start[:2]), 0.0]
    assert math.dist(way[-1][:2], simulator.privileged().pose()[:2]) < 0.02
    length = sum(math.dist(a[:2], b[:2]) for a, b in zip(way, way[1:], strict=False))
    assert 0.85 * row["path_length"] < length <= 1.02 * row["path_length"], "no corner is left out"
    assert all(a[2] < b[2] for a, b in zip(way, way[1:], strict=False))
    timed_out = run_episode(simulator, create_driver("oracle", "simulator", robot), episode, time_limit=1.0)
    assert timed_out["ending"] == "time" and timed_out["track"][-1][2] == pytest.approx(1.0, abs=0.2)
    journal = Journal(tmp_path / "r.json", {"agent": "oracle"})
    journal.add(row)
    journal.finish([row["id"]])
    assert load_results(tmp_path / "r.json")["episodes"] == [row]
    assert len((tmp_path / "r.json").read_text().splitlines()) < 100, "an episode is one line"
