"""Names of a model's classes: from its file, from a text file, or COCO's. Knows nothing of boxes."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ...language.vocabulary import canonical

#: COCO's 90 ids from 1 on; an id that the data set does not use has no name.
_COCO_90 = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, , stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, , backpack, umbrella, , ,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, , wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, , dining table, , , toilet, , tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, , book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
"""
COCO_90 = tuple(name.strip() for name in _COCO_90.split(","))
#: With the background in front, as TensorFlow's models count.
COCO_91 = ("", *COCO_90)
#: Without gaps, as most others count.
COCO_80 = tuple(name for name in COCO_90 if name)
#: COCO's names by the number of classes.
_COCO = {len(names): names for names in (COCO_80, COCO_90, COCO_91)}


def class_names(path: str, metadata: Mapping[str, str], count: int | None, model: str) -> tuple[str, ...]:
    """The label of each class, in the vocabulary's words; "" for one that never counts.

    Args:
        path: a text file with one name a line, empty for none. metadata: the model's own, by key.
        count: classes of the model, None where its outputs do not tell. model: its path, for errors.

    Raises:
        InputError: a file that cannot be read, a list of another length, or no list at all.
    """
    if path:
        names, source = _from_file(path), path
    elif metadata.get("names"):
        names, source = _from_metadata(metadata["names"], model), f"{model}: its metadata"
    elif count is None or count in _COCO:
        names, source = _COCO[count or len(COCO_80)], model
    else:
        raise InputError(f"{model}: has {count} classes without names; give detector.classes, one name a line")
    if count is not None and len(names) != count:
        raise InputError(f"{source} holds {len(names)} class names, the model has {count} classes; give as many")
    return tuple(canonical(name) for name in names)


def _from_file(path: str) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"{path}: cannot be read ({reason}); give a text file, one class name a line") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(line.strip() for line in lines)


def _from_metadata(text: str, model: str) -> tuple[str, ...]:
    """A list, or names by number, as JSON or as Python writes them."""
    try:
        names = json.loads(text) if text.lstrip().startswith(("[", '{"')) else ast.literal_eval(text)
        if isinstance(names, dict):
            numbered = {int(k): str(v) for k, v in names.items()}
            names = [numbered[k] for k in range(len(numbered))]
        return tuple(str(name) for name in names)
    except (ValueError, SyntaxError, KeyError, TypeError):
        raise InputError(f"{model}: its metadata 'names' is no list of names; give detector.classes") from None
