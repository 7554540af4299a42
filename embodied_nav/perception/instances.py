"""Single objects from labelled pixels: pixels of one category that vote for one centre. Knows nothing of networks.

Every pixel's surface point plus its predicted offset is a vote for the object's centre (as Qi et al., "Deep Hough
voting for 3D object detection", ICCV 2019). Votes of one category that lie together are one object, even where
something in front cuts it in two; chairs side by side are two, even where their pixels touch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Edge (m) of the cells in which votes are counted.
_CELL = 0.12
#: A peak takes the votes of its category within this distance (m).
_REACH = 0.45
#: Peaks nearer to each other than this share of their category's spacing are one.
_ONE = 0.6


def separate(labels: np.ndarray, votes: np.ndarray, least: int, spacing: Mapping[int, float]) -> list[np.ndarray]:
    """Pixels of each object.

    Args:
        labels: N int, category of each pixel, above 0.
        votes: Nx3 float, m, place of the object's centre that each pixel votes for.
        least: fewest pixels of an object.
        spacing: category -> distance (m) between the centres of two of it that stand close.

    Returns:
        Index arrays into ``labels``, largest objects first.
    """
    found = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) >= least:
            groups = _clusters(votes[own], least, _ONE * spacing[int(label)])
            found += [own[group] for group in groups]
    return sorted(found, key=len, reverse=True)


def _clusters(votes: np.ndarray, least: int, one: float) -> list[np.ndarray]:
    """Groups of votes about the peaks of their density; stray ones join the nearest peak in reach.

    Args:
        one: peaks nearer to each other than this (m) are one: pixels at a bed's two ends vote less alike than a mug's.
    """
    peaks, weights = _peaks(votes, least)
    while len(peaks) > 1:
        apart = np.linalg.norm(peaks[:, None] - peaks[None], axis=2) + np.diag(np.full(len(peaks), np.inf))
        i, j = np.unravel_index(int(apart.argmin()), apart.shape)
        if apart[i, j] >= one:
            break
        both = weights[i] + weights[j]
        peaks[i], weights[i] = (weights[i] * peaks[i] + weights[j] * peaks[j]) / both, both
        peaks, weights = np.delete(peaks, j, axis=0), np.delete(weights, j)
    if not len(peaks):
        return []
    distance = np.linalg.norm(votes[:, None, :] - peaks[None], axis=2)
    nearest = distance.argmin(axis=1)
    near = distance[np.arange(len(votes)), nearest] < max(_REACH, one)
    groups = [np.flatnonzero(near & (nearest == k)) for k in range(len(peaks))]
    return [group for group in groups if len(group) >= least]


def _peaks(votes: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Kx3 centres of connected cells that hold enough votes, and K counts of their votes."""
    from scipy.ndimage import label

    low = votes.min(axis=0)
    cells = np.floor((votes - low) / _CELL).astype(np.int64)
    shape = tuple(np.minimum(cells.max(axis=0) + 1, 200))
    cells = np.minimum(cells, np.array(shape) - 1)
    counts = np.zeros(shape, dtype=np.int32)
    np.add.at(counts, tuple(cells.T), 1)
    # Cells with few votes are bridges between objects: where an object votes well, they are not needed.
    dense = counts >= max(2, least // 4, int(0.08 * counts.max()))
    groups, number = label(dense, np.ones((3, 3, 3)))
    of_vote = groups[tuple(cells.T)]
    sums = np.bincount(of_vote, minlength=number + 1)[1:].astype(np.float64)
    centers = np.stack([np.bincount(of_vote, votes[:, k], number + 1)[1:] for k in range(3)], axis=1)
    good = sums >= max(2, least // 2)
    return centers[good] / sums[good, None], sums[good]
