"""Renders a scene's colour, depth and instance ids for a pinhole camera. Knows nothing of robots and noise."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry import Camera, invert
from . import raster_kernels as kernels
from .mesh import SceneMesh
from .raster_scene import LIGHT_OFFSET, RasterScene
from .raster_shading import shade

#: Colour (RGB) where the scene has no surface.
BACKGROUND = (196, 210, 224)


class Rasterizer:
    """A z-buffer rasteriser on the CPU: face ids first, then shading of visible pixels.

    One instance must not render in two threads at once; :meth:`with_camera` makes another one on the same scene.

    Args:
        mesh: the scene, or a prepared one.
        camera: intrinsics of the images.
        near, far: nearest and farthest depth that is drawn, m. A large ``near`` cuts off a ceiling.

    Raises:
        InputError: near and far are not 0 < near < far.
    """

    def __init__(self, mesh: SceneMesh | RasterScene, camera: Camera, near: float = 0.05, far: float = 20.0) -> None:
        if not 0.0 < near < far < np.inf:
            raise InputError(f"rasteriser: near = {near} m and far = {far} m must be 0 < near < far")
        self.scene = mesh if isinstance(mesh, RasterScene) else RasterScene(mesh)
        self.camera, self.near, self.far = camera, float(near), float(far)
        self._intrinsics = (camera.fx, camera.fy, camera.cx, camera.cy)
        shape = (camera.height, camera.width)
        self._inverse, self._ids = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int32)
        clusters = len(self.scene.cluster_boxes)
        most = int(np.diff(self.scene.cluster_vertices).max())
        self._scratch = np.empty(clusters, np.int32), np.empty((clusters, 5)), np.empty((most, 5))
        self._background = np.array(BACKGROUND, dtype=np.uint8)

    def with_camera(self, camera: Camera, near: float | None = None, far: float | None = None) -> Rasterizer:
        """Another camera on the same scene, without preparing the scene again."""
        return Rasterizer(self.scene, camera, near or self.near, far or self.far)

    def render(self, T_scene_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Renders one view.

        Args:
            T_scene_camera: 4x4, scene from optical frame.

        Returns:
            HxWx3 uint8 RGB, HxW float32 depth (m along the optical axis, NaN none), HxW int32 instance ids (0 none).
        """
        T = self._draw(T_scene_camera)
        s = self.scene
        color = np.empty((*self._ids.shape, 3), dtype=np.uint8)
        depth, instances = np.empty_like(self._inverse), np.empty_like(self._ids)
        shade(
            self._inverse, self._ids, T, self._intrinsics, s.planes, s.instance, s.maps, s.texture, s.density,
            s.levels, s.texels, s.shades, s.light, s.light_origin, s.light_cell, LIGHT_OFFSET, self._background,
            color, depth, instances,
        )  # fmt: skip
        return color, depth, instances

    def render_depth_ids(self, T_scene_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth and instance ids as :meth:`render` gives them, without colour."""
        T = self._draw(T_scene_camera)
        depth, instances = np.empty_like(self._inverse), np.empty_like(self._ids)
        scene = self.scene
        kernels.resolve_depth(
            self._inverse, self._ids, T, self._intrinsics, scene.planes, scene.instance, depth, instances
        )
        return depth, instances

    def render_faces(self, T_scene_camera: np.ndarray) -> np.ndarray:
        """HxW int32 index of the mesh's face at each pixel, -1 none."""
        self._draw(T_scene_camera)
        return np.where(self._ids >= 0, self.scene.face[np.maximum(self._ids, 0)], np.int32(-1))

    def _draw(self, T_scene_camera: np.ndarray) -> np.ndarray:
        T = np.ascontiguousarray(T_scene_camera, dtype=np.float64)
        M = self.camera.K @ invert(T)[:3]
        s = self.scene
        order, rectangles, P = self._scratch
        self.clusters_drawn = kernels.draw_visibility(
            self._inverse, self._ids, M, self.near, self.far, s.cluster_boxes, s.cluster_faces, s.cluster_vertices,
            s.vertices, s.triangles, order, rectangles, P,
        )  # fmt: skip
        return T
