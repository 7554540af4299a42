"""Prepares a mesh for rasterising: clusters of faces, mip levels, light. Knows nothing of cameras and images."""

from __future__ import annotations

import numpy as np

from .mesh import SceneMesh
from .raster_kernels import splat_area

#: Faces larger than this (m) are clustered separately, so that a wall does not enlarge the box of a chair's cluster.
LARGE_FACE = 0.8
LARGE_CLUSTER, SMALL_CLUSTER = 8, 40
#: Edge (m) of a cell of the ambient light grid, its blur (m), and how far off a surface (m) it is read.
LIGHT_CELL, LIGHT_BLUR, LIGHT_OFFSET = 0.1, 0.2, 0.15
#: Darkening per surface density beyond that of one endless wall (in units of it), and the least light.
OCCLUSION, DARKEST = 0.24, 0.55


class RasterScene:
    """Arrays for the kernels of :mod:`.raster_kernels`, made once per mesh and shared by all its cameras.

    Faces are stored in cluster order; ``face`` maps them back to the mesh. Faces without area are left out.

    Args:
        mesh: the scene.
    """

    def __init__(self, mesh: SceneMesh) -> None:
        self.mesh = mesh
        corners = mesh.triangles.astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        kept = np.flatnonzero(np.linalg.norm(normal, axis=1) > 1e-12)
        order, self.cluster_faces = cluster(corners[kept])
        self.face = kept[order].astype(np.int32)
        corners, normal = corners[self.face], normal[self.face]
        self._make_clusters(corners)
        self.instance = mesh.instance[self.face]
        self._make_planes(corners, normal)
        self._make_texture_maps(corners, normal)
        self._make_shades()
        self._make_light(corners, normal)

    def _make_clusters(self, corners: np.ndarray) -> None:
        """Boxes of the clusters and, cluster by cluster, their vertices, each once."""
        starts = self.cluster_faces[:-1]
        low = np.minimum.reduceat(corners.min(axis=1), starts)
        high = np.maximum.reduceat(corners.max(axis=1), starts)
        self.cluster_boxes = np.hstack([(low + high) / 2.0, (high - low) / 2.0 + 1e-6])
        point = _same_points(corners.reshape(-1, 3))
        owner = np.repeat(np.arange(len(starts), dtype=np.int64), np.diff(self.cluster_faces) * 3)
        key, first, index = np.unique(owner * (point.max() + 1) + point, return_index=True, return_inverse=True)
        self.vertices = np.ascontiguousarray(corners.reshape(-1, 3)[first])
        self.triangles = index.reshape(-1, 3).astype(np.int32)
        counts = np.bincount(key // (point.max() + 1), minlength=len(starts))
        self.cluster_vertices = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def _make_planes(self, corners: np.ndarray, normal: np.ndarray) -> None:
        """Planes (nx, ny, nz, n . corner) float64, from which depth is computed without z-buffer rounding."""
        self.normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        offset = np.einsum("fk,fk->f", self.normal, corners[:, 0])
        self.planes = np.ascontiguousarray(np.hstack([self.normal, offset[:, None]]))

    def _make_texture_maps(self, corners: np.ndarray, normal: np.ndarray) -> None:
        """Texture coordinates as affine functions of the scene position, and texel density for the mip level."""
        mesh = self.mesh
        e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        squared = np.einsum("fk,fk->f", normal, normal)[:, None]
        dual1, dual2 = np.cross(e2, normal) / squared, np.cross(normal, e1) / squared
        uv = mesh.uvs[self.face].astype(np.float64)
        self.maps = np.empty((len(corners), 8), dtype=np.float32)
        gradients = []
        for k in range(2):
            gradient = (uv[:, 1, k] - uv[:, 0, k])[:, None] * dual1 + (uv[:, 2, k] - uv[:, 0, k])[:, None] * dual2
            start = uv[:, 0, k] - np.einsum("fk,fk->f", gradient, corners[:, 0])
            self.maps[:, 4 * k : 4 * k + 3] = gradient
            self.maps[:, 4 * k + 3] = start - np.floor(start)  # textures repeat: keep only the fractional part
            gradients.append(gradient)
        self.texels, self.levels = mip_chain(mesh.textures)
        self.texture = mesh.texture[self.face]
        size = np.array([image.shape[0] * image.shape[1] for image in mesh.textures], dtype=np.float64)[self.texture]
        density = np.linalg.norm(np.cross(*gradients), axis=1) * size
        self.density = np.log2(np.maximum(density, 1e-12)).astype(np.float32)

    def _make_shades(self) -> None:
        """Tint times light for front and back of each face: Fx6 float32, 1.0 leaves the texture unchanged."""
        tint = self.mesh.tint[self.face].astype(np.float64) / 255.0
        # All faces on one side of an object get the same variation, else a rectangle's diagonal would be visible.
        side = np.round(self.normal * 8.0).astype(np.int64) @ np.array([73856093, 19349663, 83492791])
        vary = 1.0 + 0.03 * (((side ^ (self.instance.astype(np.int64) * 2654435761)) % 1024) / 512.0 - 1.0)
        self.shades = np.empty((len(tint), 6), dtype=np.float32)
        for k, normal in enumerate((self.normal, -self.normal)):
            light = 0.94 + 0.12 * normal[:, 2] + 0.10 * normal[:, 0] + 0.03 * normal[:, 1]
            self.shades[:, 3 * k : 3 * k + 3] = tint * (light * vary)[:, None]

    def _make_light(self, corners: np.ndarray, normal: np.ndarray) -> None:
        """Soft ambient occlusion: a grid of light from the blurred density of surrounding surfaces."""
        from scipy.ndimage import gaussian_filter

        low = corners.min(axis=(0, 1)) - 0.5
        size = np.ceil((corners.max(axis=(0, 1)) + 0.5 - low) / LIGHT_CELL).astype(np.int64) + 2
        cell = LIGHT_CELL * max(1.0, (float(np.prod(size)) / 2e7) ** (1.0 / 3.0))
        size = np.minimum(size, np.ceil(size * LIGHT_CELL / cell).astype(np.int64) + 2)
        grid = np.zeros(tuple(size), dtype=np.float32)
        area = 0.5 * np.linalg.norm(normal, axis=1)
        splat_area(grid, low, cell, corners, area)
        density = gaussian_filter(grid / cell**3, LIGHT_BLUR / cell, mode="constant", truncate=3.0)
        sigma = LIGHT_OFFSET / LIGHT_BLUR
        wall = np.exp(-0.5 * sigma**2) / (LIGHT_BLUR * np.sqrt(2.0 * np.pi))  # the density of one endless wall
        self.light = np.clip(1.0 - OCCLUSION * np.maximum(density / wall - 1.0, 0.0), DARKEST, 1.0).astype(np.float32)
        self.light_origin = low
        self.light_cell = float(cell)


def cluster(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups faces by position; large ones separately.

    Args:
        corners: Fx3x3 float64.

    Returns:
        F int64 order of the faces, and C + 1 int32 starts of the clusters in it.
    """
    center = corners.mean(axis=1)
    large = np.ptp(corners, axis=1).max(axis=1) > LARGE_FACE
    leaves: list[np.ndarray] = []
    for chosen, limit in ((np.flatnonzero(large), LARGE_CLUSTER), (np.flatnonzero(~large), SMALL_CLUSTER)):
        stack = [chosen] if len(chosen) else []
        while stack:
            faces = stack.pop()
            if len(faces) <= limit:
                leaves.append(faces)
                continue
            axis = int(np.argmax(np.ptp(center[faces], axis=0)))
            half = len(faces) // 2
            split = np.argpartition(center[faces, axis], half)
            stack += [faces[split[half:]], faces[split[:half]]]
    starts = np.concatenate([[0], np.cumsum([len(leaf) for leaf in leaves])]).astype(np.int32)
    return np.concatenate(leaves), starts


def mip_chain(textures: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All mip levels (box filter) of all textures in one array.

    Returns:
        N uint32 texels (0x00BBGGRR), and TxLx3 int32 (first texel, log2 width, log2 height) of each texture's levels,
        each half as wide and half as high as the one before; the last, 1x1, is repeated up to a common L.
    """
    longest = max(max(image.shape[:2]).bit_length() for image in textures)
    levels = np.empty((len(textures), longest + 1, 3), dtype=np.int32)
    chunks, offset = [], 0
    for t, image in enumerate(textures):
        level = image.astype(np.float32)
        for k in range(longest + 1):
            height, width = level.shape[:2]
            levels[t, k] = offset, width.bit_length() - 1, height.bit_length() - 1
            if k and height == width == 1 and tuple(levels[t, k - 1, 1:]) == (0, 0):
                levels[t, k:] = levels[t, k - 1]
                break
            rounded = np.rint(level).astype(np.uint32)
            chunks.append((rounded[..., 0] | rounded[..., 1] << 8 | rounded[..., 2] << 16).ravel())
            offset += chunks[-1].size
            if height > 1:
                level = 0.5 * (level[0::2] + level[1::2])
            if width > 1:
                level = 0.5 * (level[:, 0::2] + level[:, 1::2])
    return np.concatenate(chunks), levels


def _same_points(points: np.ndarray) -> np.ndarray:
    """N int64 numbers that are equal exactly where points (Nx3) are equal."""
    _, index = np.unique(points.astype(np.float32).view("V12").ravel(), return_inverse=True)
    return index.astype(np.int64)
