"""Generates furnished apartments by seed; the same seed gives bit-identical triangles. Knows nothing of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...config import Config, param
from ...errors import InputError
from ..mesh import SceneDescription
from .catalog import CATEGORIES, COLORS, CategoryInfo

if TYPE_CHECKING:
    from .layout import Plan

_ATTEMPTS = 20


@dataclass(frozen=True)
class ApartmentConfig(Config):
    """Size of apartments, and what furniture stands in them."""

    rooms_min: int = param(3, "fewest rooms", low=3, high=15)
    rooms_max: int = param(8, "most rooms", low=3, high=15)
    apartments: int = param(1, "apartments of so many rooms along one corridor, as one building", low=1, high=12)
    furniture: str = param(
        "",
        "models of real furniture: folder of .sh3f files, one of them, or a saved .npz; empty: own shapes",
        path=True,
    )
    furniture_share: float = param(0.8, "share of things that become such models where one fits", low=0.0, high=1.0)
    furniture_split: str = param("all", "which models", choices=("all", "train", "held_out"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rooms_min > self.rooms_max:
            raise InputError(f"rooms_min = {self.rooms_min} is above rooms_max = {self.rooms_max}; swap them")


#: Size classes of buildings by the prefix of their names: "large-1003".
CLASSES: dict[str, ApartmentConfig] = {
    "": ApartmentConfig(),
    "large": ApartmentConfig(rooms_min=8, rooms_max=15),
    "building": ApartmentConfig(rooms_min=8, rooms_max=12, apartments=6),
}


def named(name: str) -> tuple[int, ApartmentConfig]:
    """(seed, settings) of a building's name: its seed ("1003"), or a size class and the seed ("large-1003").

    Raises:
        InputError: it is neither.
    """
    prefix, _, seed = name.rpartition("-")
    if prefix in CLASSES and seed.isascii() and seed.isdigit():
        return int(seed), CLASSES[prefix]
    classes = ", ".join(f"{c}-1003" for c in CLASSES if c)
    raise InputError(f"scene '{name}': give an apartment's seed (1003), or one of a size class ({classes})")


def generate(seed: int, config: ApartmentConfig | None = None) -> SceneDescription:
    """The apartment of a seed: mesh, objects, rooms; every room can be driven to.

    Args:
        seed: 0 or above.
        config: how many rooms; models of real furniture. These stand in the same rooms, in the places of the same
            things, as without.

    Returns:
        A scene whose floor is at z = 0. Above 2.2 m there are only walls and the ceiling, so that a view from above can
        be cut off there.

    Raises:
        InputError: a negative seed, one for which generation fails (never observed), or furniture that cannot be read.
    """
    config = ApartmentConfig() if config is None else config
    return _refurnished(_built(seed, config)[1], seed, config)


def floor_plan(seed: int, config: ApartmentConfig | None = None) -> Plan:
    """The plan of the apartment that :func:`generate` gives for the same arguments.

    Raises:
        InputError: as :func:`generate`.
    """
    return _built(seed, ApartmentConfig() if config is None else config)[0]


def with_furniture(plan: Plan, rng: np.random.Generator) -> SceneDescription:
    """A plan with furniture drawn anew; it is not checked whether every room can be reached."""
    from ..interface import Room
    from .furnish import Furnisher
    from .rooms import add_rivals, furnish_room
    from .shapes import MeshBuilder
    from .structure import build_structure

    builder = MeshBuilder()
    build_structure(builder, plan, rng)
    furnisher = Furnisher(plan, builder, rng)
    for index in range(len(plan.rooms)):
        furnish_room(furnisher, index)
    add_rivals(furnisher)
    rooms = tuple(Room(i, kind, (plan.rooms[i],)) for i, kind in enumerate(plan.kinds))
    return SceneDescription(builder.build(), tuple(furnisher.objects), rooms)


def _built(seed: int, config: ApartmentConfig) -> tuple[Plan, SceneDescription]:
    """Plan and scene, with furniture of own shapes."""
    from .building import make_building
    from .layout import make_plan

    if seed < 0:
        raise InputError(f"apartment seed {seed} is negative; give 0 or above")
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([int(seed), attempt])
        sizes = config.rooms_min, config.rooms_max
        plan = make_plan(rng, *sizes) if config.apartments == 1 else make_building(rng, config.apartments, *sizes)
        scene = with_furniture(plan, rng)
        if _every_room_reachable(scene):
            return plan, scene
    raise InputError(f"apartment {seed}: no floor plan came out with every room reachable; try another seed")


def _refurnished(scene: SceneDescription, seed: int, config: ApartmentConfig) -> SceneDescription:
    """The apartment with models of real furniture, where the settings name any."""
    if not config.furniture:
        return scene
    from ..furniture import open_library, with_real_furniture

    library = open_library(config.furniture)
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([int(seed), attempt, 8])
        furnished = with_real_furniture(scene, library, config.furniture_share, config.furniture_split, rng)
        if _every_room_reachable(furnished):
            return furnished
    raise InputError(f"apartment {seed}: real furniture left no way into every room; try another seed or a lower share")


def _every_room_reachable(scene: SceneDescription) -> bool:
    """Whether a robot gets into every room and nearly everywhere within it."""
    from ..navigable import NavigableMap

    navigable = NavigableMap(scene)
    roomy = navigable.clearance >= navigable.robot.footprint_radius
    for room in scene.rooms:
        x0, y0, x1, y1 = room.rectangles[0]
        (r0, c0), (r1, c1) = navigable.cell((x0, y0)), navigable.cell((x1, y1))
        reached = int(navigable.free[r0 : r1 + 1, c0 : c1 + 1].sum())
        area = reached * navigable.resolution**2
        if area < 1.0 or reached < 0.9 * int(roomy[r0 : r1 + 1, c0 : c1 + 1].sum()):
            return False
    return True


__all__ = [
    "CATEGORIES",
    "CLASSES",
    "COLORS",
    "ApartmentConfig",
    "CategoryInfo",
    "floor_plan",
    "generate",
    "named",
    "with_furniture",
]
