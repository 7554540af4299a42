"""Images as vision transformers want them: whole patches, normalised; and as rows of patches. Knows no model."""

from __future__ import annotations

import numpy as np


def grid_shape(width: int, height: int, patch: int, wanted: int) -> tuple[int, int]:
    """(rows, columns) of patches for an image (width x height pixels), so that the picture keeps its shape.

    Args:
        patch: pixels along a patch's side. wanted: pixels that the longer side should have.
    """
    scale = wanted / max(width, height)
    return max(1, round(height * scale / patch)), max(1, round(width * scale / patch))


def normalised(color: np.ndarray, rows: int, columns: int, patch: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """3 x (rows * patch) x (columns * patch) float32 of an HxWx3 uint8 image, the whole of it.

    Args:
        mean, std: (3,) of the values 0 to 1, subtracted and divided by.
    """
    import cv2

    size = (columns * patch, rows * patch)
    smaller = size[0] <= color.shape[1] and size[1] <= color.shape[0]
    resized = cv2.resize(color, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    values = (resized.astype(np.float32) / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def patch_rows(image: np.ndarray, patch: int) -> np.ndarray:
    """(rows * columns) x (patch * patch * C) of a CxHxW image: row after row of patches, of each its pixels."""
    channels, height, width = image.shape
    tiles = image.reshape(channels, height // patch, patch, width // patch, patch)
    return tiles.transpose(1, 3, 2, 4, 0).reshape((height // patch) * (width // patch), -1)
