"""Real furniture: catalogues and models of .sh3f files, saved libraries, and things that give way to models."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.sim.apartments import CATEGORIES, ApartmentConfig, generate
from embodied_nav.sim.furniture import FurnitureLibrary, catalogue, open_library, with_real_furniture
from embodied_nav.sim.furniture.__main__ import main
from embodied_nav.sim.furniture.catalogue import category_of
from embodied_nav.sim.furniture.models import FACES, coarser
from embodied_nav.sim.furniture.replacing import scale_for, surface_height
from embodied_nav.sim.interface import SceneObject
from embodied_nav.sim.navigable import NavigableMap

INSTALLED = Path("/usr/share/sweethome3d/furniture/KatorLegaz.sh3f")  # the smallest of five
#: A box of 2 x 1 x 4 (x, y up, z), one face of it 2 m to the front (+z) with a red material, the others blue.
BOX = """
mtllib box.mtl
v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 0 0 4\nv 2 0 4\nv 2 1 4\nv 0 1 4
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl front
f 5/1 6/2 7/3 8/4
usemtl rest
f 1 2 3 4\nf 1 2 6 5\nf 4 3 7 8\nf 1 4 8 5\nf 2 3 7 6
"""
MATERIALS = "newmtl front\nKd 0.9 0.05 0.05\nnewmtl rest\nKd 0.05 0.05 0.9\n"
PROPERTIES = """# made for a test
id=test
license=Free
id#1=test#sofa
name#1=Old sof\\u0061
tags#1=Couch, Seat
category#1=Living room
model#1=/box/box.obj
width#1=190
depth#1=88
height#1=80
creator#1=A. Maker
doorOrWindow#1=false
id#2=test#man
name#2=Chair man
category#2=Characters
model#2=/box/box.obj
width#2=50
depth#2=50
height#2=180
id#3=test#broken
name#3=Desk
category#3=Office
model#3=/box/missing.obj
width#3=120
depth#3=60
height#3=73
"""


def write_library(path: Path, properties: str = PROPERTIES, **files: bytes) -> Path:
    members = {"box/box.obj": BOX.encode(), "box/box.mtl": MATERIALS.encode()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(catalogue.CATALOGUE, properties)
        for name, data in {**members, **files}.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> FurnitureLibrary:
    return open_library(str(write_library(tmp_path_factory.mktemp("furniture") / "tiny.sh3f")))


def test_categories_are_the_apartments_categories():
    assert set(CATEGORIES) == catalogue.CATEGORIES


def test_a_catalogue_is_read_in_our_words(library):
    (piece,) = library.pieces
    assert (piece.id, piece.name, piece.category) == ("test#sofa", "Old sofa", "sofa")
    assert (piece.creator, piece.license, piece.source) == ("A. Maker", "Free", "tiny")
    assert piece.size == pytest.approx((1.9, 0.88, 0.8))
    assert library.unmapped == ("Chair man",)
    (problem,) = library.problems
    assert "test#broken" in problem and "missing.obj" in problem and "\n" not in problem
    assert "Old sofa (test#sofa): A. Maker; Free [tiny]" in library.attribution()


def test_a_model_stands_on_the_floor_with_its_front_towards_y(library):
    shape = library.pieces[0].shape
    assert shape.vertices.min(axis=0) == pytest.approx([-0.95, -0.44, 0.0], abs=1e-4)
    assert shape.vertices.max(axis=0) == pytest.approx([0.95, 0.44, 0.8], abs=1e-4)
    red = shape.tint[:, 0] > 200
    assert red.sum() == 2 and len(shape.faces) == 12
    assert np.all(shape.vertices[shape.faces[red]][..., 1] == pytest.approx(0.44, abs=1e-4))
    assert shape.color == "blue"


def test_a_model_is_turned_as_its_catalogue_says(tmp_path):
    # A quarter turn about the height: what was the model's front (+z) is its right (+x), our left seen from the front.
    turned = PROPERTIES.replace("doorOrWindow#1=false", "modelRotation#1=0 0 1 0 1 0 -1 0 0")
    shape = open_library(str(write_library(tmp_path / "turned.sh3f", turned))).pieces[0].shape
    red = shape.tint[:, 0] > 200
    assert np.all(shape.vertices[shape.faces[red]][..., 0] == pytest.approx(-0.95, abs=1e-4))


@pytest.mark.parametrize(
    ("name", "kind", "tags", "size", "category"),
    [
        ("Wooden coffee table", "Living room", (), (1.0, 0.6, 0.4), "coffee table"),
        ("Table", "Living room", (), (1.0, 0.6, 0.45), "coffee table"),
        ("Table with tablecloth", "Living room", (), (1.4, 0.9, 0.75), "dining table"),
        ("Table", "Office", (), (1.6, 0.8, 0.75), "desk"),
        ("Chair", "Office", ("Seat",), (0.6, 0.6, 1.0), "office chair"),
        ("Sofa 3 seats", "Living room", ("Couch",), (2.2, 0.9, 0.9), "sofa"),
        ("Bedside table", "Bedroom", (), (0.4, 0.4, 0.5), "nightstand"),
        ("Cupboard", "Bedroom", ("Wardrobe",), (1.0, 0.5, 1.9), "wardrobe"),
        ("Cupboard", "Living room", (), (1.0, 0.5, 1.9), ""),
        ("Pool table", "Miscellaneous", ("Game",), (2.5, 1.4, 0.8), ""),
        ("Bamboo", "Exterior", ("Tree", "Outdoor"), (3.0, 3.0, 5.0), ""),
        ("Bench", "Exterior", ("Outdoor",), (1.4, 0.5, 0.5), "bench"),
        ("Hanging light", "Lights", ("Ceiling",), (0.4, 0.4, 0.7), ""),
        ("Sitting chair man", "Characters", (), (0.5, 0.9, 1.2), ""),
        ("Toaster", "Kitchen", (), (0.3, 0.2, 0.2), ""),
    ],
)
def test_names_become_categories(name, kind, tags, size, category):
    assert category_of(name, kind, tags, size) == category


def test_a_saved_library_is_the_same(library, tmp_path):
    library.save(tmp_path / "saved.npz")
    assert (tmp_path / "saved.txt").read_text(encoding="utf-8") == library.attribution()
    again = FurnitureLibrary.load(tmp_path / "saved.npz")
    for one, two in zip(library.pieces, again.pieces, strict=True):
        for name in ("id", "name", "category", "creator", "license", "source", "size"):
            assert getattr(one, name) == getattr(two, name)
        for name in ("vertices", "faces", "uvs", "texture", "tint"):
            assert getattr(one.shape, name).tobytes() == getattr(two.shape, name).tobytes()
        assert one.shape.color == two.shape.color
        assert all(np.array_equal(a, b) for a, b in zip(one.shape.textures, two.shape.textures, strict=True))


def test_textures_are_made_small_and_keep_their_picture(tmp_path):
    import io

    from PIL import Image

    picture = np.zeros((300, 200, 3), dtype=np.uint8)
    picture[:150, :, 1], picture[150:, :, 0] = 250, 250  # green above, red below
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    materials = MATERIALS.replace("newmtl rest", "map_Kd p.png\nnewmtl rest").encode()
    path = write_library(tmp_path / "pictures.sh3f", **{"box/p.png": data.getvalue(), "box/box.mtl": materials})
    shape = open_library(str(path)).pieces[0].shape
    drawn = np.array([len(shape.textures[k]) > 1 for k in shape.texture])
    image = shape.textures[shape.texture[drawn][0]]
    assert drawn.sum() == 2 and max(image.shape[:2]) == 128
    assert image[0, 0, 1] > 200 and image[-1, 0, 0] > 200
    top = shape.vertices[shape.faces[drawn]][..., 2] > 0.4
    assert np.allclose(shape.uvs[drawn][top][:, 1], 0.0)  # v counts down the image: its upper edge is on top


def test_pieces_are_split_by_their_id_alone(library):
    piece = library.pieces[0]
    many = FurnitureLibrary([dataclasses.replace(piece, id=f"test#{k}") for k in range(400)])
    train, held = many.of("sofa", "train"), many.of("sofa", "held_out")
    assert len(train) + len(held) == len(many.of("sofa")) == 400
    assert 50 <= len(held) <= 110 and not {p.id for p in train} & {p.id for p in held}
    shuffled = FurnitureLibrary(list(reversed(many.pieces)))
    assert {p.id for p in shuffled.of("sofa", "held_out")} == {p.id for p in held}
    with pytest.raises(InputError, match="split"):
        many.of("sofa", "test")


def test_fine_models_are_made_coarser():
    side = np.linspace(0.0, 1.0, 90)
    x, y = np.meshgrid(side, side)
    vertices = np.stack([x.ravel(), y.ravel(), np.sin(6 * x).ravel() * 0.1], axis=1)
    k = (np.arange(89)[:, None] * 90 + np.arange(89)).ravel()
    faces = np.concatenate([np.stack([k, k + 1, k + 91], axis=1), np.stack([k, k + 91, k + 90], axis=1)])
    fewer, triangles, kept = coarser(vertices, faces, 3000)
    assert 1500 < len(triangles) <= 3000 and len(kept) == len(triangles) and len(faces) > 15_000
    assert np.abs(fewer[:, 2] - 0.1 * np.sin(6 * fewer[:, 0])).max() < 0.01
    same = coarser(vertices, faces, len(faces))
    assert np.array_equal(same[0][same[1]], vertices[faces])


def test_only_pieces_of_about_the_right_proportions_fit():
    assert scale_for("sofa", (2.0, 0.9, 0.8), (2.0, 0.9, 0.8)) == pytest.approx([1.0, 1.0, 1.0])
    assert scale_for("sofa", (2.0, 0.9, 0.8), (1.0, 0.9, 0.8)) is None  # would be squeezed to a half
    assert scale_for("lamp", (0.3, 0.3, 0.5), (0.4, 0.4, 1.6)) is None  # a table lamp is no floor lamp
    scale = scale_for("desk", (1.2, 0.6, 0.7), (1.5, 0.6, 0.73))
    assert scale == pytest.approx([1.25, 1.0, 0.73 / 0.7])
    assert scale_for("rug", (1.8, 1.5, 0.03), (2.0, 1.5, 0.012)) is not None
    assert scale_for("tv stand", (1.5, 0.4, 0.3), (1.5, 0.4, 0.5), exact_height=True) is None


def test_height_of_a_surface():
    roof = np.array([[[0, 0, 1], [2, 0, 1], [0, 2, 3]], [[0, 0, 0], [2, 0, 0], [0, 2, 0]]], dtype=np.float64)
    assert surface_height(roof, np.array([0.5, 1.0])) == pytest.approx(2.0)
    assert surface_height(roof, np.array([2.0, 2.0])) == -np.inf


def local(thing: SceneObject, points: np.ndarray) -> np.ndarray:
    c, s = np.cos(thing.yaw), np.sin(thing.yaw)
    return (points - np.array(thing.center)) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def seed_with_sofa() -> int:
    return next(seed for seed in range(20) if any(o.category == "sofa" for o in generate(seed).objects))


def test_a_model_stands_inside_of_the_thing_it_replaces(library, seed_with_sofa):
    scene = generate(seed_with_sofa)
    furnished = with_real_furniture(scene, library, 1.0, "all", np.random.default_rng(0))
    changed = [(a, b) for a, b in zip(scene.objects, furnished.objects, strict=True) if a != b]
    assert {a.category for a, _ in changed} == {"sofa"}
    for old, new in changed:
        assert (new.instance, new.category, new.room, new.yaw) == (old.instance, old.category, old.room, old.yaw)
        assert new.color == "blue"
        mine = furnished.mesh.instance == new.instance
        corners = furnished.mesh.triangles[mine].reshape(-1, 3)
        half = np.array(old.extent) / 2 + 1e-4
        inside = local(old, corners)
        assert mine.sum() == 12 and (np.abs(inside) <= half).all()
        assert inside[:, 2].min() == pytest.approx(-old.extent[2] / 2, abs=1e-3)  # on the floor
        assert inside[:, 1].min() == pytest.approx(-old.extent[1] / 2, abs=1e-3)  # at the wall
        red = furnished.mesh.tint[mine][:, 0] > 200
        assert local(new, corners.reshape(-1, 3, 3)[red].reshape(-1, 3))[:, 1].min() > 0  # the front is the front
        own = local(new, corners)
        assert own.max(axis=0) == pytest.approx(np.array(new.extent) / 2, abs=1e-3)
        assert own.min(axis=0) == pytest.approx(-np.array(new.extent) / 2, abs=1e-3)
    others = ~np.isin(scene.mesh.instance, [a.instance for a, _ in changed])
    kept = ~np.isin(furnished.mesh.instance, [a.instance for a, _ in changed])
    assert np.array_equal(furnished.mesh.triangles[kept], scene.mesh.triangles[others])
    assert furnished.rooms == scene.rooms


def test_nothing_changes_without_a_share(library, seed_with_sofa):
    scene = generate(seed_with_sofa)
    assert with_real_furniture(scene, library, 0.0, "all", np.random.default_rng(0)) is scene


def test_what_carries_something_is_replaced_only_by_what_carries_it(tmp_path):
    """A lamp stands on a night stand: a model whose top is elsewhere, or that is a frame only, stays away."""
    night_stand = PROPERTIES.replace("Old sof\\u0061", "Bedside table").replace("=190", "=46").replace("=88", "=40")
    night_stand = night_stand.replace("height#1=80", "height#1=54")
    solid = open_library(str(write_library(tmp_path / "solid.sh3f", night_stand)))
    hollow = BOX.replace("f 4 3 7 8\n", "").replace("f 1 2 6 5\n", "")
    open_top = open_library(str(write_library(tmp_path / "open.sh3f", night_stand, **{"box/box.obj": hollow.encode()})))
    assert [p.category for p in solid.pieces] == [p.category for p in open_top.pieces] == ["nightstand"]
    replaced = {"solid": 0, "open": 0}
    for seed in range(4):
        scene = generate(seed)
        for name, library in (("solid", solid), ("open", open_top)):
            furnished = with_real_furniture(scene, library, 1.0, "all", np.random.default_rng(0))
            for old, new in zip(scene.objects, furnished.objects, strict=True):
                top = old.center[2] + old.extent[2] / 2
                lamps = [
                    o for o in scene.objects
                    if o.center[2] - o.extent[2] / 2 == pytest.approx(top, abs=0.01)
                    and np.hypot(o.center[0] - old.center[0], o.center[1] - old.center[1]) < 0.2
                ]  # fmt: skip
                if new != old and lamps:
                    replaced[name] += 1
                    assert new.center[2] + new.extent[2] / 2 == pytest.approx(top, abs=0.002)
    assert replaced["solid"] > 0 and replaced["open"] == 0


def test_apartments_take_the_option(library, tmp_path, seed_with_sofa):
    library.save(tmp_path / "saved.npz")
    config = ApartmentConfig(furniture=str(tmp_path / "saved.npz"), furniture_share=1.0)
    one, two = generate(seed_with_sofa, config), generate(seed_with_sofa, config)
    assert one.objects == two.objects and one.mesh.vertices.tobytes() == two.mesh.vertices.tobytes()
    plain = generate(seed_with_sofa)
    assert [o.category for o in one.objects] == [o.category for o in plain.objects] and one.objects != plain.objects
    held = library.pieces[0].held_out
    other = ApartmentConfig(
        furniture=config.furniture, furniture_share=1.0, furniture_split="train" if held else "held_out"
    )
    assert generate(seed_with_sofa, other).objects == plain.objects


@pytest.mark.parametrize("what", ["nothing there", "an empty folder", "no zip", "no catalogue", "nothing of ours"])
def test_bad_files_get_one_line(tmp_path, what):
    path = tmp_path / "library.sh3f"
    if what == "an empty folder":
        path = tmp_path / "empty"
        path.mkdir()
    elif what == "no zip":
        path.write_bytes(b"no zip at all")
    elif what == "no catalogue":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    elif what == "nothing of ours":
        write_library(path, "name#1=Man\ncategory#1=Characters\nmodel#1=/box/box.obj\nwidth#1=50\n")
    with pytest.raises(InputError) as error:
        open_library(str(path))
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other arrays", "faces"])
def test_a_damaged_saved_library_gets_one_line(library, tmp_path, damage):
    path = tmp_path / "saved.npz"
    library.save(path)
    data = path.read_bytes()
    if damage in ("empty", "text", "cut"):
        path.write_bytes({"empty": b"", "text": b"hello", "cut": data[: len(data) // 2]}[damage])
    else:
        with np.load(path) as arrays:
            content = dict(arrays)
        if damage == "other arrays":
            content = {"a": np.zeros(3)}
        else:
            content["faces"] = content["faces"] + np.uint16(50)
        np.savez(path, **content)
    with pytest.raises(InputError, match=r"saved\.npz") as error:
        FurnitureLibrary.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "kept"),
    [
        ("box/box.obj", b"\x00\xff no model", False),
        ("box/box.obj", b"v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n", False),
        ("box/box.obj", b"v 0 0 0\nv 1 0 0\nf 1 2 9\n", False),
        ("box/p.png", b"no picture", True),
    ],
)
def test_a_broken_model_is_left_out_and_a_broken_picture_ignored(tmp_path, name, data, kept):
    materials = MATERIALS.replace("newmtl rest", "map_Kd p.png\nnewmtl rest").encode()
    good = PROPERTIES.replace("#1", "#9").replace("test#sofa", "test#good").replace("box.obj", "good.obj")
    files = {"box/good.obj": BOX.encode(), "box/box.mtl": materials, name: data}
    library = open_library(str(write_library(tmp_path / "broken.sh3f", PROPERTIES + good, **files)))
    assert [p.id for p in library.pieces] == (["test#sofa"] if kept else []) + ["test#good"]
    assert sum("test#sofa" in problem for problem in library.problems) == (not kept)
    assert not any("\n" in problem for problem in library.problems)


def test_the_command_says_what_there_is_and_saves_it(tmp_path, capsys):
    path = write_library(tmp_path / "tiny.sh3f")
    assert main([str(path), "--save", str(tmp_path / "out.npz"), "--credits"]) == 0
    out = capsys.readouterr().out
    assert "sofa" in out and "A. Maker" in out and "missing.obj" in out and (tmp_path / "out.txt").is_file()
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.skipif(not INSTALLED.is_file(), reason="needs Debian's sweethome3d-furniture")
def test_a_real_library():
    library = open_library(str(INSTALLED))
    assert len(library.pieces) > 20 and len(library.counts()) > 10 and not library.problems
    assert all(len(p.shape.faces) <= FACES and "Creative Commons" in p.license for p in library.pieces)
    assert 0 < sum(p.held_out for p in library.pieces) < 0.5 * len(library.pieces)
    scene, plain = generate(3, ApartmentConfig(furniture=str(INSTALLED), furniture_share=1.0)), generate(3)
    changed = sum(a != b for a, b in zip(scene.objects, plain.objects, strict=True))
    assert changed >= 5
    assert NavigableMap(scene).free.sum() > 0.9 * NavigableMap(plain).free.sum()
