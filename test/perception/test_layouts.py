"""Output layouts of detectors against boxes that are put into them, and the SSD's anchors against those by hand."""

import numpy as np
import pytest

from embodied_nav.perception.detectors import ssd_anchors
from embodied_nav.perception.detectors.layouts import find_layout
from embodied_nav.perception.detectors.suppression import overlaps, suppress

BOX = np.array([0.2, 0.3, 0.6, 0.5])  # u0, v0, u1, v1 as shares
SIZE = (640, 480)


def zeros(**shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def centered(box):
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def tensorflow():
    out = zeros(detection_boxes=(1, 10, 4), detection_scores=(1, 10), detection_classes=(1, 10), num_detections=(1,))
    out["detection_boxes"][0, 2], out["detection_scores"][0, 2] = BOX[[1, 0, 3, 2]], 0.8
    out["detection_classes"][0, 2] = 62
    return out, 62


def labelled():
    out = zeros(labels=(1, 300), boxes=(1, 300, 4), scores=(1, 300))
    out["boxes"][0, 7], out["scores"][0, 7], out["labels"][0, 7] = BOX * [640, 480, 640, 480], 0.8, 56
    return out, 56


def queries():
    out = zeros(logits=(1, 300, 80), pred_boxes=(1, 300, 4))
    out["logits"] -= 9.0
    out["logits"][0, 5, 56], out["pred_boxes"][0, 5] = np.log(0.8 / 0.2), centered(BOX)
    return out, 56


def end_to_end():
    out = zeros(output0=(1, 300, 6))
    out["output0"][0, 4] = [*(BOX * [640, 480, 640, 480]), 0.8, 56]
    return out, 56


def yolo():
    out = zeros(output0=(1, 84, 8400))
    out["output0"][0, :4, 99], out["output0"][0, 4 + 56, 99] = centered(BOX) * [640, 480, 640, 480], 0.8
    return out, 56


def yolo_v5():
    out = zeros(output=(1, 25200, 85))
    out["output"][0, 99, :4], out["output"][0, 99, 4] = centered(BOX) * [640, 480, 640, 480], 0.9
    out["output"][0, 99, 5 + 56] = 0.8 / 0.9
    return out, 56


def yolo_of_one_class():
    out = zeros(output0=(1, 5, 8400))
    out["output0"][0, :, 99] = [*(centered(BOX) * [640, 480, 640, 480]), 0.8]
    return out, 0


def centernet():
    out = zeros(hm=(1, 80, 96, 128), wh=(1, 2, 96, 128), reg=(1, 2, 96, 128))
    u, v, w, h = centered(BOX) * [128, 96, 128, 96]
    out["hm"][0, 56, int(v), int(u)], out["hm"][0, 56, int(v), int(u) + 1] = 0.8, 0.7  # beside a peak is none
    out["wh"][0, :, int(v), int(u)], out["reg"][0, :, int(v), int(u)] = (w, h), (u - int(u), v - int(v))
    return out, 56


def ssd_raw():
    out = {"scores": np.zeros((1, 1917, 91), np.float32), "codes": np.zeros((1917, 4), np.float32)}
    k = 1500
    y, x, height, width = ssd_anchors.anchors(300)[k]
    u, v, w, h = centered(BOX)
    out["codes"][k] = [(v - y) / height * 10, (u - x) / width * 10, np.log(h / height) * 5, np.log(w / width) * 5]
    out["scores"][0, k, 62], out["scores"][0, k, 0] = 0.8, 0.9
    return out, 62


@pytest.mark.parametrize(
    "made",
    [tensorflow, labelled, queries, end_to_end, yolo, yolo_v5, yolo_of_one_class, centernet, ssd_raw],
    ids=lambda f: f.__name__,
)
def test_a_box_comes_out_as_it_was_put_in(made):
    outputs, number = made()
    layout = find_layout({name: value.shape for name, value in outputs.items()}, 300)
    assert layout is not None and layout.name == made.__name__.split("_v5")[0].split("_of")[0]
    parts = {part: outputs[name] for part, name in layout.outputs.items()}
    size = (300, 300) if made is ssd_raw else SIZE
    found = layout.decode(parts, size, 0.5)
    assert found.classes.tolist() == [number]
    assert found.scores == pytest.approx([0.8], abs=1e-5)
    assert np.allclose(found.boxes, [BOX], atol=1e-5)


def test_masks_of_a_yolo_come_with_their_boxes():
    layout = find_layout({"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)}, 640)
    assert layout.name == "yolo" and layout.classes == 80
    rows, prototypes = np.zeros((1, 116, 8400), np.float32), np.zeros((1, 32, 160, 160), np.float32)
    rows[0, 4 + 3, 7], rows[0, 84 + 5, 7] = 0.9, 2.0
    found = layout.decode({"rows": rows, "prototypes": prototypes}, (640, 640), 0.5)
    assert found.classes.tolist() == [3] and found.coefficients[0].tolist() == [0.0] * 5 + [2.0] + [0.0] * 26
    assert found.prototypes.shape == (32, 160, 160)


def test_dimensions_left_open():
    assert find_layout({"output0": (1, 84, "anchors")}, 640).classes == 80
    assert find_layout({"logits": ("batch", 300, 80), "pred_boxes": ("batch", 300, 4)}, 640).name == "queries"
    assert find_layout({"output0": (1, None, 6)}, 640).name == "end_to_end"
    assert find_layout({"boxes": (None, 4), "labels": (None,), "scores": (None,)}, 640).first == 1, "torchvision"


@pytest.mark.parametrize(
    "outputs", [{"logits": (1, 1000)}, {"a": (1, 3, 224, 224)}, {"x": (1, 4, 4)}, {"depth": (1, 1, 480, 640)}]
)
def test_what_is_no_detector_has_no_layout(outputs):
    assert find_layout(outputs, 300) is None


def test_anchors_are_those_computed_by_hand():
    made = ssd_anchors.anchors(300)
    assert made.shape == (3 * 19**2 + 6 * (10**2 + 5**2 + 3**2 + 2**2 + 1), 4) == (1917, 4)
    # First cell of the finest grid: aspects 1, 2, 1/2 at scales .1, .2, .2.
    assert made[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert made[1] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 / 2**0.5, 0.2 * 2**0.5])
    assert made[2] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 * 2**0.5, 0.2 / 2**0.5])
    assert made[3][:2] == pytest.approx([0.5 / 19, 1.5 / 19]), "along a row first"
    second = made[3 * 19**2 :]
    assert second[0] == pytest.approx([0.05, 0.05, 0.35, 0.35])
    assert second[3] == pytest.approx([0.05, 0.05, 0.35 / 3**0.5, 0.35 * 3**0.5])
    assert second[5] == pytest.approx([0.05, 0.05, (0.35 * 0.5) ** 0.5, (0.35 * 0.5) ** 0.5])
    assert made[-1] == pytest.approx([0.5, 0.5, 0.95**0.5, 0.95**0.5])


def test_suppression_keeps_the_surest_of_each_class():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 10]], float)
    assert overlaps(boxes[0], boxes) == pytest.approx([1.0, 90 / 110, 0.0, 1.0])
    kept = suppress(boxes, np.array([0.5, 0.9, 0.3, 0.4]), np.array([1, 1, 1, 2]), 0.5)
    assert kept.tolist() == [1, 3, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5).tolist() == []
