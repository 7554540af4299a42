"""Shapes of seats, tables, beds and storage. Knows nothing of rooms and places.

Every maker takes the size (width, depth, height in m) and a :class:`Look` and returns a solid whose front is +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Material, Solid

Size = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Appearance of a thing: main material (named colour), second material for legs and the like, random generator."""

    main: Material
    accent: Material
    rng: np.random.Generator

    def shade(self, factor: float) -> Material:
        """The main material, darker or lighter."""
        return dimmed(self.main, factor)

    def other(self, texture: str, tint: tuple[int, int, int], tile: float = 0.8) -> Material:
        """A third material, different from both."""
        return Material(texture, tint, tile)


def as_tint(values: np.ndarray) -> tuple[int, int, int]:
    """Three whole numbers as a tint."""
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def dimmed(material: Material, factor: float) -> Material:
    """A material with its tint scaled."""
    red, green, blue = (int(min(255, v * factor)) for v in material.tint)
    return Material(material.texture, (red, green, blue), material.tile)


def _legs(solid: Solid, w: float, d: float, top: float, material: Material, radius=0.022, inset=0.04) -> None:
    for x in (-w / 2 + inset, w / 2 - inset):
        for y in (-d / 2 + inset, d / 2 - inset):
            solid.cylinder((x, y, top / 2), radius * 0.7, top, material, top=radius, n=10)


def sofa(size: Size, look: Look) -> Solid:
    """Arms, back, seat and back cushions, a throw pillow or two."""
    w, d, h = size
    solid = Solid()
    arm = 0.17
    solid.box((0, 0, 0.19), (w, d, 0.22), look.shade(0.92), bevel=0.03)
    solid.box((0, -d / 2 + 0.1, h / 2 + 0.05), (w, 0.2, h - 0.1), look.main, bevel=0.05)
    for x in (-w / 2 + arm / 2, w / 2 - arm / 2):
        solid.box((x, 0.0, 0.33), (arm, d, 0.5), look.main, bevel=0.05)
    _legs(solid, w, d, 0.09, look.accent, inset=0.08)
    count = 3 if w > 1.85 else 2
    seat = (w - 2 * arm) / count
    for k in range(count):
        x = -w / 2 + arm + (k + 0.5) * seat
        solid.ellipsoid((x, 0.08, 0.37), (seat / 2, d / 2 - 0.1, 0.11), look.shade(1.05), power=0.35)
        solid.ellipsoid((x, -d / 2 + 0.26, 0.60), (seat / 2 - 0.01, 0.10, 0.21), look.shade(1.0), power=0.45)
    for x in (-w / 2 + arm + 0.18, w / 2 - arm - 0.18)[: int(look.rng.integers(1, 3))]:
        solid.ellipsoid(
            (x, -d / 2 + 0.40, 0.56), (0.19, 0.07, 0.17), look.other("plaid-2", (236, 230, 214), 0.4), 8, 0.5
        )
    return solid


def armchair(size: Size, look: Look) -> Solid:
    """A sofa for one, with a rounder back."""
    w, d, h = size
    solid = Solid()
    solid.box((0, 0, 0.21), (w, d, 0.2), look.shade(0.92), bevel=0.04)
    solid.ellipsoid((0, -d / 2 + 0.12, h / 2 + 0.1), (w / 2 - 0.02, 0.13, h / 2 - 0.1), look.main, power=0.4)
    for x in (-w / 2 + 0.08, w / 2 - 0.08):
        solid.box((x, 0.02, 0.38), (0.15, d - 0.06, 0.42), look.main, bevel=0.06)
    solid.ellipsoid((0, 0.07, 0.38), (w / 2 - 0.14, d / 2 - 0.1, 0.11), look.shade(1.06), power=0.4)
    _legs(solid, w, d, 0.12, look.accent, inset=0.08)
    return solid


