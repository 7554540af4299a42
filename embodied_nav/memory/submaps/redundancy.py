"""Which keyframes newer ones make redundant: by the space that both saw, from the same side. Knows no map and no files.

A robot that lives in one building sees the same walls every day. What a keyframe saw is cut into patches: blocks of
space (8 voxels a side) with the direction from which they were seen. A keyframe is redundant once newer ones hold
nearly all of its patches and one of them was taken nearby, so that its place can still be recognised. The newer one
stays, for what is there now counts. So the number of keyframes follows the area, never the time (ORB-SLAM, Mur-Artal
2015, sec. VI-E, drops keyframes by shared points in the same spirit).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

import numpy as np

from ...geometry import invert, rotation_angle
from ..voxels.keys import BLOCK_SIDE, pack_array
from .local_clouds import LocalCloud, cloud_points

#: Directions from which a block is seen, by the horizontal angle; a newer view counts from one to either side, too.
_SIDES = 8
#: Of frames that a cloud keeps whole so many pixels a row count.
_WIDTH = 40
#: A newer keyframe that holds this share of one's points stands for it from then on.
_GOOD_PART = 0.2
#: Bytes that a patch with its holders takes, about.
_PATCH = 150
#: A keyframe that moved by less than this (m, rad) keeps its patches.
_MOVED = (0.15, 0.08)


class Redundancy:
    """What every keyframe saw, by patches.

    Args:
        voxel_size: m. covered: share of a keyframe's points that newer ones must hold. near: m and rad from which one
            of them must have been taken.
    """

    def __init__(self, voxel_size: float, covered: float, near: tuple[float, float]) -> None:
        self._voxel_size, self._side = voxel_size, BLOCK_SIDE * voxel_size
        self._covered, self._near = covered, near
        #: Where each one's patches were made, and its pose as given last.
        self._poses: dict[int, np.ndarray] = {}
        self._given: dict[int, np.ndarray] = {}
        self._patches: dict[int, tuple[list[int], np.ndarray]] = {}
        #: Patch -> ids of the keyframes that hold it, ascending.
        self._holders: dict[int, list[int]] = {}

    def __contains__(self, keyframe: int) -> bool:
        return keyframe in self._poses

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes, about."""
        return _PATCH * (len(self._holders) + sum(len(counts) for _, counts in self._patches.values()))

    def moved(self, keyframe: int, T: np.ndarray) -> bool:
        """Whether a keyframe that is known is now so far (T: 4x4) from where its patches were made."""
        if keyframe not in self._poses or self._given[keyframe] is T:
            return False
        self._given[keyframe] = T  # poses are replaced, never written to
        way = invert(self._poses[keyframe]) @ T
        return float(np.linalg.norm(way[:3, 3])) > _MOVED[0] or rotation_angle(way) > _MOVED[1]

    def put(self, keyframe: int, clouds: Sequence[LocalCloud]) -> None:
        """Takes in a keyframe with its closed clouds, or takes it in anew."""
        self.drop(keyframe)
        T = clouds[-1].T_map_cloud
        parts = [
            cloud_points(c, self._voxel_size, _WIDTH) @ c.T_map_cloud[:3, :3].T + c.T_map_cloud[:3, 3] for c in clouds
        ]
        patches, counts = np.unique(self._patches_of(np.concatenate(parts), T[:3, 3]), return_counts=True)
        self._poses[keyframe] = self._given[keyframe] = T
        self._patches[keyframe] = (patches.tolist(), counts)
        for patch in self._around(patches):
            insort(self._holders.setdefault(patch, []), keyframe)

    def drop(self, keyframe: int) -> None:
        """Forgets a keyframe."""
        if keyframe not in self._poses:
            return
        patches, _ = self._patches.pop(keyframe)
        del self._poses[keyframe], self._given[keyframe]
        for patch in self._around(np.array(patches, np.int64)):
            holders = self._holders[patch]
            holders.remove(keyframe)
            if not holders:
                del self._holders[patch]

    def retire(self, newest: int, kept: int) -> dict[int, list[int]]:
        """Forgets the keyframes before ``kept`` that the ones after them make redundant.

        Args:
            newest: only those are looked at that share patches with this one. kept: ids from here on stay.

        Returns:
            Id -> the newer ones that hold a good part of what it saw.
        """
        if newest not in self._patches:
            return {}
        shared = {i for patch in self._patches[newest][0] for i in self._holders[patch]}
        gone: dict[int, list[int]] = {}
        ids = np.fromiter(self._poses, np.int64, len(self._poses))
        poses = np.array([self._poses[i] for i in ids.tolist()])
        # The newest first: each is judged by those that stay.
        for keyframe in sorted((i for i in shared if i < min(kept, newest)), reverse=True):
            newer = (ids > keyframe) & np.isin(ids, list(gone), invert=True)
            near = ids[newer][self._are_near(self._poses[keyframe], poses[newer])].tolist()
            if near and (heirs := self._heirs(keyframe, near)):
                self.drop(keyframe)
                gone[keyframe] = heirs
        return gone

    def _heirs(self, keyframe: int, near: list[int]) -> list[int]:
        """The newer keyframes that hold what one saw, if together they hold enough of it and one is among the near."""
        patches, counts = self._patches[keyframe]
        holders = [self._holders[patch] for patch in patches]
        held = np.fromiter((h[-1] > keyframe for h in holders), np.bool_, len(holders))
        if counts[held].sum() < self._covered * counts.sum():
            return []
        shares: dict[int, int] = {}
        for h, n in zip(holders, counts.tolist(), strict=True):
            for i in h[bisect_right(h, keyframe) :]:
                shares[i] = shares.get(i, 0) + n
        if not any(i in shares for i in near):
            return []
        return [i for i, n in shares.items() if n >= _GOOD_PART * counts.sum()]

    def _are_near(self, T: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(N,) bool: which of others (N, 4, 4) were taken near T (4x4), pointing the same way."""
        trace = np.einsum("ij,nij->n", T[:3, :3], others[:, :3, :3])
        angle = np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0))
        return (np.linalg.norm(others[:, :3, 3] - T[:3, 3], axis=1) <= self._near[0]) & (angle <= self._near[1])

    def _patches_of(self, points: np.ndarray, eye: np.ndarray) -> np.ndarray:
        """A number for each of N points (m, map), seen from ``eye``: its block, and the side in the lowest bits."""
        blocks = np.floor(points / self._side).astype(np.int64)
        away = (blocks[:, :2] + 0.5) * self._side - eye[:2]
        sides = np.floor(np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) * _SIDES).astype(np.int64) % _SIDES
        return pack_array(np.column_stack([blocks[:, :2], blocks[:, 2] * _SIDES + sides]))

    @staticmethod
    def _around(patches: np.ndarray) -> list[int]:
        """The patches and those to either side of them, each once."""
        side = patches % _SIDES
        turned = [patches - side + (side + k) % _SIDES for k in (-1, 0, 1)]
        return np.unique(np.concatenate(turned)).tolist()
