"""Pairs colour and depth images by stamp. Knows nothing of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .stamps import offset_of

#: Images with stamps farther apart (ns) are not paired.
LARGEST_DIFFERENCE = 20_000_000
#: Largest setting of the live input, and tolerance for calling an offset constant, ns.
_WIDEST, _CONSTANT = 500_000_000, 8_000_000


def pair(color: Sequence[int], depth: Sequence[int], largest: int = LARGEST_DIFFERENCE) -> list[tuple[int, int]]:
    """Indices (colour, depth) of paired images: nearest stamps first, each image once; returned in depth's order.

    Args:
        color, depth: stamps in ns, in any order.
        largest: largest difference (ns) of a pair.
    """
    colors, depths = np.asarray(color, np.int64), np.asarray(depth, np.int64)
    order = np.argsort(colors, kind="stable")
    ordered = colors[order]
    candidates: list[tuple[int, int, int]] = []
    for j, stamp in enumerate(depths):
        low = np.searchsorted(ordered, stamp - largest, "left")
        high = np.searchsorted(ordered, stamp + largest, "right")
        candidates += [(abs(int(colors[i] - stamp)), j, int(i)) for i in order[low:high]]
    taken: dict[int, int] = {}
    used = set()
    for _, j, i in sorted(candidates):
        if j not in taken and i not in used:
            taken[j] = i
            used.add(i)
    return [(taken[j], j) for j in sorted(taken, key=lambda j: depths[j])]


def why_apart(color: Sequence[int], depth: Sequence[int], largest: int) -> str:
    """Why images cannot be paired within ``largest`` ns, with the setting that fixes it if there is one."""
    found = offset_of(color, depth)
    if found is None:
        return "there are none"
    offset, spread = found
    if abs(offset) + spread > _WIDEST:
        spans = (f"{min(s) * 1e-9:.3f} to {max(s) * 1e-9:.3f} s" for s in (color, depth))
        return "colour is of {}, depth of {}: they were not taken together".format(*spans)
    far = abs(offset) + spread
    if spread <= _CONSTANT:
        text = f"colour and depth are {abs(offset) * 1e-6:.0f} ms apart all along"
    else:
        text = f"colour and depth are {max(abs(offset) - spread, 0) * 1e-6:.0f} to {far * 1e-6:.0f} ms apart"
    if far <= largest:
        return f"{text}; colour comes at another rate than depth"
    wide = math.ceil((far * 1.05 + 1e6) / 5e6) * 0.005
    return f"{text}: --set camera.sync_slop={min(wide, 0.5):g}"
