"""Questions to the memory and its answers as messages. Knows nothing of how they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from embodied_nav.srv import QueryMemory

from ..errors import InputError
from ..geometry import is_rigid
from ..memory.query import Answer, Frustum, Query
from .conversions import camera_from_msg, matrix_from_pose, object_msg, pose_msg, xyz


def query_from_msg(request: QueryMemory.Request, now: int) -> Query:
    """The question of a request; ``now`` (ns) is what ages are counted from.

    Raises:
        InputError, BadMessage: it asks for nothing that can be.
    """
    frustum = None
    if request.use_frustum:
        T = matrix_from_pose(request.camera_pose)
        if not is_rigid(T):
            raise InputError("the camera's pose is not a finite rigid transform")
        frustum = Frustum(camera_from_msg(request.camera), T, request.camera_range)
    return Query(
        text=request.text,
        box=(xyz(request.box_min), xyz(request.box_max)) if request.use_box else None,
        frustum=frustum,
        feature=np.array(request.feature, dtype=np.float32) if len(request.feature) else None,
        since=now - int(request.last_seconds * 1e9) if request.last_seconds > 0 else None,
        near=xyz(request.near) if request.use_near else None,
        viewer=xyz(request.viewer) if request.use_viewer else None,
        include_gone=request.include_gone,
        max_results=request.max_results or 10,
    )


def fill(response: QueryMemory.Response, found: Sequence[Answer], rooms: Mapping[int, str]) -> None:
    """Puts answers into a response; ``rooms``: names by id."""
    response.objects = [object_msg(a.object) for a in found]
    response.scores = [float(a.score) for a in found]
    response.ages, response.reasons = [a.age for a in found], [a.why for a in found]
    response.rooms = [rooms.get(a.room, f"room {a.room}" if a.room > 0 else "") for a in found]
    response.views = [pose_msg(np.eye(4) if a.T_map_camera is None else a.T_map_camera) for a in found]
