"""What a world of Habitat can do, whoever computes it. Knows nothing of sockets, meshes, episodes and robots.

Positions are Habitat's: x right, y up, -z ahead, m, single precision as habitat-sim keeps them. Rotations are
quaternions (x, y, z, w) about the vertical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: How the navmesh is come by: the scene's own file; built where that is of another agent; always built.
NAVMESH = ("auto", "shipped", "build")


@dataclass(frozen=True)
class SceneSetup:
    """A scene and the agent in it.

    Attributes:
        path: of the scene's file.
        width, height: pixels of both images.
        hfov: horizontal field of view, rad.
        camera_above, camera_forward: of the agent's position, m; camera_pitch: rad, positive looks down.
        radius, agent_height, climb, slope: what the navmesh is for (m, m, m, rad).
        forward, turn: what the discrete actions do, m and rad.
        sliding: whether the rest of a blocked step goes along the obstacle.
        navmesh: one of NAVMESH.
        gpu: number of the graphics card; dataset: scene_dataset_config.json of habitat-sim, or "".
    """

    path: str
    width: int
    height: int
    hfov: float
    camera_above: float
    camera_forward: float
    camera_pitch: float
    radius: float
    agent_height: float
    climb: float
    slope: float
    forward: float
    turn: float
    sliding: bool
    navmesh: str = "auto"
    gpu: int = 0
    dataset: str = ""


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the agent is, and how it came there.

    Attributes:
        position: 3 float32. rotation: 4 float64.
        collided: whether it was held up.
        moved: m along the floor, sum over all small steps.
    """

    position: np.ndarray
    rotation: np.ndarray
    collided: bool = False
    moved: float = 0.0


class World(Protocol):
    """A scene with one agent.

    Attributes:
        name: what computes it, for reports.
        navmesh_float: m, how high the agent's position lies above the floor that it stands on.
    """

    name: str
    navmesh_float: float

    def load(self, setup: SceneSetup) -> None:
        """Loads a scene, where it is not loaded already.

        Raises:
            InputError: it cannot be loaded.
        """

    def place(self, position: Sequence[float], rotation: Sequence[float]) -> Placed:
        """Puts the agent exactly there, without snapping it to the navmesh."""

    def act(self, action: str) -> Placed:
        """One of Habitat's actions: ``forward``, ``left``, ``right``."""

    def move(self, arcs: Sequence[tuple[float, float]]) -> Placed:
        """Drives short arcs (m, rad) one after the other."""

    def observe(self) -> tuple[np.ndarray, np.ndarray]:
        """HxWx3 uint8 RGB and HxW float32 depth, m along the optical axis, 0 where nothing is hit."""

    def set_goals(self, points: np.ndarray) -> None:
        """Nx3 points: :meth:`distance` and :meth:`path` lead to the nearest of them."""

    def distance(self, position: Sequence[float] | None = None) -> float:
        """Geodesic distance from the agent, or from a position, to the goals; inf where there is no way."""

    def path(self) -> np.ndarray:
        """Nx3 float64, the shortest path from the agent to the goals; 0x3 where there is none."""

    def snap(self, position: Sequence[float]) -> np.ndarray | None:
        """The nearest point of the navmesh (3 float64), None where there is none near."""

    def close(self) -> None:
        """Frees what it holds."""
