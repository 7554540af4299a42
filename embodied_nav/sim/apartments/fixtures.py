"""Shapes of kitchen and bathroom fixtures, lights, plants, screens and wall decoration. Knows nothing of placement.

Makers as in :mod:`.furniture`; things that hang on a wall have their lower edge at z = 0 and are lifted when placed.
"""

from __future__ import annotations

import numpy as np

from .furniture import Look, Size, as_tint
from .shapes import Material, Solid

_STEEL = Material("metal-1", (205, 207, 210), 0.6)
_DARK = Material("metal-1", (52, 52, 56), 0.6)
_WORKTOP = Material("granite-1", (214, 206, 196), 0.8)


def lamp(size: Size, look: Look) -> Solid:
    """A floor or table lamp by its height: foot, pole, shade in the named colour."""
    w, _, h = size
    tall = 0.36 if h > 1.0 else 0.24
    solid = Solid().cylinder((0, 0, 0.015), w * 0.36, 0.03, look.shade(0.8), n=20)
    solid.cylinder((0, 0, (h - tall) / 2), 0.016 if h > 1.0 else 0.03, h - tall, look.shade(0.85), n=10)
    solid.cylinder((0, 0, h - tall / 2), w / 2, tall, look.main, top=w * 0.32, n=24)
    return solid


def plant(size: Size, look: Look) -> Solid:
    """A pot of earth, stems, and a crown of leaf blobs."""
    w, _, h = size
    rng = look.rng
    pot = look.other("ceramic", [(196, 110, 74), (236, 232, 224), (96, 98, 104)][int(rng.integers(3))])
    r = 0.36 * w
    solid = Solid().cylinder((0, 0, 0.15), r * 0.75, 0.30, pot, top=r, n=20)
    solid.cylinder((0, 0, 0.295), r * 0.92, 0.02, look.other("granite-1", (80, 58, 40)), n=16)
    for k in range(14):
        a, lift = 2.4 * k, 0.15 + 0.85 * (k + 0.5) / 14
        reach = w * 0.34 * (1.15 - 0.75 * lift)
        tip = np.array([reach * np.cos(a), reach * np.sin(a), 0.32 + (h - 0.45) * lift])
        solid.rod((0, 0, 0.28), tip, 0.008, look.shade(0.7), n=5)
        radii = (w * 0.15, w * 0.15, w * 0.10 + 0.03)
        solid.ellipsoid(np.minimum(tip, (9, 9, h - radii[2])), radii, look.shade(float(rng.uniform(0.8, 1.15))), 6)
    return solid


def tv(size: Size, look: Look) -> Solid:
    """A flat set on a foot."""
    w, d, h = size
    solid = Solid().box((0, 0, h / 2 + 0.04), (w, 0.05, h - 0.08), look.main, bevel=0.008)
    x, y, z0, z1 = w / 2 - 0.015, 0.027, 0.095, h - 0.015
    solid.quad([(x, y, z0), (-x, y, z0), (-x, y, z1), (x, y, z1)], Material("screen-1"), whole=True)
    solid.box((0, 0, 0.01), (w * 0.35, d, 0.02), look.main)
    solid.box((0, -0.02, 0.05), (0.1, 0.04, 0.1), look.main)
    return solid


def computer(size: Size, look: Look) -> Solid:
    """A monitor, its keyboard in front of it."""
    w, d, h = size
    solid = Solid().box((0, -0.02, h * 0.62), (w, 0.04, h * 0.74), look.main, bevel=0.008)
    x, y, z0, z1 = w / 2 - 0.015, 0.002, h * 0.28, h * 0.96
    solid.quad([(x, y, z0), (-x, y, z0), (-x, y, z1), (x, y, z1)], Material("screen-2"), whole=True)
    solid.cylinder((0, -0.04, 0.01), 0.1, 0.02, look.main, n=16)
    solid.box((0, -0.05, h * 0.2), (0.05, 0.03, h * 0.35), look.main)
    solid.box((0, d / 2 + 0.06, 0.012), (w * 0.75, 0.13, 0.02), look.shade(0.9))
    for r in range(3):
        for k in range(11):
            at = (-w * 0.33 + k * w * 0.066, d / 2 + 0.02 + 0.035 * r, 0.026)
            solid.box(at, (w * 0.052, 0.026, 0.01), look.other("plain", (215, 215, 218)))
    return solid


