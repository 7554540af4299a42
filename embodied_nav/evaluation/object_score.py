"""Scores remembered objects against ground truth. Knows no agents and no cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import MemoryObject
from ..sim.interface import SceneObject

#: m; a remembered object farther than this from every true one of its category is wrong.
RADIUS = 0.5


@dataclass(frozen=True)
class ObjectScore:
    """Counts over one or several scenes.

    Attributes:
        hits: pairs matched one to one. found, true: number of remembered and of true objects.
        off: category -> number remembered minus number true, if not 0.
    """

    hits: int
    found: int
    true: int
    off: dict[str, int]

    @property
    def precision(self) -> float:
        """Share of remembered objects that are correct."""
        return self.hits / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of true objects that are remembered."""
        return self.hits / max(self.true, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.hits / max(self.found + self.true, 1)


def score_objects(
    found: Sequence[MemoryObject], truth: Sequence[SceneObject], T_scene_map: np.ndarray, radius: float = RADIUS
) -> ObjectScore:
    """Matches objects of the same category one to one, as many as possible, centres at most ``radius`` (m) apart.

    Args:
        T_scene_map: 4x4; positions of ``found`` are in map, those of ``truth`` in the scene.
    """
    from scipy.optimize import linear_sum_assignment

    hits = 0
    for label in {o.category for o in truth}:
        a = np.array([T_scene_map[:3, :3] @ o.position + T_scene_map[:3, 3] for o in found if o.label == label])
        b = np.array([o.center for o in truth if o.category == label])
        if len(a):
            near = np.linalg.norm(a[:, None] - b[None], axis=2) <= radius
            hits += int(near[linear_sum_assignment(near, maximize=True)].sum())
    counts = Counter(o.label for o in found)
    counts.subtract(o.category for o in truth)
    return ObjectScore(hits, len(found), len(truth), {k: n for k, n in sorted(counts.items()) if n})
