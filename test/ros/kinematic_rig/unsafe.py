"""Scenarios in which the robot must not go on: the base never touches, crosses an edge or passes a limit."""

from __future__ import annotations

import math

import numpy as np

from embodied_nav.geometry import T_LINK_OPTICAL, invert, pose2d
from embodied_nav.nodes.ros.optics import COLOR, DEPTH, INFO

from . import faults as f
from .robot import Sensors
from .scenario import Scenario, after, driven
from .world import World, pit, room, stairs_down


def _block(x: float = 2.8, height: float = 1.2, half: float = 0.6) -> World:
    """A room with a box across the way."""
    return room((x, -half, 0.0, x + 0.2, half, height))


def _far_block() -> World:
    return _block(2.8)


#: What the depth of the corridor says, in the diagnostics' words.
_DEPTH = r"depth|valid|measured|unknown|blind|unseen"
_FLOOR = r"floor|mount|optical|tilt|geometry"

#: Where it stands before what it cannot see it may try what frees it: back a little, over ground that it came over.
_RECOVERS = 0.35

BLIND = (
    Scenario(
        "depth_all_nan",
        _block,
        events=(f.change(driven(0.4), depth_fault=f.nothing),),
        says=_DEPTH,
        stands=True,
        creeps=_RECOVERS,
    ),
    Scenario(
        "depth_all_zero_16UC1",
        _block,
        lambda: Sensors(depth_encoding="16UC1"),
        events=(f.change(driven(0.4), depth_fault=f.nothing),),
        says=_DEPTH,
        stands=True,
        creeps=_RECOVERS,
    ),
    Scenario(
        "depth_all_zero_32FC1",
        _block,
        events=(f.change(driven(0.4), depth_fault=f.zeros),),
        says=_DEPTH,
        stands=True,
        creeps=_RECOVERS,
    ),
    Scenario("depth_3_percent_valid", _block, events=(f.change(driven(0.4), depth_fault=f.sparse(0.03)),), says=_DEPTH),
    Scenario(
        "depth_blind_in_the_corridor",
        _block,
        events=(f.change(driven(0.4), depth_fault=f.columns(0.25, 0.75)),),
        says=_DEPTH,
    ),
    Scenario(
        "depth_never_valid",
        lambda: _block(0.9),
        before=lambda robot: setattr(robot, "depth_fault", f.nothing),
        says=_DEPTH,
        stands=True,
        creeps=_RECOVERS,
    ),
    # Seen from afar, out of sight below the minimum range: remembered, not freed.
    Scenario(
        "blind_near_a_remembered_obstacle",
        lambda: _block(1.9, 0.8),
        before=lambda robot: setattr(robot, "depth_fault", f.nearer_than(1.0)),
    ),
    # It comes so near that the camera cannot see it, and was never seen before.
    Scenario(
        "somebody_within_the_minimum_range",
        room,
        before=lambda robot: setattr(robot, "depth_fault", f.nearer_than(0.9)),
        events=(f.enters_ahead(driven(0.4), 0.85, (0.3, 2.4, 1.7)),),
        says=_DEPTH,
    ),
    Scenario(
        "frozen_depth",
        _far_block,
        events=(f.repeat(driven(0.4), DEPTH),),
        says=r"depth",
        stands=True,
        creeps=_RECOVERS,
        settles=2.5,
    ),
    Scenario(
        "frozen_colour_and_depth",
        _far_block,
        events=(f.repeat(driven(0.4), DEPTH, COLOR),),
        says=r"depth|color",
        stands=True,
        creeps=_RECOVERS,
        settles=2.5,
    ),
    Scenario("depth_stops", _block, events=(f.silence(driven(0.4), DEPTH),), says=DEPTH, stands=True, creeps=_RECOVERS),
    Scenario(
        "colour_stops", _block, events=(f.silence(driven(0.4), COLOR),), says=COLOR, stands=True, creeps=_RECOVERS
    ),
)

