"""Furnishes each kind of room. Knows nothing of how pieces are shaped or kept apart."""

from __future__ import annotations

import math

from .catalog import CATEGORIES, drawn_size
from .fixtures import wall_cupboard
from .furnish import SIDE_YAW, Floor, Furnisher, at_wall, footprint, from_piece


def furnish_room(f: Furnisher, index: int) -> None:
    """Furnishes one room, then hangs pictures and curtains."""
    floor = f.floor(index)
    RECIPES[floor.kind](f, floor)
    _curtains(f, floor)
    for _ in range(3 if max(floor.size) > 3.5 else 2):
        if floor.kind not in ("bathroom", "laundry room", "kitchen"):
            f.hang(floor, "picture", 1.55)


def add_rivals(f: Furnisher, wanted: int = 4) -> None:
    """Adds pieces until at least ``wanted`` categories occur in two colours, so that "the red one" is meaningful."""
    movable = ("armchair", "lamp", "trash can", "dresser", "stool", "ottoman", "bookshelf", "laundry basket", "chair")
    for _ in range(24):
        colors: dict[str, set[str]] = {}
        for piece in f.objects:
            colors.setdefault(piece.category, set()).add(piece.color)
        if sum(len(c) > 1 for category, c in colors.items() if CATEGORIES[category].goal) >= wanted:
            return
        single = [c for c in movable if len(colors.get(c, ())) == 1]
        category = single[int(f.rng.integers(len(single)))] if single else "lamp"
        fresh = [c for c in CATEGORIES[category].colors if c not in colors.get(category, ())]
        floors = [floor for floor in f.floors if floor.kind in CATEGORIES[category].rooms]
        if fresh and floors:
            floor = floors[int(f.rng.integers(len(floors)))]
            f.against(floor, category, color=fresh[int(f.rng.integers(len(fresh)))], front=0.2)


def _rug(f: Furnisher, floor: Floor, x: float, y: float, yaw: float, share: float = 0.8) -> None:
    if f.rng.random() > share:
        return
    w, d, h = drawn_size("rug", f.rng)
    box = footprint(x, y, yaw, w, d)
    x0, y0, x1, y1 = floor.rectangle
    shrink = min(1.0, 2 * min(x - x0, x1 - x) / (box[2] - box[0]), 2 * min(y - y0, y1 - y) / (box[3] - box[1])) * 0.98
    if shrink > 0.55:
        f.put(floor, "rug", x, y, yaw, (w * shrink, d * shrink, h))


def _curtains(f: Furnisher, floor: Floor) -> None:
    if floor.kind not in ("living room", "bedroom"):
        return
    color = f.color("curtain")
    for side, low, high, _ in floor.windows:
        w, d, h = 0.34, 0.11, 2.05
        for along in (low - 0.2, high + 0.2):
            x, y, yaw = at_wall(floor, side, along, d, gap=0.035)
            box = footprint(x, y, yaw, w, d)
            inside = floor.rectangle[1 - side % 2] + 0.2 < along < floor.rectangle[3 - side % 2] - 0.2
            if inside and f.fits(floor, box):
                floor.boxes.append(box)
                f.put(floor, "curtain", x, y, yaw, (w, d, h), color, z=0.12)


def _table_lamp(f: Furnisher, floor: Floor, piece, dx: float = 0.0) -> None:
    w = float(f.rng.uniform(0.24, 0.3))
    f.on_top(floor, piece, "lamp", (w, w, float(f.rng.uniform(0.42, 0.52))), dx=dx)


def _chairs(f: Furnisher, floor: Floor, table, color: str, most: int) -> None:
    """Chairs around a table, facing it, a little pushed in."""
    w, d, _ = table.extent
    places = [(dx, side) for dx in ((-w / 4, w / 4) if w > 1.3 else (0.0,)) for side in (1, -1)]
    slots = [(dx, s * (d / 2 + 0.14), math.pi if s > 0 else 0.0) for dx, s in places]
    slots += [(s * (w / 2 + 0.14), 0.0, s * math.pi / 2) for s in (1, -1)]
    placed = 0
    for dx, dy, turn in slots:
        if placed >= most:
            return
        x, y = from_piece(table, dx, dy)
        yaw = table.yaw + turn
        box = footprint(x, y, yaw, 0.45, 0.48)
        others = [b for b in floor.boxes if b != floor_box(table)]
        kept, floor.boxes = floor.boxes, others
        fine = f.fits(floor, box) and f.passable(floor, _union(box, floor_box(table)))
        floor.boxes = kept
        if fine:
            floor.boxes.append(box)
            jitter = float(f.rng.uniform(-0.12, 0.12))
            f.put(floor, "chair", x, y, yaw + jitter, color=color)
            placed += 1


