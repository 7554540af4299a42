"""Detectors out of ONNX files: tiny ones made here, and the real small one on a real frame."""

from pathlib import Path

import numpy as np
import pytest
from onnx_models import write_model

from embodied_nav.errors import InputError
from embodied_nav.perception import PerceptionError
from embodied_nav.perception.detectors import OnnxDetector, OnnxOptions
from embodied_nav.perception.detectors.class_names import COCO_80, COCO_90, COCO_91

pytest.importorskip("onnx", reason="needs onnx, to make models")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")

IMAGE = np.zeros((120, 160, 3), np.uint8)


def yolo(rows, classes=80, boxes=100):
    """Output of a YOLO v8 of 64x64 with (centre u, v, width, height, class, score) rows."""
    out = np.zeros((1, 4 + classes, boxes), np.float32)
    for k, (u, v, w, h, number, score) in enumerate(rows):
        out[0, :4, k], out[0, 4 + number, k] = (u, v, w, h), score
    return {"output0": out}


def test_yolo_keeps_the_aspect_ratio_and_takes_the_vocabularys_words(tmp_path):
    # 160x120 becomes 64x48 in the upper left corner: the factor is 2.5.
    path = write_model(
        tmp_path / "yolo.onnx", yolo([(32, 24, 16, 8, 62, 0.9), (33, 24, 16, 8, 62, 0.6), (8, 8, 8, 8, 57, 0.5)])
    )
    found = OnnxDetector(path).detect(IMAGE)
    assert [(d.label, round(d.score, 3)) for d in found] == [("tv", 0.9), ("sofa", 0.5)], "COCO's couch is a sofa"
    assert found[0].box == pytest.approx([60, 50, 100, 70]) and found[0].mask is None
    assert OnnxDetector(path, OnnxOptions(threshold=0.7)).detect(IMAGE)[1:] == []


def test_masks(tmp_path):
    out = yolo([(32, 24, 32, 32, 56, 0.9)], classes=80 + 32)
    out["output0"][0, 84, 0] = 1.0
    prototypes = np.full((1, 32, 16, 16), -1.0, np.float32)
    prototypes[0, 0, :, :8] = 1.0  # the left half of the input
    found = OnnxDetector(write_model(tmp_path / "seg.onnx", {**out, "output1": prototypes})).detect(IMAGE)
    (thing,) = found
    assert thing.label == "chair" and thing.mask.shape == (120, 160)
    v, u = np.nonzero(thing.mask)
    assert (u.min(), v.min(), v.max()) == (40, 20, 99) and 76 <= u.max() <= 84, "the left half of the box"


def test_names_in_the_file_or_beside_it(tmp_path):
    path = write_model(tmp_path / "a.onnx", yolo([(32, 24, 16, 8, 1, 0.9)], 2), names="{0: 'person', 1: 'TV monitor'}")
    assert OnnxDetector(path).names == ("person", "tv")
    (tmp_path / "names.txt").write_text("robot\npotted_plant\n\n")
    assert OnnxDetector(path, OnnxOptions(str(tmp_path / "names.txt"))).detect(IMAGE)[0].label == "plant"


def test_a_model_that_is_told_the_images_size(tmp_path):
    outputs = {
        "labels": np.array([[56, 1]], np.int64), "scores": np.array([[0.9, 0.1]], np.float32),
        "boxes": np.array([[[10, 20, 110, 90], [0, 0, 1, 1]]], np.float32),
    }  # fmt: skip
    path = write_model(tmp_path / "detr.onnx", outputs, inputs={"orig_target_sizes": (1, 2)})
    (chair,) = OnnxDetector(path).detect(IMAGE)
    assert chair.label == "chair" and chair.box == pytest.approx([10, 20, 110, 90])


def test_tensorflows_classes_are_cocos_ids(tmp_path):
    outputs = {
        "detection_boxes": np.array([[[0.1, 0.2, 0.5, 0.6]]], np.float32),
        "detection_classes": np.array([[62]], np.float32), "detection_scores": np.array([[0.8]], np.float32),
    }  # fmt: skip
    path = write_model(tmp_path / "tf.onnx", outputs, (1, 320, 320, 3))
    (chair,) = OnnxDetector(path).detect(IMAGE)
    assert chair.label == "chair" and chair.box == pytest.approx([32, 12, 96, 60], abs=1e-4)


