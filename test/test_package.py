"""What the package says of itself holds: dependencies, versions, layers, licence."""

import ast
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import embodied_nav

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "embodied_nav"
PACKAGE = ET.parse(ROOT / "package.xml").getroot()

spec = importlib.util.spec_from_file_location("import_picture", ROOT / "scripts" / "import_picture.py")
picture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(picture)

#: As in CONTRIBUTING.md: a layer imports only itself and what stands before it.
LAYERS = (
    ("errors", "start_up", "places", "resources", "findings", "kernels", "heap"), ("config",), ("registry",),
    ("tables",), ("model_store",),
    ("geometry",), ("frames", "robot"),
    ("frame_checks", "recordings", "trial"), ("language",), ("keyframes",), ("rooms",),
    ("memory",), ("slam",), ("models",), ("perception",),
    ("planning",), ("reasoner",), ("drivers",), ("sim",), ("training",), ("evaluation",),
    ("assistants",), ("view",), ("node_table",), ("nodes",), ("bringup",), ("cli", "__main__"),
)  # fmt: skip
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: Folders inside a layer that are rooms of their own.
ROOMS = dict.fromkeys(("nodes.ros", "nodes.lockstep"))
#: The same within the memory, but that what stands in one place does not import each other.
MEMORY_ROOMS = (
    ("config", "records"), ("voxels",), ("objects",), ("submaps",), ("query",), ("file", "output"),
    ("spatial_memory",), ("warm_up",), ("__init__",),
)  # fmt: skip
MEMORY_RANK = {name: rank for rank, names in enumerate(MEMORY_ROOMS) for name in names}

#: pip's name -> rosdep's key.
ROSDEP = {
    "onnxruntime": "python3-onnxruntime-pip", "opencv-python-headless": "python3-opencv", "pillow": "python3-pil",
    "pyyaml": "python3-yaml",
}  # fmt: skip
#: Of what comes with pip: what rosdep does not know, and what works without it there.
WITHOUT_KEY = {"viser"}


def assigned(name: str):
    """A literal that setup.py assigns."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == name
    )


def declared(*kinds: str) -> set[str]:
    return {element.text for kind in kinds for element in PACKAGE.findall(kind)}


@cache
def imports(path: Path) -> set[str]:
    """Absolute names of all that a source file imports."""
    return picture.imports_of(path, ROOT)


def room(parts: tuple[str, ...]) -> str:
    """The layer, or the room in it, of a module's name in parts, embodied_nav first."""
    inner = ".".join(parts[1:3])
    return inner if inner in ROOMS else parts[1]


SOURCES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_layer_imports_only_those_above_it(path):
    layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if layer == "__init__":
        return
    assert layer in RANK, f"{layer} is in no layer"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "embodied_nav" and len(parts) > 1 and parts[1] in RANK and parts[1] != layer:
            assert RANK[parts[1]] <= RANK[layer], f"{path.relative_to(ROOT)} imports {name}"
        if layer != "nodes":
            assert parts[0] not in ("rclpy", "tf2_ros", "message_filters"), f"{path}: {name}"
        if path != SOURCE / "bringup" / "launching.py":
            assert parts[0] not in ("launch", "launch_ros"), f"{path}: {name}"


def test_no_circle_between_rooms():
    """Lazy imports count, too. Of the nodes: executables use ros/ and lockstep/, never the other way round."""
    arrows: dict[str, set[str]] = {}
    for path in SOURCES:
        here = room(path.relative_to(ROOT).with_suffix("").parts)
        for name in imports(path):
            if (
                name.startswith("embodied_nav.")
                and (there := room(tuple(name.split(".")))) in RANK | ROOMS
                and there != here
            ):
                arrows.setdefault(here, set()).add(there)
    order = tuple(TopologicalSorter(arrows).static_order())  # raises CycleError, naming it
    assert order.index("nodes.ros") < order.index("nodes.lockstep") < order.index("nodes")


def test_control_is_planning_and_geometry():
    """What must live when the others do not loads none of what they do."""
    code = "import sys, embodied_nav.nodes.control; print(*(n for n in sys.modules if n.startswith('embodied_nav.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    if "ModuleNotFoundError" in done.stderr and "rclpy" in done.stderr:
        pytest.skip("needs ROS")
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[1] for name in done.stdout.split()}
    assert loaded >= {"planning", "geometry", "nodes"}
    others = {
        "bringup", "drivers", "evaluation", "keyframes", "language", "memory", "perception", "reasoner", "rooms", "sim",
        "slam",
    }  # fmt: skip
    assert others <= set(RANK) and not loaded & others


