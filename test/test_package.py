"""What the package says of itself holds: dependencies, versions, layers, licence."""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import embodied_nav

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "embodied_nav"
PACKAGE = ET.parse(ROOT / "package.xml").getroot()

#: DESIGN: a layer imports only itself and what stands before it.
LAYERS = (
    ("errors", "resources", "findings"), ("config",), ("geometry",), ("frames", "robot"),
    ("frame_checks", "recordings"), ("keyframes",), ("memory",), ("slam",), ("models",), ("perception",),
    ("planning",), ("reasoner",), ("agent",), ("sim",), ("training", "evaluation"), ("nodes", "bringup"),
    ("cli", "__main__"),
)  # fmt: skip
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: pip's name -> rosdep's key.
ROSDEP = {"opencv-python-headless": "python3-opencv", "pillow": "python3-pil", "pyyaml": "python3-yaml"}


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


def imports(path: Path) -> set[str]:
    """Absolute names of all modules that a source file imports, relative ones resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


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
            assert parts[0] not in ("rclpy", "tf2_ros", "message_filters", "launch", "launch_ros"), f"{path}: {name}"


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
    assert {ROSDEP.get(name, f"python3-{name}") for name in names} <= declared("exec_depend")


def test_extras_are_those_of_the_readme():
    extras = assigned("extras_require")
    assert set(extras) == {"vlm", "train", "slam", "bags", "viewer", "dev"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in extras:
        assert f"`{name}`" in readme
    everything = [*assigned("install_requires"), *(r for extra in extras.values() for r in extra)]
    assert all("<" in requirement for requirement in everything), "every range has an upper end"


def test_every_ros_package_that_the_nodes_import_is_declared():
    known = declared("depend", "exec_depend")
    packages = {"tf2_ros": "tf2_ros_py"}  # the ROS package tf2_ros is the C++ half
    for path in [*(SOURCE / "nodes").rglob("*.py"), *(ROOT / "launch").rglob("*.py")]:
        for name in imports(path):
            top = name.split(".")[0]
            ours = top in sys.stdlib_module_names or top == "embodied_nav"
            if not ours and top not in ("numpy", "cv2", "yaml", "scipy", "psutil"):
                package = packages.get(top, top)
                assert package in known, f"{path.relative_to(ROOT)} imports {package}, which package.xml does not name"


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
