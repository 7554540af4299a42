"""What perception saw so far, and what is new, gone and moved in a view. Knows nothing of how things are recognised.

A thing is remembered by its name, its place and points on its surface. In each view, what is expected there is compared
with what is seen: a thing in its place is the same one, a thing elsewhere is new, and a remembered one is gone if later
depth passes through its surface.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import ObjectObservation, RGBDFrame
from .deltas import Changes
from .visibility import HERE, OUTSIDE, THROUGH, visibility

#: Surface points kept of a thing.
_KEPT_POINTS = 96
#: Two observations of one thing differ by less than this (m), or than this share of the larger one's size.
_NEAR, _SHARE = 0.35, 0.5


@dataclass(eq=False)
class _Thing:
    observation: ObjectObservation
    surface: np.ndarray  # Nx3 float32, map


class History:
    """Remembers things of a map.

    Args:
        capacity: things remembered; the one not seen for longest is forgotten first.
        gone_margin: m by which depth must lie behind a thing's place.
        moved_distance: m from which a thing that is gone here and new there counts as moved.
    """

    def __init__(self, capacity: int, gone_margin: float, moved_distance: float) -> None:
        self._capacity, self._margin, self._distance = capacity, gone_margin, moved_distance
        self._things: OrderedDict[int, _Thing] = OrderedDict()
        self._next = 0

    def clear(self) -> None:
        """Forgets everything: another map."""
        self._things.clear()

    def update(
        self, observations: Sequence[ObjectObservation], surfaces: Sequence[np.ndarray], frame: RGBDFrame
    ) -> Changes:
        """Compares a view with what was seen before, and remembers it.

        Args:
            observations: in the view. surfaces: of each, Nx3 points in map.
            frame: the view, with depth.
        """
        new: list[ObjectObservation] = []
        seen: set[int] = set()
        for observation, surface in zip(observations, surfaces, strict=True):
            key = self._same(observation, seen)
            if key is None:
                new.append(observation)
                key, self._next = self._next, self._next + 1
            seen.add(key)
            points = surface[:: max(1, -(-len(surface) // _KEPT_POINTS))]  # rounded up: evenly from all of it
            self._things[key] = _Thing(observation, np.ascontiguousarray(points, np.float32))
            self._things.move_to_end(key)
        gone = [self._things.pop(key).observation for key in self._left(seen, frame)]
        moved = [new.pop(k) for old in list(gone) for k in self._as_moved(old, new, gone)]
        while len(self._things) > self._capacity:
            self._things.popitem(last=False)
        return Changes(tuple(new), tuple(gone), tuple(moved))

    def _same(self, observation: ObjectObservation, taken: set[int]) -> int | None:
        """The remembered thing that an observation shows."""
        best, nearest = None, np.inf
        for key, thing in self._things.items():
            old = thing.observation
            if key in taken or old.label != observation.label:
                continue
            gap = float(np.linalg.norm(old.position - observation.position))
            size = max(float(old.extent.max()), float(observation.extent.max()))
            if gap < max(_NEAR, _SHARE * size) and gap < nearest:
                best, nearest = key, gap
        return best

    def _left(self, seen: set[int], frame: RGBDFrame) -> list[int]:
        """Things of which most of the surface is in view, and depth passes through nearly all of that."""
        found = []
        for key, thing in self._things.items():
            if key in seen:
                continue
            verdict = visibility(thing.surface, frame, self._margin)
            through, judged = (verdict == THROUGH).sum(), ((verdict == THROUGH) | (verdict == HERE)).sum()
            if (verdict != OUTSIDE).mean() >= 0.6 and judged >= 0.4 * len(verdict) and through >= 0.8 * judged:
                found.append(key)
        return found

    def _as_moved(
        self, old: ObjectObservation, new: list[ObjectObservation], gone: list[ObjectObservation]
    ) -> list[int]:
        """Index in ``new`` of what ``old`` has become, at most one; it is no longer gone then."""
        for k, observation in enumerate(new):
            far = np.linalg.norm(observation.position - old.position) > self._distance
            if far and observation.name == old.name and _alike(old.extent, observation.extent):
                gone.remove(old)
                return [k]
        return []


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    a, b = np.sort(a), np.sort(b)
    return bool(np.abs(a - b).max() < 0.1 + 0.3 * a.max())
