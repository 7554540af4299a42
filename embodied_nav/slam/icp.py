"""Point-to-plane ICP of a depth image against a keyframe's, optionally with grey levels. Knows no features and graphs.

Projective data association (Newcombe et al., KinectFusion, 2011) on images of about 320 columns: no neighbour search,
so a frame costs a few milliseconds on one core. A prior on the motion enters the normal equations, so that directions
not constrained by geometry (along a corridor or a blank wall) are constrained by wheel odometry or constant velocity.
Grey levels constrain them too, but only if colour and depth are registered exactly: they are used where depth alone
does not suffice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..geometry import Camera, invert

#: (largest distance of a pair in m, pixel stride, iterations), coarse to fine.
_LEVELS = ((0.30, 4, 6), (0.10, 2, 6), (0.05, 2, 6))
#: Normals are fitted to a window of this share of the image's width: noisy normals would make a registration along a
#: wall look certain, and stiff. Depth that differs by more than the second (relative) is another surface.
_WINDOW, _SMOOTH = 1 / 40, 0.05
#: Least valid points of 25 for such a plane; root of the sum of their squared distances along one axis, in steps.
_MIN_PLANE, _WINDOW_SPREAD = 12, 50**0.5
#: A level has converged after a step smaller than this (m, rad), far below the noise.
_SETTLED = 1e-4
#: Depth differences (m, and part of the depth) that count as the same surface in :func:`agreement`.
_SAME_SURFACE, _SAME_SURFACE_RELATIVE = 0.05, 0.04
#: Depth noise model: sigma = _NOISE_FLOOR + _NOISE_SQUARE * z^2 (m), as of structured light and stereo sensors.
_NOISE_FLOOR, _NOISE_SQUARE = 0.002, 0.0012
#: Pairs are correlated (neighbouring pixels share their error): this many count as one independent measurement.
_PAIRS_PER_MEASUREMENT = 50.0
_MIN_PAIRS = 60
#: Standard deviation of a grey level (0 to 1) between two images; blur (px) of grey levels, for the coarsest level and
#: the others: gradients must reach as far as the guess may be off.
_GREY_NOISE, _BLURS = 0.03, (4.0, 1.2)
#: Pixel stride of :func:`seen_through`, and the least share of pixels that must be comparable.
_THROUGH_STRIDE, _THROUGH_LEAST = 4, 0.05
#: Pixel stride at which the normals' noise is summed, and the pixels of the finest level that each stands for.
_NOISE_STRIDE, _NOISE_SHARE = 4, (4 / _LEVELS[-1][1]) ** 2


@dataclass(frozen=True, eq=False)
class DepthView:
    """A depth image prepared as the reference of a registration.

    Attributes:
        depth: HxW float32 m, NaN invalid.
        camera: its intrinsics.
        normals: HxWx3 float32 in the optical frame, NaN at discontinuities.
        greys: of :func:`grey_levels`, or empty.
    """

    depth: np.ndarray
    camera: Camera
    normals: np.ndarray
    greys: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, depth: np.ndarray, camera: Camera, greys: tuple[np.ndarray, ...] = ()) -> DepthView:
        """Computes the normals of a depth image."""
        return cls(depth, camera, _normals(depth, _intrinsics(camera), _step(camera)), greys)


def grey_levels(color: np.ndarray, camera: Camera) -> tuple[np.ndarray, ...]:
    """Grey levels (HxW float32, 0 to 1) of HxWx3 uint8 RGB at the pixels of ``camera``, blurred coarse and fine."""
    import cv2

    step = max(1, round(color.shape[1] / camera.width))
    grey = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    blurred = (cv2.GaussianBlur(grey, (0, 0), sigma * step)[::step, ::step] for sigma in _BLURS)
    return tuple(np.ascontiguousarray(b[: camera.height, : camera.width]) for b in blurred)


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`register`.

    Attributes:
        T: 4x4, reference optical frame from the registered one.
        pairs: number of point pairs in the last iteration.
        share: pairs over valid pixels, 0 to 1.
        overlap: share of the valid pixels that project onto valid reference depth, near it or not, 0 to 1.
        residual: root mean square of the normalised point-to-plane distances.
        information: 6x6 of (translation, rotation) of T, perturbed on the left; without the prior, and without the
            share from noise of the normals alone: a flat wall does not constrain motion along it.
    """

    T: np.ndarray
    pairs: int
    share: float
    residual: float
    information: np.ndarray
    overlap: float = 0.0

    @property
    def fit(self) -> float:
        """Pairs over the pixels that overlap the reference, 0 to 1; things in front of the reference lower it."""
        return min(1.0, self.share / self.overlap) if self.overlap > 0.0 else 0.0

    @property
    def weakest(self) -> float:
        """Standard deviation (m) in the least constrained direction of translation, by geometry alone."""
        smallest = float(np.linalg.eigvalsh(self.information[:3, :3])[0])
        return float(1.0 / np.sqrt(smallest)) if smallest > 1e-9 else float("inf")


