"""Real furniture models for apartments, from Sweet Home 3D's ``.sh3f`` files. Knows nothing of rooms and episodes."""

from .pieces import SPLITS, FurnitureLibrary, Piece, open_library
from .replacing import with_real_furniture

__all__ = ["SPLITS", "FurnitureLibrary", "Piece", "open_library", "with_real_furniture"]
