"""Procedural textures from numpy noise: wood, tiles, plaster, fabric, carpet, wallpaper, pictures. Knows no geometry.

A texture's name is "kind" or "kind-variant" ("planks-2"); the same name always gives the same image, to the bit. Most
are near white, so that a face's tint gives the colour; their contrast is strong and fine enough for corner detectors.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

_SIZE = 256


@lru_cache(maxsize=1024)
def texture_image(name: str) -> np.ndarray:
    """HxWx3 uint8 image of a texture (read-only, cached).

    Raises:
        KeyError: a name of no known kind.
    """
    kind, _, _ = name.partition("-")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    image = KINDS[kind](rng)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    image = np.ascontiguousarray(np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8))
    image.setflags(write=False)
    return image


def noise(rng: np.random.Generator, scale: float, stretch: tuple[float, float] = (1.0, 1.0), size: int = _SIZE):
    """Tileable smooth noise with blobs of about ``scale`` texels, zero mean, unit deviation."""
    fy = np.fft.fftfreq(size)[:, None] * scale * stretch[0]
    fx = np.fft.rfftfreq(size)[None, :] * scale * stretch[1]
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * np.exp(-2.0 * (fx * fx + fy * fy))
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(size, size))
    return field / field.std()


def spots(rng: np.random.Generator, scale: float, share: float, size: int = _SIZE) -> np.ndarray:
    """0 to 1: soft-edged blobs of about ``scale`` texels that cover about ``share`` of the tile."""
    field = noise(rng, scale, size=size)
    edge = np.quantile(field, 1.0 - share)
    return np.clip((field - edge) * 3.0 + 0.5, 0.0, 1.0)


def _plaster(rng):
    base = 0.90 + 0.02 * noise(rng, 40) + 0.02 * noise(rng, 3)
    return base - 0.20 * spots(rng, 5, 0.06) - 0.16 * spots(rng, 9, 0.05) + 0.08 * spots(rng, 6, 0.08)


def _wallpaper(rng):
    """A motif on a diamond lattice over faint stripes, slightly worn."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
    cells = int(rng.choice([4, 6, 8]))
    u, v = (x * cells) % 1.0 - 0.5, (y * cells) % 1.0 - 0.5
    shifted_u, shifted_v = ((x * cells + 0.5) % 1.0) - 0.5, ((y * cells + 0.5) % 1.0) - 0.5
    petals = int(rng.integers(3, 7))
    phase = rng.uniform(0, np.pi)

    def motif(a, b):
        r, t = np.hypot(a, b), np.arctan2(b, a)
        return np.clip((0.20 * (1.0 + 0.45 * np.cos(petals * t + phase)) - r) * 25.0, 0.0, 1.0)

    mark = np.maximum(motif(u, v), 0.8 * motif(shifted_u, shifted_v))
    stripes = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * x * cells))
    worn = 0.02 * noise(rng, 30) + 0.015 * noise(rng, 2.5) - 0.12 * spots(rng, 6, 0.04)
    return 0.92 - 0.24 * mark - 0.04 * stripes * rng.uniform(0, 1) + worn


def _stripes(rng):
    x = np.arange(_SIZE)[None, :] / _SIZE
    count = int(rng.choice([6, 8, 12]))
    wave = np.sin(2 * np.pi * count * x)
    mark = np.clip(wave * 6.0, -1.0, 1.0)
    return 0.89 + 0.08 * mark + 0.02 * noise(rng, 30) - 0.20 * spots(rng, 5, 0.07) + 0.015 * noise(rng, 2.5)


def _planks(rng, rows: int = 8):
    """Boards along x with grain, knots, joints and their own shade each."""
    image = np.empty((_SIZE, _SIZE))
    grain = noise(rng, 14, (0.15, 2.5))
    fine = noise(rng, 3, (0.4, 4.0))
    height = _SIZE // rows
    for r in range(rows):
        rows_of = slice(r * height, (r + 1) * height)
        joints = np.sort(rng.choice(np.arange(0, _SIZE, 16), 2, replace=False))
        shade = np.full(_SIZE, rng.uniform(0.70, 0.95))
        shade[joints[0] : joints[1]] = rng.uniform(0.70, 0.95)
        roll = int(rng.integers(_SIZE))
        image[rows_of] = shade + 0.05 * np.roll(grain[rows_of], roll, 1) + 0.03 * fine[rows_of]
        image[r * height : r * height + 2] *= 0.45
        for j in joints:
            image[rows_of, j : j + 2] *= 0.5
    return image - 0.25 * spots(rng, 5, 0.02)


