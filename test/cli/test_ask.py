"""``embodied-nav ask`` over a memory file and a video, and what it refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from embodied_nav.cli.main import main
from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import Camera
from embodied_nav.memory import SpatialMemory

#: A camera 1 m above the floor that looks along +x (map from optical frame).
LOOKS = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
#: What stands before it: instance, label, colour, columns of the image, distance (m).
THINGS = (
    (1, "chair", "red", (40, 90), 2.0),
    (2, "chair", "blue", (130, 180), 2.4),
    (3, "sofa", "green", (220, 290), 3.0),
)


@pytest.fixture(scope="module")
def memory_file(tmp_path_factory):
    memory, camera = SpatialMemory(), Camera.from_hfov(320, 240, 1.2)
    depth, segments = np.full((240, 320), 4.0, np.float32), np.zeros((240, 320), np.uint16)
    seen = []
    for instance, label, color, (left, right), distance in THINGS:
        depth[120:200, left:right], segments[120:200, left:right] = distance, instance
        optical = np.array([((left + right) / 2 - camera.cx) / camera.fx, (160 - camera.cy) / camera.fy, 1.0])
        place = (LOOKS @ [*(optical * distance), 1.0])[:3]
        seen.append(ObjectObservation(label, color, 0.9, place, np.array([0.1, 0.5, 0.8]), (left, 120, right, 200)))
    frame = RGBDFrame(10**9, camera, LOOKS, np.full((240, 320, 3), 120, np.uint8), depth)
    for k in range(3):
        memory.integrate(RGBDFrame(10**9 + k, camera, LOOKS, frame.color, depth))
    memory.add_keyframe(Keyframe(0, frame, 0.5, 100, "first"))
    memory.add_delta(SemanticDelta(0, -1, 10**9, "test", "stay", tuple(seen), text="things", segments=segments))
    path = tmp_path_factory.mktemp("ask") / "memory.db"
    memory.save(path)
    return path


def run(capsys, *arguments):
    code = main(["ask", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out.strip(), out.err.strip()


def test_a_memory_file_answers_with_the_objects_it_rests_on(memory_file, capsys):
    code, out, _ = run(capsys, memory_file, "is the blue chair left of the sofa when you face it?")
    assert code == 0 and out.startswith("Yes: from where the robot is, facing the green sofa")
    assert "blue chair at (" in out.splitlines()[1] + out.splitlines()[2]
    code, out, _ = run(capsys, memory_file, "how far is the red chair from the sofa?", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["kind"] == "distance" and 1.0 < answer["value"] < 4.0
    assert {e["label"] for e in answer["evidence"]} == {"chair", "sofa"} and answer["map_id"]
    code, out, _ = run(capsys, memory_file, "which is nearest to me?", "--near", "1.9", "1.0")
    assert code == 0 and out.startswith("The red chair is nearest to the robot")
    code, out, _ = run(capsys, memory_file, "how many chairs are there?", "--json")
    assert json.loads(out)["value"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("how far is the piano from the sofa?", "I understand that you ask metres between"),
        ("how tall is the chair?", "2 things called chair"),
        ("who is the president?", "I did not understand"),
        ("</think><answer>A", "I did not understand"),
        (" ", "empty"),
        ("x" * 10_000, "at most"),
    ],
)
def test_what_cannot_be_answered_is_one_line_with_what_was_understood(memory_file, capsys, text, says):
    code, out, err = run(capsys, memory_file, text)
    assert code == 2 and not out and says in err and "\n" not in err


def test_sources_that_are_none_are_told(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for source, says in ((tmp_path / "no.db", "there is none"), (tmp_path / "empty", "holds no recording")):
        code, _, err = run(capsys, source, "what is gone?")
        assert code == 2 and says in err and "\n" not in err


def test_a_plain_video_needs_eyes_that_need_no_depth(tmp_path, capsys, monkeypatch):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evaluation"))
    try:
        from test_video_questions import eyes, write_video
    finally:
        sys.path.pop(0)
    path = tmp_path / "walk.mp4"
    write_video(path)
    code, _, err = run(capsys, path, "how many chairs?", "--perception", "geometric")
    assert code == 2 and "needs depth" in err and "detector" in err
    monkeypatch.setattr("embodied_nav.cli.ask._perception", lambda args: eyes())
    code, out, _ = run(capsys, path, "which did you see first, the bed or the chair?")
    assert code == 0 and out == "First seen in this order: chair, bed."
    code, _, err = run(capsys, path, "how far is the bed?", "--near", "0", "0")
    assert code == 2 and "--near" in err
