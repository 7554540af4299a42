"""Depth brought to another camera's pixels against what that camera would have measured: ray tracing and rendering."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera, invert, matrix_from_quaternion
from embodied_nav.geometry.registration import Registration, RegistrationConfig, registered_depth

COLOR = Camera(320, 240, 262.5, 262.0, 161.0, 118.5)
DEPTH = Camera(320, 240, 290.0, 289.0, 157.0, 121.0)
#: A depth camera 5 cm beside the colour camera, a degree askew.
T_COLOR_DEPTH = matrix_from_quaternion((0.004, 0.008, -0.003, 1.0), (-0.05, 0.004, 0.01))


def plane_depth(camera, T_world_camera, normal, offset):
    """Depth of the plane normal . x = offset along every pixel's ray, NaN behind the camera."""
    rays = camera.rays().astype(np.float64) @ T_world_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        z = (offset - normal @ T_world_camera[:3, 3]) / (rays @ normal)
    return np.where(z > 0.05, z, np.nan).astype(np.float32)


def nearest(*images):
    """What is in front."""
    return np.fmin.reduce(images)


@given(
    st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0.8, 4.0), st.floats(-0.08, 0.08), st.floats(-0.05, 0.05),
    st.sampled_from([(160, 120), (320, 240), (424, 240)]),
)  # fmt: skip
def test_a_plane_stays_the_plane(slope_x, slope_y, distance, baseline, turn, size):
    normal = np.array([slope_x, slope_y, 1.0]) / math.hypot(slope_x, slope_y, 1.0)
    T = matrix_from_quaternion((turn, -turn, turn / 2, 1.0), (baseline, -baseline / 3, baseline / 2))
    depth_camera = DEPTH.resized(*size)
    seen = plane_depth(depth_camera, T, normal, distance)
    found = registered_depth(seen, depth_camera, COLOR, T)
    truth = plane_depth(COLOR, np.eye(4), normal, distance)
    both = np.isfinite(found) & np.isfinite(truth) & (truth < 8.0)
    inner = np.zeros_like(both)  # at the depth image's rim there is no neighbour to look to
    points = COLOR.unproject(truth).reshape(-1, 3).astype(np.float64)
    uv, _ = depth_camera.project(points @ invert(T)[:3, :3].T + invert(T)[:3, 3])
    with np.errstate(invalid="ignore"):
        inside = (uv > 1).all(1) & (uv < np.array(size) - 2).all(1)
    inner.ravel()[:] = inside
    assert np.isfinite(found[inner & (truth < 8.0)]).all(), "no cracks"
    error = np.abs(found - truth)[both & inner] / np.maximum(1.0, truth[both & inner] ** 2)
    assert error.size == 0 or (np.quantile(error, 0.99) < 1e-3 and error.max() < 0.015), "relative to z^2 beyond 1 m"


def test_what_is_nearer_hides_what_is_farther():
    """A post half a metre before a wall, cameras 10 cm apart: its shadow moves, the wall never shows through."""
    T = matrix_from_quaternion((0.0, 0.0, 0.0, 1.0), (-0.1, 0.0, 0.0))

    def scene(camera, x):
        wall = np.full((240, 320), 2.0, np.float32)
        u = np.arange(320)
        left, right = ((np.array([-0.1, 0.1]) - x) / 0.5) * camera.fx + camera.cx
        wall[:, (u >= left) & (u <= right)] = 0.5
        return wall

    camera = Camera(320, 240, 280.0, 280.0, 159.5, 119.5)
    found = registered_depth(scene(camera, -0.1), camera, camera, T)
    truth = scene(camera, 0.0)
    known = np.isfinite(found)
    post = truth == 0.5
    assert (np.abs(found[:, 2:-60] - truth[:, 2:-60])[known[:, 2:-60]] < 1e-3).mean() > 0.99
    assert known[post].all() and np.abs(found[post] - 0.5).max() < 1e-3, "nothing shines through"
    # The strip of the wall that the post hid from the depth camera stays unknown: its baseline's parallax wide.
    hidden = (~known[120]).sum() - (~known[120, -60:]).sum()
    assert hidden == pytest.approx(280 * 0.1 * (1 / 0.5 - 1 / 2.0), abs=3)


@pytest.fixture(scope="module")
def flat():
    """An apartment to render."""
    from embodied_nav.sim.embedded import EmbeddedSimulator
    from embodied_nav.sim.episodes import make_episode

    simulator = EmbeddedSimulator()
    simulator.reset(make_episode(1001, "object", 0))
    return simulator