def _parquet(rng):
    """Herringbone-like blocks of four short boards, alternately along and across."""
    image = np.empty((_SIZE, _SIZE))
    block, board = 64, 16
    along = noise(rng, 10, (0.3, 3.0))
    for i in range(_SIZE // block):
        for j in range(_SIZE // block):
            patch = np.empty((block, block))
            for k in range(block // board):
                rows_of = slice(k * board, (k + 1) * board)
                patch[rows_of] = rng.uniform(0.66, 0.95) + 0.05 * along[i * block : i * block + board, :block]
                patch[k * board : k * board + 2] *= 0.55
            patch[:, :1] *= 0.6
            if (i + j) % 2:
                patch = patch.T
            image[i * block : (i + 1) * block, j * block : (j + 1) * block] = patch
    return image + 0.02 * noise(rng, 2)


def _tiles(rng):
    """Square tiles with grout; marbled, each with its own shade, now and then in two tones."""
    count = int(rng.choice([4, 8]))
    side = _SIZE // count
    shade = rng.uniform(0.82, 0.97, (count, count))
    if rng.random() < 0.5:
        shade = np.where(np.indices((count, count)).sum(0) % 2, shade, shade - rng.uniform(0.12, 0.35))
    image = np.kron(shade, np.ones((side, side)))
    vein = np.exp(-((noise(rng, 24) * 2.5) ** 2))
    image += -0.12 * vein + 0.03 * noise(rng, 5) - 0.18 * spots(rng, 4, 0.05)
    for k in range(count):
        image[k * side : k * side + 3] = 0.55
        image[:, k * side : k * side + 3] = 0.55
    return image


def _fabric(rng):
    y, x = np.mgrid[:_SIZE, :_SIZE]
    period = int(rng.choice([4, 8]))
    weave = np.where(((x // (period // 2)) + (y // (period // 2))) % 2, 1.0, -1.0)
    slub = noise(rng, 4, (0.3, 3.0)) + noise(rng, 4, (3.0, 0.3))
    return 0.94 + 0.03 * weave + 0.04 * slub - 0.22 * spots(rng, 5, 0.08)


def _plaid(rng):
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
    count = int(rng.choice([4, 6]))
    lines = (np.sin(2 * np.pi * count * x) > 0.5).astype(float) + (np.sin(2 * np.pi * count * y) > 0.5)
    return 0.92 - 0.13 * lines + 0.03 * noise(rng, 3) - 0.12 * spots(rng, 5, 0.05)


def _leather(rng):
    crease = np.exp(-((noise(rng, 10) * 4.0) ** 2))
    return 0.97 - 0.16 * crease + 0.03 * noise(rng, 3) - 0.15 * spots(rng, 6, 0.04)


def _carpet(rng):
    return 0.80 + 0.06 * noise(rng, 2) + 0.05 * noise(rng, 7) - 0.20 * spots(rng, 6, 0.10) + 0.14 * spots(rng, 6, 0.08)


def _rug(rng):
    """Concentric borders and a lattice of diamonds; shown once over the whole rug."""
    y, x = np.abs(np.mgrid[:_SIZE, :_SIZE] / _SIZE - 0.5) * 2.0
    edge = np.maximum(x, y)
    count = int(rng.integers(3, 6))
    lattice = (((x + y) * count) % 1.0 > 0.5) ^ (((x - y) * count) % 1.0 > 0.5)
    image = 0.95 - 0.32 * lattice
    image[edge > 0.72] = 0.60
    image[(edge > 0.80) & (edge < 0.88)] = 1.0
    teeth = (edge > 0.88) & (((x + y) * 20.0) % 1.0 > 0.5)
    image[teeth] = 0.85
    return image + 0.05 * noise(rng, 2.5) - 0.10 * spots(rng, 5, 0.06)


def _wood(rng):
    grain = noise(rng, 16, (0.2, 3.0))
    rings = np.sin(6.0 * noise(rng, 60, (0.4, 2.0)) + 2.0 * grain)
    return 0.91 + 0.06 * rings + 0.05 * noise(rng, 4, (0.4, 5.0)) - 0.30 * spots(rng, 6, 0.025)


def _marble(rng):
    vein = np.exp(-((noise(rng, 30) * 3.0) ** 2))
    return 0.92 - 0.28 * vein * (0.6 + 0.4 * noise(rng, 20)) + 0.03 * noise(rng, 6) - 0.12 * spots(rng, 3, 0.05)


def _granite(rng):
    return 0.75 + 0.08 * noise(rng, 2) - 0.35 * spots(rng, 4, 0.12) + 0.25 * spots(rng, 4, 0.10)


def _metal(rng):
    return 0.95 + 0.03 * noise(rng, 4, (0.2, 8.0)) + 0.02 * noise(rng, 20) - 0.10 * spots(rng, 4, 0.02)


def _ceramic(rng):
    return 0.96 + 0.015 * noise(rng, 20) - 0.10 * spots(rng, 4, 0.015)


def _plain(rng):
    return np.full((16, 16), 1.0)


def _leaves(rng):
    vein = np.exp(-((noise(rng, 12) * 3.0) ** 2))
    return 0.88 + 0.12 * noise(rng, 6) + 0.18 * vein - 0.25 * spots(rng, 6, 0.15)


def _books(rng):
    """A row of spines in many colours, shown once; each spine has a title bar."""
    image = np.full((_SIZE, _SIZE, 3), 0.08)
    at = 0
    while at < _SIZE:
        width = int(rng.integers(8, 26))
        top = int(rng.integers(0, 80))
        color = rng.uniform(0.15, 0.85, 3)
        image[top:, at : at + width - 1] = color
        bar = top + int(rng.integers(20, 60))
        image[bar : bar + 14, at + 1 : at + width - 2] = np.clip(color + rng.choice([-0.4, 0.4]), 0, 1)
        image[_SIZE - 40 : _SIZE - 34, at : at + width - 1] = 0.9
        at += width
    return image + 0.02 * noise(rng, 2)[..., None]


def _picture(rng):
    """A painting in a mount: landscape, blocks of colour, circles, or strokes; shown once."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
    palette = rng.uniform(0.1, 0.95, (5, 3))
    style = int(rng.integers(4))
    image = np.empty((_SIZE, _SIZE, 3))
    if style == 0:
        image[:] = np.array([0.55, 0.75, 0.95]) * (1.1 - 0.4 * y[..., None])
        for k, color in enumerate(palette[:4]):
            ridge = 0.35 + 0.15 * k + 0.08 * np.sin(2 * np.pi * (x * (1.5 + k) + rng.random())) + 0.02 * noise(rng, 9)
            image[y > ridge] = color * 0.8
    elif style == 1:
        image[:] = palette[0]
        for color in np.concatenate([palette, palette[::-1]]):
            r, c = rng.integers(0, 190, 2)
            h, w = rng.integers(20, 120, 2)
            image[r : r + h, c : c + w] = color
    elif style == 2:
        image[:] = palette[0]
        for color in np.concatenate([palette, 1.0 - palette]):
            cx, cy, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.3)
            image[np.hypot(x - cx, y - cy) < radius] = color
    else:
        field = noise(rng, 26)
        image = palette[np.digitize(field, [-1.0, -0.3, 0.3, 1.0])]
    image = image + 0.05 * noise(rng, 4)[..., None]
    mount = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) > 0.43
    image[mount] = 0.95
    return image


def _view(rng):
    """What a window shows: sky, clouds, houses, trees, behind glazing bars; shown once."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
    image = np.array([0.60, 0.78, 0.95]) + 0.25 * (y[..., None] - 0.4)
    image = np.where((spots(rng, 40, 0.3) * (y < 0.6))[..., None] > 0.5, 0.97, image)
    at = 0
    while at < _SIZE:
        width, top = int(rng.integers(20, 60)), int(rng.integers(110, 190))
        image[top:, at : at + width] = rng.uniform(0.35, 0.75, 3)
        image[top + 8 :: 16, at + 4 : at + width - 4 : 10] = 0.9
        at += width
    image[y > 0.82 + 0.03 * noise(rng, 12)] = (0.20, 0.40, 0.18)
    bars = (np.abs(x - 0.5) < 0.015) | (np.abs(y - 0.35) < 0.012)
    image[bars] = 0.95
    return image + 0.02 * noise(rng, 3)[..., None]


def _screen(rng):
    """A picture on a switched-on screen, dark enough that the set stays black; shown once."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
    image = np.full((_SIZE, _SIZE, 3), 0.05)
    image += 0.06 * (noise(rng, 40)[..., None] > 0.4)
    for _ in range(10):
        r, c = rng.integers(16, 220, 2)
        image[r : r + 6, c : c + int(rng.integers(10, 60))] = 0.45
    image[(np.abs(x - 0.5) > 0.47) | (np.abs(y - 0.5) > 0.46)] = 0.03
    return image


def _ceiling(rng):
    return 0.93 + 0.02 * noise(rng, 30) - 0.10 * spots(rng, 5, 0.05) - 0.08 * spots(rng, 10, 0.04)


#: Kind of texture -> what draws it.
KINDS = {
    "plaster": _plaster,
    "wallpaper": _wallpaper,
    "stripes": _stripes,
    "planks": _planks,
    "parquet": _parquet,
    "tiles": _tiles,
    "fabric": _fabric,
    "plaid": _plaid,
    "leather": _leather,
    "carpet": _carpet,
    "rug": _rug,
    "wood": _wood,
    "marble": _marble,
    "granite": _granite,
    "metal": _metal,
    "ceramic": _ceramic,
    "plain": _plain,
    "leaves": _leaves,
    "books": _books,
    "picture": _picture,
    "view": _view,
    "screen": _screen,
    "ceiling": _ceiling,
}