def kitchen_counter(size: Size, look: Look) -> Solid:
    """A base unit with doors and a stone worktop."""
    w, d, h = size
    solid = Solid().box((0, -0.02, 0.05), (w, d - 0.1, 0.1), look.shade(0.6))
    solid.box((0, -0.01, 0.48), (w, d - 0.03, 0.76), look.shade(0.9))
    solid.box((0, 0, h - 0.02), (w, d, 0.04), _WORKTOP)
    count = max(1, round(w / 0.5))
    for k in range(count):
        x, width = -w / 2 + (k + 0.5) * w / count, w / count
        solid.box((x, d / 2 - 0.02, 0.46), (width - 0.012, 0.02, 0.70), look.main, bevel=0.005)
        solid.rod((x - 0.07, d / 2 + 0.01, 0.77), (x + 0.07, d / 2 + 0.01, 0.77), 0.008, _STEEL, n=6)
    return solid


def wall_cupboard(width: float, look: Look) -> Solid:
    """Upper kitchen cupboards; they belong to the counter under them. Lower edge at z = 0."""
    solid = Solid().box((0, 0, 0.3), (width, 0.32, 0.6), look.shade(0.92))
    count = max(1, round(width / 0.5))
    for k in range(count):
        x = -width / 2 + (k + 0.5) * width / count
        solid.box((x, 0.165, 0.3), (width / count - 0.012, 0.02, 0.58), look.main, bevel=0.005)
        solid.rod((x - 0.05, 0.185, 0.06), (x + 0.05, 0.185, 0.06), 0.007, _STEEL, n=6)
    return solid


def oven(size: Size, look: Look) -> Solid:
    """A free-standing cooker: hob with rings, knobs, a door with a window."""
    w, d, h = size
    solid = Solid().box((0, 0, h / 2 - 0.01), (w, d - 0.02, h - 0.04), look.main, bevel=0.01)
    solid.box((0, 0, h - 0.015), (w, d, 0.03), _DARK)
    for x in (-0.14, 0.14):
        for y in (-0.13, 0.13):
            solid.cylinder(
                (x, y, h + 0.004), 0.09 if x * y > 0 else 0.07, 0.01, look.other("metal-1", (120, 50, 40)), n=20
            )
            solid.cylinder((x, y, h + 0.01), 0.05, 0.012, _DARK, n=16)
    front = d / 2 - 0.005
    for k in range(5):
        solid.cylinder((-0.2 + 0.1 * k, front, h - 0.11), 0.022, 0.03, _STEEL, axis=1, n=12)
    solid.box((0, front, 0.42), (w - 0.1, 0.02, 0.42), _DARK, bevel=0.008)
    solid.box((0, front + 0.011, 0.42), (w - 0.2, 0.004, 0.26), Material("screen-3", (255, 170, 110), 0.5))
    solid.rod((-w / 2 + 0.08, front + 0.05, 0.68), (w / 2 - 0.08, front + 0.05, 0.68), 0.012, _STEEL)
    return solid


def sink(size: Size, look: Look) -> Solid:
    """A base unit in steel with a basin, a draining board and a tap."""
    w, d, h = size
    solid = Solid().box((0, -0.01, h / 2 - 0.05), (w, d - 0.03, h - 0.1), look.main)
    for x in (-w / 4, w / 4):
        solid.box((x, d / 2 - 0.02, 0.45), (w / 2 - 0.012, 0.02, 0.7), look.shade(1.06), bevel=0.005)
    solid.box((0, 0, h - 0.02), (w, d, 0.04), look.main)
    rim = look.shade(1.2)
    solid.box((-w / 5, 0, h + 0.005), (0.42, 0.4, 0.02), rim, bevel=0.008)
    solid.box((-w / 5, 0, h + 0.012), (0.35, 0.33, 0.01), look.shade(0.45))
    for k in range(6):
        solid.box((0.1 + 0.045 * k, 0, h + 0.006), (0.014, 0.36, 0.012), rim)
    solid.rod((-w / 5, -0.24, h), (-w / 5, -0.24, h + 0.26), 0.014, rim)
    solid.rod((-w / 5, -0.24, h + 0.26), (-w / 5, -0.06, h + 0.22), 0.012, rim)
    return solid


