"""Absolute trajectory error (ATE) and TUM trajectory files. Knows nothing of how a trajectory was made.

Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012; rigid alignment
without scale by Umeyama, PAMI 1991.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import matrix_from_quaternion, quaternion_from_matrix


def ate_rmse(
    stamps: np.ndarray,
    poses: np.ndarray,
    true_stamps: np.ndarray,
    true_poses: np.ndarray,
    max_difference: int = 10_000_000,
) -> float:
    """Root mean square distance (m) between two trajectories after the best rigid alignment.

    Args:
        stamps, true_stamps: N and M int64 ns, ascending.
        poses, true_poses: Nx4x4 and Mx4x4; each in any frame.
        max_difference: largest difference (ns) between the stamps of a pair; unpaired poses do not count.

    Raises:
        InputError: fewer than three pairs, or a pose that is not finite.
    """
    pairs = _pairs(np.asarray(stamps, np.int64), np.asarray(true_stamps, np.int64), max_difference)
    if len(pairs) < 3:
        raise InputError(f"{len(pairs)} poses have a true one within {max_difference / 1e6:g} ms: 3 are needed")
    points = np.asarray(poses, np.float64)[pairs[:, 0], :3, 3]
    true_points = np.asarray(true_poses, np.float64)[pairs[:, 1], :3, 3]
    if not (np.isfinite(points).all() and np.isfinite(true_points).all()):
        raise InputError("a trajectory holds a pose that is not finite")
    T = align(points, true_points)
    return float(np.sqrt((((points @ T[:3, :3].T + T[:3, 3]) - true_points) ** 2).sum(1).mean()))


def align(points: np.ndarray, true_points: np.ndarray) -> np.ndarray:
    """4x4 rigid transform from points (Nx3) to true ones (Nx3) with the least squared distance."""
    mean, true_mean = points.mean(0), true_points.mean(0)
    U, _, Vt = np.linalg.svd((true_points - true_mean).T @ (points - mean))
    T = np.eye(4)
    T[:3, :3] = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    T[:3, 3] = true_mean - T[:3, :3] @ mean
    return T


def write_trajectory(path: str | Path, stamps: np.ndarray, poses: np.ndarray) -> None:
    """Writes a TUM trajectory file: one line "stamp tx ty tz qx qy qz qw" per pose (s, m); readable by evo.

    Args:
        stamps: N int64 ns. poses: Nx4x4.
    """
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for stamp, T in zip(stamps, poses, strict=True):
        numbers = " ".join(f"{v:.9f}" for v in (*T[:3, 3], *quaternion_from_matrix(T)))
        lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {numbers}")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_trajectory(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (N int64 ns) and poses (Nx4x4) of a file that :func:`write_trajectory` wrote.

    Raises:
        InputError: no such file, or a line that is not a pose.
    """
    stamps, poses = [], []
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                stamp, *numbers = line.split()
                seconds, _, rest = stamp.partition(".")
                stamps.append(int(seconds) * 10**9 + int(rest[:9].ljust(9, "0")))
                values = [float(n) for n in numbers]
                poses.append(matrix_from_quaternion(values[3:7], values[:3]))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no trajectory of lines 'stamp tx ty tz qx qy qz qw' ({error})") from None
    return np.array(stamps, np.int64), np.array(poses).reshape(-1, 4, 4)


def _pairs(stamps: np.ndarray, true_stamps: np.ndarray, most: int) -> np.ndarray:
    """Kx2 indices of stamps and of their nearest true stamps, at most ``most`` ns apart."""
    if not len(stamps) or not len(true_stamps):
        return np.zeros((0, 2), np.int64)
    after = np.searchsorted(true_stamps, stamps).clip(1, max(1, len(true_stamps) - 1))
    after = np.minimum(after, len(true_stamps) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(true_stamps[after] - stamps) < np.abs(true_stamps[before] - stamps)
    nearest = np.where(nearer, after, before)
    kept = np.abs(true_stamps[nearest] - stamps) <= most
    return np.stack([np.flatnonzero(kept), nearest[kept]], axis=1)