def register(
    depth: np.ndarray,
    camera: Camera,
    reference: DepthView,
    T: np.ndarray,
    prior: np.ndarray | None = None,
    reach: float = 0.30,
    greys: tuple[np.ndarray, ...] = (),
) -> Registration:
    """Registers a depth image to a reference.

    Args:
        depth: HxW float32 m, NaN invalid.
        camera: its intrinsics.
        T: 4x4 initial guess, reference from camera; the prior is centred on it.
        prior: 6x6 information (1/m^2, 1/rad^2) of the guess, or None.
        reach: largest distance (m) of a pair; with a good guess a small value excludes wrong pairs.
        greys: the image's :func:`grey_levels`, to be used as well if the reference has them.

    Returns:
        The registration; if too few points pair up, ``pairs`` is 0 and ``T`` the guess.
    """
    prior = np.zeros((6, 6)) if prior is None else prior
    guess, T = T, T.copy()
    A, b = np.zeros((6, 6)), np.zeros(6)
    k, kr = _intrinsics(camera), _intrinsics(reference.camera)
    sums = (0, 0, 0, 0.0)
    scale = 1.0 / _PAIRS_PER_MEASUREMENT
    offset = 0.0  # difference of exposure
    for level, (widest, stride, iterations) in enumerate(_LEVELS):
        if widest > max(reach, _LEVELS[-1][0]):
            continue
        for _ in range(iterations):
            A[:], b[:] = 0.0, 0.0
            sums = _accumulate(depth, k, reference.depth, reference.normals, kr, T, widest, stride, A, b)
            if greys and reference.greys:
                blur = min(level, len(greys) - 1)
                grey, other = greys[blur], reference.greys[blur]
                count, error, offset = _shade(
                    grey, depth, k, other, reference.depth, kr, T, widest, stride, offset, A, b
                )
                sums = (*sums[:3], (sums[3] + error) / (sums[0] + count + 1) * sums[0])
            if sums[0] < _MIN_PAIRS:
                return Registration(guess, 0, 0.0, float("inf"), np.zeros((6, 6)), sums[1] / max(sums[2], 1))
            system = A * scale + prior + 1e-9 * np.trace(A) * np.eye(6)
            step = np.linalg.solve(system, b * scale - prior @ logarithm(T @ invert(guess)))
            T = exponential(step) @ T
            if np.abs(step).max() < _SETTLED:
                break
    T[:3, :3] = _orthonormal(T[:3, :3])
    pairs, met, tried, error = sums
    noise = np.zeros((6, 6))
    window = _step(reference.camera) * _WINDOW_SPREAD
    _noise(depth, k, reference.depth, reference.normals, kr, T, _LEVELS[-1][0], _NOISE_STRIDE, window, noise)
    information = _beyond(A, noise * _NOISE_SHARE) * scale
    root = float(np.sqrt(error / pairs))
    return Registration(T, pairs, pairs / max(tried, 1), root, information, met / max(tried, 1))


