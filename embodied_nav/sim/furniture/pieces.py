"""A library of furniture: pieces by category and split, kept in one ``.npz`` file. Knows nothing of scenes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ...errors import InputError
from .catalogue import read_catalogue
from .models import GRAIN, WHITE, Shape, read_shape

#: Which pieces: those for training, the fifth that training never sees, or all.
SPLITS = ("all", "train", "held_out")
_VERSION = 1
_TEXTS = ("id", "name", "category", "creator", "license", "source")
_COLUMNS = {
    "vertices": (np.int16, (3,)),
    "faces": (np.uint16, (3,)),
    "uvs": (np.float16, (3, 2)),
    "texture": (np.uint8, ()),
    "tint": (np.uint8, (3,)),
}


@dataclass(frozen=True, eq=False)
class Piece:
    """A model of furniture.

    Attributes:
        id, name: of its catalogue. category: of the apartments. creator, license: whom to name, and the terms.
        source: name of its file.
        size: width, depth, height, m.
        shape: its triangles.
    """

    id: str
    name: str
    category: str
    creator: str
    license: str
    source: str
    size: tuple[float, float, float]
    shape: Shape

    @cached_property
    def held_out(self) -> bool:
        """Whether it is of the fifth that training never sees; depends on its id alone."""
        return hashlib.sha256(self.id.encode()).digest()[0] % 5 == 0


class FurnitureLibrary:
    """Pieces of furniture.

    Args:
        pieces: in a fixed order.
        problems: one line for each piece or file that could not be read.
        unmapped: names of pieces without a category.
    """

    def __init__(self, pieces: list[Piece], problems: tuple[str, ...] = (), unmapped: tuple[str, ...] = ()) -> None:
        self.pieces, self.problems, self.unmapped = tuple(pieces), problems, unmapped

    def of(self, category: str, split: str = "all") -> list[Piece]:
        """The pieces of a category that belong to a split.

        Raises:
            InputError: an unknown split.
        """
        if split not in SPLITS:
            raise InputError(f"furniture split '{split}': must be one of {', '.join(SPLITS)}")
        return self._table.get((category, split), [])

    @cached_property
    def _table(self) -> dict[tuple[str, str], list[Piece]]:
        table: dict[tuple[str, str], list[Piece]] = {}
        for piece in self.pieces:
            for split in ("all", "held_out" if piece.held_out else "train"):
                table.setdefault((piece.category, split), []).append(piece)
        return table

    def counts(self) -> dict[str, tuple[int, int]]:
        """Category -> numbers of pieces for training and held out."""
        train = Counter(p.category for p in self.pieces if not p.held_out)
        held = Counter(p.category for p in self.pieces if p.held_out)
        return {category: (train[category], held[category]) for category in sorted(train | held)}

    def attribution(self) -> str:
        """A text that names every piece, its creator and its licence, as CC BY asks."""
        lines = ["Furniture models, converted to triangles and scaled; from libraries of Sweet Home 3D.", ""]
        lines += [
            f"{piece.name} ({piece.id}): {piece.creator or 'unknown'}; {piece.license} [{piece.source}]"
            for piece in sorted(self.pieces, key=lambda p: (p.source, p.name, p.id))
        ]
        return "\n".join(lines) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the pieces to one .npz file, and beside it ``NAME.txt`` with creators and licences."""
        path = Path(path)
        arrays: dict[str, np.ndarray] = {name: _joined(self.pieces, name) for name in _COLUMNS}
        images = {id(image): image for piece in self.pieces for image in piece.shape.textures}
        number = {key: k for k, key in enumerate(images)}
        about = {
            "version": _VERSION,
            "images": [list(image.shape[:2]) for image in images.values()],
            "pieces": [
                {
                    **{name: getattr(p, name) for name in _TEXTS},
                    "size": p.size,
                    "color": p.shape.color,
                    "vertices": len(p.shape.vertices),
                    "faces": len(p.shape.faces),
                    "textures": [number[id(image)] for image in p.shape.textures],
                }
                for p in self.pieces
            ],
        }
        arrays["images"] = np.concatenate([np.zeros(0, np.uint8), *(image.ravel() for image in images.values())])
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        path.with_suffix(".txt").write_text(self.attribution(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> FurnitureLibrary:
        """The pieces of a file that :meth:`save` wrote.

        Raises:
            InputError: no such file, or another kind of file.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in (*_COLUMNS, "images", "about")}
            about = json.loads(arrays["about"].tobytes())
            if about["version"] != _VERSION:
                raise InputError(f"{path}: version {about['version']}, expected {_VERSION}; make it again")
            return cls(_pieces(arrays, about))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; give .sh3f files or what was saved from them") from None
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
            why = " ".join(str(error).split())
            raise InputError(f"{path}: no saved furniture ({type(error).__name__}: {why}); make it again") from None


def _joined(pieces: tuple[Piece, ...], name: str) -> np.ndarray:
    dtype, tail = _COLUMNS[name]
    columns = [getattr(piece.shape, name) for piece in pieces]
    if name == "vertices":
        columns = [np.rint(column / GRAIN) for column in columns]
    return np.concatenate([np.zeros((0, *tail)), *columns]).astype(dtype)


def _pieces(arrays: dict[str, np.ndarray], about: dict) -> list[Piece]:
    """The pieces in the arrays of a saved file."""
    images, at = [], 0
    for height, width in about["images"]:
        image = arrays["images"][at : at + height * width * 3].reshape(height, width, 3)
        images.append(WHITE if image.shape == WHITE.shape and image.min() == 255 else image)
        at += height * width * 3
    pieces, v, f = [], 0, 0
    for one in about["pieces"]:
        vertices = arrays["vertices"][v : v + one["vertices"]] * GRAIN
        part = slice(f, f + one["faces"])
        shape = Shape(
            vertices.astype(np.float32),
            arrays["faces"][part].astype(np.int32),
            arrays["uvs"][part].astype(np.float32),
            arrays["texture"][part].astype(np.int32),
            tuple(images[k] for k in one["textures"]),
            arrays["tint"][part],
            str(one["color"]),
        )
        if int(shape.faces.max()) >= len(vertices) or int(shape.texture.max()) >= len(shape.textures):
            raise ValueError("a face points outside its piece")
        id, name, category, creator, license, source = (str(one[key]) for key in _TEXTS)
        width, depth, height = (float(side) for side in one["size"])
        pieces.append(Piece(id, name, category, creator, license, source, (width, depth, height), shape))
        v, f = v + one["vertices"], f + one["faces"]
    return pieces


@lru_cache(maxsize=4)
def open_library(path: str) -> FurnitureLibrary:
    """The library at a path: a folder of .sh3f files, one such file, or a saved .npz (cached).

    Raises:
        InputError: nothing there, or not one piece that can be used.
    """
    where = Path(path).expanduser()
    if where.suffix == ".npz":
        return FurnitureLibrary.load(where)
    files = sorted(where.glob("*.sh3f")) if where.is_dir() else [where]
    if not files or not files[0].is_file():
        raise InputError(
            f"{path}: no furniture there; give a folder with .sh3f files (Debian: apt install sweethome3d-furniture, "
            "then /usr/share/sweethome3d/furniture), one such file, or a saved .npz"
        )
    if importlib.util.find_spec("trimesh") is None:
        raise InputError(
            f"{path}: reading .sh3f files needs trimesh: pip install 'trimesh>=4,<6' (part of the extra 'viewer')"
        )
    pieces: list[Piece] = []
    problems: list[str] = []
    unmapped: list[str] = []
    for file in files:
        try:
            _read(file, pieces, problems, unmapped)
        except InputError as error:
            problems.append(str(error))
    if not pieces:
        raise InputError(problems[0] if problems else f"{path}: no piece belongs to a category of the apartments")
    return FurnitureLibrary(pieces, tuple(problems), tuple(unmapped))


def _read(file: Path, pieces: list[Piece], problems: list[str], unmapped: list[str]) -> None:
    """Adds the pieces of one .sh3f file."""
    try:
        archive = zipfile.ZipFile(file)
        entries, others = read_catalogue(file, archive)
    # zipfile raises a RuntimeError for an encrypted file, and for a compression that it does not know.
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise InputError(f"{file}: cannot be read as a .sh3f (zip) file ({error})") from None
    with archive:
        unmapped += others
        for entry in entries:
            try:
                shape = read_shape(archive, entry)
            except InputError as error:
                problems.append(f"{file.name}: {error}")
                continue
            pieces.append(
                Piece(entry.id, entry.name, entry.category, entry.creator, entry.license, file.stem, entry.size, shape)
            )
