"""Compiles the navmesh's kernels, or loads them from the cache. Knows nothing of what they compute."""

from __future__ import annotations

import math

import numpy as np

from ..mesh import SceneMesh
from .navmesh import Navmesh


def warm_up() -> None:
    """Runs each kernel once, on a floor with a step and a wall."""
    corners = np.array([[0, 0, 0], [3, 0, 0], [3, 3, 0], [0, 3, 0]], dtype=np.float32)
    vertices = np.concatenate([corners, corners / 6 + np.array([0, 0, 0.1], np.float32), corners[:2], corners[:2]])
    vertices[10:, 2] = 2.0
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7], [8, 9, 10]], dtype=np.int32)
    zeros, texture = np.zeros(len(faces), dtype=np.int32), np.full((2, 2, 3), 200, dtype=np.uint8)
    tint = np.full((len(faces), 3), 255, dtype=np.uint8)
    mesh = SceneMesh(vertices, faces, np.zeros((len(faces), 3, 2)), zeros, (texture,), zeros, tint)
    navmesh = Navmesh(mesh, 0.18, 0.9, 0.2, math.radians(45.0))
    field = navmesh.field(np.array([[2.5, 2.5, 0.0]]))
    node, place = navmesh.snap((0.6, 0.6, 0.0)) or (0, navmesh.center(0))
    field.distance(node, place)
    navmesh.step(node, place, (0.1, 0.05), True)
