"""Partners of the unsafe scenarios: it looks bad and is not, so the robot must arrive, and stand no longer than before.

``stood`` is what a guard that took what it did not see for free stood in the same scenario, and a second more.
"""

from __future__ import annotations

from embodied_nav.geometry import pose2d
from embodied_nav.nodes.ros.optics import COLOR, DEPTH

from . import faults as f
from .robot import Robot, Sensors
from .scenario import Event, Scenario, after, driven, standing
from .world import World, door, pit, ramp, room, stairs_down

_AHEAD = ((0.0, 0.0), (2.5, 0.0))
_SHORT = ((0.0, 0.0), (2.0, 0.0))
_LONGEST = 25.0
_SLACK = 1.0
#: Most seconds of standing, by scenario: measured, and the slack. In all others the robot stood nowhere.
_STOOD = {
    # 4.9 to 5.7 in six runs; 3.5 before obstacles stayed while out of sight: so near, the camera sees but a part of
    # where somebody stood.
    "somebody_leaves": 5.7 + _SLACK,
    # It must stand now, and for how long is what happens in the scenario.
    "e_stop_released_best_effort": 1.5 + _SLACK,
    "e_stop_released_latched": 1.5 + _SLACK,
    "control_is_killed": 2.2 + _SLACK,
    "depth_comes_back": 1.5 + _SLACK,
    "frozen_driver_comes_back": 2.5 + _SLACK,
    "one_odometry_message_off": 1.0 + _SLACK,
    "odometry_jumps_and_slam_follows": 2.0 + _SLACK,
    "slam_corrects_the_map": _SLACK,
    "simulated_clock_falls_back": 1.5 + _SLACK,
    "stamps_fall_back": 1.5 + _SLACK,
}


def _with(filter_: f.Filter):
    return lambda robot: setattr(robot, "depth_fault", filter_)


def _at(*place: float):
    """Nothing comes back from a place."""
    return lambda robot: f.OfPlace(*place).on(robot)


def _corridor() -> World:
    return room((-4.0, 0.7, 0.0, 4.0, 0.8, 2.5), (-4.0, -0.8, 0.0, 4.0, -0.7, 2.5))


def _no_info_at_first(robot: Robot) -> None:
    begin = robot.now()

    def fault(info) -> None:
        if robot.now() - begin < 3_000_000_000:
            f.no_calibration(info)

    robot.info_fault = fault


DEPTHS = (
    Scenario("nothing_wrong", _corridor, plan=_AHEAD),
    Scenario("60_percent_invalid", _corridor, plan=_AHEAD, before=_with(f.sparse(0.4))),
    Scenario(
        "dark_sofa_beside",
        lambda: room((0.8, 0.5, 0.0, 2.4, 1.3, 0.8)),
        plan=_AHEAD,
        before=_at(0.7, 0.4, -0.1, 2.5, 1.4, 0.9),
    ),
    # Beyond the goal: black, across the whole way.
    Scenario(
        "dark_sofa_behind_the_goal",
        lambda: room((3.0, -1.0, 0.0, 3.8, 1.0, 0.8)),
        plan=_SHORT,
        before=_at(2.9, -1.1, -0.1, 3.9, 1.1, 0.9),
    ),
    Scenario(
        "glossy_floor_nearer_than_1_m",
        _corridor,
        lambda: Sensors(mount=f.mount(pitch=0.45)),
        plan=_AHEAD,
        before=_with(f.nearer_than(1.25)),
    ),
    Scenario("glossy_floor_in_spots", _corridor, plan=_AHEAD, before=_with(f.spots(12))),
    Scenario("sun_on_the_floor", _corridor, plan=_AHEAD, before=_at(1.2, -0.25, -0.05, 1.7, 0.4, 0.05)),
    Scenario(
        "low_light", _corridor, plan=_AHEAD, before=_with(f.both(f.noisy(0.02), f.sparse(0.6), f.farther_than(3.0)))
    ),
    Scenario("noise_of_2_percent", _corridor, plan=_AHEAD, before=_with(f.noisy(0.02))),
    Scenario("flying_pixels", lambda: door(0.9), plan=_AHEAD, before=_with(f.flying())),
    Scenario("minimum_range_of_60_cm", _corridor, plan=_AHEAD, before=_with(f.nearer_than(0.6))),
    Scenario("millimetres", _corridor, lambda: Sensors(depth_encoding="16UC1"), plan=_AHEAD),
    # Without noise, pictures of a robot at rest are the same to the bit: it must set out all the same.
    Scenario(
        "stood_before_the_same_picture",
        _corridor,
        lambda: Sensors(noise=0.0),
        plan=None,
        goal=(1.2, 0.0),
        events=(f.wish(after(4.0), 0.3),),
    ),
)

