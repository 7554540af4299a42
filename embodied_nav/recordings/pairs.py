"""Which colour image belongs to which depth image, by stamp. Knows nothing of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Stamps farther apart (ns) are two moments.
LARGEST_DIFFERENCE = 20_000_000


def pair(color: Sequence[int], depth: Sequence[int], largest: int = LARGEST_DIFFERENCE) -> list[tuple[int, int]]:
    """Indices (colour, depth) of images that belong together: the nearest first, each image once, in depth's order.

    Args:
        color, depth: stamps in ns, in any order.
        largest: difference (ns) up to which two belong together.
    """
    color, depth = np.asarray(color, np.int64), np.asarray(depth, np.int64)
    order = np.argsort(color, kind="stable")
    ordered, candidates = color[order], []
    for j, stamp in enumerate(depth):
        low = np.searchsorted(ordered, stamp - largest, "left")
        high = np.searchsorted(ordered, stamp + largest, "right")
        candidates += [(abs(int(color[i] - stamp)), j, int(i)) for i in order[low:high]]
    taken: dict[int, int] = {}
    used = set()
    for _, j, i in sorted(candidates):
        if j not in taken and i not in used:
            taken[j] = i
            used.add(i)
    return [(taken[j], j) for j in sorted(taken, key=lambda j: depth[j])]
