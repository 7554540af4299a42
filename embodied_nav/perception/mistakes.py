"""How a detector errs: things taken for similar ones, wrong colours, things not seen. Knows no images and no back end.

Detectors err in the same way again and again from one viewpoint, seldom from several. So an error belongs to an object
and the side and distance from which it is looked at, not to a frame: coming nearer, or looking from another side, is a
second opinion.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

#: What a thing may be taken for: things of like shape and size.
CONFUSED: dict[str, tuple[str, ...]] = {
    "sofa": ("bed", "armchair", "bench"),
    "armchair": ("sofa", "chair", "ottoman"),
    "chair": ("armchair", "stool", "office chair"),
    "office chair": ("chair", "armchair"),
    "stool": ("chair", "ottoman", "trash can"),
    "ottoman": ("stool", "toy box", "coffee table"),
    "bench": ("coffee table", "tv stand"),
    "dining table": ("desk", "coffee table"),
    "coffee table": ("ottoman", "bench", "tv stand"),
    "desk": ("dining table", "kitchen counter"),
    "bed": ("sofa", "crib"),
    "crib": ("bed", "toy box"),
    "nightstand": ("dresser", "trash can", "stool"),
    "wardrobe": ("bookshelf", "refrigerator"),
    "dresser": ("tv stand", "nightstand", "kitchen counter"),
    "bookshelf": ("wardrobe", "dresser"),
    "lamp": ("plant",),
    "plant": ("lamp", "laundry basket"),
    "tv": ("picture", "computer", "mirror"),
    "tv stand": ("dresser", "bench"),
    "computer": ("tv", "microwave"),
    "kitchen counter": ("dresser", "desk"),
    "oven": ("washing machine", "kitchen counter"),
    "sink": ("kitchen counter", "washbasin"),
    "refrigerator": ("wardrobe", "washing machine"),
    "microwave": ("computer", "oven"),
    "toilet": ("washbasin", "stool"),
    "bathtub": ("bed", "washbasin"),
    "washbasin": ("toilet", "sink"),
    "washing machine": ("oven", "refrigerator"),
    "laundry basket": ("trash can", "ottoman"),
    "trash can": ("laundry basket", "nightstand"),
    "toy box": ("ottoman", "laundry basket"),
    "piano": ("dresser", "desk"),
    "mirror": ("picture", "tv"),
    "picture": ("mirror", "tv"),
    "curtain": ("wardrobe",),
    "rug": ("bed",),
}
#: Likewise for colours.
CONFUSED_COLORS: dict[str, tuple[str, ...]] = {
    "red": ("orange", "brown", "pink"),
    "green": ("turquoise", "gray"),
    "blue": ("purple", "turquoise", "black"),
    "yellow": ("orange", "white"),
    "orange": ("red", "yellow", "brown"),
    "purple": ("blue", "pink"),
    "pink": ("red", "purple", "white"),
    "brown": ("orange", "red", "black"),
    "black": ("gray", "brown", "blue"),
    "white": ("gray", "yellow"),
    "gray": ("white", "black", "green"),
    "turquoise": ("green", "blue"),
}
#: Of all errors: another label; another colour. The rest is missed.
_LABEL, _COLOR = 0.45, 0.25
#: Sectors of the circle around an object, and distances (m) at which a view of it becomes another one.
_SECTORS, _DISTANCES = 8, (1.5, 3.0)


def viewpoint(camera: Sequence[float] | np.ndarray, thing: Sequence[float] | np.ndarray) -> tuple[int, int]:
    """(side, distance band) from which a thing is looked at.

    Args:
        camera, thing: (x, y), m, in one frame.
    """
    dx, dy = float(camera[0]) - float(thing[0]), float(camera[1]) - float(thing[1])
    side = int((math.atan2(dy, dx) / (2.0 * math.pi) + 0.5) * _SECTORS) % _SECTORS
    return side, sum(math.hypot(dx, dy) > d for d in _DISTANCES)


def as_detected(label: str, color: str, rate: float, key: Sequence[int]) -> tuple[str, str] | None:
    """(label, colour) that a detector gives a thing from one viewpoint; None where it misses it.

    Args:
        label, color: true ones. rate: 0 to 1, how often it errs.
        key: seed, thing and viewpoint: the same key gives the same answer, in every process.
    """
    errs, kind, which = (_uniform(key, k) for k in range(3))
    if errs >= rate:
        return label, color
    others = CONFUSED.get(label, ())
    colors = CONFUSED_COLORS.get(color, ())
    if kind < _LABEL and others:
        return others[int(which * len(others))], color
    if _LABEL <= kind < _LABEL + _COLOR and colors:
        return label, colors[int(which * len(colors))]
    return None


def _uniform(key: Sequence[int], number: int) -> float:
    """0 to below 1, by a hash."""
    text = "/".join(str(int(v)) for v in (*key, number)).encode()
    # crc32 of short, similar texts differs mostly in few bits: mix twice.
    return (zlib.crc32(text + b"%d" % zlib.crc32(text[::-1])) & 0xFFFFFFFF) / 2.0**32
