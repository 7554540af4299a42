"""Which detections of a keyframe are which known instances. Knows nothing of images; has no state.

A detection is taken for the instance whose voxels it covers: the label need only agree where the overlap leaves doubt,
since detectors err in names more often than in places. Within one keyframe no two detections are the same instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...frames import MemoryObject, ObjectObservation

#: Overlap in fewer voxels than this says nothing.
LEAST_OVERLAP = 3
#: A detection of the same label needs this share of what is known under it and this share of one of the two;
#: one of another label this share of both.
SAME_LABEL, SAME_LABEL_ONE, OTHER_LABEL = 0.2, 0.5, 0.5
#: A label with this share of an instance's sightings is its own.
OWN_LABEL = 0.15
#: Where no voxel speaks, boxes of the same label must share this part of the smaller one: the pose may be off.
BOX_OVERLAP = 0.4
#: An instance lies under a detection that covers this share of its voxels in view, which are this share of all.
COVERED, IN_VIEW = 0.7, 0.5
#: An object counts as found elsewhere if its sizes differ by less than this factor.
MOVED_SIZE = 1.6


@dataclass(frozen=True, eq=False)
class Overlap:
    """Counts of voxels in one keyframe.

    Attributes:
        shared: (detection, instance) -> voxels of both. Detections count from 1.
        known: detection -> voxels that some instance has. visible: instance -> voxels in view.
    """

    shared: Mapping[tuple[int, int], int]
    known: Mapping[int, int]
    visible: Mapping[int, int]


def overlap(detections: np.ndarray, instances: np.ndarray) -> Overlap:
    """Counts voxels: the detection (0 none) and the instance (0 none) of each; both N int."""
    labelled = instances > 0
    pairs, counts = np.unique(
        np.stack([detections[labelled], instances[labelled]], axis=1).astype(np.int64), axis=0, return_counts=True
    )
    shared: dict[tuple[int, int], int] = {}
    known: dict[int, int] = {}
    visible: dict[int, int] = {}
    for (d, t), n in zip(pairs.tolist(), counts.tolist(), strict=True):
        visible[t] = visible.get(t, 0) + n
        if d > 0:
            shared[d, t] = n
            known[d] = known.get(d, 0) + n
    return Overlap(shared, known, visible)


def associate(
    objects: tuple[ObjectObservation, ...],
    seen: Overlap,
    shares: Mapping[int, Mapping[str, float]],
    boxes: Mapping[int, MemoryObject],
    pad: float,
) -> dict[int, int]:
    """Instance of each detection (from 1) that has one.

    Args:
        objects: the keyframe's detections. shares: instance -> label -> share of its sightings.
        boxes: instance -> its object, present ones. pad: m, added around boxes.
    """  # fmt: skip
    claims = []
    for (d, t), n in seen.shared.items():
        a, b = n / seen.known[d], n / seen.visible[t]
        own = shares.get(t, {}).get(objects[d - 1].label, 0.0) >= OWN_LABEL
        fits = a >= SAME_LABEL and max(a, b) >= SAME_LABEL_ONE if own else min(a, b) >= OTHER_LABEL
        if fits and n >= LEAST_OVERLAP:
            claims.append((-a * b * (1.0 if own else 0.7), d, t))
    out: dict[int, int] = {}
    _assign(claims, out)
    claims = []
    for d, o in enumerate(objects, start=1):
        for t, known in boxes.items():
            if d not in out and known.label == o.label:
                share = box_overlap(o, known, pad)
                if share >= BOX_OVERLAP:
                    claims.append((-share, d, t))
    _assign(claims, out)
    return out


def _assign(claims: list[tuple[float, int, int]], out: dict[int, int]) -> None:
    """The best claims first; each detection and each instance once."""
    taken = set(out.values())
    for _, d, t in sorted(claims):
        if d not in out and t not in taken:
            out[d] = t
            taken.add(t)


def covered(seen: Overlap, chosen: Mapping[int, int], sizes: Mapping[int, int]) -> list[tuple[int, int]]:
    """(instance, other) pairs where the detection taken for the first covers the other, which nobody was taken for.

    Args:
        sizes: instance -> its voxels.
    """
    taken = set(chosen.values())
    return [
        (chosen[d], t)
        for (d, t), n in seen.shared.items()
        if d in chosen and t not in taken and n >= LEAST_OVERLAP and n >= COVERED * seen.visible[t]
        and seen.visible[t] >= IN_VIEW * sizes.get(t, 0)
    ]  # fmt: skip


def box_overlap(a: ObjectObservation | MemoryObject, b: ObjectObservation | MemoryObject, pad: float) -> float:
    """Volume that two boxes share, each grown by ``pad`` (m) in all, as a part of the smaller one."""
    size_a, size_b = np.asarray(a.extent) + pad, np.asarray(b.extent) + pad
    low = np.maximum(a.position - size_a / 2, b.position - size_b / 2)
    high = np.minimum(a.position + size_a / 2, b.position + size_b / 2)
    if not (high > low).all():
        return 0.0
    return float(np.prod(high - low) / min(np.prod(size_a), np.prod(size_b)))


def alike(gone: MemoryObject, new: MemoryObject) -> bool:
    """Whether one may be the other: label, colour, size."""
    if gone.label != new.label or (gone.color and new.color and gone.color != new.color):
        return False
    a, b = np.sort(gone.extent[:2]), np.sort(new.extent[:2])
    ratios = np.append(a / np.maximum(b, 1e-6), gone.extent[2] / max(new.extent[2], 1e-6))
    return bool((ratios < MOVED_SIZE).all() and (ratios > 1 / MOVED_SIZE).all())