def refrigerator(size: Size, look: Look) -> Solid:
    """Two doors with long handles, a few magnets and notes."""
    w, d, h = size
    solid = Solid().box((0, -0.02, h / 2), (w, d - 0.05, h), look.shade(0.92), bevel=0.012)
    for z0, z1 in ((0.06, h * 0.36), (h * 0.36 + 0.01, h - 0.01)):
        solid.box((0, d / 2 - 0.03, (z0 + z1) / 2), (w - 0.01, 0.05, z1 - z0), look.main, bevel=0.015)
        solid.rod(
            (-w / 2 + 0.07, d / 2 + 0.02, z0 + 0.1),
            (-w / 2 + 0.07, d / 2 + 0.02, min(z1, z0 + 0.7) - 0.1),
            0.012,
            _STEEL,
        )
    for k in range(3):
        tint = as_tint(look.rng.integers(90, 255, 3))
        x, z = float(look.rng.uniform(-0.1, 0.2)), h * 0.55 + 0.16 * k
        solid.box((x, d / 2 - 0.002, z), (0.09, 0.006, 0.11), look.other("picture-4", tint, 0.12))
    return solid


def microwave(size: Size, look: Look) -> Solid:
    """A box with a dark window and a panel of buttons."""
    w, d, h = size
    solid = Solid().box((0, 0, h / 2), (w, d, h), look.main, bevel=0.012)
    solid.box((-0.05, d / 2, h / 2), (w - 0.16, 0.008, h - 0.07), _DARK)
    for k in range(4):
        solid.box((w / 2 - 0.06, d / 2, 0.06 + 0.05 * k), (0.06, 0.01, 0.03), _STEEL)
    return solid


def toilet(size: Size, look: Look) -> Solid:
    """Cistern at the back, bowl, seat."""
    w, d, h = size
    solid = Solid().box((0, -d / 2 + 0.09, h - 0.19), (w, 0.18, 0.38), look.main, bevel=0.025)
    solid.box((0, -d / 2 + 0.09, h), (w + 0.01, 0.19, 0.025), look.shade(0.96), bevel=0.008)
    solid.cylinder((0, 0.02, 0.19), w * 0.33, 0.38, look.shade(0.97), top=w * 0.40, n=20)
    solid.ellipsoid((0, 0.1, 0.36), (w * 0.48, d * 0.34, 0.07), look.main, power=0.6)
    solid.ellipsoid((0, 0.1, 0.42), (w * 0.47, d * 0.33, 0.025), look.other("ceramic", (222, 222, 218)), power=0.5)
    solid.cylinder((0, -d / 2 + 0.09, h + 0.018), 0.025, 0.02, _STEEL, n=12)
    return solid


def bathtub(size: Size, look: Look) -> Solid:
    """Panels around, a rim, the hollow, a tap at one end."""
    w, d, h = size
    rim = 0.08
    solid = Solid()
    for y in (-d / 2 + rim / 2, d / 2 - rim / 2):
        solid.box((0, y, h / 2), (w, rim, h), look.main, bevel=0.025)
    for x in (-w / 2 + rim / 2, w / 2 - rim / 2):
        solid.box((x, 0, h / 2), (rim, d, h), look.main, bevel=0.025)
    solid.box((0, 0, 0.08), (w - rim, d - rim, 0.14), look.shade(0.9))
    water = Material("marble-1", (170, 214, 232), 1.0)
    solid.quad(
        [
            (-w / 2, -d / 2 + rim, 0.34),
            (w / 2, -d / 2 + rim, 0.34),
            (w / 2, d / 2 - rim, 0.34),
            (-w / 2, d / 2 - rim, 0.34),
        ],
        water,
    )
    solid.rod((-w / 2 + 0.05, 0, h), (-w / 2 + 0.05, 0, h + 0.16), 0.018, _STEEL)
    solid.rod((-w / 2 + 0.05, 0, h + 0.15), (-w / 2 + 0.2, 0, h + 0.11), 0.015, _STEEL)
    return solid


def washbasin(size: Size, look: Look) -> Solid:
    """A basin on a pedestal with a tap."""
    w, d, h = size
    solid = Solid().cylinder((0, -0.08, h / 2 - 0.06), 0.12, h - 0.12, look.shade(0.95), top=0.09, n=16)
    solid.box((0, 0, h - 0.08), (w, d, 0.15), look.main, bevel=0.05)
    solid.ellipsoid((0, 0.03, h - 0.02), (w * 0.38, d * 0.34, 0.03), look.shade(0.82))
    solid.rod((0, -d / 2 + 0.06, h - 0.01), (0, -d / 2 + 0.06, h + 0.14), 0.014, _STEEL)
    solid.rod((0, -d / 2 + 0.06, h + 0.13), (0, -0.04, h + 0.09), 0.012, _STEEL)
    return solid


