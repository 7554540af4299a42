"""Finding objects by words. Knows nothing of voxels and of language models.

Text is matched on labels, colours and everyday synonyms; every other word is left to whoever parses sentences.
"""

from __future__ import annotations

import re

import numpy as np

from ..frames import MemoryObject

#: Word or phrase -> the label that perception uses.
SYNONYMS = {
    "couch": "sofa", "settee": "sofa", "loveseat": "sofa", "fridge": "refrigerator", "freezer": "refrigerator",
    "television": "tv", "telly": "tv", "tv set": "tv", "tv monitor": "tv", "stove": "oven", "cooker": "oven",
    "bookcase": "bookshelf", "book shelf": "bookshelf", "shelves": "bookshelf", "potted plant": "plant",
    "flower": "plant", "houseplant": "plant", "light": "lamp", "floor lamp": "lamp", "closet": "wardrobe",
    "cupboard": "cabinet", "basin": "sink", "washbasin": "sink", "wc": "toilet", "lavatory": "toilet",
    "bath": "bathtub", "tub": "bathtub", "stool": "chair", "carpet": "rug", "writing desk": "desk",
    "trash can": "bin", "waste bin": "bin", "garbage can": "bin", "washer": "washing machine",
}  # fmt: skip
COLOR_SYNONYMS = {
    "grey": "gray", "violet": "purple", "crimson": "red", "scarlet": "red", "azure": "blue", "navy": "blue",
    "beige": "brown", "tan": "brown", "teal": "turquoise", "cyan": "turquoise", "golden": "yellow",
}  # fmt: skip
COLORS = frozenset(
    ("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "gray", "turquoise")
)
LABEL_SHARE, COLOR_SHARE, CONFIDENCE_SHARE = 0.6, 0.3, 0.1


def match_text(text: str, label: str, color: str) -> float:
    """How well a (label, colour) fits a text, 0 to 1; 0 where the text names another label, or none and no colour."""
    words = _singular(text)
    known = " " + " ".join(words) + " "
    colors = {COLOR_SYNONYMS.get(w, w) for w in words} & COLORS
    names = {label} | {phrase for phrase, meaning in SYNONYMS.items() if meaning == label}
    named = any(f" {' '.join(_singular(n))} " in known for n in names)
    if not named:
        # "table" finds the "dining table", but "dining table" does not find the "coffee table".
        named = bool(words) and _singular(label)[-1:] == words[-1:] and not _qualified(words, colors)
    only_color = bool(colors) and set(words) - _FILLERS <= COLORS | set(COLOR_SYNONYMS)
    if not named and not only_color:
        return 0.0
    if not colors:
        return 1.0
    color_fits = 1.0 if color in colors else 0.0
    if only_color:
        return color_fits
    return (LABEL_SHARE + COLOR_SHARE * color_fits) / (LABEL_SHARE + COLOR_SHARE)


def rank(
    objects: tuple[MemoryObject, ...],
    text: str = "",
    box: tuple[np.ndarray, np.ndarray] | None = None,
    near: np.ndarray | None = None,
) -> list[tuple[MemoryObject, float]]:
    """Objects that fit with their scores (0 to 1), best first; among equals the nearest to ``near``, then by id.

    Args:
        box: (low, high), m; objects whose own box does not reach into it are left out. near: (3,) m.
    """
    out = []
    for o in objects:
        if box is not None and not _boxes_meet(o, *box):
            continue
        fit = match_text(text, o.label, o.color) if text.strip() else 1.0
        if fit > 0:
            out.append((o, (1 - CONFIDENCE_SHARE) * fit + CONFIDENCE_SHARE * o.confidence * fit, fit))
    if near is None:
        out.sort(key=lambda r: (-r[1], r[0].id))
    else:
        out.sort(key=lambda r: (-round(r[2], 6), float(np.linalg.norm(r[0].position - near)), r[0].id))
    return [(o, score) for o, score, _ in out]


_FILLERS = frozenset(
    ("a", "an", "the", "any", "some", "find", "me", "where", "is", "are", "thing", "object", "something")
)


def _boxes_meet(o: MemoryObject, low: np.ndarray, high: np.ndarray) -> bool:
    half = np.asarray(o.extent) / 2
    return bool((o.position - half <= np.asarray(high)).all() and (o.position + half >= np.asarray(low)).all())


def _singular(text: str) -> list[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return [_irregular(w) for w in words]


def _irregular(word: str) -> str:
    if word in ("shelves", "bookshelves"):
        return word[:-3] + "f"
    if word in ("glass", "dress", "is", "gas", "chess") or len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word if word.endswith("ss") else word[:-1]


def _qualified(words: list[str], colors: set[str]) -> bool:
    """Whether the last word has a qualifier that is no colour and no filler: "dining table"."""
    return any(w not in _FILLERS and COLOR_SYNONYMS.get(w, w) not in colors for w in words[:-1])
