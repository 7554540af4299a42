"""Is the target in the picture where the robot ended, and is the robot close to it? Knows nothing of agents.

Success as in the literature asks for a place within 1 m; whoever sends a robot to a thing also wants to see it there.
Only for goals that are things (kinds object and relation); of several the one that fills most of the picture counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from ..geometry import Camera
from .interface import Privileged, TargetView
from .rasterizer import Rasterizer

#: The stricter success distance, m from the target's side.
NEAR_DISTANCE = 0.5
#: Side (pixels) of each of the six pictures that show all that is around the camera.
_SIDE = 192
#: Optical axes of these pictures, in the camera's optical frame (x right, y down, z ahead): rotations about y, then x.
_FACES = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.5, 0.0), (0.0, 0.5), (0.0, -0.5))


def view_of(rasterizer: Rasterizer, T_scene_camera: np.ndarray, instances: Collection[int]) -> TargetView:
    """What the camera shows of the best shown of some things.

    Args:
        rasterizer: of the scene, with the robot's camera.
        T_scene_camera: 4x4, scene from optical frame.
        instances: ids of the things, at least one.
    """
    _, ids = rasterizer.render_depth_ids(T_scene_camera)
    shares = {i: float((ids == i).mean()) for i in sorted(instances)}
    best = max(shares, key=lambda i: shares[i])
    inside, around = solid_angles(rasterizer, T_scene_camera, best)
    return TargetView(shares[best], inside / around if around > 0.0 else 0.0)


def last_metres(truth: Privileged, stopped: bool) -> dict[str, bool | float | None]:
    """The scores of the last metres, by their names in results.json; None where the goal is not a thing.

    Args:
        truth: of the episode, at its end.
        stopped: whether it ended by STOP; without STOP nothing is a success, and nothing counts as in view.

    Returns:
        in_view: the target covers at least 1% of the picture at the stop; picture_share and view_share: see
        :class:`~.interface.TargetView`; success_0_5: STOP at most 0.5 m from the target's side, in line of sight.
    """
    view, near = truth.target_view(), truth.goal_within(NEAR_DISTANCE)
    return {
        "in_view": None if view is None else stopped and view.in_view,
        "picture_share": None if view is None else view.picture_share,
        "view_share": None if view is None else view.view_share,
        "success_0_5": None if near is None else stopped and near,
    }


def solid_angles(rasterizer: Rasterizer, T_scene_camera: np.ndarray, instance: int) -> tuple[float, float]:
    """Solid angle (sr) of a thing's unoccluded part inside the picture, and all around the camera."""
    half = _SIDE / 2.0
    square = Camera(_SIDE, _SIDE, half, half, half - 0.5, half - 0.5)
    draw, rays = rasterizer.with_camera(square), square.rays().astype(np.float64)
    weight = (rays**2).sum(axis=-1) ** -1.5 / half**2
    inside = around = 0.0
    for about_y, about_x in _FACES:
        T = np.eye(4)
        T[:3, :3] = _rotation(about_y * math.pi, 1) @ _rotation(about_x * math.pi, 0)
        _, ids = draw.render_depth_ids(T_scene_camera @ T)
        shown = ids == instance
        if shown.any():
            around += float(weight[shown].sum())
            inside += float(weight[shown][_inside(rasterizer.camera, rays[shown] @ T[:3, :3].T)].sum())
    return inside, around


def _inside(camera: Camera, rays: np.ndarray) -> np.ndarray:
    """N bool: which rays (Nx3, optical frame) hit the camera's picture."""
    ahead = rays[:, 2] > 1e-9
    z = np.where(ahead, rays[:, 2], 1.0)
    u, v = camera.fx * rays[:, 0] / z + camera.cx, camera.fy * rays[:, 1] / z + camera.cy
    return (
        ahead
        & (np.abs(u - (camera.width - 1) / 2) <= camera.width / 2)
        & (np.abs(v - (camera.height - 1) / 2) <= camera.height / 2)
    )


def _rotation(angle: float, axis: int) -> np.ndarray:
    """3x3 rotation (rad) about the x axis (0) or the y axis (1)."""
    c, s = math.cos(angle), math.sin(angle)
    if axis == 0:
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
