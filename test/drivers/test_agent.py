"""The whole agent in the embedded simulator, and the path follower alone."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from embodied_nav.drivers import Agent
from embodied_nav.evaluation.localization import TrueLocalization
from embodied_nav.evaluation.runner import run_episode, show
from embodied_nav.frames import RGBDFrame, Velocity
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.perception import create as create_perception
from embodied_nav.planning import PathFollower
from embodied_nav.reasoner import create
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode

ROBOT = RobotProfile()


@pytest.fixture(scope="module")
def simulator():
    return EmbeddedSimulator(robot=ROBOT)


def agent() -> Agent:
    return Agent(ROBOT, create_perception("simulator"), create("rules"))


def near_episode():
    """The object episode with the shortest way among the first apartments."""
    return min((make_episode(seed, "object", 0) for seed in range(6)), key=lambda e: e.geodesic_distance)


def test_one_episode_from_frames_to_stop_twice_the_same(simulator):
    episode, runs = near_episode(), []
    for _ in range(2):
        driver = agent()
        row = run_episode(simulator, driver, episode)
        row.pop("wall_s")
        runs.append((row, [(d.stamp, d.answer) for d in driver.decisions]))
        assert driver.status in ("stopped", "failed")
        assert driver.keyframes == driver.perception_calls > 3
        assert len(driver.memory) > 1000
        assert {"memory", "keyframe", "navigator", "control", "guard"} <= set(driver.seconds)
    assert runs[0] == runs[1]


def test_a_room_is_the_same_to_the_navigator_and_to_whoever_asks_the_memory(simulator):
    a, used = agent(), []
    update = a.navigator.update

    def spied(stamp, T_map_base, grid, objects, rooms):
        return update(
            stamp, T_map_base, grid, objects, lambda age, split: used.append((age, rooms(age, split))) or used[-1][1]
        )

    a.navigator.update = spied
    observation = simulator.reset(near_episode())
    a.reset("go to the kitchen")
    where = TrueLocalization(simulator)
    for _ in range(8):
        show(a, where, observation, simulator.camera())
        for _ in range(4):
            velocity = a.control(observation.stamp, observation.T_odom_base)
            simulator.step(velocity.linear, velocity.angular, 0.05)
        observation = simulator.observe()
    assert used and {age for age, _ in used} == {a.navigator.config.rooms_every}
    now, asked = a.memory.rooms(max_age=60.0), used[-1][1]
    assert now is asked, "the memory was split once for both"
    assert len({id(rooms) for _, rooms in used}) <= 3, "no oftener than once a second, or where the map's window grew"


def bare_floor(T_map_camera, camera):
    """Depth of a floor on which nothing stands, as the camera sees it."""
    down = (camera.rays() @ T_map_camera[:3, :3].T)[..., 2]
    with np.errstate(divide="ignore"):
        return np.where(down < -0.05, -T_map_camera[2, 3] / down, np.nan).astype(np.float32)


def test_the_navigator_hears_in_map_what_the_base_felt_in_odom(simulator):
    """The base is held; odometry has begun elsewhere and drifted."""
    a, robot, felt = agent(), RobotProfile(), []
    a.reset("find the red sofa")
    a.navigator.touch = lambda points, T: felt.append(points @ T[:2, :2].T + T[:2, 3])
    T_map_base, T_odom_base = pose2d(3.0, -1.0, 0.5), pose2d(-0.4, 0.2, -1.2)
    observation = simulator.reset(near_episode())
    T_camera = T_map_base @ observation.T_base_camera
    nobody = np.zeros_like(observation.instance_ids)
    frame = RGBDFrame(
        observation.stamp,
        simulator.camera(),
        T_camera,
        observation.color,
        bare_floor(T_camera, simulator.camera()),
        nobody,
    )
    a.observe(frame, T_map_base, T_odom_base, observation.T_base_camera)
    ahead = np.array([math.cos(0.5), math.sin(0.5)])
    path = np.array([T_map_base[:2, 3], T_map_base[:2, 3] + 2.0 * ahead])
    a.follower.follow(path, None, T_odom_base @ np.linalg.inv(T_map_base))
    for k in range(12):
        a.control(k * 50_000_000, T_odom_base)
    assert len(felt) == 1
    off = felt[0] - T_map_base[:2, 3]
    assert (np.abs(np.linalg.norm(off, axis=1) - robot.footprint_radius) < 0.06).all()
    assert (off @ ahead > 0.1).all()


def test_reset_forgets_the_last_building(simulator):
    a = agent()
    observation = simulator.reset(near_episode())
    a.reset(simulator.episode.instruction)
    a.set_instances({o.instance: (o.category, o.color) for o in simulator.privileged().objects()})
    show(a, TrueLocalization(simulator), observation, simulator.camera())
    assert len(a.memory) > 0
    a.reset("find the red sofa")
    assert len(a.memory) == 0
    assert a.decisions == []
    assert a.status == "running"
    assert a.control(10**9, np.eye(4)) == Velocity()


def test_agent_without_depth_stands():
    a = agent()
    a.reset("find the red sofa")
    camera = Camera.from_hfov(64, 48, math.pi / 2)
    frame = RGBDFrame(10**9, camera, ROBOT.T_base_camera(), color=np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(Exception, match="depth"):
        a.observe(frame, np.eye(4))


def test_follower_keeps_its_plan_when_the_map_is_corrected():
    follower = PathFollower(ROBOT)
    follower.follow(np.array([[0.0, 0.0], [2.0, 0.0]]), None, pose2d(1.0, 0.0, math.pi / 2))
    x, y, yaw = 1.0, 0.0, math.pi / 2
    for k in range(160):
        v = follower.command(k * 50_000_000, pose2d(x, y, yaw))
        x, y, yaw = x + v.linear * math.cos(yaw) * 0.05, y + v.linear * math.sin(yaw) * 0.05, yaw + v.angular * 0.05
    assert (x, y) == pytest.approx((1.0, 2.0), abs=0.1)


def test_follower_places_the_same_plan_anew_when_map_lies_elsewhere_in_odom():
    """A loop closure, or a jump of odometry that SLAM follows: map->odom changes while the plan in map does not."""
    follower, plan = PathFollower(ROBOT), np.array([[0.0, 0.0], [2.0, 0.0]])
    x, y, yaw = 0.0, 0.0, 0.0
    for k in range(200):
        shifted = np.eye(4) if k < 20 else pose2d(0.0, 0.3, 0.0)
        follower.follow(plan.copy(), None, shifted)
        v = follower.command(k * 50_000_000, pose2d(x, y, yaw))
        x, y, yaw = x + v.linear * math.cos(yaw) * 0.05, y + v.linear * math.sin(yaw) * 0.05, yaw + v.angular * 0.05
    assert (x, y) == pytest.approx((2.0, 0.3), abs=0.1)


def test_follower_turns_to_where_the_same_heading_lies_after_a_correction():
    """SLAM corrects the yaw about the robot: the plan's only point stays, its heading does not."""
    follower, at = PathFollower(ROBOT), np.array([[1.0, 0.5]])
    yaw, pivot = 0.0, pose2d(1.0, 0.5, 0.0)
    for k in range(120):
        T_odom_map = np.eye(4) if k < 60 else pivot @ pose2d(0.0, 0.0, 0.4) @ np.linalg.inv(pivot)
        follower.follow(at.copy(), 1.0, T_odom_map)
        yaw += follower.command(k * 50_000_000, pose2d(1.0, 0.5, yaw)).angular * 0.05
    assert yaw == pytest.approx(1.4, abs=0.1)