MOUNTS = (
    Scenario("camera_at_1_2_m", _corridor, lambda: Sensors(mount=f.mount(height=1.2, pitch=0.3)), plan=_AHEAD),
    Scenario("camera_at_0_3_m", _corridor, lambda: Sensors(mount=f.mount(height=0.3, pitch=0.0)), plan=_AHEAD),
    Scenario("upside_down_and_tf_knows", _corridor, lambda: Sensors(mount=f.mount() @ f.UPSIDE_DOWN), plan=_AHEAD),
    Scenario(
        "pitch_in_tf_is_2_degrees_off",
        _corridor,
        lambda: Sensors(mount=f.mount(), told_mount=f.mount(pitch=0.15 + 0.035)),
        plan=_AHEAD,
    ),
)

PLACES = (
    Scenario("door_of_80_cm", lambda: door(0.8), plan=_AHEAD),
    Scenario("door_of_70_cm", lambda: door(0.7), plan=_AHEAD),
    Scenario("ramp_of_5_degrees", lambda: ramp(1.0, 2.0, 5.0), plan=_AHEAD),
    Scenario("ramp_down_of_5_degrees", lambda: ramp(1.0, 2.0, -5.0), plan=_AHEAD),
    Scenario("sill_of_2_cm", lambda: room((1.2, -3.0, 0.0, 1.3, 3.0, 0.02)), plan=_AHEAD),
    # Stairs fill the view, and the robot is to go elsewhere.
    Scenario("turns_away_from_stairs", lambda: stairs_down(1.7), plan=((0.0, 0.0), (-1.5, 0.0))),
    Scenario("edge_half_a_metre_beside", lambda: pit(1.7, -3.0, 3.9, -0.5, 1.0), plan=_AHEAD),
    Scenario("turns_about_first", _corridor, start=(0.0, 0.0, 0.0), plan=((0.0, 0.0), (-2.0, 0.0))),
    Scenario("around_a_corner", room, plan=((0.0, 0.0), (1.2, 0.0), (1.2, 1.5))),
    Scenario(
        "somebody_leaves",
        room,
        plan=_AHEAD,
        events=(f.enters(driven(0.4), 1.4, -0.25, 0.0, 1.7, 0.25, 1.7), f.leaves(standing(1.0))),
    ),
)

RATES = (
    Scenario("camera_at_5_hz", _corridor, lambda: Sensors(camera_rate=5.0), plan=_AHEAD),
    Scenario("odometry_at_10_hz", _corridor, lambda: Sensors(odom_rate=10.0), plan=_AHEAD),
    Scenario("map_at_0_2_hz", _corridor, lambda: Sensors(map_rate=0.2), plan=_AHEAD),
    Scenario("map_at_1_hz", _corridor, lambda: Sensors(map_rate=1.0), plan=_AHEAD),
    Scenario("map_at_5_hz", _corridor, lambda: Sensors(map_rate=5.0), plan=_AHEAD),
    Scenario("stamps_200_ms_late", _corridor, lambda: Sensors(stamp_delay=0.2), plan=_AHEAD),
    Scenario("best_effort_odometry", _corridor, lambda: Sensors(odom_best_effort=True), plan=_AHEAD),
)

