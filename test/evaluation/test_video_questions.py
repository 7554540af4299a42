"""Annotation files of four video benchmarks, made here as their makers publish them, over small videos made here."""

import csv
import json

import cv2
import numpy as np
import pytest

from embodied_nav.drivers.watching import watch_video
from embodied_nav.errors import InputError
from embodied_nav.evaluation.questions import videos
from embodied_nav.evaluation.questions.table import ask_all
from embodied_nav.evaluation.questions.watching import examples_of
from embodied_nav.perception.detector import DetectorConfig, DetectorPerception
from embodied_nav.perception.detectors.detection import Detection
from embodied_nav.perception.geometric import GeometricPerception
from embodied_nav.reasoner.answering import Solver
from embodied_nav.reasoner.asking import answer_from_deltas
from embodied_nav.recordings.video import is_video, video_frames

SIDE, FPS = 160, 10


class ColorDetector:
    """Finds plain red and blue rectangles: a chair and a bed."""

    names = ("chair", "bed")

    def detect(self, rgb):
        found = []
        for label, channel in (("chair", 0), ("bed", 2)):
            others = [k for k in range(3) if k != channel]
            mask = (rgb[..., channel] > 170) & (rgb[..., others].max(axis=-1) < 90)
            rows, columns = np.nonzero(mask)
            if len(rows) > 100:
                box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float64)
                found.append(Detection(label, 0.9, box))
        return found


def eyes():
    return DetectorPerception(DetectorConfig(), ColorDetector())


def write_video(path, seconds=4.0):
    """A camera that turns to the right along a noisy wall: a red thing first, a blue one later."""
    rng = np.random.default_rng(1)
    wall = cv2.resize(rng.integers(60, 150, (40, 240), dtype=np.uint8), (960, SIDE), interpolation=cv2.INTER_NEAREST)
    scene = cv2.cvtColor(wall, cv2.COLOR_GRAY2BGR)
    scene[60:120, 60:110], scene[50:130, 700:780] = (20, 20, 230), (230, 20, 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (SIDE, SIDE))
    assert writer.isOpened()
    count = int(seconds * FPS)
    for k in range(count):
        at = int(k * (960 - SIDE) / (count - 1))
        writer.write(scene[:, at : at + SIDE])
    writer.release()


def test_a_video_becomes_frames_without_depth(tmp_path):
    path = tmp_path / "walk.mp4"
    write_video(path)
    frames = list(video_frames(path, rate=5.0))
    assert len(frames) == 20 and all(f.depth is None and np.isnan(f.T_map_camera).all() for f in frames)
    assert frames[0].color.shape == (SIDE, SIDE, 3)
    assert frames[0].color[90, 80, 0] > 170 > 90 > frames[0].color[90, 80, 2]  # RGB, not BGR
    assert np.allclose(np.diff([f.stamp for f in frames]), 2e8, atol=1e7)
    part = list(video_frames(path, rate=5.0, start=1.0, end=2.0))
    assert part[0].stamp >= 1e9 and part[-1].stamp <= 2e9 + 1 and len(part) in (5, 6)
    assert len(list(video_frames(path, max_frames=3))) == 3
    assert is_video("a/B.MP4") and not is_video("memory.db")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for name in ("broken.mp4", "none.mp4"):
        with pytest.raises(InputError, match=name):
            list(video_frames(tmp_path / name))


def test_a_video_is_watched_and_asked_without_depth(tmp_path):
    path = tmp_path / "walk.mp4"
    write_video(path)
    deltas = watch_video(video_frames(path, rate=5.0), eyes())
    assert 2 <= len(deltas) < 20  # keyframes, not all frames
    labels = [o.label for d in deltas for o in d.new]
    assert labels == ["chair", "bed"] and all(np.isnan(o.position).all() for d in deltas for o in d.objects)
    assert "rotate right" in {d.action for d in deltas} and "rotate left" not in {d.action for d in deltas}
    first = answer_from_deltas(deltas, "which did you see first, the bed or the chair?")
    assert first.answered and first.value == "chair, bed"
    count = answer_from_deltas(deltas, "how many chairs are there?")
    assert count.value == 1 and "without depth" in count.text
    far = answer_from_deltas(deltas, "how far is the chair from the bed?")
    assert not far.answered and "without depth" in far.text and far.kind == "distance"
    assert not answer_from_deltas(deltas, "who are you?").answered
    with pytest.raises(InputError, match="needs depth"):
        watch_video(video_frames(path), GeometricPerception())