def test_follower_stops_for_an_empty_plan_and_turns_for_a_single_point():
    follower = PathFollower(ROBOT)
    follower.follow(np.empty((0, 2)), None, np.eye(4))
    assert follower.command(0, np.eye(4)) == Velocity()
    follower.follow(np.array([[0.0, 0.0]]), 1.0, np.eye(4))
    v = follower.command(50_000_000, np.eye(4))
    assert v.linear == 0.0
    assert v.angular > 0.0


def test_guard_has_the_last_word_over_recovery_too():
    follower = PathFollower(ROBOT)
    follower.guard.obstacles.add_points(1, np.array([[0.17, 0.0], [-0.19, 0.0]]))
    follower.follow(np.array([[0.0, 0.0], [2.0, 0.0]]), None, np.eye(4))
    for k in range(200):
        v = follower.command(k * 50_000_000, np.eye(4))
        assert v.linear == 0.0
    assert follower.recovery.count >= 1


def test_robot_that_sees_no_categories_does_not_search(simulator):
    """The episode ends before the first step, with the reason."""
    blind = Agent(ROBOT, create_perception("geometric"), create("rules"))
    row = run_episode(simulator, blind, near_episode())
    assert blind.status == "failed" and "perception 'geometric' sees no categories" in blind.reason
    assert not row["success"] and row["path_length"] == 0.0 and row["steps"] == 0
    blind.perception = create_perception("simulator")
    blind.reset("find the red sofa")
    assert blind.status == "running", "the refusal was for that goal"


def test_a_correction_made_beside_is_applied_before_a_later_frame(simulator):
    """Frames come while the map is made again; then it is where it would be at once."""
    observation = simulator.reset(near_episode())
    T, shifted, made = observation.T_base_camera, pose2d(0.3, 0.0, 0.0), {}
    with ThreadPoolExecutor(1) as pool:
        for beside in (None, pool):
            a = Agent(RobotProfile(), create_perception("simulator"), create("rules"), beside=beside)
            a.reset("find the red sofa")
            nobody = np.zeros_like(observation.instance_ids)
            frame = RGBDFrame(10**9, simulator.camera(), T, observation.color, observation.depth, nobody)
            a.remember(frame)
            assert a.correct(np.array([frame.stamp]), (shifted @ T)[None]) == 1
            assert a.memory.corrections == (beside is None)
            if beside is not None:
                beside.submit(lambda: None).result()  # the one before it is done
            a.remember(replace(frame, stamp=2 * 10**9, T_map_camera=shifted @ T))
            assert a.memory.corrections == 1
            made[beside] = a.memory.occupancy().data
    assert np.array_equal(made[None], made[pool])
    assert not a.decisions, "remembering decides nothing"