def chair(size: Size, look: Look) -> Solid:
    """Seat, four legs, two posts and a back of slats or a panel."""
    w, d, h = size
    solid = Solid()
    solid.box((0, 0, 0.45), (w, d, 0.04), look.main, bevel=0.015)
    _legs(solid, w, d, 0.44, look.shade(0.9), radius=0.024)
    for x in (-w / 2 + 0.03, w / 2 - 0.03):
        solid.rod((x, -d / 2 + 0.03, 0.44), (x, -d / 2 + 0.01, h), 0.02, look.shade(0.9))
    if look.rng.random() < 0.5:
        solid.box((0, -d / 2 + 0.02, h - 0.16), (w, 0.03, 0.3), look.main, bevel=0.012)
    else:
        for z in (h - 0.05, h - 0.19, h - 0.33):
            solid.box((0, -d / 2 + 0.02, z), (w, 0.025, 0.08), look.main, bevel=0.01)
    solid.rod((-w / 2 + 0.04, -d / 2 + 0.04, 0.2), (w / 2 - 0.04, -d / 2 + 0.04, 0.2), 0.012, look.shade(0.9))
    solid.rod((-w / 2 + 0.04, d / 2 - 0.04, 0.2), (w / 2 - 0.04, d / 2 - 0.04, 0.2), 0.012, look.shade(0.9))
    return solid


def office_chair(size: Size, look: Look) -> Solid:
    """A five-armed foot on castors, a column, an upholstered seat and back, arm rests."""
    w, d, h = size
    solid = Solid()
    dark = look.other("metal-1", (60, 60, 64))
    for k in range(5):
        a = 2 * np.pi * k / 5 + 0.3
        tip = (0.46 * w * np.cos(a), 0.46 * d * np.sin(a), 0.07)
        solid.rod((0, 0, 0.09), tip, 0.02, dark)
        solid.ellipsoid((tip[0], tip[1], 0.035), (0.03, 0.03, 0.035), dark, 6)
    solid.cylinder((0, 0, 0.25), 0.03, 0.34, dark)
    solid.ellipsoid((0, 0.02, 0.46), (w / 2 - 0.06, d / 2 - 0.05, 0.06), look.main, power=0.5)
    solid.ellipsoid((0, -d / 2 + 0.09, h - 0.24), (w / 2 - 0.08, 0.05, 0.25), look.main, power=0.5)
    solid.rod((0, -d / 2 + 0.12, 0.42), (0, -d / 2 + 0.07, h - 0.3), 0.025, dark)
    for x in (-w / 2 + 0.05, w / 2 - 0.05):
        solid.rod((x, -0.05, 0.45), (x, -0.05, 0.64), 0.015, dark)
        solid.box((x, 0.0, 0.65), (0.06, 0.26, 0.03), dark, bevel=0.01)
    return solid


def stool(size: Size, look: Look) -> Solid:
    """A round seat on four splayed legs with a ring."""
    w, _, h = size
    solid = Solid()
    solid.cylinder((0, 0, h - 0.03), w / 2, 0.06, look.main, n=24)
    for x in (-1, 1):
        for y in (-1, 1):
            solid.rod((0.33 * x * w, 0.33 * y * w, 0), (0.2 * x * w, 0.2 * y * w, h - 0.04), 0.017, look.shade(0.85))
    for a, b in (((-1, -1), (1, -1)), ((1, -1), (1, 1)), ((1, 1), (-1, 1)), ((-1, 1), (-1, -1))):
        solid.rod(
            (0.28 * a[0] * w, 0.28 * a[1] * w, 0.22), (0.28 * b[0] * w, 0.28 * b[1] * w, 0.22), 0.012, look.accent
        )
    return solid


def ottoman(size: Size, look: Look) -> Solid:
    """A padded cube on short feet."""
    w, d, h = size
    solid = Solid().box((0, 0, h / 2 + 0.03), (w, d, h - 0.12), look.main, bevel=0.04)
    solid.ellipsoid((0, 0, h - 0.06), (w / 2, d / 2, 0.06), look.shade(1.05), power=0.4)
    _legs(solid, w, d, 0.06, look.accent, inset=0.07)
    return solid


def bench(size: Size, look: Look) -> Solid:
    """A plank with a shelf for shoes under it."""
    w, d, h = size
    solid = Solid().box((0, 0, h - 0.025), (w, d, 0.05), look.main, bevel=0.01)
    solid.box((0, 0, 0.16), (w - 0.06, d - 0.04, 0.025), look.main)
    for x in (-w / 2 + 0.03, w / 2 - 0.03):
        solid.box((x, 0, h / 2 - 0.02), (0.04, d, h - 0.05), look.shade(0.9))
    for k in range(int(look.rng.integers(2, 5))):
        tint = as_tint(look.rng.integers(40, 220, 3))
        x = -w / 2 + 0.16 + 0.2 * k
        for dx in (-0.05, 0.05):
            solid.ellipsoid((x + dx, 0.0, 0.215), (0.04, 0.12, 0.05), look.other("leather-1", tint, 0.3), 6, 0.7)
    return solid