def floor_box(piece):
    """The box that a piece occupies on the floor."""
    return footprint(piece.center[0], piece.center[1], piece.yaw, piece.extent[0], piece.extent[1])


def _union(a, b):
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _dining(f: Furnisher, floor: Floor, size=None, most: int = 6) -> None:
    """A table in the free middle of the floor with chairs around it."""
    sizes = [drawn_size("dining table", f.rng) if size is None else size, (1.2, 0.8, 0.75), (0.9, 0.75, 0.75)]
    x0, y0, x1, y1 = floor.rectangle
    for k in range(45):
        size, spread = sizes[k // 15], 0.1 + 0.4 * (k % 15) / 15
        x = (x0 + x1) / 2 + float(f.rng.uniform(-spread, spread)) * (x1 - x0)
        y = (y0 + y1) / 2 + float(f.rng.uniform(-spread, spread)) * (y1 - y0)
        along_x = (x1 - x0 >= y1 - y0) == (f.rng.random() < 0.85)
        yaw = 0.0 if along_x else math.pi / 2
        # Reserve space for the chairs together with the table, or they would not fit.
        box = footprint(x, y, yaw, size[0] + 0.6, size[1] + 0.9)
        if not f.fits(floor, box) or not f.passable(floor, box):
            continue
        table = f.stand(floor, "dining table", x, y, yaw, size, gap=0.0)
        if table is not None:
            floor.boxes[-1] = floor_box(table)
            _chairs(f, floor, table, f.color("chair"), most)
            _rug(f, floor, x, y, yaw, 0.35)
            return


def living_room(f: Furnisher, floor: Floor) -> None:
    """Sofa facing a tv over a coffee table, armchairs, bookshelf, floor lamp, plants; sometimes a table or a piano."""
    sides = [int(s) for s in f.rng.permutation(4)]
    sofa = None
    for side in sides:
        opposite = (side + 2) % 4
        sofa = _sofa_and_tv(f, floor, side, opposite)
        if sofa is not None:
            break
    if sofa is None:
        sofa = f.against(floor, "sofa", front=0.8)
    if not any(piece.category == "tv" for piece in floor.pieces):
        stand = f.against(floor, "tv stand", front=0.6, tries=30)
        if stand is not None:
            f.on_top(floor, stand, "tv", (min(1.1, stand.extent[0]), 0.19, 0.68), dy=-0.04)
    if sofa is not None:
        _around_sofa(f, floor, sofa)
    f.against(floor, "bookshelf")
    if f.rng.random() < 0.35:
        f.against(floor, "piano", front=0.8)
    if min(floor.size) > 3.3 and "dining room" not in f.plan.kinds and f.rng.random() < 0.85:
        _dining(f, floor, (1.2, 0.8, 0.75), 4)
    f.against(floor, "plant", front=0.0, corner=True)
    if f.rng.random() < 0.5:
        f.against(floor, "armchair", front=0.5)
    f.against(floor, "lamp", front=0.0, corner=True)
    if f.rng.random() < 0.6:
        f.against(floor, "plant", front=0.0)


def _sofa_and_tv(f: Furnisher, floor: Floor, side: int, opposite: int):
    sofa = f.against(floor, "sofa", sides=[side], front=1.0, tries=10)
    if sofa is None:
        return None
    along = sofa.center[1 - side % 2]
    size = drawn_size("tv stand", f.rng)
    for shift in (0.0, 0.3, -0.3, 0.6, -0.6):
        x, y, yaw = at_wall(floor, opposite, along + shift, size[1])
        stand = f.stand(floor, "tv stand", x, y, yaw, size)
        if stand is not None:
            tv = f.on_top(floor, stand, "tv", dy=-0.04)
            low = tv.center[1 - side % 2] - tv.extent[0] / 2
            floor.tall.append((opposite, low, low + tv.extent[0]))
            break
    return sofa


def _around_sofa(f: Furnisher, floor: Floor, sofa) -> None:
    x, y = from_piece(sofa, 0.0, sofa.extent[1] / 2 + 0.72)
    _rug(f, floor, x, y, sofa.yaw)
    if f.stand(floor, "coffee table", x, y, sofa.yaw, gap=0.25) is None:
        f.stand(floor, "ottoman", *from_piece(sofa, 0.3, sofa.extent[1] / 2 + 0.75), sofa.yaw, gap=0.2)
    signs = [1, -1] if f.rng.random() < 0.5 else [-1, 1]
    f.beside(floor, sofa, "lamp", signs[0])
    if f.beside(floor, sofa, "plant", signs[1]) is None:
        f.beside(floor, sofa, "ottoman", signs[1])
    sign = float(signs[1])
    ax, ay = from_piece(sofa, sign * (sofa.extent[0] / 2 + 0.55), sofa.extent[1] / 2 + 0.75)
    f.stand(floor, "armchair", ax, ay, sofa.yaw + sign * math.pi / 2, gap=0.03)
    if f.rng.random() < 0.4:
        f.against(floor, "ottoman", front=0.2)


def kitchen(f: Furnisher, floor: Floor) -> None:
    """A row of units with oven, sink and refrigerator along a wall, upper cupboards, sometimes a dining place."""
    color = f.color("kitchen counter")
    row = None
    order = sorted(range(4), key=lambda s: (sum(d[2] == s for d in floor.doors), -floor.length(s) + f.rng.random()))
    for side in order:
        row = _kitchen_row(f, floor, side, color)
        if row:
            break
    if not row:
        for category in ("oven", "sink", "refrigerator"):
            f.against(floor, category, tries=40)
    counters = [p for p in floor.pieces if p.category == "kitchen counter" and p.extent[0] > 0.55]
    if counters:
        f.on_top(floor, counters[0], "microwave", dy=-0.1)
    if min(floor.size) > 2.9 and "dining room" not in f.plan.kinds:
        _dining(f, floor, (1.2, 0.8, 0.75), 4)
    f.against(floor, "trash can", front=0.0)
    if f.rng.random() < 0.5 and not any(p.category == "chair" for p in floor.pieces):
        stool = f.color("stool")
        for _ in range(2):
            f.against(floor, "stool", front=0.0, color=stool)
    if f.rng.random() < 0.35:
        f.against(floor, "plant", front=0.0, corner=True)


def _kitchen_row(f: Furnisher, floor: Floor, side: int, color: str) -> bool:
    """Units side by side along one wall; False where they do not fit."""
    length = floor.length(side) - 0.06
    fridge = (0.65, 0.65, float(f.rng.uniform(1.7, 1.95)))
    filling = (0.0, 0.6, 0.9)  # counters share the rest of the wall
    fixed = [("refrigerator", fridge), ("kitchen counter", filling), ("sink", (0.8, 0.6, 0.9))]
    fixed += [("kitchen counter", filling), ("oven", (0.6, 0.6, 0.9)), ("kitchen counter", filling)]
    for count in (3, 2, 1):
        spare = min(length, 4.3) - 0.65 - 0.8 - 0.6
        if spare / count < 0.4:
            continue
        width = spare / count
        units, left = [], count
        for category, size in fixed:
            if category == "kitchen counter":
                if left == 0:
                    continue
                left, size = left - 1, (width, 0.6, 0.9)
            units.append((category, size))
        # Reverse the sequence at random, so that the refrigerator is at either end.
        if f.rng.random() < 0.5:
            units.reverse()
        total = sum(size[0] for _, size in units)
        for start in (0.03, length + 0.03 - total):
            if _place_row(f, floor, side, start, units, color):
                return True
    return False


def _place_row(f: Furnisher, floor: Floor, side: int, start: float, units, color: str) -> bool:
    base = floor.rectangle[1 - side % 2] + start
    places, at = [], base
    for category, size in units:
        x, y, yaw = at_wall(floor, side, at + size[0] / 2, size[1])
        places.append((category, size, x, y, yaw))
        at += size[0]
    boxes = [footprint(x, y, yaw, size[0], size[1]) for _, size, x, y, yaw in places]
    whole = boxes[0]
    for box in boxes[1:]:
        whole = _union(whole, box)
    if not f.fits(floor, whole) or not f.passable(floor, whole):
        return False
    for (category, size, x, y, yaw), box in zip(places, boxes, strict=True):
        floor.boxes.append(box)
        if category != "kitchen counter":
            f.put(floor, category, x, y, yaw, size)
            if category == "refrigerator":
                floor.tall.append((side, box[1 - side % 2], box[3 - side % 2]))
            continue
        look = f.look(category, color)
        solid_color = look.main
        f.put(floor, category, x, y, yaw, size, color)
        along = x if side % 2 else y
        if not f.wall_taken(floor, side, along - size[0] / 2, along + size[0] / 2):
            cupboard = wall_cupboard(size[0], type(look)(solid_color, look.accent, look.rng))
            cx, cy, _ = at_wall(floor, side, along, 0.32, gap=0.0)
            f.builder.add(cupboard, (cx, cy, 1.45), SIDE_YAW[side])
    floor.tall.append((side, base, at))
    return True


def bedroom(f: Furnisher, floor: Floor) -> None:
    """Bed with its head to a wall between night stands with lamps, wardrobe, dresser; a desk or an armchair."""
    bed = None
    sides = [int(s) for s in f.rng.permutation(4)]
    for k in range(24):
        size = drawn_size("bed", f.rng)
        if k > 12:
            size = (1.4 if k < 18 else 1.0, 2.05, size[2])
        side = sides[k % 4]
        middle = (floor.rectangle[1 - side % 2] + floor.rectangle[3 - side % 2]) / 2
        spare = floor.length(side) / 2 - size[0] / 2 - (0.55 if k < 16 else 0.05)
        if spare < 0:
            continue
        x, y, yaw = at_wall(floor, side, middle + float(f.rng.uniform(-spare, spare)), size[1])
        bed = f.stand(floor, "bed", x, y, yaw, size, front=0.5)
        if bed is not None:
            break
    if bed is not None:
        colors = (f.color("nightstand"), f.color("lamp"))
        for sign in (1, -1):
            stand = f.beside(floor, bed, "nightstand", sign, color=colors[0])
            if stand is not None and f.rng.random() < 0.8:
                w = float(f.rng.uniform(0.24, 0.3))
                f.on_top(floor, stand, "lamp", (w, w, float(f.rng.uniform(0.42, 0.5))), color=colors[1])
        _rug(f, floor, *from_piece(bed, 0.0, 0.6), bed.yaw, 0.5)
    f.against(floor, "wardrobe", front=0.6, tries=24)
    dresser = f.against(floor, "dresser", front=0.5)
    if dresser is not None and f.rng.random() < 0.4:
        f.on_top(floor, dresser, "tv", (0.8, 0.18, 0.55))
    pick = f.rng.random()
    if pick < 0.35:
        _work_place(f, floor)
    elif pick < 0.7:
        f.against(floor, "armchair", front=0.4)
    f.against(floor, "plant", front=0.0, corner=True)
    if f.rng.random() < 0.4:
        f.hang(floor, "mirror", 1.45)


def _work_place(f: Furnisher, floor: Floor) -> None:
    """Desk against a wall with a computer, an office chair before it, a bin beside it."""
    desk = f.against(floor, "desk", front=0.75, tries=24)
    if desk is None:
        return
    f.on_top(floor, desk, "computer", dy=-0.12)
    if f.rng.random() < 0.6:
        w = 0.24
        f.on_top(floor, desk, "lamp", (w, w, 0.46), dx=-desk.extent[0] / 2 + 0.16, dy=-0.1)
    x, y = from_piece(desk, float(f.rng.uniform(-0.1, 0.15)), desk.extent[1] / 2 + 0.36)
    f.stand(floor, "office chair", x, y, desk.yaw + math.pi, gap=0.0, turn=float(f.rng.uniform(-0.5, 0.5)))
    if floor.kind == "office" or f.rng.random() < 0.5:
        f.beside(floor, desk, "trash can", 1 if f.rng.random() < 0.5 else -1)


def office(f: Furnisher, floor: Floor) -> None:
    """A desk or two, bookshelves, a cabinet, a plant."""
    _work_place(f, floor)
    if min(floor.size) > 2.8:
        _work_place(f, floor)
    f.against(floor, "bookshelf", tries=24)
    f.against(floor, "dresser", front=0.5)
    f.against(floor, "plant", front=0.0, corner=True)
    f.against(floor, "lamp", front=0.0, corner=True)
    if f.rng.random() < 0.4:
        f.against(floor, "armchair", front=0.4)


def library(f: Furnisher, floor: Floor) -> None:
    """Bookshelves on every wall that has room, an armchair with a lamp; sometimes a piano or a desk."""
    for _ in range(4):
        f.against(floor, "bookshelf", tries=16)
    chair = f.against(floor, "armchair", front=0.5)
    if chair is not None:
        f.beside(floor, chair, "lamp", 1 if f.rng.random() < 0.5 else -1)
    if f.rng.random() < 0.4:
        f.against(floor, "piano", front=0.8)
    else:
        _work_place(f, floor)
    f.against(floor, "armchair", front=0.5)
    f.against(floor, "plant", front=0.0, corner=True)
    _rug(f, floor, *_middle(floor), 0.0, 0.6)


def dining_room(f: Furnisher, floor: Floor) -> None:
    """A long table with chairs, a sideboard, plants and a lamp."""
    _dining(f, floor)
    sideboard = f.against(floor, "dresser", front=0.4, tries=24)
    if sideboard is not None and f.rng.random() < 0.6:
        _table_lamp(f, floor, sideboard, dx=0.3)
    f.against(floor, "plant", front=0.0, corner=True)
    f.against(floor, "lamp", front=0.0, corner=True)
    if f.rng.random() < 0.5:
        f.against(floor, "plant", front=0.0, corner=True)


def bathroom(f: Furnisher, floor: Floor) -> None:
    """Bathtub, toilet, washbasin under a mirror, washing machine or basket."""
    f.against(floor, "bathtub", front=0.3, tries=40, corner=True)
    f.against(floor, "toilet", front=0.5, tries=30)
    basin = f.against(floor, "washbasin", front=0.5, tries=30)
    if basin is not None:
        side = min(range(4), key=lambda s: abs(math.remainder(SIDE_YAW[s] - basin.yaw, 2 * math.pi)))
        along = basin.center[1 - side % 2]
        if not f.wall_taken(floor, side, along - 0.25, along + 0.25):
            x, y, yaw = at_wall(floor, side, along, 0.035, gap=0.0)
            f.put(floor, "mirror", x, y, yaw, (0.5, 0.035, 0.75), z=1.15)
            floor.tall.append((side, along - 0.25, along + 0.25))
    if "laundry room" not in f.plan.kinds:
        f.against(floor, "washing machine", front=0.4)
    f.against(floor, "laundry basket", front=0.0)
    if f.rng.random() < 0.5:
        f.against(floor, "trash can", front=0.0)


def laundry_room(f: Furnisher, floor: Floor) -> None:
    """Washing machines, baskets, a cupboard."""
    machine = f.against(floor, "washing machine", front=0.5, tries=24)
    if machine is not None:
        f.beside(floor, machine, "washing machine", 1 if f.rng.random() < 0.5 else -1)
    for _ in range(2):
        f.against(floor, "laundry basket", front=0.0)
    f.against(floor, "wardrobe", (1.1, 0.55, 1.95), front=0.5)


def nursery(f: Furnisher, floor: Floor) -> None:
    """Crib, toy box, wardrobe, armchair, low bookshelf, rug."""
    f.against(floor, "crib", front=0.5, tries=24)
    f.against(floor, "wardrobe", front=0.5)
    f.against(floor, "toy box", front=0.3)
    chair = f.against(floor, "armchair", front=0.4)
    if chair is not None:
        f.beside(floor, chair, "lamp", 1)
    dresser = f.against(floor, "dresser", front=0.4)
    if dresser is not None:
        _table_lamp(f, floor, dresser, dx=-0.2)
    f.against(floor, "bookshelf", (0.8, 0.3, 1.2))
    f.against(floor, "ottoman", front=0.2)
    _rug(f, floor, *_middle(floor), 0.0, 0.9)


def hallway(f: Furnisher, floor: Floor) -> None:
    """What fits without narrowing the way: plant, bench, dresser, lamp, mirror."""
    f.against(floor, "plant", (0.4, 0.4, 1.1), front=0.0, corner=True)
    if f.rng.random() < 0.7:
        f.against(floor, "bench", front=0.0)
    if f.rng.random() < 0.6:
        f.against(floor, "dresser", (0.8, 0.3, 0.85), front=0.0)
    f.against(floor, "lamp", (0.36, 0.36, 1.55), front=0.0, corner=True)
    f.hang(floor, "mirror", 1.45)
    f.hang(floor, "picture", 1.55)


def _middle(floor: Floor) -> tuple[float, float]:
    x0, y0, x1, y1 = floor.rectangle
    return (x0 + x1) / 2, (y0 + y1) / 2


RECIPES = {
    "living room": living_room,
    "kitchen": kitchen,
    "bedroom": bedroom,
    "bathroom": bathroom,
    "office": office,
    "dining room": dining_room,
    "hallway": hallway,
    "laundry room": laundry_room,
    "library": library,
    "nursery": nursery,
}

__all__ = ["RECIPES", "add_rivals", "furnish_room"]