POSES = (
    Scenario(
        "odom_topic_shifted",
        _block,
        before=lambda robot: setattr(robot, "odom_fault", pose2d(-1.5, 0.0, 0.0)),
        says=r"1\.[45]\d* m",
    ),
    Scenario(
        "odom_topic_turned",
        _block,
        before=lambda robot: setattr(robot, "odom_fault", pose2d(0.0, 0.0, 0.8)),
        says=r"0\.(79|8)\d* rad|4[56]\.?\d* (deg|°)",
    ),
    Scenario(
        "odom_topic_drifts_off",
        _far_block,
        events=tuple(
            f.change(driven(0.3) if i == 1 else after(0.2), odom_fault=pose2d(-0.05 * i, 0.0, 0.0))
            for i in range(1, 25)
        ),
        says=r"odom",
    ),
    Scenario(
        "tf_shifts_aside",
        _block,
        events=(f.change(driven(0.4), tf_fault=pose2d(0.0, 1.2, 0.0)),),
        says=r"1\.[12]\d* m|odom",
    ),
    Scenario(
        "odometry_jumps",
        lambda: _block(2.2, 0.5),
        events=(f.change(driven(0.6), T_odom_world=pose2d(-3.0, 1.0, 0.5)),),
        says=r"jump|step|odom",
        seconds=10.0,
    ),
    Scenario(
        "odometry_starts_anew",
        lambda: _block(2.2, 0.5),
        start=(0.0, 0.0, 0.0),
        events=(
            f.change(driven(0.6), T_odom_world=pose2d(-0.9, 0.0, 0.0)),
            f.change(after(3.0), T_odom_world=pose2d(-1.8, 0.0, 0.0)),
        ),
        says=r"jump|step|odom",
    ),
    # No message tells of the jumps while they happen; the second one comes where the block is too near to be seen.
    Scenario(
        "odometry_starts_anew_in_gaps",
        lambda: _block(2.2, 0.5),
        start=(0.0, 0.0, 0.0),
        events=(
            f.silence(driven(0.6), "odom", "tf"),
            f.change(after(0.9), T_odom_world=pose2d(-0.9, 0.0, 0.0), off=set()),
            f.silence(after(4.0), "odom", "tf"),
            f.change(after(0.9), T_odom_world=pose2d(-1.8, 0.0, 0.0), off=set()),
        ),
        says=r"jump|step|odom",
    ),
    Scenario("tf_dies", _block, events=(f.silence(driven(0.4), "tf"),), says=r"tf", stands=True),
    Scenario("odometry_dies", _block, events=(f.silence(driven(0.4), "odom"),), says=r"odom", stands=True),
)

DROPS = (
    Scenario("stairs_down_ahead", lambda: stairs_down(1.9)),
    Scenario(
        "stairs_down_after_a_turn",
        lambda: _turned(stairs_down(1.9)),
        start=(0.0, -1.0, 0.0),
        plan=((0.0, -1.0), (0.8, -1.0), (0.8, 4.0)),
        seconds=16.0,
    ),
    Scenario(
        "pit_without_a_bottom",
        lambda: pit(1.9, -1.0, 2.9, 1.0, None),
    ),
    Scenario("kerb_of_15_cm", lambda: pit(1.9, -3.0, 3.9, 3.0, 0.15)),
    Scenario(
        "edge_beside_the_way",
        lambda: pit(1.7, -3.0, 3.9, -0.08, 1.0),
        seconds=10.0,
    ),
    Scenario(
        "backing_to_stairs_seen_before",
        lambda: stairs_down(1.7),
        plan=None,
        events=(
            f.wish(after(1.0), linear=0.3),
            f.wish(after(7.0), angular=1.0),
            f.wish(after(math.pi), linear=-0.15),
        ),
        seconds=6.0,
    ),
)

GEOMETRY = (
    Scenario(
        "frame_is_not_optical",
        lambda: _block(1.9, 1.2, 0.8),
        lambda: Sensors(camera_frame="camera_link", told_mount=f.mount() @ invert(T_LINK_OPTICAL)),
        says=_FLOOR,
        stands=True,
        settles=3.0,
    ),
    Scenario(
        "pitch_in_tf_is_wrong",
        lambda: _block(1.9, 1.0, 0.8),
        lambda: Sensors(mount=f.mount(pitch=0.1), told_mount=f.mount(pitch=0.6)),
        says=_FLOOR,
        stands=True,
        settles=3.0,
    ),
    Scenario(
        "height_in_tf_is_wrong",
        lambda: _block(1.9, 0.28, 0.8),
        lambda: Sensors(mount=f.mount(height=1.1, pitch=0.3), told_mount=f.mount(height=0.8, pitch=0.3)),
        says=_FLOOR,
        stands=True,
        settles=3.0,
    ),
    Scenario(
        "upside_down_and_tf_does_not_know",
        lambda: _block(1.9, 1.0, 0.8),
        before=lambda robot: setattr(robot, "depth_fault", f.flipped),
        says=_FLOOR,
        stands=True,
        settles=3.0,
    ),
    *(
        Scenario(
            f"scan_of_nothing_but_{name}",
            lambda: room((-1.1, -1.0, 0.0, -0.8, 1.0, 1.7)),
            lambda: Sensors(scan=True),
            plan=None,
            parameters={"scan": True},
            before=lambda robot, value=value: setattr(robot, "scan_fault", lambda r: np.full_like(r, value)),
            events=(f.wish(after(1.0), linear=-0.15),),
            seconds=9.0,
        )
        for name, value in (("inf", math.inf), ("nan", math.nan))
    ),
)

