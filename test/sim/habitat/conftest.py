"""A small house of boxes as a scene's file, episode files over it, and a server with the stand-in for habitat-sim."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
SERVER = HERE.parents[2] / "habitat" / "server.py"

#: Boxes (low, high, colour) in Habitat's axes: floor at y = 0, two rooms with a door between, furniture, a shelf.
BOXES = [
    ((-4.0, -0.2, -3.0), (4.0, 0.0, 3.0), (150, 120, 90)),  # floor
    ((-4.0, 2.5, -3.0), (4.0, 2.7, 3.0), (230, 230, 230)),  # ceiling
    ((-4.2, -0.2, -3.2), (-4.0, 2.7, 3.2), (200, 200, 220)),
    ((4.0, -0.2, -3.2), (4.2, 2.7, 3.2), (200, 220, 200)),
    ((-4.0, -0.2, -3.2), (4.0, 2.7, -3.0), (220, 200, 200)),
    ((-4.0, -0.2, 3.0), (4.0, 2.7, 3.2), (220, 220, 180)),
    ((-0.1, 0.0, -3.0), (0.1, 2.5, 0.6), (190, 190, 190)),  # the wall between; the door is at z from 0.6 to 1.6
    ((-0.1, 0.0, 1.6), (0.1, 2.5, 3.0), (190, 190, 190)),
    ((2.0, 0.0, -1.5), (3.2, 0.7, -0.5), (180, 40, 40)),  # a table in the right room
    ((-3.9, 0.0, -2.9), (-3.5, 1.8, -1.5), (60, 60, 160)),  # a shelf
    ((1.2, 0.0, 1.0), (2.0, 0.1, 2.0), (90, 160, 90)),  # a low step: 0.1 m, walkable
]


def write_scene(folder: Path, name: str = "house", boxes=BOXES) -> Path:
    """The boxes as NAME.glb (glTF's axes are Habitat's) and as NAME.boxes.json, which the stand-in reads."""
    import trimesh

    scene = trimesh.Scene()
    for k, (low, high, color) in enumerate(boxes):
        low, high = np.array(low), np.array(high)
        box = trimesh.creation.box(
            extents=high - low, transform=trimesh.transformations.translation_matrix((low + high) / 2)
        )
        box.visual.face_colors = np.tile([*color, 255], (len(box.faces), 1))
        scene.add_geometry(box, node_name=f"box{k}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.glb"
    file.write_bytes(scene.export(file_type="glb"))
    (folder / f"{name}.boxes.json").write_text(json.dumps({"boxes": boxes}))
    return file


def write_json(path: Path, content) -> Path:
    """Gzip JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def objectnav(count: int = 2) -> dict:
    """An ObjectNav document: a table in the other room, with view points around it."""
    points = [(x, 0.1, z) for x in np.arange(1.75, 3.4, 0.1) for z in (-1.85, -0.3, -0.2, -0.1, 0.0, 0.1)]
    goal = {
        "object_id": 3, "object_category": "table", "position": [2.6, 0.35, -1.0],
        "view_points": [
            {"agent_state": {"position": [float(v) for v in p], "rotation": [0, 0, 0, 1]}, "iou": 0.4} for p in points
        ],
    }  # fmt: skip
    episodes = [
        {
            "episode_id": "0", "scene_id": "houses/house.glb", "start_position": [-3.0 + 0.3 * k, 0.1, 2.0],
            "start_rotation": [0.0, float(np.sin(k / 2)), 0.0, float(np.cos(k / 2))],
            "object_category": "table", "goals": [], "info": {"geodesic_distance": 6.0},
        }
        for k in range(count)
    ]  # fmt: skip
    return {
        "episodes": episodes, "goals_by_category": {"house.glb_table": [goal]},
        "category_to_task_category_id": {"table": 0}, "category_to_scene_annotation_category_id": {"table": 0},
    }  # fmt: skip


def route(language: str | None = None, goal=(2.8, 0.1, 2.0)) -> dict:
    """A VLN-CE document; with a language it is RxR's."""
    text = "Go through the door and stop at the table."
    instruction = {"instruction_text": text, "instruction_tokens": []}
    if language:
        instruction = {"instruction_text": text, "instruction_id": "7", "language": language}
    return {
        "episodes": [
            {
                "episode_id": 11, "trajectory_id": 5, "scene_id": "houses/house.glb",
                "start_position": [-3.0, 0.1, 2.0], "start_rotation": [0.0, 0.0, 0.0, 1.0],
                "instruction": instruction, "goals": [{"position": list(goal), "radius": 3.0}],
                "reference_path": [[-3.0, 0.1, 2.0], [0.0, 0.1, 1.1], list(goal)], "info": {"geodesic_distance": 6.1},
            }
        ],
        "instruction_vocab": {"word_list": []},
    }  # fmt: skip


@pytest.fixture(scope="session")
def house(tmp_path_factory) -> Path:
    """The scene's file, in a folder "houses"."""
    return write_scene(tmp_path_factory.mktemp("scenes") / "houses")


@pytest.fixture(scope="session")
def objectnav_file(house) -> Path:
    """An ObjectNav file over the house."""
    return write_json(house.parent.parent / "objectnav.json.gz", objectnav())


@pytest.fixture(scope="session")
def route_file(house) -> Path:
    """An R2R-CE file over the house."""
    return write_json(house.parent.parent / "r2r.json.gz", route())


class Server:
    """habitat/server.py over the stand-in, in a process of its own.

    Attributes:
        address: HOST:PORT. token: its token's file.
    """

    def __init__(self, folder: Path, *arguments: str, module: Path = HERE / "stand_in") -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": str(module)}
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), "--port", "0", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.match(r"listening on (\S+), token in (\S+)", self.line)
        self.address, self.token = (found[1], found[2]) if found else ("", "")

    def end(self) -> None:
        """Ends it and its children."""
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server for all tests that do not ask for one of their own."""
    running = Server(tmp_path_factory.mktemp("server"))
    assert running.address, running.line
    yield running
    running.end()