def washing_machine(size: Size, look: Look) -> Solid:
    """A round door, a panel with a dial."""
    w, d, h = size
    solid = Solid().box((0, 0, h / 2), (w, d - 0.04, h), look.main, bevel=0.015)
    front = d / 2 - 0.02
    solid.cylinder((0, front, h * 0.45), 0.20, 0.04, _STEEL, axis=1, n=28)
    solid.cylinder((0, front + 0.02, h * 0.45), 0.155, 0.02, _DARK, axis=1, n=28)
    solid.box((-0.14, front, h - 0.08), (0.22, 0.012, 0.08), look.shade(0.8))
    solid.cylinder((0.14, front, h - 0.08), 0.035, 0.03, _DARK, axis=1, n=16)
    return solid


def laundry_basket(size: Size, look: Look) -> Solid:
    """A round basket with bands under a bulging cloth."""
    w, _, h = size
    solid = Solid().cylinder((0, 0, h / 2 - 0.02), w * 0.42, h - 0.04, look.main, top=w * 0.48, n=24)
    for z in (0.1, h * 0.5, h - 0.06):
        solid.cylinder((0, 0, z), w * (0.43 + 0.06 * z / h), 0.03, look.shade(0.8), n=24)
    solid.ellipsoid((0.0, 0, h - 0.06), (w * 0.46, w * 0.46, 0.06), look.shade(1.1), 8)
    return solid


def trash_can(size: Size, look: Look) -> Solid:
    """A bin with a rounded lid and a pedal."""
    w, _, h = size
    solid = Solid().cylinder((0, 0, (h - 0.08) / 2), w * 0.42, h - 0.08, look.main, top=w * 0.48, n=20)
    solid.cylinder((0, 0, h - 0.075), w * 0.5, 0.03, look.shade(0.8), n=20)
    solid.ellipsoid((0, 0, h - 0.065), (w * 0.46, w * 0.46, 0.065), look.shade(0.95), 8)
    solid.box((0, w * 0.46, 0.02), (0.08, 0.06, 0.015), _DARK)
    return solid


def mirror(size: Size, look: Look) -> Solid:
    """A frame around a pale glass."""
    return _framed(size, look, Material("view-9", (214, 222, 228)))


def picture(size: Size, look: Look) -> Solid:
    """A frame around one of a dozen paintings."""
    return _framed(size, look, Material(f"picture-{look.rng.integers(12)}"))


def _framed(size: Size, look: Look, face: Material) -> Solid:
    w, d, h = size
    bar = 0.045
    solid = Solid()
    for x in (-w / 2 + bar / 2, w / 2 - bar / 2):
        solid.box((x, 0, h / 2), (bar, d, h), look.main, bevel=0.008)
    for z in (bar / 2, h - bar / 2):
        solid.box((0, 0, z), (w, d, bar), look.main, bevel=0.008)
    x, y = w / 2 - bar, 0.0
    return solid.quad([(x, y, bar), (-x, y, bar), (-x, y, h - bar), (x, y, h - bar)], face, whole=True)


def curtain(size: Size, look: Look) -> Solid:
    """Hanging folds."""
    w, _, h = size
    solid = Solid()
    folds = 5
    for k in range(folds):
        x = -w / 2 + (k + 0.5) * w / folds
        solid.cylinder((x, 0, h / 2), w / folds * 0.62, h, look.shade(1.0 if k % 2 else 0.9), n=10)
    return solid


def rug(size: Size, look: Look) -> Solid:
    """A flat mat that shows its pattern once."""
    w, d, h = size
    x, y = w / 2, d / 2
    solid = Solid().quad([(-x, -y, h), (x, -y, h), (x, y, h), (-x, y, h)], look.main, whole=True)
    for a, b in (((-x, -y), (x, -y)), ((x, -y), (x, y)), ((x, y), (-x, y)), ((-x, y), (-x, -y))):
        solid.quad([(*a, 0), (*b, 0), (*b, h), (*a, h)], look.main)
    return solid