def agreement(depth: np.ndarray, camera: Camera, other: np.ndarray, other_camera: Camera, T: np.ndarray) -> float:
    """How well two depth images agree, 0 to 1: share of points on the other's surfaces, in both directions.

    Points in the other's free space count against; points hidden behind its surfaces are ignored. 0 if no points are
    comparable.

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


def seen_through(depth: np.ndarray, camera: Camera, other: np.ndarray, other_camera: Camera, T: np.ndarray) -> float:
    """Share of the other image's surfaces that this one's depth passes through, 0 to 1; occluded ones are ignored.

    New objects do not raise it; only removed objects, or a camera that is not at T, do. 0 if too little is comparable.

    Args:
        depth, other: HxW float32 m, NaN invalid.
        T: 4x4, other optical frame from this one.
    """
    same, through = _compare(
        other, _intrinsics(other_camera), depth, _intrinsics(camera), np.ascontiguousarray(invert(T)), _THROUGH_STRIDE
    )
    enough = _THROUGH_LEAST * other.size / _THROUGH_STRIDE**2
    return through / (same + through) if same + through > enough else 0.0


def in_picture(depth: np.ndarray, camera: Camera, other: Camera, T: np.ndarray) -> float:
    """Share of a depth image's surfaces that lie in another camera's field of view, hidden there or not, 0 to 1.

    Args:
        depth: HxW float32 m, NaN invalid. camera: its intrinsics.
        T: 4x4, other optical frame from this one.
    """
    v, u = np.nonzero(depth[::_THROUGH_STRIDE, ::_THROUGH_STRIDE] > 0.0)
    if not len(u):
        return 0.0
    u, v = u * _THROUGH_STRIDE, v * _THROUGH_STRIDE
    z = depth[v, u].astype(np.float64)
    x, y = (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z
    px, py, pz = T[:3, :3] @ np.stack((x, y, z)) + T[:3, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        uo, vo = px / pz * other.fx + other.cx, py / pz * other.fy + other.cy
    inside = (uo > -0.5) & (uo < other.width - 0.5) & (vo > -0.5) & (vo < other.height - 0.5)
    return float(((pz > 0.0) & inside).mean())


def exponential(x: np.ndarray) -> np.ndarray:
    """4x4 of a motion (6: translation, rotation vector); the translation is not coupled to the rotation."""
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
    """The nearest rotation matrix; without it rounding errors double with every frame that starts from the last."""
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def _beyond(A: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The part of the normal matrix A (6x6) beyond that of noise, positive semidefinite whatever the units."""
    L = np.linalg.cholesky(A + 1e-9 * np.trace(A) * np.eye(6))
    part = np.linalg.solve(L, np.linalg.solve(L, noise).T)
    values, vectors = np.linalg.eigh((part + part.T) / 2.0)
    root = L @ (vectors * np.sqrt(np.maximum(1.0 - values, 0.0)))
    return root @ root.T


def _step(camera: Camera) -> int:
    """Distance (px) between the points of a normal's window."""
    return max(1, round(camera.width * _WINDOW / 4))


def _intrinsics(camera: Camera) -> np.ndarray:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@njit(cache=True, nogil=True)
def _normals(depth, k, step):
    """HxWx3 normals of planes through 5x5 pixels, ``step`` apart; NaN where too few of them lie on one surface.

    On a plane the inverse of depth is linear in the pixel: 1 / z = a du + b dv + c.
    """
    height, width = depth.shape
    normals = np.full((height, width, 3), np.nan, np.float32)
    fx, fy, cx, cy = k[0], k[1], k[2], k[3]
    h = 2 * step
    for v in range(h, height - h):
        for u in range(h, width - h):
            z = depth[v, u]
            if not z > 0.0:
                continue
            n = 0
            su = sv = suu = suv = svv = sd = sud = svd = 0.0
            for j in range(-2, 3):
                for i in range(-2, 3):
                    other = depth[v + j * step, u + i * step]
                    if abs(other - z) < _SMOOTH * z:
                        d = 1.0 / other
                        n += 1
                        su += i
                        sv += j
                        suu += i * i
                        suv += i * j
                        svv += j * j
                        sd += d
                        sud += i * d
                        svd += j * d
            if n < _MIN_PLANE:
                continue
            mu, mv, md = su / n, sv / n, sd / n
            suu, suv, svv = suu - su * mu, suv - su * mv, svv - sv * mv
            sud, svd = sud - su * md, svd - sv * md
            det = suu * svv - suv * suv
            if det < 1.0:
                continue
            a, b = (svv * sud - suv * svd) / det, (suu * svd - suv * sud) / det
            c = md - a * mu - b * mv
            a, b = a / step, b / step
            nx, ny, nz = a * fx, b * fy, c - a * (u - cx) - b * (v - cy)
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 1e-12:
                normals[v, u, 0] = nx / length
                normals[v, u, 1] = ny / length
                normals[v, u, 2] = nz / length
    return normals


