"""A mesh of the remembered surfaces: screened Poisson reconstruction by Open3D, coloured. Knows no clouds, no pixels.

Open3D (extra ``viewer``) gives normals and the reconstruction; the files are written here, whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...resources import how_to_install
from .export import embedded_gltf, gltf, write_whole

if TYPE_CHECKING:
    from .surface import SurfacePoints

#: File name endings that can be written.
ENDINGS = (".ply", ".glb", ".gltf")
#: Neighbours within so many spacings give a point's normal; at most so many of them.
_REACH, _NEIGHBOURS = 5.0, 40
#: Poisson's finest cell is this many spacings; its octree is at most so deep (1024 cells along an edge).
_FINEST, _DEEPEST = 1.0, 10
#: Poisson closes every hole; faces with a corner farther than this (spacings) from every point are invented.
_INVENTED = 4.0
#: Fewer points are no surface.
_FEWEST = 100


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles: vertices (N, 3) float64 m in map, colours (N, 3) uint8, faces (M, 3) int64, counter-clockwise from
    where the surface was seen."""

    vertices: np.ndarray
    colors: np.ndarray
    faces: np.ndarray


def open3d() -> Any:
    """The library.

    Raises:
        InputError: it is not installed, or the system's libraries that it needs are not.
    """
    try:
        import open3d as library
    except ModuleNotFoundError as error:
        missing = "open3d" if (error.name or "").startswith("open3d") else error.name
        raise InputError(
            f"a mesh needs {missing}, which is not installed; {how_to_install('viewer')} (where there is no open3d for "
            "this Python, export with another one: the memory file can be copied)"
        ) from None
    except (ImportError, OSError) as error:
        raise InputError(
            f"a mesh needs Open3D, which cannot be loaded here ({error}); it wants the system's libraries: "
            "apt install libegl1 libgl1 libgomp1 libusb-1.0-0"
        ) from None
    return library


def reconstruct(points: SurfacePoints) -> Mesh:
    """The surface through points, without what Poisson's method invents where nothing was seen.

    Raises:
        InputError: Open3D is missing, or there are too few points.
    """
    library = open3d()
    if len(points) < _FEWEST:
        raise InputError(f"the memory holds {len(points)} surface points: too few for a mesh; let the robot see more")
    cloud = library.geometry.PointCloud(library.utility.Vector3dVector(points.positions))
    search = library.geometry.KDTreeSearchParamHybrid(radius=_REACH * points.spacing, max_nn=_NEIGHBOURS)
    cloud.estimate_normals(search)
    normals = np.asarray(cloud.normals)
    towards = points.eyes - points.positions
    away = (normals * towards).sum(axis=1) < 0.0
    cloud.normals = library.utility.Vector3dVector(np.where(away[:, None], -normals, normals))
    extent = 1.1 * float(np.ptp(points.positions, axis=0).max())
    depth = int(np.clip(np.ceil(np.log2(extent / (_FINEST * points.spacing))), 5, _DEEPEST))
    with library.utility.VerbosityContextManager(library.utility.VerbosityLevel.Error):
        found, _ = library.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=depth, n_threads=1)
    return _kept(np.asarray(found.vertices), np.asarray(found.triangles, dtype=np.int64), points)


def _kept(vertices: np.ndarray, faces: np.ndarray, points: SurfacePoints) -> Mesh:
    """The faces that lie at points, with the colours of the nearest ones."""
    from scipy.spatial import cKDTree

    far, nearest = cKDTree(points.positions).query(vertices)
    near = far <= _INVENTED * points.spacing
    faces = faces[near[faces].all(axis=1)]
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(vertices[used], points.colors[nearest[used]], renumbered.reshape(-1, 3).astype(np.int64))


def write_mesh(path: str | Path, points: SurfacePoints, uuid: str = "") -> int:
    """Writes the mesh as PLY (map's axes) or glTF (``.glb``, ``.gltf``; its axes: y up); returns how many triangles.

    Args:
        points: of the memory. uuid: of its map, which the file names.

    Raises:
        InputError: another ending, Open3D is missing, too few points, or the place cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: a mesh goes into a file that ends with {', '.join(ENDINGS)}")
    mesh = reconstruct(points)
    write_whole(path, _ply(mesh, uuid) if ending == ".ply" else _gltf(mesh, uuid, binary=ending == ".glb"))
    return len(mesh.faces)


def _ply(mesh: Mesh, uuid: str) -> bytes:
    vertex = np.dtype([("p", "<f4", 3), ("rgb", "u1", 3)])
    face = np.dtype([("n", "u1"), ("corners", "<i4", 3)])
    corners, triangles = np.empty(len(mesh.vertices), vertex), np.empty(len(mesh.faces), face)
    corners["p"], corners["rgb"] = mesh.vertices, mesh.colors
    triangles["n"], triangles["corners"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"comment embodied_nav mesh, metres, frame of map {uuid}",
              f"element vertex {len(corners)}", *(f"property float {c}" for c in "xyz"),
              *(f"property uchar {c}" for c in ("red", "green", "blue")),
              f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header"]  # fmt: skip
    return ("\n".join(header) + "\n").encode("ascii", "replace") + corners.tobytes() + triangles.tobytes()


def _gltf(mesh: Mesh, uuid: str, binary: bool) -> bytes:
    x, y, z = mesh.vertices.T
    rgba = np.full((len(mesh.colors), 4), 255, np.uint8)
    rgba[:, :3] = mesh.colors
    data = gltf(np.stack([x, z, -y], axis=1).astype(np.float32), rgba, mesh.faces.astype(np.uint32), uuid, "surface")
    return data if binary else embedded_gltf(data)