def dining_table(size: Size, look: Look) -> Solid:
    """A top on four legs with an apron; a bowl of fruit on it."""
    w, d, h = size
    solid = Solid().box((0, 0, h - 0.02), (w, d, 0.04), look.main, bevel=0.012)
    solid.box((0, 0, h - 0.08), (w - 0.14, d - 0.14, 0.08), look.shade(0.88))
    for x in (-w / 2 + 0.07, w / 2 - 0.07):
        for y in (-d / 2 + 0.07, d / 2 - 0.07):
            solid.box((x, y, (h - 0.04) / 2), (0.07, 0.07, h - 0.04), look.shade(0.92), bevel=0.008)
    solid.cylinder((0, 0, h + 0.035), 0.08, 0.07, look.other("ceramic", (235, 235, 230)), top=0.15, n=20)
    for k in range(5):
        a = 2 * np.pi * k / 5
        tint = [(220, 60, 40), (240, 190, 40), (90, 160, 60), (235, 130, 40), (200, 40, 60)][k]
        solid.ellipsoid(
            (0.06 * np.cos(a), 0.06 * np.sin(a), h + 0.09), (0.04, 0.04, 0.04), look.other("ceramic", tint), 6
        )
    return solid


def coffee_table(size: Size, look: Look) -> Solid:
    """A low top, a shelf under it, magazines."""
    w, d, h = size
    solid = Solid().box((0, 0, h - 0.02), (w, d, 0.04), look.main, bevel=0.012)
    solid.box((0, 0, 0.14), (w - 0.1, d - 0.1, 0.025), look.shade(0.9))
    _legs(solid, w, d, h - 0.02, look.shade(0.9), radius=0.03, inset=0.06)
    for k in range(3):
        tint = as_tint(look.rng.integers(60, 240, 3))
        x = float(look.rng.uniform(-w / 4, w / 4))
        solid.box((x, 0.02 * k, h + 0.01 + 0.02 * k), (0.24, 0.18, 0.02), look.other("books-1", tint, 0.4))
    return solid


def desk(size: Size, look: Look) -> Solid:
    """A top with a drawer block on one side and legs on the other; papers and a mug."""
    w, d, h = size
    solid = Solid().box((0, 0, h - 0.02), (w, d, 0.04), look.main, bevel=0.01)
    solid.box((-w / 2 + 0.2, -0.02, h / 2 - 0.02), (0.36, d - 0.08, h - 0.06), look.shade(0.94))
    for k in range(3):
        z = h - 0.14 - 0.2 * k
        solid.box((-w / 2 + 0.2, d / 2 - 0.06, z), (0.32, 0.02, 0.17), look.shade(1.04), bevel=0.006)
        solid.box((-w / 2 + 0.2, d / 2 - 0.045, z), (0.1, 0.02, 0.015), look.other("metal-1", (90, 90, 94)))
    for y in (-d / 2 + 0.05, d / 2 - 0.05):
        solid.box((w / 2 - 0.05, y, h / 2 - 0.02), (0.05, 0.05, h - 0.04), look.shade(0.9))
    solid.box((w / 2 - 0.25, 0.06, h + 0.004), (0.21, 0.29, 0.008), look.other("picture-3", (250, 250, 250), 0.3))
    solid.cylinder((w / 2 - 0.12, -0.12, h + 0.05), 0.04, 0.1, look.other("ceramic", (200, 70, 60)), n=12)
    return solid


