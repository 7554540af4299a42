"""Apartments by seed: determinism, what stands in them, colours, textures, and that they can be driven through."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.sim.apartments import CATEGORIES, COLORS, ApartmentConfig, generate
from embodied_nav.sim.apartments.layout import ROOM_SIZES, make_plan
from embodied_nav.sim.apartments.shapes import Material, MeshBuilder, Solid
from embodied_nav.sim.apartments.textures import texture_image
from embodied_nav.sim.navigable import NavigableMap

SEEDS = range(12)


@pytest.fixture(scope="module")
def scenes():
    return {seed: generate(seed) for seed in SEEDS}


def corners(thing):
    c, s = np.cos(thing.yaw), np.sin(thing.yaw)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(thing.extent[:2]) / 2
    return square @ np.array([[c, s], [-s, c]]) + np.array(thing.center[:2])


def test_same_seed_same_bits(scenes):
    again = generate(5)
    for name in ("vertices", "faces", "uvs", "texture", "instance", "tint"):
        assert getattr(again.mesh, name).tobytes() == getattr(scenes[5].mesh, name).tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(again.mesh.textures, scenes[5].mesh.textures, strict=True))
    assert again.objects == scenes[5].objects and again.rooms == scenes[5].rooms
    assert scenes[4].mesh.vertices.shape != scenes[5].mesh.vertices.shape


def test_size_and_variety(scenes):
    for scene in scenes.values():
        assert 3 <= len(scene.rooms) <= 8
        assert 15_000 <= len(scene.mesh.faces) <= 100_000
        assert len(scene.objects) >= 20
    seen = {o.category for scene in scenes.values() for o in scene.objects}
    assert len(seen) >= 25
    assert len({o.color for scene in scenes.values() for o in scene.objects}) >= 10
    assert len({tuple(r.kind for r in scene.rooms) for scene in scenes.values()}) > 6


def test_colours_tell_rivals_apart(scenes):
    for scene in scenes.values():
        colors = {}
        for o in scene.objects:
            if CATEGORIES[o.category].goal:
                colors.setdefault(o.category, set()).add(o.color)
        assert sum(len(c) > 1 for c in colors.values()) >= 2


def test_every_object_is_what_the_mesh_shows(scenes):
    for scene in scenes.values():
        mesh = scene.mesh
        assert [o.instance for o in scene.objects] == list(range(1, len(scene.objects) + 1))
        assert set(np.unique(mesh.instance)) == set(range(len(scene.objects) + 1))
        for o in scene.objects:
            assert o.category in CATEGORIES and o.color in CATEGORIES[o.category].colors
            points = mesh.vertices[np.unique(mesh.faces[mesh.instance == o.instance])]
            local = points[:, :2] - np.array(o.center[:2])
            c, s = np.cos(o.yaw), np.sin(o.yaw)
            local = local @ np.array([[c, -s], [s, c]])
            np.testing.assert_allclose(np.abs(local).max(axis=0), np.array(o.extent[:2]) / 2, atol=1e-4)
            assert points[:, 2].min() == pytest.approx(o.center[2] - o.extent[2] / 2, abs=1e-4)
            assert points[:, 2].max() == pytest.approx(o.center[2] + o.extent[2] / 2, abs=1e-4)


def test_things_stay_in_their_rooms_and_off_each_other(scenes):
    for seed, scene in scenes.items():
        rooms = {r.id: r.rectangles[0] for r in scene.rooms}
        for o in scene.objects:
            x0, y0, x1, y1 = rooms[o.room]
            inside = (corners(o) >= (x0 - 0.09, y0 - 0.09)) & (corners(o) <= (x1 + 0.09, y1 + 0.09))
            assert inside.all(), (seed, o)
        solid = [o for o in scene.objects if o.category != "rug" and o.center[2] - o.extent[2] / 2 < 0.05]
        for i, a in enumerate(solid):
            for b in solid[i + 1 :]:
                # Chairs are pushed in under tables; nothing else may share its middle with another.
                if a.room == b.room and {"chair", "office chair"}.isdisjoint((a.category, b.category)):
                    low, high = (
                        np.maximum(corners(a).min(0), corners(b).min(0)),
                        np.minimum(corners(a).max(0), corners(b).max(0)),
                    )
                    assert (high - low).min() < 0.12, (seed, a, b)


def test_what_stands_on_something_is_carried(scenes):
    for scene in scenes.values():
        for o in scene.objects:
            bottom = o.center[2] - o.extent[2] / 2
            if o.category in ("microwave", "computer", "tv") and bottom > 0.1:
                below = [
                    p
                    for p in scene.objects
                    if p is not o
                    and p.room == o.room
                    and (np.array(o.center[:2]) >= corners(p).min(0)).all()
                    and (np.array(o.center[:2]) <= corners(p).max(0)).all()
                    and abs(p.center[2] + p.extent[2] / 2 - bottom) < 0.05
                ]
                assert below, o


def test_rooms_are_furnished_for_their_kind(scenes):
    wanted = {"living room": "sofa", "bedroom": "bed", "kitchen": "oven", "bathroom": "toilet"}
    for seed, scene in scenes.items():
        for room in scene.rooms:
            if room.kind in wanted:
                assert any(o.room == room.id and o.category == wanted[room.kind] for o in scene.objects), (seed, room)


def test_every_room_can_be_driven_to(scenes):
    for seed, scene in scenes.items():
        navigable = NavigableMap(scene)
        field = navigable.geodesic_field(navigable.free_cells[:1])
        for room in scene.rooms:
            x0, y0, x1, y1 = room.rectangles[0]
            x, y = navigable.grid.centers(navigable.free_cells).T
            inside = navigable.free_cells[(x > x0) & (x < x1) & (y > y0) & (y < y1)]
            assert len(inside) * navigable.resolution**2 > 1.0, (seed, room)
            assert np.isfinite(field[tuple(inside.T)]).all()
        roomy = navigable.clearance >= navigable.robot.footprint_radius
        assert navigable.free.sum() > 0.9 * roomy.sum()


def test_doors_are_wide_enough_and_in_the_shared_wall():
    for seed in range(60):
        plan = make_plan(np.random.default_rng(seed), 3, 8)
        for opening in plan.openings:
            assert opening.high - opening.low >= 0.85
            for room in opening.rooms:
                low, high = plan.rooms[room][1 - opening.axis], plan.rooms[room][3 - opening.axis]
                assert low - 1e-6 <= opening.low and opening.high <= high + 1e-6
        for kind, (x0, y0, x1, y1) in zip(plan.kinds, plan.rooms, strict=True):
            assert min(x1 - x0, y1 - y0) > ROOM_SIZES[kind][2] - 0.3


def test_rooms_do_not_overlap_and_openings_connect_all():
    for seed in range(60):
        plan = make_plan(np.random.default_rng([9, seed]), 3, 8)
        for i, a in enumerate(plan.rooms):
            for b in plan.rooms[i + 1 :]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        reached = {0}
        for _ in plan.rooms:
            for opening in plan.openings:
                if reached & set(opening.rooms):
                    reached |= set(opening.rooms)
        assert reached == set(range(len(plan.rooms)))


def test_corridors_and_open_plans_occur():
    plans = [make_plan(np.random.default_rng([3, seed]), 3, 8) for seed in range(60)]
    assert 10 < sum("hallway" in plan.kinds for plan in plans) < 50
    assert 10 < sum(any(o.wide for o in plan.openings) for plan in plans) < 58


@pytest.mark.parametrize("count", [3, 5, 8, 12, 15])
def test_as_many_rooms_as_asked_for(count):
    scene = generate(77, ApartmentConfig(rooms_min=count, rooms_max=count))
    assert len(scene.rooms) == count


def test_bad_input():
    with pytest.raises(InputError, match="negative"):
        generate(-1)
    with pytest.raises(InputError, match="rooms_min"):
        ApartmentConfig(rooms_min=6, rooms_max=4)
    with pytest.raises(InputError, match="rooms_max"):
        ApartmentConfig(rooms_max=16)


def test_an_apartment_takes_under_a_second():
    generate(1)
    start = time.process_time()
    for seed in (2, 3, 4):
        generate(seed)
    assert (time.process_time() - start) / 3 < 1.0


@given(
    st.sampled_from(["planks-1", "fabric-2", "plaster-1", "tiles-3", "wallpaper-2", "picture-4", "rug-1", "books-1"])
)
@settings(max_examples=8, deadline=None)
def test_textures_are_stable_and_rich(name):
    image = texture_image(name)
    assert image.dtype == np.uint8 and image.shape[2] == 3
    texture_image.cache_clear()
    assert np.array_equal(texture_image(name), image)
    assert image.astype(float).std() > 4.0


def test_colour_names_are_true_to_the_picture(scenes):
    """Rendered from where the robot would stand, a red thing is red: hue for colours, value for black and white."""
    import cv2

    from embodied_nav.geometry import Camera, pose2d
    from embodied_nav.robot import RobotProfile
    from embodied_nav.sim.goals import object_region
    from embodied_nav.sim.rasterizer import Rasterizer

    hues = {
        "red": 0,
        "orange": 28,
        "yellow": 50,
        "green": 127,
        "turquoise": 176,
        "blue": 224,
        "purple": 278,
        "pink": 336,
    }
    camera = Camera.from_hfov(160, 120, np.pi / 2)
    T = RobotProfile().T_base_camera()
    checked, wrong = 0, []
    for seed in (1, 2, 3):
        scene, navigable = scenes[seed], NavigableMap(scenes[seed])
        rasterizer = Rasterizer(scene.mesh, camera)
        for o in scene.objects:
            cells = np.argwhere(object_region(navigable, o, 1.5))
            if not CATEGORIES[o.category].goal or len(cells) == 0:
                continue
            x, y = navigable.grid.centers(cells[len(cells) // 2])
            yaw = np.arctan2(o.center[1] - y, o.center[0] - x)
            color, _, ids = rasterizer.render(pose2d(x, y, yaw) @ T)
            pixels = color[ids == o.instance]
            if len(pixels) < 60:
                continue
            median = np.median(pixels, axis=0).astype(np.uint8)
            hue, saturation, value = (float(v) for v in cv2.cvtColor(median[None, None], cv2.COLOR_RGB2HSV)[0, 0])
            checked += 1
            if o.color in hues:
                true = abs((2 * hue - hues[o.color] + 180) % 360 - 180) < 14 and saturation > 75
            elif o.color in ("white", "gray"):
                true = saturation < 60 and value > 25
            elif o.color == "black":
                true = value < 75
            else:
                true = abs(2 * hue - 24) < 14 and saturation > 60
            if not true:
                wrong.append((seed, o.color, o.category, median))
    assert checked > 60
    # Seen from above, a crib is its mattress and a toy box its toys.
    assert len(wrong) <= 0.03 * checked, wrong


def test_orb_finds_enough_in_most_views(scenes):
    import cv2

    from embodied_nav.geometry import Camera, pose2d
    from embodied_nav.robot import RobotProfile
    from embodied_nav.sim.rasterizer import Rasterizer

    orb, counts = cv2.ORB_create(500), []
    T = RobotProfile().T_base_camera()
    for seed in (1, 2, 3):
        navigable = NavigableMap(scenes[seed])
        rasterizer = Rasterizer(scenes[seed].mesh, Camera.from_hfov(320, 240, np.pi / 2))
        rng = np.random.default_rng(seed)
        roomy = np.argwhere(navigable.free & (navigable.clearance > 0.4))
        for cell in rng.choice(roomy, 12):
            x, y = navigable.grid.centers(cell)
            color = rasterizer.render(pose2d(x, y, rng.uniform(-np.pi, np.pi)) @ T)[0]
            counts.append(len(orb.detect(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), None)))
    assert np.mean(np.array(counts) > 300) > 0.75, sorted(counts)


def test_solids_face_outwards_and_have_the_asked_size():
    material = Material("plain")
    makers = {
        "box": lambda: Solid().box((0, 0, 1), (1, 2, 0.5), material),
        "beveled": lambda: Solid().box((0, 0, 1), (1, 2, 0.5), material, bevel=0.1),
        "ellipsoid": lambda: Solid().ellipsoid((0, 0, 1), (0.5, 1.0, 0.25), material),
        "cylinder": lambda: Solid().cylinder((0, 0, 1), 0.5, 0.5, material, n=32),
        "rod": lambda: Solid().rod((0, 0, 0), (1, 2, 3), 0.1, material),
    }
    for name, make in makers.items():
        builder = MeshBuilder()
        builder.add(make())
        mesh = builder.build()
        a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
        outward = (np.cross(b - a, c - a) * ((a + b + c) / 3 - mesh.vertices.mean(0))).sum(1)
        assert (outward > -1e-9).all(), name
        volume = (a * np.cross(b, c)).sum() / 6
        assert volume > 0, name
    low, high = makers["beveled"]().bounds
    np.testing.assert_allclose(high - low, (1, 2, 0.5))


def test_every_colour_is_a_tint():
    assert set(COLORS) >= {color for info in CATEGORIES.values() for color in info.colors}
    assert len(COLORS) >= 10 and len(CATEGORIES) >= 25
