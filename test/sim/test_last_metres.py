"""Whether the target is in the picture where the robot ended, and whether it is near."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import Episode, Goal
from embodied_nav.geometry import Camera
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
from embodied_nav.sim.interface import IN_VIEW, SceneObject
from embodied_nav.sim.last_metres import last_metres, solid_angles, view_of
from embodied_nav.sim.mesh import SceneDescription
from embodied_nav.sim.rasterizer import Rasterizer

BOX, SHELF = 1, 2


@pytest.fixture(scope="module")
def description(scenes) -> SceneDescription:
    """A room of 8 x 4 m: a box on the floor, a small one high up on the wall, a screen between the halves."""
    parts = [
        (scenes.box((4, 2, -0.05), (4, 2, 0.05)), 0),
        (scenes.box((0, 2, 1.3), (0.05, 2, 1.3)), 0),
        (scenes.box((8, 2, 1.3), (0.05, 2, 1.3)), 0),
        (scenes.box((4, 0, 1.3), (4, 0.05, 1.3)), 0),
        (scenes.box((4, 4, 1.3), (4, 0.05, 1.3)), 0),
        (scenes.box((3, 0.8, 1.0), (0.05, 0.8, 1.0)), 0),
        (scenes.box((6.5, 2, 0.4), (0.3, 0.3, 0.4)), BOX),
        (scenes.box((7.8, 0.6, 1.9), (0.15, 0.3, 0.15)), SHELF),
    ]
    instance = np.concatenate([np.full(len(mesh), i) for mesh, i in parts])
    things = (
        SceneObject(BOX, "box", "gray", 0, (6.5, 2.0, 0.4), (0.6, 0.6, 0.8)),
        SceneObject(SHELF, "shelf", "gray", 0, (7.8, 0.6, 1.9), (0.3, 0.6, 0.3)),
    )
    return SceneDescription(scenes.mesh(np.concatenate([mesh for mesh, _ in parts]), instance), things)


def scores(description, pose, goals=None, stopped=True):
    """The last metres of an episode that ends where it begins."""
    goals = goals or (Goal("object", (6.5, 2.0, 0.4), instance=BOX),)
    simulator = EmbeddedSimulator(description, config=SimulatorConfig(depth_noise=False, odometry_noise=False))
    observation = simulator.reset(Episode("t", "0", "object", "find it", pose, goals, 3.0))
    return last_metres(simulator.privileged(), stopped), observation.instance_ids


def test_the_share_of_the_picture_is_that_of_the_robot_s_own_camera(description):
    found, ids = scores(description, (5.3, 2.0, 0.0))
    assert found["picture_share"] == float((ids == BOX).mean()) > 10 * IN_VIEW
    assert found["in_view"] is True
    assert 0.95 < found["view_share"] < 1.0, "its foot is below the picture"
    assert scores(description, (4.8, 2.0, 0.0))[0]["view_share"] == 1.0


def test_turned_away_nothing_of_it_is_in_view_however_near(description):
    found, _ = scores(description, (5.75, 2.0, math.pi))
    assert found == {"in_view": False, "picture_share": 0.0, "view_share": 0.0, "success_0_5": True}


def test_at_the_edge_of_the_picture_a_part_of_it_is_in_view(description):
    heading = math.radians(45.0)  # the right edge of the picture points at the middle of the box
    found, _ = scores(description, (5.3, 2.0, heading))
    assert 0.2 < found["view_share"] < 0.8 and found["in_view"] is True


def test_right_before_it_what_is_high_is_above_the_picture(description):
    goals = (Goal("object", (7.8, 0.6, 1.9), instance=SHELF),)
    near, _ = scores(description, (7.2, 0.6, 0.0), goals)
    assert near["picture_share"] == 0.0 and near["in_view"] is False and near["success_0_5"] is True
    far, _ = scores(description, (4.5, 0.6, 0.0), goals)
    assert far["view_share"] == 1.0 and far["success_0_5"] is False


def test_behind_a_screen_nothing_can_be_seen_of_it(description):
    found, _ = scores(description, (2.0, 1.0, 0.0))
    assert found["picture_share"] == 0.0 and found["view_share"] == 0.0 and found["in_view"] is False


def test_of_several_goals_the_best_seen_counts(description):
    goals = (Goal("object", (7.8, 0.6, 1.9), instance=SHELF), Goal("object", (6.5, 2.0, 0.4), instance=BOX))
    both, alone = scores(description, (5.3, 2.0, 0.0), goals)[0], scores(description, (5.3, 2.0, 0.0))[0]
    assert both["picture_share"] == alone["picture_share"]


def test_without_stop_nothing_is_in_view_or_a_success(description):
    found, _ = scores(description, (5.75, 2.0, 0.0), stopped=False)
    assert found["in_view"] is False and found["success_0_5"] is False and found["picture_share"] > IN_VIEW


@pytest.mark.parametrize("goal", [Goal("room", (6.0, 2.0, 0.0), room=0), Goal("point", (6.0, 2.0, 0.0), instance=BOX)])
def test_goals_that_are_no_things_have_no_such_scores(description, goal):
    assert set(scores(description, (5.3, 2.0, 0.0), (goal,))[0].values()) == {None}


def test_success_at_half_a_metre_is_stricter_and_ends_there(description):
    """The box begins at x = 6.2; cells are 0.05 m."""
    at = {gap: scores(description, (6.2 - gap, 2.0, 0.0))[0]["success_0_5"] for gap in (0.3, 0.44, 0.56, 0.9)}
    assert at == {0.3: True, 0.44: True, 0.56: False, 0.9: False}


@pytest.fixture(scope="module")
def ball(scenes) -> Rasterizer:
    """A ball of radius 0.3 m at the origin, in the open, before a camera of 90 degrees."""
    mesh = scenes.mesh(scenes.sphere((0.0, 0.0, 0.0), 0.3, 16), np.full(4 * 16**2, 7))
    return Rasterizer(mesh, Camera.from_hfov(160, 120, math.pi / 2))


@settings(max_examples=20, deadline=None)
@given(azimuth=st.floats(-math.pi, math.pi), elevation=st.floats(-1.4, 1.4), distance=st.floats(1.0, 3.0))
def test_a_ball_in_the_open_is_in_the_picture_as_much_as_geometry_says(ball, azimuth, elevation, distance):
    """Its solid angle is known, whichever of the six pictures it lies in; the share is the part of it in the frame."""
    c = math.cos(elevation)
    direction = np.array([c * math.cos(azimuth), c * math.sin(azimuth), math.sin(elevation)])
    T = _level()
    T[:3, 3] = -distance * direction
    view, (_, around) = view_of(ball, T, {7}), solid_angles(ball, T, 7)
    assert around == pytest.approx(2.0 * math.pi * (1.0 - math.sqrt(1.0 - (0.3 / distance) ** 2)), rel=0.08)
    margin = math.asin(0.3 / distance) + 0.02
    slope = abs(math.atan2(direction[2], direction[0]))  # seen from the side, of its middle above the optical axis
    if abs(azimuth) + margin < math.pi / 4 and slope + margin < math.atan(0.75):
        assert view.view_share == 1.0 and view.picture_share > 0.0
    if abs(azimuth) - margin > math.pi / 4 and abs(elevation) < 0.5:
        assert view.view_share == 0.0 and view.picture_share == 0.0


def _level() -> np.ndarray:
    """T_base_camera of a camera at the origin that looks straight ahead."""
    T = RobotProfile(camera_pitch=0.0).T_base_camera()
    T[:3, 3] = 0.0
    return T
