"""The memory command on a small memory: a red and a blue box before a wall."""

import json
import sqlite3

import numpy as np
import pytest

from embodied_nav.cli.main import main
from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d
from embodied_nav.memory import SpatialMemory

CAMERA = Camera.from_hfov(80, 60, 1.2)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    depth = np.full((60, 80), 3.0, np.float32)
    segments = np.zeros((60, 80), np.uint16)
    depth[20:40, 10:30], segments[20:40, 10:30] = 2.0, 1
    depth[20:40, 50:70], segments[20:40, 50:70] = 2.0, 2
    color = np.full((60, 80, 3), 200, np.uint8)
    frame = RGBDFrame(10**9, CAMERA, pose2d(0, 0, 0, 0.8) @ T_LINK_OPTICAL, color, depth)
    memory = SpatialMemory()
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    memory.integrate(frame)
    boxes = [
        ObjectObservation("chair", color, 0.9, np.array([2.0, y, 0.8]), np.array([0.1, 0.5, 0.5]), box)
        for color, y, box in (("red", 0.7, (10, 20, 30, 40)), ("blue", -0.7, (50, 20, 70, 40)))
    ]
    memory.add_delta(SemanticDelta(0, -1, 10**9, "test", "", tuple(boxes), tuple(boxes), segments=segments))
    path = tmp_path_factory.mktemp("memory") / "memory.db"
    memory.save(path)
    return path