@njit(cache=True, nogil=True, inline="always")
def _moved(k, u, v, z, T):
    """The point of pixel (u, v) at depth z, transformed by T."""
    x, y = (u - k[2]) / k[0] * z, (v - k[3]) / k[1] * z
    px = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
    py = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
    return px, py, T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]


@njit(cache=True, nogil=True, inline="always")
def _pixel(k, x, y, z):
    """The pixel (u, v) that a point projects to."""
    return int(np.floor(x / z * k[0] + k[2] + 0.5)), int(np.floor(y / z * k[1] + k[3] + 0.5))


@njit(cache=True, nogil=True, inline="always")
def _add_row(J, r, weight, A, b):
    """Adds a residual with Jacobian J (6) to b and to the upper triangle of A."""
    for i in range(6):
        b[i] -= weight * J[i] * r
        for j in range(i, 6):
            A[i, j] += weight * J[i] * J[j]


@njit(cache=True, nogil=True, inline="always")
def _mirror(A):
    """Copies the upper triangle of A (6x6) to the lower one."""
    for i in range(6):
        for j in range(i):
            A[i, j] = A[j, i]


@njit(cache=True, nogil=True)
def _accumulate(depth, k, ref_depth, ref_normals, kr, T, reach, stride, A, b):
    """Sums the Huber-weighted normal equations of all point-to-plane pairs into A (6x6) and b (6), given as zeros.

    Returns:
        pairs, pixels that project onto a surface of the reference, valid pixels, weighted squared error.
    """
    height, width = depth.shape
    ref_height, ref_width = ref_depth.shape
    J = np.empty(6)
    pairs = 0
    met = 0
    tried = 0
    error = 0.0
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            tried += 1
            px, py, pz = _moved(k, u, v, z, T)
            if pz < 0.05:
                continue
            ur, vr = _pixel(kr, px, py, pz)
            if ur < 0 or vr < 0 or ur >= ref_width or vr >= ref_height:
                continue
            zr = ref_depth[vr, ur]
            nx, ny, nz = ref_normals[vr, ur, 0], ref_normals[vr, ur, 1], ref_normals[vr, ur, 2]
            if not zr > 0.0 or np.isnan(nx):
                continue
            met += 1
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
            _add_row(J, r, weight, A, b)
            pairs += 1
            error += weight * r * r
    _mirror(A)
    return pairs, met, tried, error


