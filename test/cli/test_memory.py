"""``embodied-nav memory``: answers, and one line for every mistake."""

import json

import numpy as np
import pytest

from embodied_nav.cli.main import main
from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import Camera
from embodied_nav.memory import SpatialMemory


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    camera = Camera(32, 24, 30.0, 30.0, 16.0, 12.0)
    frame = RGBDFrame(5, camera, np.eye(4), np.full((24, 32, 3), 90, np.uint8), np.full((24, 32), 2.0, np.float32))
    memory = SpatialMemory()
    memory.integrate(frame)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    segments = np.zeros((24, 32), np.uint16)
    segments[:, :10], segments[:, 20:] = 1, 2
    seen = tuple(ObjectObservation("chair", c, 0.9, np.array([x, 0, 2.0]), np.ones(3)) for c, x in
                 (("red", -0.7), ("blue", 0.7)))  # fmt: skip
    memory.add_delta(SemanticDelta(0, -1, 5, "test", "", seen, segments=segments))
    path = tmp_path_factory.mktemp("memory") / "memory.db"
    memory.save(path)
    return str(path)


def test_info(file, capsys):
    assert main(["memory", "info", file, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["voxels"] > 100 and facts["objects"] == 2 and facts["keyframes"] == 1 and facts["schema_version"] == 1
    assert main(["memory", "info", file]) == 0
    assert facts["uuid"] in capsys.readouterr().out


def test_query(file, capsys):
    assert main(["memory", "query", file, "red chair", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [o["color"] for o in found] == ["red", "blue"] and found[0]["score"] > found[1]["score"]
    assert main(["memory", "query", file, "chair", "--near", "0.7,0,2", "--max-results", "1"]) == 0
    assert "blue chair" in capsys.readouterr().out
    assert main(["memory", "query", file, "--box", "-2,-2,0,-0.4,2,3"]) == 0
    out = capsys.readouterr().out
    assert "red chair" in out and "blue" not in out
    assert main(["memory", "query", file, "piano"]) == 0
    assert "nothing fits" in capsys.readouterr().out


def test_export_and_check(file, capsys, tmp_path):
    assert main(["memory", "export", file, "--out", str(tmp_path / "map.ply")]) == 0
    assert (tmp_path / "map.ply").read_bytes().startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert main(["memory", "check", file]) == 0
    assert "no faults" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["info", "query", "export", "check"])
def test_what_is_no_memory_is_said_in_one_line(action, tmp_path, capsys):
    text = tmp_path / "notes.txt"
    text.write_text("not a memory")
    for path in (str(text), str(tmp_path / "missing.db"), str(tmp_path)):
        assert main(["memory", action, path]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and path in err
    assert text.read_text() == "not a memory" and not list(tmp_path.glob("*.ply"))


@pytest.mark.parametrize(
    "options", [["--box", "1,2"], ["--box", "1,1,1,0,0,0"], ["--near", "a,b,c"], ["--max-results", "0"]]
)
def test_bad_options(file, options, capsys):
    assert main(["memory", "query", file, "chair", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_file_fails_the_check(file, tmp_path, capsys):
    import shutil
    import sqlite3

    copy = tmp_path / "copy.db"
    shutil.copy(file, copy)
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE blocks SET data = x'00'")
    assert main(["memory", "check", str(copy)]) == 2
    assert "fault" in capsys.readouterr().err