def run(capsys, *arguments) -> str:
    assert main(["memory", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments) -> str:
    assert main(["memory", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    return captured.err


def test_info(file, capsys):
    facts = json.loads(run(capsys, "info", file, "--json"))
    assert facts["frames"] == facts["keyframes"] == facts["sessions"] == 1
    assert facts["voxels"] == len(SpatialMemory.load(file)) > 500
    assert facts["objects"] == 2
    assert 3.0 <= facts["bounds_m"][1][0] < 3.5
    assert f"voxels          {facts['voxels']}\n" in run(capsys, "info", file)


def test_query_ranks_what_fits_first(file, capsys):
    found = json.loads(run(capsys, "query", file, "blue chair", "--json"))
    assert [o["color"] for o in found] == ["blue", "red"] and found[0]["score"] > found[1]["score"]
    assert found[0]["position"][1] == pytest.approx(-0.7, abs=0.15)
    lines = run(capsys, "query", file, "red chair").splitlines()
    assert "red chair" in lines[0] and lines[-1] == f"coordinates are of map {found[0]['map_id']}"
    assert found[0]["map_id"] == SpatialMemory.load(file).uuid


def test_query_knows_the_words_that_instructions_know(file, capsys):
    assert run(capsys, "query", file, "azure seat", "--json") == run(capsys, "query", file, "blue chair", "--json")
    assert run(capsys, "query", file, "stool") == "nothing fits\n"


def test_query_by_meaning_says_that_it_guesses(file, capsys, monkeypatch):
    from embodied_nav.language import meaning

    class Sitting:
        def encode(self, texts):
            return np.array([[1.0, 0.0] if "sit" in text else [0.0, 1.0] for text in texts], np.float32)

    monkeypatch.setattr(meaning, "choose", lambda model: None if model == "none" else meaning.Meaning(Sitting))
    found = json.loads(run(capsys, "query", file, "somewhere to sit", "--json"))
    assert [o["label"] for o in found] == ["chair", "chair"] and all(o["by_meaning"] for o in found)
    assert "by meaning (1.00)" in run(capsys, "query", file, "somewhere to sit")
    assert not any(o["by_meaning"] for o in json.loads(run(capsys, "query", file, "chair", "--json")))
    assert run(capsys, "query", file, "somewhere to sit", "--exact") == "nothing fits\n"
    assert run(capsys, "query", file, "keeps food cold") == "nothing fits\n"


def test_without_a_model_a_description_is_told_how_to_get_one(file, capsys, monkeypatch):
    from embodied_nav.language import embedding

    monkeypatch.setattr(embedding, "PACKAGE", "no_such_package_of_a_model")
    told = run(capsys, "query", file, "somewhere to sit")
    assert told.startswith("nothing fits these words; to search by meaning, install it with: ")
    assert run(capsys, "query", file, "sofa") == run(capsys, "query", file, "sofa", "--exact") == "nothing fits\n"
    assert "has no config.json" in refused(capsys, "query", file, "sofa", "--language-model", file.parent)


def test_query_by_place(file, capsys):
    box = ["--box", "-1", "0.2", "0", "3", "2", "2"]
    assert [o["color"] for o in json.loads(run(capsys, "query", file, "--json", *box))] == ["red"]
    near = json.loads(run(capsys, "query", file, "chair", "--json", "--near", "2", "-1", "1"))
    assert [o["color"] for o in near] == ["blue", "red"]
    assert run(capsys, "query", file, "sofa") == "nothing fits\n"
    assert len(json.loads(run(capsys, "query", file, "--json", "--max-results", 1))) == 1


def test_export(file, capsys, tmp_path):
    voxels = len(SpatialMemory.load(file))
    assert run(capsys, "export", file) == f"{file.with_suffix('.ply')}: {voxels} voxels\n"
    assert f"element vertex {voxels}\n".encode() in file.with_suffix(".ply").read_bytes()
    assert json.loads(run(capsys, "export", file, "--json", "--out", tmp_path / "map.png"))["objects"] == 2
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    run(capsys, "export", file, "--out", tmp_path / "objects.json")
    assert json.loads((tmp_path / "objects.json").read_text()) == [], "one view is not enough evidence"
    run(capsys, "export", file, "--all", "--out", tmp_path / "objects.json")
    assert {o["color"] for o in json.loads((tmp_path / "objects.json").read_text())} == {"red", "blue"}


def test_check_of_a_sound_file(file, capsys):
    assert run(capsys, "check", file) == f"{file}: no faults\n"


@pytest.mark.parametrize("damage", ["cut", "bytes", "count", "blobs"])
def test_check_finds_damage(file, capsys, tmp_path, damage):
    broken = tmp_path / "broken.db"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        broken.write_bytes(content[: len(content) // 2])
    elif damage == "bytes":
        middle = len(content) // 2  # over more than a page: what a page does not use may be lost without harm
        assert any(content[middle : middle + 5000])
        content[middle : middle + 5000] = bytes(5000)
        broken.write_bytes(content)
    else:
        broken.write_bytes(content)
        with sqlite3.connect(broken) as db:
            db.execute("UPDATE maps SET voxels = voxels + 1" if damage == "count" else "UPDATE blocks SET data = x'00'")
    assert "broken.db" in refused(capsys, "check", broken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "/nowhere/memory.db"], "/nowhere/memory.db: cannot be read"),
        (["info", __file__], "is no memory file"),
        (
            ["export", "{file}", "--out", "map.obj"],
            "map.obj: cannot tell what to write; end the name with .ply, .glb, .gltf, .yaml, .png, .json",
        ),
        (["export", "{file}", "--out", "/nowhere/map.ply"], "/nowhere/map.ply: cannot be written"),
        (["export", "{file}", "--out", "/nowhere/map.png"], "/nowhere/map.png"),
        (["export", "{file}", "--out", "/nowhere/o.json"], "/nowhere/o.json: cannot be written"),
        (["query", "{file}", "--box", "1", "0", "0", "0", "1", "1"], "the lower corner must come first"),
        (["query", "{file}", "--max-results", "0"], "--max-results 0: give a whole number above 0"),
    ],
)
def test_bad_input_is_one_line(file, capsys, arguments, message):
    assert message in refused(capsys, *(a.replace("{file}", str(file)) for a in arguments))


@pytest.mark.parametrize("action", ["info", "query", "export", "check"])
def test_what_is_no_memory_is_said_in_one_line(action, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("not a memory")
    for path in (tmp_path / "notes.txt", tmp_path / "missing.db", tmp_path):
        assert str(path) in refused(capsys, action, path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_is_overwritten_by_a_refusal(file, capsys, tmp_path):
    out = tmp_path / "map.ply"
    out.write_text("mine")
    refused(capsys, "export", __file__, "--out", out)
    assert out.read_text() == "mine"