def bed(size: Size, look: Look) -> Solid:
    """Frame, headboard at the back, mattress, blanket in the named colour, pillows."""
    w, d, h = size
    wood = look.accent
    solid = Solid().box((0, 0.02, 0.2), (w, d - 0.04, 0.2), wood, bevel=0.02)
    solid.box((0, -d / 2 + 0.04, h / 2), (w, 0.08, h), look.shade(0.95), bevel=0.03)
    _legs(solid, w, d, 0.11, wood, radius=0.035, inset=0.07)
    linen = look.other("fabric-1", (244, 242, 236), 0.6)
    solid.box((0, 0.04, 0.38), (w - 0.06, d - 0.14, 0.2), linen, bevel=0.05)
    solid.box((0, 0.28, 0.41), (w + 0.02, d - 0.58, 0.24), look.main, bevel=0.06)
    solid.ellipsoid((0, d / 2 - 0.42, 0.535), (w / 2 - 0.05, 0.25, 0.05), look.shade(1.06), power=0.4)
    count = 2 if w > 1.2 else 1
    for k in range(count):
        x = (k - (count - 1) / 2) * w * 0.46
        solid.ellipsoid((x, -d / 2 + 0.30, 0.53), (w * 0.2, 0.19, 0.09), linen, power=0.5)
        solid.ellipsoid((x, -d / 2 + 0.42, 0.58), (w * 0.15, 0.12, 0.08), look.shade(1.0), 8, power=0.5)
    return solid


def crib(size: Size, look: Look) -> Solid:
    """Bars all around a small mattress."""
    w, d, h = size
    solid = Solid().box(
        (0, 0, 0.32), (w - 0.06, d - 0.06, 0.14), look.other("plaid-1", (240, 236, 220), 0.5), bevel=0.03
    )
    for x in (-w / 2 + 0.025, w / 2 - 0.025):
        for z in (0.22, h - 0.03):
            solid.box((x, 0, z), (0.05, d, 0.06), look.main)
        for y in np.linspace(-d / 2 + 0.1, d / 2 - 0.1, 10):
            solid.cylinder((x, float(y), (0.22 + h) / 2), 0.013, h - 0.24, look.main, n=8)
    for y in (-d / 2 + 0.025, d / 2 - 0.025):
        solid.box((0, y, (0.2 + h) / 2), (w, 0.04, h - 0.2), look.main, bevel=0.015)
    _legs(solid, w, d, 0.25, look.main, radius=0.03)
    solid.ellipsoid((0, -d / 2 + 0.25, 0.44), (0.2, 0.13, 0.06), look.other("fabric-1", (246, 244, 238), 0.5), 8, 0.5)
    return solid


def nightstand(size: Size, look: Look) -> Solid:
    """A small cabinet with two drawers."""
    return _drawers(size, look, rows=2, columns=1)


def dresser(size: Size, look: Look) -> Solid:
    """A chest of drawers."""
    return _drawers(size, look, rows=3, columns=2)


def tv_stand(size: Size, look: Look) -> Solid:
    """A low, wide cabinet."""
    return _drawers(size, look, rows=1, columns=3)


def _drawers(size: Size, look: Look, rows: int, columns: int) -> Solid:
    w, d, h = size
    solid = Solid().box((0, -0.01, h / 2 + 0.02), (w - 0.02, d - 0.03, h - 0.08), look.shade(0.88))
    solid.box((0, 0, h - 0.015), (w, d, 0.03), look.main, bevel=0.008)
    _legs(solid, w, d, 0.07, look.accent, radius=0.022)
    knob = look.other("metal-1", (190, 170, 110))
    cell_w, cell_h = (w - 0.04) / columns, (h - 0.12) / rows
    for c in range(columns):
        for r in range(rows):
            x, z = -w / 2 + 0.02 + (c + 0.5) * cell_w, 0.08 + (r + 0.5) * cell_h
            solid.box((x, d / 2 - 0.02, z), (cell_w - 0.015, 0.025, cell_h - 0.015), look.main, bevel=0.006)
            solid.ellipsoid((x, d / 2 + 0.002, z), (0.016, 0.014, 0.016), knob, 6)
    return solid


def wardrobe(size: Size, look: Look) -> Solid:
    """Doors with panels and handles up to above a person's head."""
    w, d, h = size
    solid = Solid().box((0, -0.01, h / 2), (w, d - 0.02, h), look.shade(0.94))
    solid.box((0, 0, h - 0.03), (w + 0.02, d + 0.02, 0.06), look.main, bevel=0.015)
    count = 3 if w > 1.5 else 2
    width = w / count
    for k in range(count):
        x = -w / 2 + (k + 0.5) * width
        solid.box((x, d / 2 - 0.01, h / 2), (width - 0.015, 0.025, h - 0.18), look.main, bevel=0.006)
        for z, tall in ((h * 0.72, h * 0.36), (h * 0.28, h * 0.36)):
            solid.box((x, d / 2 + 0.004, z), (width - 0.14, 0.012, tall), look.shade(0.9), bevel=0.005)
        handle = x + (width / 2 - 0.05) * (1 if k % 2 == 0 else -1)
        solid.rod(
            (handle, d / 2 + 0.03, h * 0.45),
            (handle, d / 2 + 0.03, h * 0.55),
            0.01,
            look.other("metal-1", (70, 70, 74)),
        )
    return solid


