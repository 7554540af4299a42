"""Point-to-plane registration of a depth image to a keyframe's by projection. Knows nothing of colour and of graphs.

Projective data association (Newcombe et al., KinectFusion, 2011) on images of about 320 columns: no neighbour search,
so a frame costs a few milliseconds on one core. A prior on the motion enters the normal equations, so that what the
geometry does not hold (a corridor's length, a blank wall) is held by wheels or by constant velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..geometry import Camera, invert

#: (largest distance of a pair in m, pixel stride, iterations), coarse to fine.
_LEVELS = ((0.30, 4, 6), (0.10, 2, 6), (0.05, 2, 6))
#: Distance (px) to the neighbours that give a normal: quantised depth has steps that nearer neighbours take for slopes.
_NORMAL_REACH = 2
#: Depth differences (m, and part of the depth) that count as the same surface in :func:`agreement`.
_SAME_SURFACE, _SAME_SURFACE_RELATIVE = 0.05, 0.04
#: Depth noise: sigma = _NOISE_FLOOR + _NOISE_SQUARE * z^2 (m); the shape of structured light and stereo sensors.
_NOISE_FLOOR, _NOISE_SQUARE = 0.002, 0.0012
#: Pairs are correlated (neighbouring pixels share their error): so many of them count as one independent measurement.
_PAIRS_PER_MEASUREMENT = 50.0
_MIN_PAIRS = 60


@dataclass(frozen=True, eq=False)
class DepthView:
    """A depth image made ready as the reference of a registration.

    Attributes:
        depth: HxW float32 m, NaN invalid.
        camera: its intrinsics.
        normals: HxWx3 float32 in the optical frame, NaN where the surface is broken.
    """

    depth: np.ndarray
    camera: Camera
    normals: np.ndarray

    @classmethod
    def of(cls, depth: np.ndarray, camera: Camera) -> DepthView:
        """Computes the normals of a depth image."""
        return cls(depth, camera, _normals(depth, _intrinsics(camera), _NORMAL_REACH))


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`register`.

    Attributes:
        T: 4x4, reference optical frame from the registered one.
        pairs: number of point pairs in the last iteration.
        share: pairs over the valid pixels that were tried, 0 to 1.
        residual: root mean square of the normalised point-to-plane distances.
        information: 6x6 of (translation, rotation) of T, perturbed on the left; without the prior.
    """

    T: np.ndarray
    pairs: int
    share: float
    residual: float
    information: np.ndarray

    @property
    def weakest(self) -> float:
        """Standard deviation (m) of the least certain direction of translation, by geometry alone."""
        smallest = float(np.linalg.eigvalsh(self.information[:3, :3])[0])
        return float(1.0 / np.sqrt(smallest)) if smallest > 1e-9 else float("inf")


def register(
    depth: np.ndarray,
    camera: Camera,
    reference: DepthView,
    T: np.ndarray,
    prior: np.ndarray | None = None,
    reach: float = 0.30,
) -> Registration:
    """Registers a depth image to a reference.

    Args:
        depth: HxW float32 m, NaN invalid.
        camera: its intrinsics.
        T: 4x4 first guess of reference from camera; the prior pulls towards it.
        prior: 6x6 information (1/m^2, 1/rad^2) of the guess, or None for none.
        reach: largest distance (m) of a pair; near a good guess a short one keeps wrong pairs out.

    Returns:
        The registration; ``pairs`` is 0 where too few points met and ``T`` is then the guess.
    """
    prior = np.zeros((6, 6)) if prior is None else prior
    guess, T = T, T.copy()
    A, b = np.zeros((6, 6)), np.zeros(6)
    k, kr = _intrinsics(camera), _intrinsics(reference.camera)
    pairs = tried = 0
    error = 0.0
    for widest, stride, iterations in _LEVELS:
        if widest > max(reach, _LEVELS[-1][0]):
            continue
        for _ in range(iterations):
            pairs, tried, error = _accumulate(depth, k, reference.depth, reference.normals, kr, T, widest, stride, A, b)
            if pairs < _MIN_PAIRS:
                return Registration(guess, 0, 0.0, float("inf"), np.zeros((6, 6)))
            scale = 1.0 / _PAIRS_PER_MEASUREMENT
            system = A * scale + prior + 1e-9 * np.trace(A) * np.eye(6)
            step = np.linalg.solve(system, b * scale - prior @ logarithm(T @ invert(guess)))
            T = exponential(step) @ T
            if np.abs(step).max() < 1e-5:
                break
    T[:3, :3] = _orthonormal(T[:3, :3])
    share = pairs / max(tried, 1)
    return Registration(T, pairs, share, float(np.sqrt(error / pairs)), A / _PAIRS_PER_MEASUREMENT)


def agreement(depth: np.ndarray, camera: Camera, other: np.ndarray, other_camera: Camera, T: np.ndarray) -> float:
    """How well two depth images go together, 0 to 1: the share of points that lie on the other's surfaces.

    Points in the other's free space contradict, in both directions; what the other cannot see behind its surfaces says
    nothing. Where nothing is comparable the result is 0.

    Args:
        depth, other: HxW float32 m, NaN invalid.
        T: 4x4, other optical frame from this one.
    """
    k, ko = _intrinsics(camera), _intrinsics(other_camera)
    shares = []
    for a, ka, b, kb, T_b_a in ((depth, k, other, ko, T), (other, ko, depth, k, invert(T))):
        same, through = _compare(a, ka, b, kb, np.ascontiguousarray(T_b_a), 4)
        shares.append(same / max(same + through, 1))
    return min(shares)


