"""A world of Habitat without habitat-sim: a scene's file, our own rasteriser and navmesh. Knows no episodes and agents.

The conventions are those measured on habitat-sim: depth along the optical axis, pixels' centres at i + 0.5 with the
principal point at W / 2 (our Camera counts centres at integers, so cx = (W - 1) / 2), a navmesh that floats above the
floor, no snapping at the start, a blocked step that goes up to contact, positions in single precision.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry import T_LINK_OPTICAL, Camera, habitat_from_ros, pose2d, ros_from_habitat
from ..mesh import SceneMesh, load_mesh
from ..raster_scene import RasterScene
from ..rasterizer import Rasterizer
from .navmesh import GoalField, Navmesh
from .world import Placed, SceneSetup

#: Nearest and farthest surface that is drawn, m.
NEAR, FAR = 0.02, 100.0
#: habitat-sim calls a step a collision where its squared length (m^2) is shorter than wanted by more than this.
_COLLISION = 1e-5
#: Scenes kept ready.
_KEPT = 2
#: Below this share of the wanted way a small arc counts as held up.
_FREE_SHARE = 0.99
#: Data sets whose files are z up, unlike glTF's.
_Z_UP = ("hm3d", "mp3d", "matterport")


class MeshWorld:
    """A mesh file with an agent in it; see :class:`~.world.World`.

    Args:
        navmesh_float: m, that the agent's position floats above the floor once it has moved.
    """

    name = "embodied_nav (own rasteriser and navmesh, not habitat-sim)"

    def __init__(self, navmesh_float: float = 0.1) -> None:
        self.navmesh_float = float(navmesh_float)
        self._scenes: OrderedDict[tuple[object, ...], tuple[RasterScene, Navmesh]] = OrderedDict()
        self._setup: SceneSetup | None = None
        self._position, self._yaw, self._node = np.zeros(3, dtype=np.float32), 0.0, -1

    def load(self, setup: SceneSetup) -> None:
        """See :class:`~.world.World`; a navmesh beside the scene is not read, ours is built."""
        if setup == self._setup:
            return
        raster, self._navmesh = self._prepared(setup)
        camera = Camera.from_hfov(setup.width, setup.height, setup.hfov)
        self._rasterizer = Rasterizer(raster, camera, NEAR, FAR)
        c, s = math.cos(setup.camera_pitch), math.sin(setup.camera_pitch)
        T = np.array([[c, 0, s, setup.camera_forward], [0, 1, 0, 0], [-s, 0, c, setup.camera_above], [0, 0, 0, 1.0]])
        self._T_agent_camera, self._setup = T @ T_LINK_OPTICAL, setup

    def place(self, position: Sequence[float], rotation: Sequence[float]) -> Placed:
        """See :class:`~.world.World`."""
        self._position = np.array(position, dtype=np.float32)
        self._yaw = 2.0 * math.atan2(float(rotation[1]), float(rotation[3]))
        self._node = -1
        return self._placed()

    def act(self, action: str) -> Placed:
        """See :class:`~.world.World`."""
        assert self._setup is not None, "load comes first"
        if action != "forward":
            self._yaw += self._setup.turn if action == "left" else -self._setup.turn
            return self._placed()
        before = self._position.astype(np.float64)
        moved = self._advance(self._setup.forward)
        gone = float(((self._position - before) ** 2).sum())
        return self._placed(gone + _COLLISION < self._setup.forward**2, moved)

    def move(self, arcs: Sequence[tuple[float, float]]) -> Placed:
        """See :class:`~.world.World`."""
        moved, collided = 0.0, False
        for distance, angle in arcs:
            self._yaw += 0.5 * angle
            if distance:
                way = self._advance(distance)
                collided |= way < _FREE_SHARE * abs(distance)
                moved += way
            self._yaw += 0.5 * angle
        return self._placed(collided, moved)

    def observe(self) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~.world.World`."""
        x, y, z = ros_from_habitat(self._position.astype(np.float64))
        color, depth, _ = self._rasterizer.render(pose2d(x, y, self._yaw, z) @ self._T_agent_camera)
        return color, np.where(np.isfinite(depth), depth, np.float32(0.0)).astype(np.float32)

    def set_goals(self, points: np.ndarray) -> None:
        """See :class:`~.world.World`."""
        self._goals: GoalField = self._navmesh.field(self._on_floor(np.asarray(points, np.float32).astype(np.float64)))

    def distance(self, position: Sequence[float] | None = None) -> float:
        """See :class:`~.world.World`."""
        found = self._here() if position is None else self._snapped(np.array(position, dtype=np.float32))
        return math.inf if found is None else self._goals.distance(*found)

    def path(self) -> np.ndarray:
        """See :class:`~.world.World`."""
        found = self._here()
        points = np.empty((0, 3)) if found is None else self._goals.path(*found)
        return habitat_from_ros(points + np.array([0.0, 0.0, self.navmesh_float]))

    def snap(self, position: Sequence[float]) -> np.ndarray | None:
        """See :class:`~.world.World`."""
        found = self._snapped(np.asarray(position, dtype=np.float64))
        if found is None:
            return None
        return np.asarray(habitat_from_ros(found[1] + np.array([0.0, 0.0, self.navmesh_float])), dtype=np.float64)

    def close(self) -> None:
        """Forgets all scenes."""
        self._scenes.clear()
        self._setup = None

    def _prepared(self, setup: SceneSetup) -> tuple[RasterScene, Navmesh]:
        key = (setup.path, setup.radius, setup.agent_height, setup.climb, setup.slope)
        if key not in self._scenes:
            mesh = read_scene(setup.path)
            navmesh = Navmesh(mesh, setup.radius, setup.agent_height, setup.climb, setup.slope)
            if not len(navmesh.z):
                raise InputError(f"{setup.path}: an agent of radius {setup.radius} m can stand nowhere in it")
            self._scenes[key] = RasterScene(mesh), navmesh
            if len(self._scenes) > _KEPT:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(key)
        return self._scenes[key]

    def _advance(self, distance: float) -> float:
        """Goes along the heading as far as it is free; the way along the floor, m."""
        assert self._setup is not None, "load comes first"
        found = self._here()
        if found is None:
            return 0.0
        node, place = found
        way = (math.cos(self._yaw) * distance, math.sin(self._yaw) * distance)
        self._node, reached = self._navmesh.step(node, place, way, self._setup.sliding)
        self._position = habitat_from_ros(reached + np.array([0.0, 0.0, self.navmesh_float])).astype(np.float32)
        return math.hypot(reached[0] - place[0], reached[1] - place[1])

    def _here(self) -> tuple[int, np.ndarray] | None:
        """(node, place on it) of the agent; None where it is off the navmesh."""
        if self._node < 0:
            return self._snapped(self._position)
        return self._node, ros_from_habitat(self._position.astype(np.float64)) - np.array(
            [0.0, 0.0, self.navmesh_float]
        )

    def _snapped(self, position: np.ndarray) -> tuple[int, np.ndarray] | None:
        return self._navmesh.snap(self._on_floor(position.astype(np.float64)))

    def _on_floor(self, points: np.ndarray) -> np.ndarray:
        """Points in Habitat's axes on the navmesh, as places on the floor in ROS axes."""
        return ros_from_habitat(points) - np.array([0.0, 0.0, self.navmesh_float])

    def _placed(self, collided: bool = False, moved: float = 0.0) -> Placed:
        half = 0.5 * self._yaw
        rotation = np.array([0.0, math.sin(half), 0.0, math.cos(half)])
        return Placed(self._position.copy(), rotation, collided, moved)


def read_scene(path: str) -> SceneMesh:
    """A scene's mesh in ROS axes, with its own origin, as habitat-sim places it.

    HM3D's and Matterport's files are z up, all others y up, as glTF asks for. Of HM3D, ``NAME.glb`` is read rather than
    ``NAME.basis.glb``, whose textures are of a kind that few can read.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    file = Path(path)
    plain = file.with_name(file.name.replace(".basis.glb", ".glb"))
    mesh = load_mesh(plain if plain.is_file() else file)
    if not any(word in str(file).lower() for word in _Z_UP):
        return mesh
    x, y, z = habitat_from_ros(mesh.vertices).T  # the file's own axes
    vertices = np.column_stack([y, -x, z])
    return SceneMesh(vertices, mesh.faces, mesh.uvs, mesh.texture, mesh.textures, mesh.instance, mesh.tint)