VSI = {"id": 5, "dataset": "scannet", "scene_name": "walk", "question_type": "obj_appearance_order",
       "ground_truth": "B",
       "question": "What will be the first-time appearance order of the following categories in the video: bed, chair?",
       "options": ["A. bed, chair", "B. chair, bed"]}  # fmt: skip
COUNT = VSI | {"id": 6, "question_type": "object_counting", "ground_truth": "1", "options": None,
               "question": "How many chair(s) are in this room?"}  # fmt: skip
URBAN = {
    "Question_id": 9,
    "video_id": "walk.mp4",
    "question_category": "Action Generation",
    "question": "Question: What did the robot do in its last step?\nChoices:\nA. rotate left\nB. rotate right\n",
    "answer": "B",
}
EGO = {"q_uid": "walk", "google_drive_id": "x", "question": "Which of these is it?", "option 0": "cooking",
       "option 1": "a turn", "option 2": "a", "option 3": "b", "option 4": "c"}  # fmt: skip
MVB = {"video": "walk.mp4", "question": "What comes first?", "candidates": ["bed", "chair"], "answer": "chair",
       "start": 0.5, "end": 2.0}  # fmt: skip


def test_vsi_bench_is_read_and_answered(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (VSI, COUNT, VSI | {"scene_name": "elsewhere"})))
    write_video(tmp_path / "scannet" / "walk.mp4")
    found = videos.read(path, tmp_path)
    assert (found.format, found.without_video, len(found.questions)) == ("vsi-bench", 1, 2)
    assert found.questions[1].options == () and found.questions[1].answer == "1"
    row = ask_all(Solver(), examples_of(found.questions, eyes, rate=5.0))
    assert row.kinds["obj_appearance_order"] == row.kinds["object_counting"] == 1.0


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_urbanvideo_is_read_with_the_options_in_its_text(tmp_path, kind):
    path = tmp_path / f"MCQ.{kind}"
    if kind == "json":
        path.write_text(json.dumps([URBAN]))
    elif kind == "csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(URBAN))
            writer.writeheader()
            writer.writerow(URBAN)
    else:
        pytest.importorskip("pyarrow", reason="pyarrow (extra 'questions') is not installed")
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist([URBAN]), path)
    write_video(tmp_path / "walk.mp4", 0.5)
    found = videos.read(path, tmp_path)
    (question,) = found.questions
    assert found.format == "urbanvideo" and question.text == "What did the robot do in its last step?"
    assert question.options == ("A. rotate left", "B. rotate right")
    assert (question.answer, question.category, question.id) == ("B", "Action Generation", "9")


def test_egoschema_is_read_with_answers_beside_it_or_without(tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([EGO]))
    write_video(tmp_path / "walk.mp4", 0.5)
    (question,) = videos.read(path, tmp_path).questions
    assert len(question.options) == 5 and question.options[1] == "B. a turn" and question.answer == ""
    assert examples_of([question], eyes)[0].questions == ()  # without an answer it cannot be scored
    (tmp_path / "subset_answers.json").write_text(json.dumps({"walk": 1}))
    assert videos.read(path, tmp_path).questions[0].answer == "B"


def test_mvbench_is_read_with_its_part_of_the_video(tmp_path):
    path = tmp_path / "json" / "action_order.json"
    path.parent.mkdir()
    path.write_text(json.dumps([MVB]))
    write_video(tmp_path / "walk.mp4")
    (question,) = videos.read(path, tmp_path).questions
    assert (question.category, question.answer, question.start, question.end) == ("action_order", "B", 0.5, 2.0)
    (example,) = examples_of([question], eyes, rate=5.0)
    assert "chair" in example.digest or "THINGS" in example.digest


def test_what_is_no_annotation_file_is_one_line(tmp_path):
    write_video(tmp_path / "scannet" / "walk.mp4", 0.5)

    def told(name, text, folder=tmp_path, **more):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError) as error:
            videos.read(path, folder, **more)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "none of vsi-bench" in told("a.json", '[{"a": 1}]')
    assert "holds no questions" in told("b.json", "[]")
    assert "no list" in told("c.json", "{}")
    assert "as JSON" in told("d.json", "{")
    assert ".parquet" in told("e.txt", "")
    assert "lacks 'dataset'" in told("f.json", json.dumps([{k: v for k, v in VSI.items() if k != "dataset"}]))
    assert "outside" in told("g.json", json.dumps([VSI | {"scene_name": "../../../etc/passwd"}]))
    assert "is there; the first would be" in told("h.json", json.dumps([VSI | {"scene_name": "none"}]))
    assert "no such folder" in told("i.json", json.dumps([VSI]), tmp_path / "nowhere")
    assert "give one of" in told("j.json", json.dumps([VSI]), format="other")