WISHES = (
    Scenario("wish_of_3_m_s", lambda: _block(1.9), plan=None, events=(f.wish(after(1.0), linear=3.0),), seconds=6.0),
    Scenario("wish_of_20_rad_s", room, plan=None, events=(f.wish(after(1.0), angular=20.0),), seconds=3.0),
    Scenario("wish_of_both", lambda: _block(1.9), plan=None, events=(f.wish(after(1.0), 3.0, 20.0),), seconds=5.0),
    Scenario(
        "wish_of_nan",
        lambda: _block(1.9),
        plan=None,
        events=(f.wish(after(1.0), linear=0.3), f.wish(after(1.5), linear=math.nan)),
        says=r"nan|finite",
        stands=True,
        seconds=4.0,
    ),
    Scenario(
        "wish_aside_and_upward",
        room,
        plan=None,
        events=(f.wish(after(1.0), linear=0.2, y=1.0, z=2.0, roll=1.0, pitch=1.0),),
        seconds=4.0,
    ),
)

STOPS = (
    *(
        Scenario(
            f"e_stop_{profile}",
            _far_block,
            before=f.offers("e_stop", profile),
            events=(f.flag(driven(0.4), "e_stop", True),),
            says="e_stop",
            stands=True,
            settles=0.8,
            seconds=3.0,
        )
        for profile in f.FLAG_QOS
    ),
    *(
        Scenario(
            f"e_stop_{profile}_holds_after_a_kill",
            _far_block,
            before=f.offers("e_stop", profile),
            events=(f.flag(driven(0.4), "e_stop", True), f.restart(after(1.5))),
            says="e_stop",
            stands=True,
            settles=0.1,
            seconds=7.0,
        )
        for profile in ("latched", "best_effort")
    ),
    Scenario(
        "not_enabled_best_effort",
        _far_block,
        before=f.offers("enable", "best_effort"),
        events=(f.flag(driven(0.4), "enable", False),),
        says="enable",
        stands=True,
        settles=0.8,
        seconds=3.0,
    ),
    Scenario(
        "enable_is_required_and_never_comes",
        room,
        parameters={"require_enable": True},
        says="enable",
        stands=True,
        settles=0.0,
        seconds=4.0,
    ),
)

REST = (
    Scenario(
        "camera_info_is_zero",
        _block,
        before=lambda robot: setattr(robot, "info_fault", f.no_calibration),
        says=r"K is zero|calibrat|intrinsics",
        stands=True,
        settles=0.0,
        seconds=4.0,
    ),
    Scenario("camera_info_stops", _block, events=(f.silence(driven(0.4), INFO),), says=INFO, stands=True),
    Scenario("somebody_steps_in", room, events=(f.enters_ahead(driven(0.6), 0.75),), seconds=9.0),
    Scenario("somebody_walks_in", room, events=f.walks_in(1.0, 1.5, 0.8), seconds=9.0),
    Scenario(
        "size_changes_before_a_box",
        lambda: _block(2.2),
        events=(f.Event(driven(0.4), lambda moment: setattr(moment.robot.sensors, "size", (80, 60))),),
    ),
    Scenario(
        "base_obeys_nothing",
        _block,
        before=lambda robot: setattr(robot, "dead", True),
        says=r"",
        stands=True,
        seconds=12.0,
    ),
    Scenario(
        "stamps_fall_back_before_a_box",
        _far_block,
        events=(f.change(driven(0.4), clock_fault=-100_000_000_000),),
        seconds=10.0,
    ),
)


def _turned(world: World) -> World:
    """The world with x and y exchanged."""

    def box(b):
        return (b[1], b[0], b[2], b[4], b[3], b[5])

    drops = [(d[1], d[0], d[3], d[2]) for d in world.drops]
    return World([box(b) for b in world.boxes], [box(b) for b in world.floors], [], drops)


UNSAFE = (*BLIND, *POSES, *DROPS, *GEOMETRY, *WISHES, *STOPS, *REST)