def bookshelf(size: Size, look: Look) -> Solid:
    """A case with shelves full of books."""
    w, d, h = size
    solid = Solid()
    side = 0.03
    solid.box((0, -d / 2 + 0.01, h / 2), (w, 0.02, h), look.shade(0.8))
    for x in (-w / 2 + side / 2, w / 2 - side / 2):
        solid.box((x, 0, h / 2), (side, d, h), look.main)
    shelves = max(3, round(h / 0.36))
    gap = (h - 0.04) / shelves
    for k in range(shelves + 1):
        solid.box((0, 0, 0.02 + k * gap), (w - 2 * side, d, 0.03), look.main)
    for k in range(shelves):
        _books(solid, look, -w / 2 + side, w / 2 - side, 0.04 + k * gap, gap - 0.05, d)
    return solid


def _books(solid: Solid, look: Look, x0: float, x1: float, z: float, room: float, depth: float) -> None:
    x = x0 + float(look.rng.uniform(0.0, 0.05))
    end = x1 - float(look.rng.uniform(0.0, 0.35)) * (x1 - x0)
    while True:
        width, tall = float(look.rng.uniform(0.025, 0.06)), float(look.rng.uniform(0.65, 0.97)) * room
        if x + width > end:
            return
        tint = as_tint(look.rng.integers(50, 240, 3))
        solid.box(
            (x + width / 2, 0.02, z + tall / 2),
            (width - 0.003, depth * 0.72, tall),
            look.other("stripes-2", tint, 0.35),
        )
        x += width


def toy_box(size: Size, look: Look) -> Solid:
    """An open box with balls and blocks in it."""
    w, d, h = size
    solid = Solid()
    for x in (-w / 2 + 0.015, w / 2 - 0.015):
        solid.box((x, 0, h / 2), (0.03, d, h), look.main)
    for y in (-d / 2 + 0.015, d / 2 - 0.015):
        solid.box((0, y, h / 2), (w, 0.03, h), look.main)
    solid.box((0, 0, h * 0.35), (w - 0.05, d - 0.05, h * 0.6), look.shade(0.7))
    for _ in range(7):
        x, y = look.rng.uniform(-w / 2 + 0.1, w / 2 - 0.1), look.rng.uniform(-d / 2 + 0.1, d / 2 - 0.1)
        tint = as_tint(look.rng.integers(40, 250, 3))
        r = float(look.rng.uniform(0.05, 0.08))
        solid.ellipsoid((float(x), float(y), h * 0.65 + r), (r, r, r), look.other("plaid-1", tint, 0.2), 8)
    return solid


def piano(size: Size, look: Look) -> Solid:
    """An upright piano with its keys."""
    w, d, h = size
    solid = Solid().box((0, -d / 2 + 0.15, h / 2), (w, 0.3, h), look.main, bevel=0.01)
    solid.box((0, 0.0, 0.66), (w, d, 0.1), look.main, bevel=0.01)
    solid.box((0, 0.14, 0.722), (w - 0.12, 0.2, 0.02), look.other("ceramic", (245, 244, 238)))
    for k in range(24):
        if k % 7 not in (2, 6):
            solid.box(
                (-w / 2 + 0.1 + (k + 0.5) * (w - 0.2) / 24, 0.10, 0.738),
                (0.015, 0.11, 0.02),
                look.other("plain", (30, 30, 32)),
            )
    for x in (-w / 2 + 0.05, w / 2 - 0.05):
        solid.box((x, d / 2 - 0.06, 0.31), (0.08, 0.08, 0.62), look.main)
    solid.box((0, 0.02, 1.0), (0.4, 0.02, 0.26), look.other("picture-5", (250, 250, 245), 0.4))
    return solid