@njit(cache=True, nogil=True)
def _shade(grey, depth, k, ref_grey, ref_depth, kr, T, reach, stride, offset, A, b):
    """Sums the normal equations of all pixels whose grey level is visible in the reference into A (6x6) and b (6).

    Returns:
        pixels, weighted squared error, and the mean difference of grey levels: the difference of exposure.
    """
    height, width = depth.shape
    ref_height, ref_width = ref_depth.shape
    J = np.empty(6)
    count = 0
    error = 0.0
    mean = 0.0
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            px, py, pz = _moved(k, u, v, z, T)
            if pz < 0.05:
                continue
            ur, vr = px / pz * kr[0] + kr[2], py / pz * kr[1] + kr[3]
            u0, v0 = int(np.floor(ur)), int(np.floor(vr))
            if u0 < 0 or v0 < 0 or u0 >= ref_width - 1 or v0 >= ref_height - 1:
                continue
            if not abs(ref_depth[int(vr + 0.5), int(ur + 0.5)] - pz) < reach:
                continue
            du, dv = ur - u0, vr - v0
            g00, g01 = ref_grey[v0, u0], ref_grey[v0, u0 + 1]
            g10, g11 = ref_grey[v0 + 1, u0], ref_grey[v0 + 1, u0 + 1]
            upper, lower = g00 + du * (g01 - g00), g10 + du * (g11 - g10)
            difference = upper + dv * (lower - upper) - grey[v, u]
            r = difference - offset
            gx = ((1.0 - dv) * (g01 - g00) + dv * (g11 - g10)) * kr[0] / pz
            gy = (lower - upper) * kr[1] / pz
            gz = -(gx * px + gy * py) / pz
            weight = 1.0 / (_GREY_NOISE * _GREY_NOISE)
            if abs(r) > 1.5 * _GREY_NOISE:
                weight *= 1.5 * _GREY_NOISE / abs(r)
            J[0], J[1], J[2] = gx, gy, gz
            J[3], J[4], J[5] = py * gz - pz * gy, pz * gx - px * gz, px * gy - py * gx
            _add_row(J, r, weight, A, b)
            count += 1
            error += weight * r * r
            mean += difference
    _mirror(A)
    return count, error, mean / max(count, 1)


@njit(cache=True, nogil=True)
def _noise(depth, k, ref_depth, ref_normals, kr, T, reach, stride, window, N):
    """Adds to N (6x6) the expected contribution of noisy normals to A of :func:`_accumulate`.

    Args:
        window: effective baseline (px) of a normal's plane: its slope's noise is the depth noise divided by this.
    """
    height, width = depth.shape
    ref_height, ref_width = ref_depth.shape
    J = np.empty((2, 6))
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            px, py, pz = _moved(k, u, v, z, T)
            if pz < 0.05:
                continue
            ur, vr = _pixel(kr, px, py, pz)
            if ur < 0 or vr < 0 or ur >= ref_width or vr >= ref_height:
                continue
            zr = ref_depth[vr, ur]
            nx, ny, nz = ref_normals[vr, ur, 0], ref_normals[vr, ur, 1], ref_normals[vr, ur, 2]
            if not abs(zr - pz) < reach or np.isnan(nx):
                continue
            sigma = _NOISE_FLOOR + _NOISE_SQUARE * zr * zr
            tilt = sigma * kr[0] / (window * zr)
            weight = min(1.0, tilt * tilt) / (sigma * sigma)
            # Two directions along the surface (the camera never looks along it, so nz is not 0).
            length = np.sqrt(nx * nx + nz * nz)
            ax, az = nz / length, -nx / length
            bx, by, bz = ny * az, nz * ax - nx * az, -ny * ax
            J[0, 0], J[0, 1], J[0, 2] = ax, 0.0, az
            J[1, 0], J[1, 1], J[1, 2] = bx, by, bz
            for n in range(2):
                tx, ty, tz = J[n, 0], J[n, 1], J[n, 2]
                J[n, 3], J[n, 4], J[n, 5] = py * tz - pz * ty, pz * tx - px * tz, px * ty - py * tx
                for i in range(6):
                    for j in range(6):
                        N[i, j] += weight * J[n, i] * J[n, j]


@njit(cache=True, nogil=True)
def _compare(depth, k, other, ko, T, stride):
    """Counts points on the other image's surfaces, and points in its free space."""
    height, width = depth.shape
    other_height, other_width = other.shape
    same = 0
    through = 0
    for v in range(0, height, stride):
        for u in range(0, width, stride):
            z = depth[v, u]
            if not z > 0.0:
                continue
            px, py, pz = _moved(k, u, v, z, T)
            if pz < 0.05:
                continue
            uo, vo = _pixel(ko, px, py, pz)
            if uo < 0 or vo < 0 or uo >= other_width or vo >= other_height:
                continue
            allowed = _SAME_SURFACE + _SAME_SURFACE_RELATIVE * pz
            ahead = other[vo, uo] - pz
            if abs(ahead) < allowed:
                same += 1
            elif ahead > 0.0:
                through += 1
    return same, through