RETURNS = (
    *(
        Scenario(
            f"e_stop_released_{profile}",
            _corridor,
            plan=_AHEAD,
            before=f.offers("e_stop", profile),
            events=(f.flag(driven(0.4), "e_stop", True), f.flag(after(1.5), "e_stop", False)),
        )
        for profile in ("best_effort", "latched")
    ),
    Scenario(
        "enable_required_and_given",
        _corridor,
        plan=_AHEAD,
        parameters={"require_enable": True},
        before=f.offers("enable", "best_effort"),
        events=tuple(f.flag(after(0.5), "enable", True) for _ in range(3)),
    ),
    Scenario(
        "depth_comes_back",
        _corridor,
        plan=_AHEAD,
        events=(f.change(driven(0.4), depth_fault=f.nothing), f.change(after(1.5), depth_fault=None)),
    ),
    Scenario(
        "frozen_driver_comes_back",
        _corridor,
        plan=_AHEAD,
        events=(f.repeat(driven(0.4), DEPTH, COLOR), Event(after(2.5), lambda moment: moment.robot.repeats.clear())),
    ),
    Scenario(
        "one_odometry_message_off",
        _corridor,
        plan=_AHEAD,
        events=(
            f.change(driven(0.4), T_odom_world=pose2d(2.0, 0.0, 0.0)),
            f.change(after(0.06), T_odom_world=pose2d(0.0, 0.0, 0.0)),
        ),
    ),
    # SLAM follows the jump a second later: the plan is where it was again.
    Scenario(
        "odometry_jumps_and_slam_follows",
        _corridor,
        lambda: Sensors(map_rate=5.0),
        plan=_AHEAD,
        events=(
            f.change(driven(0.4), T_odom_world=pose2d(-3.0, 1.0, 0.0)),
            f.change(after(1.0), map_fault=pose2d(3.0, -1.0, 0.0)),
        ),
    ),
    Scenario(
        "slam_corrects_the_map",
        _corridor,
        lambda: Sensors(map_rate=5.0),
        plan=_AHEAD,
        events=(f.change(driven(0.4), map_fault=pose2d(0.12, 0.05, 0.02)),),
        goal=(2.38, -0.1),
    ),
    Scenario("camera_info_is_zero_at_first", _corridor, plan=_AHEAD, before=_no_info_at_first),
    Scenario(
        "simulated_clock_falls_back",
        _corridor,
        lambda: Sensors(sim_time=True),
        plan=_AHEAD,
        events=(Event(driven(0.4), lambda moment: _begin_anew(moment.robot)),),
    ),
    Scenario(
        "stamps_fall_back",
        _corridor,
        plan=_AHEAD,
        events=(f.change(driven(0.4), clock_fault=-300_000_000),),
    ),
    Scenario(
        "size_changes",
        _corridor,
        plan=_AHEAD,
        events=(Event(driven(0.4), lambda moment: setattr(moment.robot.sensors, "size", (80, 60))),),
    ),
    Scenario("control_is_killed", _corridor, plan=_AHEAD, events=(f.restart(driven(0.4)),)),
)

OTHERS = (
    Scenario("wish_within_limits", _corridor, plan=None, goal=(2.0, 0.0), events=(f.wish(after(1.0), 0.4),)),
    Scenario(
        "backs_with_a_scan_of_many_inf",
        lambda: room((-4.0, -1.0, 0.0, -3.0, 1.0, 1.7)),
        lambda: Sensors(scan=True),
        plan=None,
        goal=(-1.0, 0.0),
        parameters={"scan": True},
        before=lambda robot: setattr(robot, "scan_fault", _sees_to(3.5)),
        events=(f.wish(after(1.0), -0.15),),
    ),
)


def _begin_anew(robot: Robot) -> None:
    """The clock's publisher starts again: /clock falls back, and with it all stamps; static transforms come again."""
    robot.clock_fault -= 900_000_000_000
    robot.send_static()


def _sees_to(metres: float):
    def filter_(ranges):
        ranges = ranges.copy()
        ranges[ranges > metres] = float("inf")
        return ranges

    return filter_


SAFE = tuple(
    Scenario(**{**vars(s), "arrives": True, "seconds": _LONGEST, "stood": _STOOD.get(s.name, _SLACK)})
    for s in (*DEPTHS, *MOUNTS, *PLACES, *RATES, *RETURNS, *OTHERS)
)