def exponential(x: np.ndarray) -> np.ndarray:
    """4x4 of a small motion (translation, rotation vector); the translation is not coupled to the rotation."""
    T = np.eye(4)
    angle = float(np.linalg.norm(x[3:]))
    K = np.array([[0.0, -x[5], x[4]], [x[5], 0.0, -x[3]], [-x[4], x[3], 0.0]])
    if angle < 1e-9:
        T[:3, :3] += K
    else:
        T[:3, :3] += np.sin(angle) / angle * K + (1.0 - np.cos(angle)) / angle**2 * (K @ K)
    T[:3, 3] = x[:3]
    return T


def logarithm(T: np.ndarray) -> np.ndarray:
    """(translation, rotation vector) of a transform; the inverse of :func:`exponential` below half a turn."""
    R = T[:3, :3]
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2.0
    sine = float(np.linalg.norm(axis))
    angle = float(np.arctan2(sine, (np.trace(R) - 1.0) / 2.0))
    return np.concatenate([T[:3, 3], axis * (angle / sine if sine > 1e-9 else 1.0)])


def _orthonormal(R: np.ndarray) -> np.ndarray:
    """The nearest rotation. Left alone, rounding doubles with every frame that starts from the last one's motion."""
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def _intrinsics(camera: Camera) -> np.ndarray:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@njit(cache=True, nogil=True)
def _normals(depth, k, h):
    """Normals by central differences over ``h`` pixels, NaN across depth jumps."""
    height, width = depth.shape
    normals = np.full((height, width, 3), np.nan, np.float32)
    fx, fy, cx, cy = k[0], k[1], k[2], k[3]
    for v in range(h, height - h):
        for u in range(h, width - h):
            z = depth[v, u]
            zl, zr = depth[v, u - h], depth[v, u + h]
            zu, zd = depth[v - h, u], depth[v + h, u]
            jump = 0.05 * z
            smooth = abs(zl - z) < jump and abs(zr - z) < jump and abs(zu - z) < jump and abs(zd - z) < jump
            if not (z > 0.0 and smooth):
                continue
            ax = ((u + h - cx) * zr - (u - h - cx) * zl) / fx
            ay = (v - cy) * (zr - zl) / fy
            az = zr - zl
            bx = (u - cx) * (zd - zu) / fx
            by = ((v + h - cy) * zd - (v - h - cy) * zu) / fy
            bz = zd - zu
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 1e-12:
                normals[v, u, 0] = nx / length
                normals[v, u, 1] = ny / length
                normals[v, u, 2] = nz / length
    return normals


@njit(cache=True, nogil=True)
def _accumulate(depth, k, ref_depth, ref_normals, kr, T, reach, stride, A, b):
    """Normal equations of all point pairs, Huber-weighted; returns pairs, pixels tried, weighted squared error."""
    height, width = depth.shape
    ref_height, ref_width = ref_depth.shape
    A[:] = 0.0
    b[:] = 0.0
    J = np.empty(6)
    pairs = 0
    tried = 0
    error = 0.0
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            tried += 1
            x, y = (u - k[2]) / k[0] * z, (v - k[3]) / k[1] * z
            px = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
            py = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
            pz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
            if pz < 0.05:
                continue
            ur = int(np.floor(px / pz * kr[0] + kr[2] + 0.5))
            vr = int(np.floor(py / pz * kr[1] + kr[3] + 0.5))
            if ur < 0 or vr < 0 or ur >= ref_width or vr >= ref_height:
                continue
            zr = ref_depth[vr, ur]
            nx, ny, nz = ref_normals[vr, ur, 0], ref_normals[vr, ur, 1], ref_normals[vr, ur, 2]
            if not zr > 0.0 or np.isnan(nx):
                continue
            dx, dy, dz = px - (ur - kr[2]) / kr[0] * zr, py - (vr - kr[3]) / kr[1] * zr, pz - zr
            if dx * dx + dy * dy + dz * dz > reach * reach:
                continue
            r = nx * dx + ny * dy + nz * dz
            sigma = _NOISE_FLOOR + _NOISE_SQUARE * zr * zr
            weight = 1.0 / (sigma * sigma)
            if abs(r) > 1.5 * sigma:
                weight *= 1.5 * sigma / abs(r)
            J[0], J[1], J[2] = nx, ny, nz
            J[3], J[4], J[5] = py * nz - pz * ny, pz * nx - px * nz, px * ny - py * nx
            for i in range(6):
                b[i] -= weight * J[i] * r
                for j in range(i, 6):
                    A[i, j] += weight * J[i] * J[j]
            pairs += 1
            error += weight * r * r
    for i in range(6):
        for j in range(i):
            A[i, j] = A[j, i]
    return pairs, tried, error


@njit(cache=True, nogil=True)
def _compare(depth, k, other, ko, T, stride):
    """Points on the other's surfaces, and points in what the other saw to be free."""
    height, width = depth.shape
    other_height, other_width = other.shape
    same = 0
    through = 0
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            x, y = (u - k[2]) / k[0] * z, (v - k[3]) / k[1] * z
            pz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
            if pz < 0.05:
                continue
            px = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
            py = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
            uo = int(np.floor(px / pz * ko[0] + ko[2] + 0.5))
            vo = int(np.floor(py / pz * ko[1] + ko[3] + 0.5))
            if uo < 0 or vo < 0 or uo >= other_width or vo >= other_height:
                continue
            allowed = _SAME_SURFACE + _SAME_SURFACE_RELATIVE * pz
            ahead = other[vo, uo] - pz
            if abs(ahead) < allowed:
                same += 1
            elif ahead > 0.0:
                through += 1
    return same, through
