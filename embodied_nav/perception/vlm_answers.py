"""The answer of a vision-language model: its JSON schema and a strict parser. Knows nothing of models and of depth.

What a model says can hold anything, among it what somebody wrote on a wall. Only the keys of the schema are read, each
with its type and bound; texts lose control characters and angle brackets, so that none can pass for a reasoner's tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..language.matching import LONGEST
from ..language.vocabulary import SHADES, canonical, known_color, known_label

#: Longest answer that is read, longest text in it and longest label (characters).
LONGEST_ANSWER, LONGEST_TEXT, LONGEST_LABEL = 32000, 1500, 40
_KEYS = ("action", "changes", "relevant", "objects")
_ARTICLES = ("a", "an", "the", "some")
_WORD = r"[^\W\d_]+(?:['-][^\W\d_]+)*"
_NAME = re.compile(f"{_WORD}(?: {_WORD})*")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)


class AnswerError(ValueError):
    """An answer that is not as the schema wants it; the text says why."""


@dataclass(frozen=True)
class NamedBox:
    """A thing that a model names in a picture.

    Attributes:
        label: by the one vocabulary where that knows it ("sofa" for "couch").
        color: colour name, or "".
        box: (x0, y0, x1, y1), shares of the picture's width and height, 0 to 1, x0 < x1 and y0 < y1.
    """

    label: str
    color: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class VlmAnswer:
    """What a model says of a keyframe: how the camera moved, what changed, what concerns the instruction, objects."""

    action: str
    changes: str
    relevant: str
    objects: tuple[NamedBox, ...]


def schema(most: int) -> dict[str, Any]:
    """The JSON schema of an answer with at most ``most`` objects."""
    number = {"type": "number"}
    thing = {
        "type": "object",
        "properties": {
            "label": {"type": "string"},
            "box": {"type": "array", "items": number, "minItems": 4, "maxItems": 4},
        },
        "required": ["label", "box"],
        "additionalProperties": False,
    }
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "action": text,
            "changes": text,
            "relevant": text,
            "objects": {"type": "array", "items": thing, "maxItems": most},
        },
        "required": list(_KEYS),
        "additionalProperties": False,
    }


def parse(text: str, most: int, scale: tuple[float, float]) -> VlmAnswer:
    """Reads an answer.

    Args:
        text: one JSON object of the schema, alone or in one code fence. A thing with an unusable name is left out.
        most: objects at most.
        scale: (width, height) of the picture in the box's unit.

    Raises:
        AnswerError: anything else.
    """
    content = _object(_loaded(text), _KEYS, "the answer")
    things = content["objects"]
    if not isinstance(things, list):
        raise AnswerError(f"objects is {_kind(things)}, expected a list")
    if len(things) > most:
        raise AnswerError(f"{len(things)} objects, at most {most} were asked for")
    texts = {key: _text(content[key], key) for key in _KEYS[:3]}
    named = [_named_box(thing, scale) for thing in things]
    return VlmAnswer(**texts, objects=tuple(thing for thing in named if thing.label))


def normalized(label: str) -> tuple[str, str]:
    """(label, colour) of what a model calls a thing: articles go, "dark red couch" is ("sofa", "red").

    ("", "") where that leaves no name of one to four words of letters.
    """
    words = [w for w in canonical(label).split() if w not in _ARTICLES and w not in SHADES]
    nouns = [w for w in words if not known_color(w)]
    color = next((color for w in words if (color := known_color(w))), "")
    name = known_label(" ".join(nouns)) or canonical(" ".join(nouns))
    if not _NAME.fullmatch(name) or len(name) > LONGEST_LABEL or len(nouns) > LONGEST:
        return "", ""
    return name, color


def _loaded(text: str) -> Any:
    if len(text) > LONGEST_ANSWER:
        raise AnswerError(f"{len(text)} characters, at most {LONGEST_ANSWER} are read")
    fenced = _FENCE.fullmatch(text.strip())
    try:
        return json.loads(fenced[1] if fenced else text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
        raise AnswerError(f"no JSON ({reason}): {text.strip()[:60]!r}") from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise AnswerError("a key stands there twice")
    return content


def _refuse(constant: str) -> None:
    raise AnswerError(f"{constant} is no number of JSON")


def _object(value: Any, keys: Sequence[str], name: str) -> Mapping[str, Any]:
    """A mapping with exactly these keys."""
    if not isinstance(value, dict):
        raise AnswerError(f"{name} is {_kind(value)}, expected an object")
    if missing := [key for key in keys if key not in value]:
        raise AnswerError(f"{name} lacks {', '.join(missing)}")
    if more := [key for key in value if key not in keys]:
        raise AnswerError(f"{name} has an unknown key {more[0][:LONGEST_LABEL]!r}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise AnswerError(f"{name} is {_kind(value)}, expected a string")
    if len(value) > LONGEST_TEXT:
        raise AnswerError(f"{name} has {len(value)} characters, at most {LONGEST_TEXT} are read")
    plain = "".join(c if c.isprintable() else " " for c in value if c not in "<>")
    return " ".join(plain.split())


def _named_box(value: Any, scale: tuple[float, float]) -> NamedBox:
    thing = _object(value, ("label", "box"), "an object")
    label, box = thing["label"], thing["box"]
    if not isinstance(label, str):
        raise AnswerError(f"a label is {_kind(label)}, expected a string")
    numbers = isinstance(box, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in box)
    if not numbers or len(box) != 4:
        raise AnswerError(f"the box of {label[:LONGEST_LABEL]!r} is not four numbers")
    # 1e400 is valid JSON but infinite; a box a little over the edge is cut, one elsewhere is in another unit.
    share = [float(min(max(v, -1e9), 1e9)) / s for v, s in zip(box, (*scale, *scale), strict=True)]
    if min(share) < -0.02 or max(share) > 1.02:
        raise AnswerError(f"the box of {label[:LONGEST_LABEL]!r} lies outside the picture: {str(box)[:60]}")
    x0, y0, x1, y1 = (min(max(v, 0.0), 1.0) for v in share)
    if not (x0 < x1 and y0 < y1):
        raise AnswerError(f"the box of {label[:LONGEST_LABEL]!r} is empty: {str(box)[:60]}")
    return NamedBox(*normalized(label), (x0, y0, x1, y1))


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
