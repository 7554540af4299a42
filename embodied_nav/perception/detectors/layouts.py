"""Output layouts of ONNX detectors: which one a model has, and its boxes. Knows nothing of onnxruntime and of images.

A layout is recognised by the outputs' names and shapes alone. Each decoder gives boxes as shares of the network's
input, so that the caller need only undo its own scaling.

| layout | outputs |
|---|---|
| ``ssd_raw`` | class scores 1xNxC and box codes 1xNx4 of TensorFlow's SSD anchors |
| ``tensorflow`` | detection_boxes, _scores, _classes (1xNx4, 1xN, 1xN) of SSD, CenterNet, EfficientDet |
| ``labelled`` | boxes, scores, labels (in pixels; RT-DETR, D-FINE by their authors, torchvision) |
| ``queries`` | logits 1xQxC and pred_boxes 1xQx4 (RT-DETR, D-FINE as transformers exports them) |
| ``end_to_end`` | 1xNx6: u0, v0, u1, v1, score, class (YOLO v10 and later, exported with suppression) |
| ``yolo`` | 1x(4+C)xN (v8 and later; with masks 1x(4+C+32)xN and prototypes 1x32xhxw) or 1xNx(5+C) (v5) |
| ``centernet`` | heat maps 1xCxhxw, sizes 1x2xhxw, offsets 1x2xhxw |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import ssd_anchors

#: Stands for a dimension that is left open: of all boxes.
_OPEN = 1_000_000
#: Mask coefficients of a YOLO with masks.
_MASK_TERMS = 32
#: Most rows of a model that suppresses doubles itself; YOLO v5 with one class has as many columns but more rows.
_MOST_ROWS = 1000
#: Most peaks of a heat map that are looked at.
_MOST_PEAKS = 100


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes of one image before suppression.

    Attributes:
        boxes: Nx4 float64, u0, v0, u1, v1 as shares of the network's input.
        scores: N. classes: N int64.
        coefficients: NxK, and prototypes: Kxhxw, of masks over the network's input; None without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    coefficients: np.ndarray | None = None
    prototypes: np.ndarray | None = None


Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """How to feed one kind of model and to read its answer.

    Attributes:
        name: see the module. outputs: names of the outputs by their part.
        classes: their number, None where the outputs do not tell.
        decode: (outputs by part, width and height of the input, lowest score) -> candidates.
        input_range: what pixels become: ``unit`` 0 to 1, ``signed`` -1 to 1, ``byte`` 0 to 255.
        letterbox: whether the image keeps its aspect ratio, with a margin; else it is stretched.
        suppressed: whether the model leaves no doubles.
        first: class number of the first name.
    """

    name: str
    outputs: Mapping[str, str]
    classes: int | None
    decode: Callable[[Outputs, tuple[int, int], float], Candidates]
    input_range: str = "unit"
    letterbox: bool = False
    suppressed: bool = False
    first: int = 0


Shape = Sequence[int | str | None]


def find_layout(outputs: Mapping[str, Shape], edge: int) -> Layout | None:
    """The layout of a model, None where it has none of those known.

    Args:
        outputs: shapes by name; a dimension that is not fixed is None or a word. edge: of the input, px.
    """
    shapes = {name: tuple(d if isinstance(d, int) and d > 0 else None for d in s) for name, s in outputs.items()}
    for find in (_tensorflow, _labelled, _queries, _ssd_raw, _centernet, _end_to_end, _yolo):
        layout = find(shapes, edge)
        if layout is not None:
            return layout
    return None


_Shapes = Mapping[str, tuple[int | None, ...]]


def _part(shapes: _Shapes, *words: str) -> str:
    """The output whose name holds one of some words; "" without one."""
    return next((name for word in words for name in shapes if word in name.lower()), "")


def _tensorflow(shapes: _Shapes, edge: int) -> Layout | None:
    parts = {p: _part(shapes, f"detection_{p}") for p in ("boxes", "scores", "classes")}
    if not all(parts.values()):
        return None
    return Layout("tensorflow", parts, None, _decode_tensorflow, "byte", suppressed=True, first=1)


def _decode_tensorflow(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    scores = outputs["scores"].reshape(-1)
    keep = np.flatnonzero(scores >= least)
    boxes = outputs["boxes"].reshape(-1, 4)[keep].astype(np.float64)
    classes = outputs["classes"].reshape(-1)[keep].astype(np.int64)
    return Candidates(boxes[:, [1, 0, 3, 2]], scores[keep], classes)


def _labelled(shapes: _Shapes, edge: int) -> Layout | None:
    parts = {"boxes": _part(shapes, "boxes"), "scores": _part(shapes, "scores"), "labels": _part(shapes, "labels")}
    if len(shapes) < 3 or not all(parts.values()) or shapes[parts["boxes"]][-1] not in (4, None):
        return None
    torchvision = len(shapes[parts["boxes"]]) == 2  # without a batch, and with class 0 for the background
    return Layout("labelled", parts, None, _decode_labelled, suppressed=True, first=int(torchvision))


def _decode_labelled(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    scores = outputs["scores"].reshape(-1)
    keep = np.flatnonzero(scores >= least)
    boxes = outputs["boxes"].reshape(-1, 4)[keep].astype(np.float64) / np.array([*size, *size])
    return Candidates(boxes, scores[keep], outputs["labels"].reshape(-1)[keep].astype(np.int64))


def _queries(shapes: _Shapes, edge: int) -> Layout | None:
    parts = {"logits": _part(shapes, "logits"), "boxes": _part(shapes, "pred_boxes")}
    if not all(parts.values()) or len(shapes[parts["logits"]]) != 3:
        return None
    return Layout("queries", parts, shapes[parts["logits"]][-1], _decode_queries, suppressed=True)


def _decode_queries(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    scores = 1.0 / (1.0 + np.exp(-outputs["logits"][0].astype(np.float64)))
    query, classes = np.nonzero(scores >= least)
    return Candidates(_corners(outputs["boxes"][0][query]), scores[query, classes], classes)


def _ssd_raw(shapes: _Shapes, edge: int) -> Layout | None:
    number = len(ssd_anchors.anchors(edge))
    boxes = next((n for n, s in shapes.items() if s[-2:] == (number, 4)), "")
    scores = next((n for n, s in shapes.items() if n != boxes and len(s) == 3 and s[1] == number), "")
    if not (boxes and scores):
        return None
    parts = {"boxes": boxes, "scores": scores}
    return Layout("ssd_raw", parts, shapes[scores][-1], _decode_ssd_raw, "signed")


def _decode_ssd_raw(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    scores = outputs["scores"][0].copy()
    scores[:, 0] = 0.0  # background
    anchor, classes = np.nonzero(scores >= least)
    codes = outputs["boxes"].reshape(-1, 4)[anchor].astype(np.float64)
    boxes = ssd_anchors.decode(codes, ssd_anchors.anchors(size[0])[anchor])
    return Candidates(boxes, scores[anchor, classes], classes)


def _centernet(shapes: _Shapes, edge: int) -> Layout | None:
    maps = {name: s for name, s in shapes.items() if len(s) == 4}
    pairs = {name: None for name, s in maps.items() if s[1] == 2}
    heat = next((name for name in maps if name not in pairs), "")
    sizes = next((name for name in pairs if any(w in name.lower() for w in ("wh", "size"))), "")
    offsets = next((name for name in pairs if name != sizes), "")
    if len(maps) != 3 or not (heat and sizes and offsets):
        return None
    parts = {"heat": heat, "sizes": sizes, "offsets": offsets}
    return Layout("centernet", parts, maps[heat][1], _decode_centernet, suppressed=True)


def _decode_centernet(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    """Peaks of the heat maps (Zhou et al., "Objects as points", 2019, sec. 4.1)."""
    from scipy.ndimage import maximum_filter

    heat = outputs["heat"][0]
    heat = heat if heat.min() >= 0.0 and heat.max() <= 1.0 else 1.0 / (1.0 + np.exp(-heat))
    peaks = np.argwhere((heat == maximum_filter(heat, size=(1, 3, 3))) & (heat >= least))
    scores = heat[tuple(peaks.T)]
    best = np.argsort(-scores, kind="stable")[:_MOST_PEAKS]
    classes, v, u = peaks[best].T
    center = np.stack([u, v], axis=1) + outputs["offsets"][0][:, v, u].T
    half = outputs["sizes"][0][:, v, u].T / 2.0
    edges = np.array(heat.shape[:0:-1], dtype=np.float64)
    return Candidates(np.hstack([(center - half) / edges, (center + half) / edges]), scores[best], classes)


def _end_to_end(shapes: _Shapes, edge: int) -> Layout | None:
    name = next(iter(shapes))
    if len(shapes) != 1 or len(shapes[name]) != 3 or shapes[name][2] != 6 or (shapes[name][1] or 0) > _MOST_ROWS:
        return None
    return Layout("end_to_end", {"rows": name}, None, _decode_end_to_end, letterbox=True, suppressed=True)


def _decode_end_to_end(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    rows = outputs["rows"][0].astype(np.float64)
    rows = rows[rows[:, 4] >= least]
    return Candidates(rows[:, :4] / np.array([*size, *size]), rows[:, 4], rows[:, 5].astype(np.int64))


def _yolo(shapes: _Shapes, edge: int) -> Layout | None:
    rows = next((n for n, s in shapes.items() if len(s) == 3 and any(s[1:])), "")
    masks = next((n for n, s in shapes.items() if len(s) == 4 and s[1] == _MASK_TERMS), "")
    if not rows or len(shapes) > 1 + bool(masks):
        return None
    first, second = (n or _OPEN for n in shapes[rows][1:])
    parts = {"rows": rows, **({"prototypes": masks} if masks else {})}
    terms = _MASK_TERMS if masks else 0
    if 5 < first - terms < second:
        return Layout("yolo", parts, first - terms - 4, _decode_yolo, letterbox=True)
    if 5 < second - terms < first:
        return Layout("yolo", parts, second - terms - 5, _decode_yolo_v5, letterbox=True)
    if 4 < first - terms < second:
        return Layout("yolo", parts, first - terms - 4, _decode_yolo, letterbox=True)
    return None


def _decode_yolo(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    rows = outputs["rows"][0].T
    end = rows.shape[1] - (_MASK_TERMS if "prototypes" in outputs else 0)
    return _yolo_candidates(rows, rows[:, 4:end], end, outputs, size, least)


def _decode_yolo_v5(outputs: Outputs, size: tuple[int, int], least: float) -> Candidates:
    rows = outputs["rows"][0]
    end = rows.shape[1] - (_MASK_TERMS if "prototypes" in outputs else 0)
    return _yolo_candidates(rows, rows[:, 5:end] * rows[:, 4:5], end, outputs, size, least)


def _yolo_candidates(
    rows: np.ndarray, scores: np.ndarray, end: int, outputs: Outputs, size: tuple[int, int], least: float
) -> Candidates:
    """The best class of each row; ``end``: where its mask's coefficients begin."""
    classes, best = scores.argmax(axis=1), scores.max(axis=1)
    keep = np.flatnonzero(best >= least)
    boxes = _corners(rows[keep, :4].astype(np.float64) / np.array([*size, *size]))
    if "prototypes" not in outputs:
        return Candidates(boxes, best[keep], classes[keep])
    return Candidates(boxes, best[keep], classes[keep], rows[keep, end:], outputs["prototypes"][0])


def _corners(boxes: np.ndarray) -> np.ndarray:
    """u0, v0, u1, v1 of boxes given as centre and size (Nx4 both)."""
    center, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2.0
    return np.hstack([center - half, center + half])
