"""The question files: one JSON line an apartment, with its digest and its questions. Knows no worlds.

The first line says how the file was made. The digest of a line was written before its questions were drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...reasoner import digest
from .choosing import Question

#: Version of the file's form and of the questions' making.
VERSION = 1
#: Seeds of apartments: name of the split -> first and last.
SPLITS = {"train": (0, 899), "choose": (900, 999), "test": (1000, 1999)}


@dataclass(frozen=True)
class Example:
    """One apartment: the digest that was written of it, and what is asked about it."""

    scene: int
    digest: str
    questions: tuple[Question, ...]


def split_of(scene: int) -> str:
    """``train``, ``choose`` (among checkpoints) or ``test``.

    Raises:
        InputError: a seed of no split; those from 2000 on are kept for acceptance.
    """
    for name, (low, high) in SPLITS.items():
        if low <= scene <= high:
            return name
    raise InputError(f"apartment {scene} is in no split: training is 0-899, choosing 900-999, testing 1000-1999")


def in_split(examples: Sequence[Example], split: str) -> list[Example]:
    """The examples of a split."""
    return [e for e in examples if split_of(e.scene) == split]


def save(path: str | Path, examples: Sequence[Example], settings: Mapping[str, Any]) -> None:
    """Writes a question file, at once or not at all.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    head = {"questions": VERSION, "digest": digest.VERSION, **settings}
    lines = [json.dumps(head)] + [
        json.dumps({"scene": e.scene, "digest": e.digest, "questions": [asdict(q) for q in e.questions]})
        for e in examples
    ]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another file") from None


def load(path: str | Path) -> list[Example]:
    """The examples of a question file.

    Raises:
        InputError: no such file, another kind of file, or of another version.
    """
    lines = json_lines(path)
    head = next(lines, {})
    if head.get("questions") != VERSION or head.get("digest") != digest.VERSION:
        raise InputError(
            f"{path}: is no question file of version {VERSION} with digests of version {digest.VERSION}; make it by "
            "'python -m embodied_nav.training.questions'"
        )
    try:
        return [_example(line) for line in lines]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a line lacks {error}; make the file anew") from None


def json_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """Each line of a JSONL file.

    Raises:
        InputError: it cannot be read, or a line is no JSON object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise InputError(f"{path}: line {number} is no JSON object")
                    yield value
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: holds a line that is no JSON; give a .jsonl file") from None


def _example(line: Mapping[str, Any]) -> Example:
    questions = tuple(Question(**{**q, "options": tuple(q["options"])}) for q in line["questions"])
    return Example(int(line["scene"]), str(line["digest"]), questions)
