"""Common sense about homes: which things stand in which rooms. Knows nothing of maps; written by hand, not learned."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping

from ..language import canonical

#: How typical a thing is of a room kind, 0 to 1: 0.95 is nearly proof, 0.3 is weak, missing is almost never.
TYPICAL: dict[str, dict[str, float]] = {
    "oven": {"kitchen": 0.95},
    "refrigerator": {"kitchen": 0.95},
    "kitchen counter": {"kitchen": 0.95},
    "counter": {"kitchen": 0.9},
    "kitchen island": {"kitchen": 0.95},
    "kitchen cabinet": {"kitchen": 0.95},
    "dishwasher": {"kitchen": 0.9},
    "microwave": {"kitchen": 0.9},
    "stool": {"kitchen": 0.5, "bathroom": 0.2, "nursery": 0.2},
    "bar stool": {"kitchen": 0.8},
    "dining table": {"dining room": 0.8, "kitchen": 0.3, "living room": 0.25},
    "chair": {"dining room": 0.5, "kitchen": 0.3, "office": 0.4, "bedroom": 0.1, "living room": 0.15},
    "sideboard": {"dining room": 0.6, "living room": 0.4, "hallway": 0.15},
    "cabinet": {"dining room": 0.3, "living room": 0.3, "kitchen": 0.3, "hallway": 0.2, "office": 0.2, "bathroom": 0.2},
    "sofa": {"living room": 0.9, "library": 0.15, "office": 0.1},
    "armchair": {"living room": 0.6, "library": 0.5, "bedroom": 0.15, "office": 0.15, "nursery": 0.2},
    "coffee table": {"living room": 0.95},
    "tv": {"living room": 0.8, "bedroom": 0.2},
    "tv stand": {"living room": 0.85, "bedroom": 0.15},
    "curtain": {"living room": 0.4, "bedroom": 0.4},
    "fireplace": {"living room": 0.9},
    "piano": {"living room": 0.7, "library": 0.3},
    "ottoman": {"living room": 0.7, "nursery": 0.2, "library": 0.2},
    "bookshelf": {"office": 0.45, "living room": 0.4, "bedroom": 0.1, "library": 0.9, "nursery": 0.2},
    "bed": {"bedroom": 0.95, "nursery": 0.15},
    "nightstand": {"bedroom": 0.95},
    "wardrobe": {"bedroom": 0.55, "hallway": 0.3, "nursery": 0.4},
    "dresser": {"bedroom": 0.55, "nursery": 0.4, "hallway": 0.3, "dining room": 0.2},
    "mirror": {"bathroom": 0.4, "bedroom": 0.3, "hallway": 0.45},
    "desk": {"office": 0.9, "library": 0.45, "bedroom": 0.2, "nursery": 0.2},
    "office chair": {"office": 0.9, "library": 0.45, "bedroom": 0.15},
    "computer": {"office": 0.9, "library": 0.4, "bedroom": 0.15},
    "monitor": {"office": 0.9},
    "printer": {"office": 0.9},
    "filing cabinet": {"office": 0.9},
    "toilet": {"bathroom": 0.97},
    "bathtub": {"bathroom": 0.97},
    "shower": {"bathroom": 0.97},
    "sink": {"kitchen": 0.7, "bathroom": 0.4},
    "washbasin": {"bathroom": 0.95},
    "towel rack": {"bathroom": 0.9},
    "washing machine": {"bathroom": 0.5, "laundry room": 0.9, "kitchen": 0.2},
    "laundry basket": {"bathroom": 0.6, "bedroom": 0.2, "laundry room": 0.7},
    "shoe rack": {"hallway": 0.9},
    "shoe cabinet": {"hallway": 0.9},
    "coat rack": {"hallway": 0.9},
    "bench": {"hallway": 0.75, "dining room": 0.3, "bedroom": 0.2, "gym": 0.3},
    "umbrella stand": {"hallway": 0.9},
    "console table": {"hallway": 0.7, "living room": 0.2},
    "box": {"storage room": 0.6, "hallway": 0.2},
    "shelf": {"storage room": 0.5, "office": 0.3, "living room": 0.2},
    "trash can": {"kitchen": 0.4, "bathroom": 0.3, "office": 0.35, "bedroom": 0.1, "library": 0.1},
    "lamp": {
        "living room": 0.3,
        "bedroom": 0.3,
        "office": 0.25,
        "library": 0.3,
        "dining room": 0.2,
        "hallway": 0.2,
        "nursery": 0.2,
    },
    "plant": {"living room": 0.3, "office": 0.2, "hallway": 0.25, "dining room": 0.25, "bedroom": 0.2, "library": 0.2},
    "rug": {
        "living room": 0.4,
        "bedroom": 0.3,
        "nursery": 0.35,
        "library": 0.3,
        "dining room": 0.2,
        "hallway": 0.2,
        "office": 0.15,
    },
    "toy box": {"nursery": 0.9},
    "crib": {"nursery": 0.95},
    "treadmill": {"gym": 0.9},
    "exercise bike": {"gym": 0.9},
}

#: Kinds of rooms that are compared.
KINDS = (
    "living room", "kitchen", "bedroom", "bathroom", "office", "dining room", "hallway", "nursery", "library",
    "laundry room",
)  # fmt: skip

#: Log odds of kinds that only some homes have, against those that nearly every home has.
RARE = {"office": -0.5, "dining room": -0.5, "nursery": -0.7, "library": -0.7, "laundry room": -0.7}

#: Things that such a room nearly always has; a room where none was seen is less likely of this kind.
DEFINING: dict[str, tuple[str, ...]] = {
    "living room": ("sofa",),
    "kitchen": ("oven", "refrigerator", "kitchen counter", "kitchen island"),
    "bedroom": ("bed",),
    "bathroom": ("toilet", "bathtub", "shower", "washbasin"),
    "office": ("desk",),
    "dining room": ("dining table",),
    "nursery": ("crib",),
    "library": ("bookshelf",),
    "laundry room": ("washing machine",),
}

#: Kinds that a home often has two of.
OFTEN_TWICE = ("bedroom", "bathroom")

_BASE = 0.03
_WITHOUT_DEFINING = 0.15


def fingerprint() -> str:
    """Twelve hexadecimal digits that change with any number of this file that a decision depends on."""
    numbers = (TYPICAL, KINDS, RARE, DEFINING, OFTEN_TWICE, _BASE, _WITHOUT_DEFINING)
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:12]


def rooms_of(label: str) -> dict[str, float]:
    """How typical a category is of each room kind; by its head noun ("desk lamp" as "lamp") if it is not listed."""
    label = canonical(label)
    if label in TYPICAL:
        return TYPICAL[label]
    return TYPICAL.get(label.split()[-1], {}) if label else {}


def room_posterior(
    labels: Iterable[tuple[str, float]],
    kinds: Iterable[str],
    seen: float = 1.0,
    shape: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Probability of each room kind from what stands there (naive Bayes).

    Args:
        labels: (category, weight) of things in the room; 1 for one thing.
        kinds: room kinds considered.
        seen: 0 to 1, how much of the room was seen: absence from an unseen room is no evidence.
        shape: log likelihood of each kind from elsewhere, see :func:`shape_scores`.
    """
    kinds = tuple(kinds)
    labels = tuple(labels)
    found = {canonical(label) for label, _ in labels}
    scores = {kind: RARE.get(kind, 0.0) + (shape or {}).get(kind, 0.0) for kind in kinds}
    for kind in kinds:
        if kind in DEFINING and not found.intersection(DEFINING[kind]):
            scores[kind] += seen * math.log(_WITHOUT_DEFINING)
    for label, weight in labels:
        typical = rooms_of(label)
        if not typical:
            continue
        for kind in kinds:
            scores[kind] += weight * math.log(typical.get(kind, 0.0) + _BASE)
    top = max(scores.values(), default=0.0)
    total = sum(math.exp(s - top) for s in scores.values()) or 1.0
    return {kind: math.exp(s - top) / total for kind, s in scores.items()}


def shape_scores(area: float, depth: float, doors: int, seen: float) -> dict[str, float]:
    """Log likelihoods of room kinds from a room's shape: corridors are narrow, long and have many doors.

    Args:
        area: m^2 seen so far.
        depth: m, how wide it is at its widest place.
        doors: passages found so far.
        seen: 0 to 1, how much of it was seen; scales the evidence.
    """
    known = min(1.0, max(area - 1.5, 0.0) / 2.5)
    narrow = min(max(4.0 * (2.25 - depth), -4.0), 1.0)
    slender = min(max(1.2 * (area / max(depth, 0.5) ** 2 - 1.9), -2.0), 3.0)
    linked = min(max(1.2 * (doors - 1.6), -1.5), 3.0)
    scores = {"hallway": known * (narrow + slender + linked)}
    small = -min(max(0.4 * (area - 9.0), 0.0), 3.0)
    scores["bathroom"] = scores["laundry room"] = small
    scores["living room"] = -seen * min(max(0.25 * (12.0 - area), 0.0), 2.0)
    return scores