def test_cocos_lists():
    assert (len(COCO_80), len(COCO_90), len(COCO_91)) == (80, 90, 91) and "" not in COCO_80
    assert (COCO_91[1], COCO_91[62], COCO_91[67], COCO_91[72], COCO_91[90]) == (
        "person", "chair", "dining table", "tv", "toothbrush")  # fmt: skip
    assert (COCO_80[0], COCO_80[56], COCO_80[79]) == ("person", "chair", "toothbrush")


@pytest.mark.parametrize(
    "outputs, shape, says",
    [
        ({"probabilities": np.zeros((1, 1000), np.float32)}, (1, 3, 64, 64), "outputs of no known detector"),
        ({"output0": np.zeros((1, 84, 100), np.float32)}, (1, 1, 64, 64), "1 channels"),
        ({"output0": np.zeros((1, 84, 100), np.float32)}, (1, 64), "takes images 1x64"),
        ({"output0": np.zeros((1, 4 + 17, 100), np.float32)}, (1, 3, 64, 64), "17 classes without names"),
    ],
)
def test_files_that_are_no_detector_are_refused_in_one_line(tmp_path, outputs, shape, says):
    with pytest.raises(InputError, match=says) as error:
        OnnxDetector(write_model(tmp_path / "x.onnx", outputs, shape))
    assert "\n" not in str(error.value) and "; give" in str(error.value)


def test_other_bad_input_is_refused_in_one_line(tmp_path):
    path = write_model(tmp_path / "a.onnx", yolo([], 3), names="['a', 'b', 'c']")
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "text.onnx").write_text("no model")
    nonsense = write_model(tmp_path / "b.onnx", yolo([], 3), names="{0: 'a', 2: 'c'}")
    for file, options, says in (
        (str(tmp_path / "none.onnx"), OnnxOptions(), "there is no such file"),
        (str(tmp_path / "text.onnx"), OnnxOptions(), "is no ONNX file"),
        (path, OnnxOptions(str(tmp_path / "two.txt")), r"two.txt holds 2 class names, the model has 3 classes"),
        (path, OnnxOptions(str(tmp_path / "no.txt")), r"no.txt: cannot be read"),
        (nonsense, OnnxOptions(), "'names' is no list of names"),
        (path, OnnxOptions(provider="tensorrt"), "detector.provider = tensorrt: this onnxruntime has no"),
    ):
        with pytest.raises(InputError, match=says) as error:
            OnnxDetector(file, options)
        assert "\n" not in str(error.value)


def test_a_class_without_a_name_fails_this_keyframe_only(tmp_path):
    out = {"output0": np.array([[[8, 8, 40, 40, 0.9, 91]]], np.float32)}
    detector = OnnxDetector(write_model(tmp_path / "e.onnx", out))
    with pytest.raises(PerceptionError, match="class 91, of 80 names"):
        detector.detect(IMAGE)


def test_the_real_small_detector_finds_chair_table_and_cup_on_a_real_frame(kitchen):
    import cv2

    file = Path(kitchen).parent / "models" / "coco-ssd-300.onnx"
    if not file.is_file():
        pytest.skip(f"no detector at {file}")
    image = cv2.cvtColor(cv2.imread(str(kitchen / "frame-000000.color.jpg")), cv2.COLOR_BGR2RGB)
    detector = OnnxDetector(str(file))
    assert detector.layout.name == "ssd_raw" and len(detector.names) == 91
    found = detector.detect(image)
    assert [d.label for d in found] == ["chair", "dining table", "cup"]
    # As seen by eye.
    for detection, box in zip(found, ([171, 128, 303, 350], [200, 160, 636, 462], [355, 164, 400, 210]), strict=True):
        assert np.abs(detection.box - box).max() < 20, detection.label
