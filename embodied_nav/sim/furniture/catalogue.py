"""The catalogue of a ``.sh3f`` file: what its pieces are, in our vocabulary. Knows nothing of their shapes.

Such a file is a zip with ``PluginFurnitureCatalog.properties``: ``name#12=Oak chair``, sizes in cm.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...language import known_label

CATALOGUE = "PluginFurnitureCatalog.properties"
#: A catalogue and a model are text of at most this size (bytes) once unpacked.
LARGEST_MEMBER = 200 * 2**20
#: Width, depth and height (m) of the largest furniture.
LARGEST = (6.5, 6.5, 3.2)

#: The apartments' categories that have models; a test compares them with theirs.
CATEGORIES = frozenset({
    "armchair", "bathtub", "bed", "bench", "bookshelf", "chair", "coffee table", "computer", "crib", "curtain", "desk",
    "dining table", "dresser", "kitchen counter", "lamp", "laundry basket", "microwave", "mirror", "nightstand",
    "office chair", "ottoman", "oven", "piano", "picture", "plant", "refrigerator", "rug", "sink", "sofa", "stool",
    "toilet", "toy box", "trash can", "tv", "tv stand", "wardrobe", "washbasin", "washing machine",
})  # fmt: skip
#: Labels of the vocabulary that are one of the apartments' categories under another name.
_SAME = {
    "bar stool": "stool", "dining chair": "chair", "folding chair": "chair", "desk lamp": "lamp", "table lamp": "lamp",
    "kitchen cabinet": "kitchen counter", "kitchen island": "kitchen counter", "counter": "kitchen counter",
    "monitor": "computer", "laptop": "computer", "shelf": "bookshelf",
}  # fmt: skip
#: Names that the vocabulary does not know, or means otherwise.
_BY_NAME = {
    "apple ibook": "computer", "apple imac 1998": "computer", "apple imac 2004": "computer",
    "armchair ottoman": "armchair", "baby bed": "crib", "bamboo": "plant", "bar chair": "stool", "bath": "bathtub",
    "bathmat": "rug", "bonsai tree": "plant", "cactus": "plant", "clothes basket": "laundry basket",
    "convertible sofa bz": "sofa", "drawers cabinet": "kitchen counter", "ficus": "plant", "full bookcase": "bookshelf",
    "island": "kitchen counter", "island bath": "bathtub", "lower cabinet": "kitchen counter", "orchids": "plant",
    "shelves": "bookshelf", "sink cabinet": "sink", "small lavatory": "washbasin",
    "small lower cabinet": "kitchen counter", "spathiphyllum": "plant", "television cabinet": "tv stand",
    "toilets unit": "toilet", "tulips": "plant", "tv 16:9": "tv", "vanity": "washbasin",
    "vertical shelves": "bookshelf", "wall flat tv": "tv", "white lily": "plant", "yucca": "plant",
}  # fmt: skip
#: Kinds of catalogues, and words of tags and names, that are no furniture of ours, whatever the last word says.
_NO_KINDS = {"characters", "doors and windows", "staircases", "vehicles"}
_NO_TAGS = {"animal", "ceiling", "disabled", "fitness", "game", "kid", "people", "sport"}
_NO_WORDS = {
    "baby", "beach", "bunk", "camping", "ceiling", "child", "children", "christmas", "corner", "deck", "doll",
    "fluorescent", "hanging", "hospital", "mezzanine", "outdoor", "park", "pool", "porch", "relax", "ryokan", "street",
    "track", "upper", "wall",
}  # fmt: skip
#: Pieces whose name misleads: a chandelier that is called a lamp.
_NO_IDS = {"Blend Swap CC-0#lamp2"}
#: Of things that stand in the open only these look as they do in a room.
_OUTDOOR = {"armchair", "bench", "chair", "coffee table", "sofa"}


@dataclass(frozen=True)
class Entry:
    """One piece of a catalogue.

    Attributes:
        id: unique name; where the catalogue gives none, made of the file's name and the piece's number.
        name: English name.
        category: of the apartments.
        size: width, depth, height, m.
        rotation: 3x3 float64 that turns the model's axes before it is scaled to its size.
        model: path in the zip.
        creator, license: whom to name, and the terms.
    """

    id: str
    name: str
    category: str
    size: tuple[float, float, float]
    rotation: np.ndarray
    model: str
    creator: str
    license: str


def read_catalogue(path: Path, archive: zipfile.ZipFile) -> tuple[list[Entry], list[str]]:
    """The pieces of a file that have a category, and the names of those that have none.

    Raises:
        InputError: no catalogue in the file.
    """
    try:
        text = member(archive, CATALOGUE).decode("latin-1")
    except KeyError:
        raise InputError(f"{path}: holds no {CATALOGUE}; give a furniture library of Sweet Home 3D (.sh3f)") from None
    general, pieces = _properties(text)
    entries, unmapped = [], []
    for number, values in sorted(pieces.items()):
        entry = _entry(path, number, values, general.get("license", ""))
        if entry is None:
            unmapped.append(values.get("name", f"#{number}"))
        else:
            entries.append(entry)
    return entries, unmapped


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of a zip; KeyError where there is none or it is far too large to be furniture."""
    info = archive.getinfo(name)
    if info.file_size > LARGEST_MEMBER:
        raise KeyError(f"{name}: {info.file_size} bytes")
    return archive.read(info)