def test_rendered_rooms_are_measured_as_the_colour_camera_would(flat):
    """Depth rendered from the depth camera, registered, against depth rendered from the colour camera."""
    from embodied_nav.geometry import pose2d
    from embodied_nav.robot import RobotProfile
    from embodied_nav.sim.rasterizer import Rasterizer

    x, y, _ = flat.privileged().pose()
    eyes = [Rasterizer(flat.scene.raster, camera) for camera in (COLOR, DEPTH)]
    errors, holes = [], []
    for heading in np.arange(8) * math.pi / 4:
        T_scene_color = pose2d(x, y, heading) @ RobotProfile().T_base_camera()
        truth = eyes[0].render(T_scene_color)[1]
        seen = eyes[1].render(T_scene_color @ T_COLOR_DEPTH)[1]
        found = registered_depth(seen, DEPTH, COLOR, T_COLOR_DEPTH)
        seeing = visible(truth, seen)
        errors.append(np.abs(found - truth)[seeing & np.isfinite(found)])
        holes.append(np.isnan(found)[seeing].mean())
    errors = np.concatenate(errors)
    assert np.median(errors) < 0.001
    assert (errors < 0.005).mean() > 0.99
    assert np.mean(holes) < 0.005


def visible(truth, seen):
    """Pixels of the colour camera whose surface the depth camera sees: the four depth pixels around agree."""
    points = COLOR.unproject(truth).reshape(-1, 3).astype(np.float64)
    T = invert(T_COLOR_DEPTH)
    uv, z = DEPTH.project(points @ T[:3, :3].T + T[:3, 3])
    inside = np.isfinite(uv).all(1) & (uv > 0).all(1) & (uv < (DEPTH.width - 2, DEPTH.height - 2)).all(1)
    u, v = np.where(inside[:, None], uv, 0).astype(int).T
    agree = inside.copy()
    for dv in (0, 1):
        for du in (0, 1):
            agree &= np.abs(seen[v + dv, u + du] - z) < 0.02 + 0.03 * z
    return agree.reshape(truth.shape)


def test_when_it_is_needed():
    small = Camera(160, 120, 145.0, 145.0, 79.5, 59.5)
    auto = Registration()
    shape = (COLOR.height, COLOR.width)
    assert not auto.needed(COLOR, None, shape, same_frame=True)
    assert not auto.needed(COLOR, COLOR, shape, same_frame=True)
    assert auto.needed(COLOR, DEPTH, shape, same_frame=True), "another focal length"
    assert auto.needed(COLOR, COLOR, shape, same_frame=False)
    assert auto.needed(COLOR, small, (120, 160), same_frame=True)
    assert Registration(RegistrationConfig(translation=(0.05, 0.0, 0.0))).needed(COLOR, None, shape, True)
    assert Registration(RegistrationConfig(mode="register")).needed(COLOR, None, shape, True)
    assert not Registration(RegistrationConfig(mode="registered")).needed(COLOR, DEPTH, shape, False)


def test_settings_rule_over_what_the_topics_say():
    config = RegistrationConfig(
        translation=(-0.1, 0.0, 0.0), depth_intrinsics=(290.0, 289.0, 157.0, 121.0), color_intrinsics=(9, 9, 1, 1)
    )
    registration = Registration(config)
    assert registration.color_camera(COLOR) == Camera(320, 240, 9, 9, 1, 1)
    depth = np.full((240, 320), 2.0, np.float32)
    expected = registered_depth(depth, DEPTH, COLOR, matrix_from_quaternion((0, 0, 0, 1), (-0.1, 0, 0)))
    np.testing.assert_array_equal(registration.apply(depth, COLOR, COLOR, np.eye(4)), expected)


def test_bad_calibration_is_refused():
    with pytest.raises(InputError, match="translation"):
        Registration(RegistrationConfig(translation=(1.0, 2.0)))
    with pytest.raises(InputError, match="rotation"):
        Registration(RegistrationConfig(rotation=(0.0, 0.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="mode"):
        RegistrationConfig(mode="both")
    depth = np.ones((240, 320), np.float32)
    with pytest.raises(InputError, match="320x240, its camera 160x120"):
        registered_depth(depth, Camera.from_hfov(160, 120, 1.0), COLOR, np.eye(4))
    with pytest.raises(InputError, match="not rigid"):
        registered_depth(depth, DEPTH, COLOR, np.full((4, 4), np.nan))
