"""Colour names of pixels in a perceptual space (CIELAB, D65). Knows nothing of objects.

A pixel takes the name of the nearest prototype; lightness weighs less than hue and chroma, so that shade and
light rarely change a name. The names of all 32^3 coarse colours are computed once, as a lookup table.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..language import COLORS

#: (L, a, b) prototypes of each name.
_PROTOTYPES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "red": ((53, 78, 62), (42, 62, 42), (30, 48, 32), (47, 66, 30), (20, 34, 20), (55, 58, 38)),
    "green": ((87, -80, 78), (46, -50, 48), (30, -34, 30), (65, -45, 38), (50, -28, 22), (40, -14, 26), (78, -28, 26),
              (16, -16, 14), (72, -40, 60)),
    "blue": ((32, 74, -104), (30, 20, -58), (46, 2, -42), (62, -6, -40), (20, 12, -34), (75, -12, -26), (38, 0, -26),
             (60, 0, -20), (12, 8, -18), (15, 50, -68), (28, 52, -80), (20, 34, -54), (26, 34, -62)),
    "yellow": ((94, -16, 88), (82, 2, 76), (88, -4, 50), (72, -2, 66), (62, 0, 58), (90, -8, 35)),
    "orange": ((68, 38, 72), (60, 52, 66), (74, 24, 66), (66, 32, 46), (54, 42, 56), (78, 20, 45)),
    "purple": ((21, 51, -53), (42, 70, -75), (30, 54, -58), (33, 58, -40), (60, 92, -60), (24, 38, -34), (46, 40, -38),
               (58, 30, -32), (70, 22, -24), (38, 34, -16), (18, 24, -18)),
    "pink": ((76, 32, 4), (68, 52, -6), (60, 68, -12), (84, 20, 2), (72, 36, 14), (58, 56, 6), (80, 24, 12)),
    "brown": ((38, 20, 32), (28, 16, 22), (46, 16, 34), (52, 14, 28), (60, 10, 26), (20, 12, 14), (66, 8, 26),
              (42, 26, 30), (36, 12, 18), (50, 12, 18), (30, 24, 30), (12, 8, 9)),
    "black": ((0, 0, 0), (10, 0, 0), (18, 0, 0), (14, 2, -6)),
    "white": ((100, 0, 0), (93, 0, 0), (86, 0, 2), (92, 0, 10)),
    "gray": ((26, 0, 0), (38, 0, 0), (50, 0, 0), (62, 0, 0), (74, 0, 0), (48, 0, -8), (55, 2, 8), (70, 1, 8)),
    "turquoise": ((81, -44, 0), (54, -34, -6), (70, -34, -12), (42, -26, -8), (88, -32, -8), (64, -36, 6),
                  (30, -18, -6)),
}  # fmt: skip
#: Weight of a lightness difference relative to one in hue or chroma.
_LIGHTNESS_WEIGHT = 0.6
#: Rooms are darker than full light: the brightest tenth of a view stands for this luminance, within these factors.
_BRIGHT, _MOST_GAIN = 1.25, 6.0
#: In full light what has no hue is black up to the first lightness and white from the second on.
_BLACK, _WHITE = 36.0, 72.0


def lab_from_rgb(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB.

    Args:
        rgb: ...x3, 0 to 255.

    Returns:
        ...x3 float64: L 0 to 100, a and b.
    """
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = _linear(rgb) @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def color_indices(rgb: np.ndarray) -> np.ndarray:
    """Index into :data:`~embodied_nav.language.COLORS` of each colour.

    Args:
        rgb: ...x3 uint8.

    Returns:
        ... uint8.
    """
    coarse = np.asarray(rgb, dtype=np.uint8).astype(np.int64) >> 3
    return _table()[(coarse[..., 0] << 10) | (coarse[..., 1] << 5) | coarse[..., 2]]


def name_color(rgb: np.ndarray) -> np.ndarray | str:
    """Name of each colour: a str for one colour (3,), else an array of str.

    Args:
        rgb: ...x3 uint8.
    """
    names = np.asarray(COLORS)[color_indices(rgb)]
    return str(names) if np.ndim(names) == 0 else names


def dominant_color(rgb: np.ndarray) -> str:
    """The most frequent colour name of the pixels; "" without pixels.

    Achromatic names must win clearly: shade and glare turn part of a coloured thing black, gray or white.

    Args:
        rgb: Nx3 uint8.
    """
    if not len(rgb):
        return ""
    votes = np.bincount(color_indices(rgb).ravel(), minlength=len(COLORS)).astype(np.float64)
    votes[[COLORS.index(name) for name in ("black", "white", "gray")]] *= 0.7
    return COLORS[int(votes.argmax())]


def exposure_gain(rgb: np.ndarray) -> float:
    """By which factor linear light must be brighter for a view's colours to be those of full light.

    Args:
        rgb: HxWx3 uint8, a whole view.
    """
    luminance = _linear(rgb[::6, ::6]) @ np.array([0.2126, 0.7152, 0.0722])
    return float(np.clip(_BRIGHT / max(float(np.percentile(luminance, 90)), 1e-3), 1.0, _MOST_GAIN))


def color_in_full_light(rgb: np.ndarray, gain: float) -> str:
    """As :func:`dominant_color`, of pixels that are brightened first: in a dim room white is gray, and orange brown.

    Args:
        rgb: Nx3 uint8. gain: of :func:`exposure_gain` of the view.
    """
    bright = np.clip(_linear(np.arange(256)) * gain, 0.0, 1.0)  # of every value, not of every pixel
    encoded = np.where(bright <= 0.0031308, 12.92 * bright, 1.055 * bright ** (1 / 2.4) - 0.055)
    pixels = np.round(255.0 * encoded).astype(np.uint8)[rgb]
    name = dominant_color(pixels)
    if name not in ("black", "white", "gray"):
        return name
    lightness = float(np.median(lab_from_rgb(pixels)[:, 0]))
    return "black" if lightness < _BLACK else "white" if lightness > _WHITE else "gray"


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Linear light (0 to 1) of sRGB (0 to 255)."""
    c = np.asarray(rgb, dtype=np.float64) / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    grid = np.arange(32) * 8 + 4
    colors = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    weight = np.array([_LIGHTNESS_WEIGHT, 1.0, 1.0])
    lab = lab_from_rgb(colors) * weight
    best = np.full(len(lab), np.inf)
    table = np.zeros(len(lab), np.uint8)
    for index, name in enumerate(COLORS):
        for prototype in _PROTOTYPES[name]:
            distance = ((lab - np.asarray(prototype) * weight) ** 2).sum(axis=1)
            table[distance < best] = index
            best = np.minimum(best, distance)
    return table