def category_of(name: str, kind: str, tags: tuple[str, ...], size: tuple[float, float, float]) -> str:
    """The apartments' category of a piece, "" where it has none.

    Args:
        name: "Oak chair".
        kind: the catalogue's own grouping: "Living room", "Office".
        tags: further words.
        size: width, depth, height, m.
    """
    name, kind, tags = name.lower(), kind.lower(), tuple(tag.lower() for tag in tags)
    words = re.split(r" with | on | - | \d seats?", name)[0].split()
    if kind in _NO_KINDS or _NO_TAGS & set(tags) or (_NO_WORDS & set(words) and name not in _BY_NAME):
        return ""
    label = _BY_NAME.get(" ".join(words)) or _head(words) or ("plant" if "plant" in tags else "")
    category = _by_use(_SAME.get(label, label), kind, tags, size)
    outdoor = "exterior" in (kind, *tags)
    return category if category in (_OUTDOOR if outdoor else CATEGORIES) else ""


def _head(words: list[str]) -> str:
    """The label that the longest end of a name means: "wooden coffee table" is a coffee table."""
    for start in range(len(words)):
        label = known_label(" ".join(words[start:]))
        if label:
            return label
    return ""


def _by_use(label: str, kind: str, tags: tuple[str, ...], size: tuple[float, float, float]) -> str:
    """Tables and chairs by what they are for; cabinets of kitchens."""
    height = size[2]
    if label == "table":
        if kind == "office":
            return "desk"
        return "coffee table" if height < 0.6 else "dining table" if height < 0.95 and max(size[:2]) > 0.6 else ""
    if label in ("chair", "armchair") and height < 0.6:
        return "stool"
    if label == "chair" and kind == "office" and "school" not in tags:
        return "office chair"
    if label == "armchair" and kind == "office" and size[0] < 0.7:
        return "chair"
    if label == "washbasin" and height < 0.7:  # without what carries it
        return ""
    if label == "cabinet":
        return "wardrobe" if "wardrobe" in tags else ""
    return label


def _entry(path: Path, number: int, values: dict[str, str], license: str) -> Entry | None:
    """The piece of some properties; None where it has no category, size or model."""
    try:
        width, depth, height = (float(values[axis]) / 100.0 for axis in ("width", "depth", "height"))
        model = values["model"].lstrip("/")
    except (KeyError, ValueError):
        return None
    size = (width, depth, height)
    if (
        not all(0.005 < side < most for side, most in zip(size, LARGEST, strict=True))
        or values.get("doorOrWindow") == "true"
    ):
        return None
    tags = tuple(tag.strip() for tag in values.get("tags", "").split(","))
    category = category_of(values.get("name", ""), values.get("category", ""), tags, size)
    rotation = _rotation(values.get("modelRotation", ""))
    id = values.get("id", f"{path.stem}#{number}")
    if not category or rotation is None or id in _NO_IDS:
        return None
    license = values.get("license", license)
    return Entry(id, values["name"], category, size, rotation, model, values.get("creator", ""), license)


def _rotation(text: str) -> np.ndarray | None:
    """Nine numbers as 3x3; the identity without any, None where they are no rotation."""
    if not text.strip():
        return np.eye(3)
    try:
        matrix = np.array([float(word) for word in text.split()]).reshape(3, 3)
    except ValueError:
        return None
    return matrix if np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-2) else None


def _properties(text: str) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """A Java properties file: values without a number, and those of each number."""
    text = re.sub(r"\\\r?\n[ \t]*", "", text)
    general: dict[str, str] = {}
    pieces: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        found = re.match(r"\s*([A-Za-z]+)(?:#(\d+))?\s*[=:]\s*(.*?)\s*$", line)
        if found is None or line.lstrip()[:1] in "#!":
            continue
        value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), found[3]).replace("\\", "")
        values = general if found[2] is None else pieces.setdefault(int(found[2]), {})
        values[found[1]] = value
    return general, pieces