@pytest.mark.parametrize("path", sorted((SOURCE / "memory").rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_room_of_the_memory_imports_only_those_before_it(path):
    room = path.relative_to(SOURCE / "memory").parts[0].removesuffix(".py")
    assert room in MEMORY_RANK, f"memory/{room} is in no place of MEMORY_ROOMS"
    for name in imports(path):
        parts = name.split(".")
        if parts[:2] == ["embodied_nav", "memory"] and len(parts) > 2 and parts[2] in MEMORY_RANK and parts[2] != room:
            assert MEMORY_RANK[parts[2]] < MEMORY_RANK[room], f"{path.relative_to(ROOT)} imports {name}"


def test_rooms_of_the_memory_are_small():
    for room in (p for p in (SOURCE / "memory").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert len(list(room.glob("*.py"))) <= 14, room.name


@pytest.mark.parametrize("path", sorted((SOURCE / "memory").glob("*/*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_of_the_memory_are_short_and_kernels_say_what_they_compute(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node) or ""
            kernel = any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
            assert docstring or not kernel, f"{node.name}: what does it compute, of which shapes?"
            length = node.end_lineno - node.lineno + 1
            assert length <= 60 or "Longer than other functions" in docstring, f"{node.name} has {length} lines"


def modules() -> dict[str, Path]:
    """Source files by the name under which they are imported."""
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in SOURCES}


def circle(graph: dict[str, set[str]]) -> str:
    """One circle of a graph, "" where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def test_circles_are_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}).count("->") == 3
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == ""


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions count: what is only put off is still a circle. A package's own ``__init__`` may name its
    modules, and these one another."""
    known = modules()
    graph = {name: {n for n in imports(path) if n in known} - {name} for name, path in known.items()}
    for name, path in known.items():
        if path.name != "__init__.py":  # "from . import x" names x and, by the way, the package
            graph[name] -= {n for n in graph[name] if known[n].name == "__init__.py" and name.startswith(n + ".")}
    assert circle(graph) == ""


def test_no_layers_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {name: set() for name in RANK}
    for path in SOURCES:
        layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if layer in graph:
            tops = (n.split(".")[1] for n in imports(path) if n.startswith("embodied_nav."))
            graph[layer] |= {top for top in tops if top in graph and top != layer}
    assert circle(graph) == ""


def test_versions_agree():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    versions = {PACKAGE.findtext("version"), embodied_nav.__version__, re.search(r'version="([^"]+)"', setup).group(1)}
    assert len(versions) == 1
    assert f"## {versions.pop()}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_licence():
    assert PACKAGE.findtext("license") == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]


def test_every_library_has_a_rosdep_key_in_package_xml():
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in assigned("install_requires")}
    assert {ROSDEP.get(name, f"python3-{name}") for name in names - WITHOUT_KEY} <= declared("exec_depend")


def test_extras_are_those_of_the_readme():
    extras = assigned("extras_require")
    names = {"vlm", "causal_lm", "encoder", "server", "train", "slam", "bags", "language", "questions", "small-lm"}
    names |= {"convert", "mcp", "viewer", "rerun", "cluster", "docs", "dev"}
    assert set(extras) == names
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in extras:
        assert f"`{name}`" in readme
    everything = [*assigned("install_requires"), *(r for extra in extras.values() for r in extra)]
    assert all("<" in requirement for requirement in everything), "every range has an upper end"


#: Import name -> ROS package, pip's name, where they differ.
PACKAGES = {"tf2_ros": "tf2_ros_py"}  # the ROS package tf2_ros is the C++ half
PIP = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}
PIP |= {"rerun": "rerun-sdk"}
#: What a library cannot do without, so that it comes with it.
PIP |= {"llvmlite": "numba", "lz4": "rosbags", "backports": "rosbags", "websockets": "viser", "rich": "viser"}


def third_parties(paths) -> dict[str, Path]:
    """Every top-level module that is neither ours nor Python's (compression: from 3.14 on), with who imports it."""
    return {
        name.split(".")[0]: path
        for path in paths
        for name in imports(path)
        if name.split(".")[0] not in (*sys.stdlib_module_names, "compression", "embodied_nav")
    }


def test_every_import_is_declared():
    extras = assigned("extras_require")
    pip = {
        re.split(r"[<>=\[]", r)[0] for r in (*assigned("install_requires"), *(r for e in extras.values() for r in e))
    }
    ros = declared("depend", "exec_depend")
    found = third_parties([*SOURCES, *(ROOT / "launch").glob("*.py")])
    assert len(found) > 15
    for top, path in found.items():
        assert PACKAGES.get(top, top) in ros or PIP.get(top, top) in pip, (
            f"{path.relative_to(ROOT)} imports {top}, which neither package.xml nor setup.py names"
        )
    for top in third_parties([*(SOURCE / "nodes").rglob("*.py"), *(ROOT / "launch").glob("*.py")]):
        key = ROSDEP.get(PIP.get(top, top), f"python3-{top}")
        assert PACKAGES.get(top, top) in ros or key in ros, f"a node or launch file imports {top}: package.xml lacks it"


def test_every_package_that_launch_files_start_is_declared():
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "launch").glob("*.py"))
    started = set(re.findall(r'package="(\w+)"', text))
    assert {"rviz2", "tf2_ros"} <= started <= declared("exec_depend")


def test_advice_to_install_is_that_of_setup():
    from embodied_nav.resources import EXTRAS

    assert {name: list(wanted) for name, wanted in EXTRAS.items()}.items() <= assigned("extras_require").items()


def test_interfaces_depend_on_what_their_fields_name():
    known = declared("depend")
    text = "\n".join(p.read_text(encoding="utf-8") for kind in ("msg", "srv", "action") for p in ROOT.glob(f"{kind}/*"))
    assert set(re.findall(r"^(\w+)/\w+", text, re.MULTILINE)) <= known


def test_nodes_of_cmake_exist():
    nodes = re.search(r"foreach\(node ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")).group(1)
    for node in nodes.split():
        tree = ast.parse((SOURCE / "nodes" / f"{node}.py").read_text(encoding="utf-8"))
        assert any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_module_says_what_it_is_and_stays_short(path):
    text = path.read_text(encoding="utf-8")
    assert not text or ast.get_docstring(ast.parse(text)), "a module's first line says what it does"
    assert len(text.splitlines()) < 600
