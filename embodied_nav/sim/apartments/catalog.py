"""Catalogue of what apartments may contain: categories with sizes, colours and rooms. Knows nothing of shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Colour name -> the tint (RGB) that produces it on a near-white texture.
COLORS = {
    "red": (205, 38, 34),
    "green": (48, 148, 62),
    "blue": (40, 84, 200),
    "yellow": (242, 208, 44),
    "orange": (244, 128, 28),
    "purple": (128, 52, 172),
    "pink": (246, 142, 182),
    "brown": (132, 82, 46),
    "black": (44, 44, 48),
    "white": (250, 249, 246),
    "gray": (142, 142, 146),
    "turquoise": (46, 200, 190),
}
_VIVID = ("red", "green", "blue", "yellow", "orange", "purple", "turquoise", "pink")
_CLOTH = (*_VIVID, "gray", "brown", "black", "white")
_FURNITURE = ("brown", "white", "black", "gray", "red", "blue", "green", "yellow")


@dataclass(frozen=True)
class CategoryInfo:
    """One category of things.

    Attributes:
        rooms: kinds of rooms where it is plausible.
        colors: the colour names it comes in.
        size: ranges of width, depth and height (m).
        textures: names of the textures of its coloured parts.
        goal: whether an instruction may ask for it.
    """

    rooms: tuple[str, ...]
    colors: tuple[str, ...]
    size: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    textures: tuple[str, ...] = ("wood-1", "wood-2")
    goal: bool = True


_FABRICS = ("fabric-1", "fabric-2", "fabric-3", "leather-1", "plaid-1")
_WORK = ("office", "bedroom", "library")
_ANY = ("living room", "bedroom", "office", "hallway", "dining room", "library")

CATEGORIES: dict[str, CategoryInfo] = {
    "sofa": CategoryInfo(("living room", "library"), _CLOTH, ((1.6, 2.2), (0.85, 0.95), (0.75, 0.88)), _FABRICS),
    "armchair": CategoryInfo(
        ("living room", "library", "nursery", "bedroom"), _CLOTH, ((0.75, 0.9), (0.78, 0.88), (0.78, 0.95)), _FABRICS
    ),
    "chair": CategoryInfo(
        ("dining room", "kitchen", "living room"),
        (*_VIVID, "brown", "white", "black"),
        ((0.42, 0.46), (0.44, 0.5), (0.84, 0.96)),
    ),
    "office chair": CategoryInfo(
        _WORK, ("black", "gray", "red", "blue", "green", "orange"), ((0.56, 0.62), (0.56, 0.62), (0.9, 1.0)), _FABRICS
    ),
    "stool": CategoryInfo(("kitchen",), (*_VIVID, "white", "black"), ((0.34, 0.38), (0.34, 0.38), (0.62, 0.68))),
    "ottoman": CategoryInfo(("living room", "nursery"), _CLOTH, ((0.45, 0.6), (0.45, 0.6), (0.36, 0.44)), _FABRICS),
    "bench": CategoryInfo(("hallway",), _FURNITURE, ((0.8, 1.1), (0.32, 0.36), (0.42, 0.46))),
    "dining table": CategoryInfo(
        ("dining room", "kitchen", "living room"), ("brown", "white", "black"), ((1.2, 1.8), (0.8, 0.95), (0.73, 0.76))
    ),
    "coffee table": CategoryInfo(
        ("living room",), ("brown", "white", "black", "yellow"), ((0.8, 1.1), (0.5, 0.6), (0.38, 0.45))
    ),
    "desk": CategoryInfo(_WORK, ("brown", "white", "black", "gray"), ((1.1, 1.5), (0.6, 0.7), (0.72, 0.75))),
    "bed": CategoryInfo(
        ("bedroom",), _CLOTH, ((1.4, 1.8), (2.05, 2.15), (0.95, 1.1)), ("fabric-1", "fabric-2", "plaid-1")
    ),
    "crib": CategoryInfo(("nursery",), ("white", "brown", "pink", "blue"), ((0.7, 0.75), (1.25, 1.3), (0.85, 0.95))),
    "nightstand": CategoryInfo(
        ("bedroom",), ("brown", "white", "black", "gray"), ((0.42, 0.5), (0.38, 0.42), (0.5, 0.58))
    ),
    "wardrobe": CategoryInfo(
        ("bedroom", "hallway", "nursery"),
        ("white", "brown", "gray", "green", "blue"),
        ((1.1, 1.8), (0.55, 0.6), (1.95, 2.1)),
    ),
    "dresser": CategoryInfo(
        ("bedroom", "nursery", "hallway", "dining room"), _FURNITURE, ((0.8, 1.2), (0.42, 0.48), (0.75, 0.9))
    ),
    "bookshelf": CategoryInfo(
        ("living room", "office", "library", "nursery"),
        ("brown", "white", "black"),
        ((0.8, 1.1), (0.28, 0.34), (1.7, 2.0)),
    ),
    "lamp": CategoryInfo(
        _ANY, (*_VIVID, "white"), ((0.36, 0.44), (0.36, 0.44), (1.45, 1.7)), ("fabric-2", "stripes-1")
    ),
    "plant": CategoryInfo(_ANY, ("green",), ((0.42, 0.6), (0.42, 0.6), (0.8, 1.3)), ("leaves-1", "leaves-2")),
    "tv": CategoryInfo(("living room", "bedroom"), ("black",), ((0.95, 1.3), (0.18, 0.2), (0.62, 0.76)), ("plain",)),
    "tv stand": CategoryInfo(("living room", "bedroom"), _FURNITURE, ((1.3, 1.7), (0.38, 0.44), (0.42, 0.5))),
    "computer": CategoryInfo(
        _WORK, ("black", "gray", "white"), ((0.55, 0.62), (0.2, 0.22), (0.42, 0.48)), ("metal-1",)
    ),
    "kitchen counter": CategoryInfo(
        ("kitchen",), ("white", "brown", "gray", "blue", "green"), ((0.5, 1.4), (0.6, 0.6), (0.9, 0.9))
    ),
    "oven": CategoryInfo(("kitchen",), ("black", "white", "gray"), ((0.6, 0.6), (0.6, 0.6), (0.9, 0.9)), ("metal-1",)),
    "sink": CategoryInfo(("kitchen",), ("gray",), ((0.8, 0.8), (0.6, 0.6), (0.9, 0.9)), ("metal-1",)),
    "refrigerator": CategoryInfo(
        ("kitchen",),
        ("white", "gray", "red", "black", "turquoise"),
        ((0.6, 0.7), (0.62, 0.68), (1.7, 1.95)),
        ("metal-1",),
    ),
    "microwave": CategoryInfo(
        ("kitchen",), ("white", "black", "red"), ((0.46, 0.5), (0.34, 0.36), (0.27, 0.3)), ("metal-1",)
    ),
    "toilet": CategoryInfo(("bathroom",), ("white",), ((0.38, 0.4), (0.66, 0.7), (0.78, 0.82)), ("ceramic",)),
    "bathtub": CategoryInfo(("bathroom",), ("white",), ((1.55, 1.75), (0.72, 0.78), (0.56, 0.6)), ("ceramic",)),
    "washbasin": CategoryInfo(("bathroom",), ("white",), ((0.55, 0.7), (0.45, 0.5), (0.86, 0.9)), ("ceramic",)),
    "washing machine": CategoryInfo(
        ("bathroom", "laundry room"), ("white", "gray"), ((0.6, 0.6), (0.58, 0.62), (0.85, 0.87)), ("metal-1",)
    ),
    "laundry basket": CategoryInfo(
        ("bathroom", "laundry room"),
        (*_VIVID, "brown"),
        ((0.4, 0.46), (0.4, 0.46), (0.52, 0.6)),
        ("fabric-3", "plaid-1"),
    ),
    "trash can": CategoryInfo(
        ("kitchen", "office", "bathroom"),
        (*_VIVID, "gray", "black"),
        ((0.28, 0.34), (0.28, 0.34), (0.45, 0.62)),
        ("metal-1",),
    ),
    "toy box": CategoryInfo(("nursery",), _VIVID, ((0.6, 0.8), (0.4, 0.45), (0.4, 0.46))),
    "piano": CategoryInfo(
        ("living room", "library"), ("black", "brown", "white"), ((1.4, 1.5), (0.6, 0.66), (1.15, 1.25))
    ),
    "mirror": CategoryInfo(
        ("bathroom", "hallway", "bedroom"),
        ("yellow", "brown", "black", "white"),
        ((0.5, 0.7), (0.03, 0.04), (0.7, 0.95)),
        goal=False,
    ),
    "picture": CategoryInfo(
        _ANY, ("black", "brown", "white", "yellow", "red", "blue"), ((0.5, 1.0), (0.03, 0.04), (0.4, 0.75)), goal=False
    ),
    "curtain": CategoryInfo(
        ("living room", "bedroom"), _CLOTH, ((0.3, 0.4), (0.1, 0.12), (2.0, 2.1)), ("fabric-1", "stripes-1"), False
    ),
    "rug": CategoryInfo(
        ("living room", "bedroom", "dining room", "nursery", "library", "office"),
        (*_VIVID, "gray", "brown"),
        ((1.6, 2.4), (1.2, 1.7), (0.012, 0.012)),
        ("rug-1", "rug-2", "rug-3", "rug-4"),
        False,
    ),
}


def tinted(color: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """The tint of a colour name, with a little random variation."""
    base = np.array(COLORS[color], dtype=np.float64) * rng.uniform(0.93, 1.06)
    red, green, blue = (int(v) for v in np.clip(base + rng.uniform(-5.0, 5.0, 3), 18, 255))
    return red, green, blue


def drawn_size(category: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Width, depth and height (m) of one specimen."""
    width, depth, height = (float(rng.uniform(low, high)) for low, high in CATEGORIES[category].size)
    return width, depth, height
