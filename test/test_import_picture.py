"""The picture of imports shows what stands on what, and finds circles."""

import importlib.util
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("import_picture", ROOT / "scripts" / "import_picture.py")
picture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(picture)

#: A house of four files and a folder; the last two import each other, one of them inside a function.
HOUSE = {
    "__init__.py": "from .top import t",
    "base.py": "import os",
    "middle/__init__.py": "from ..base import b",
    "middle/part.py": "from .. import base\nfrom . import other",
    "top.py": "from house.base import b\nfrom .middle.part import p",
    "left.py": "from . import top, right",
    "right.py": "def late():\n    from .left import x",
}


@pytest.fixture
def house(tmp_path):
    for name, text in HOUSE.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return picture.graph_of(tmp_path, "house")


def test_who_imports_whom(house):
    arrows = {"base": set(), "middle": {"base"}, "top": {"base", "middle"}, "left": {"top", "right"}, "right": {"left"}}
    assert house == arrows
    assert picture.reduced(house) == {**arrows, "top": {"middle"}}, "base follows from middle"


def test_heights_and_circles(house):
    assert picture.circles(house) == [["left", "right"]]
    assert picture.levels(house)[:3] == [["base"], ["middle"], ["top"]]
    text = picture.text_picture(house, "house")
    assert "circle: left <-> right" in text and "no circles" not in text
    assert text.index("base") < text.index("middle") < text.index("top ")
    del house["right"], house["left"]
    assert picture.text_picture(house, "house").endswith("no circles")


@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("d", "c", "b", "a")])
def test_what_imports_a_circle_stands_above_it_in_whatever_order_they_come(names):
    graph = {name: {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "c"}}[name] for name in names}
    assert picture.levels(graph) == [["b", "c"], ["a"], ["d"]]


def test_an_import_from_a_module_names_the_module_too(tmp_path):
    (tmp_path / "house").mkdir()
    path = tmp_path / "house" / "top.py"
    path.write_text("import os.path\nfrom house.base import b\nfrom . import left\nfrom .left import x")
    names = {"os.path", "house.base", "house.base.b", "house", "house.left", "house.left.x"}
    assert picture.imports_of(path, tmp_path) == names


def old_python():
    """A Python of a version for which the package itself is too new, "" where there is none."""
    for name in ("python3.8", "python3.9", "python3.10"):
        if shutil.which(name) and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
            return name
    return ""


@pytest.mark.skipif(not old_python(), reason="no Python 3.8 to 3.10 here")
def test_it_runs_in_an_old_python():
    command = [old_python(), str(ROOT / "scripts" / "import_picture.py")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().endswith("no circles")


def test_the_svg_is_one_with_a_box_for_each(house):
    root = ET.fromstring(picture.svg_picture(house, "a < b"))
    names = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(house) <= set(names) and names[0].startswith("a < b")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == sum(map(len, picture.reduced(house).values()))


def test_the_package_has_no_circles_and_the_command_shows_it(capsys, tmp_path):
    assert picture.main([]) == 0
    out = capsys.readouterr().out
    assert out.strip().endswith("no circles") and "registry" in out
    assert picture.main(["planning"]) == 0 and picture.main(["--svg", str(tmp_path / "p.svg")]) == 0
    assert picture.main(["attic"]) == 2
    assert "attic is no folder" in capsys.readouterr().err
