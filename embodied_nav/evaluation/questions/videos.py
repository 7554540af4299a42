"""Reads the annotation files of video benchmarks as their makers publish them. Knows no models and no scores.

| benchmark | file | video |
|---|---|---|
| VSI-Bench (arXiv 2412.14171) | test.jsonl or .parquet: dataset, scene_name, question_type, question, options, ground_truth | dataset/scene_name.mp4 |
| UrbanVideo-Bench (2503.06157) | MCQ.parquet (or .csv, .json): Question_id, video_id, question_category, question, answer | video_id |
| EgoSchema (2308.09126) | questions.json: q_uid, question, option 0 ... option 4; answers beside it: subset_answers.json | q_uid.mp4 |
| MVBench (2311.17005) | json/TASK.json: video, question, candidates, answer, at times start and end | video |

The videos are the user's own copies. A question whose video is not there is left out, and counted.
"""  # noqa: E501

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...resources import how_to_install
from ...training.questions.dataset import json_lines

#: Columns by which a benchmark's file is known.
_MARKS: Mapping[str, frozenset[str]] = {
    "vsi-bench": frozenset(("scene_name", "question_type", "question", "ground_truth")),
    "urbanvideo": frozenset(("video_id", "question_category", "question")),
    "egoschema": frozenset(("q_uid", "question", "option 0")),
    "mvbench": frozenset(("video", "question", "candidates", "answer")),
}
FORMATS = tuple(_MARKS)
_OPTION = re.compile(r"^\s*\(?([A-H])[.):]\s*(.+?)\s*$", re.MULTILINE)
#: Cells of CSV files longer than this are none.
_LONGEST_CELL = 1_000_000


@dataclass(frozen=True)
class VideoQuestion:
    """One question of a video benchmark.

    Attributes:
        id: in its file. category: the benchmark's own. text: the question.
        video: path of the file. start, end: s, of the part that is meant; 0 and infinite: all.
        options: "A. left", ...; empty where a number is asked for.
        answer: letter or number; "" where the file does not tell (EgoSchema's hidden answers).
    """

    id: str
    category: str
    text: str
    video: Path
    options: tuple[str, ...]
    answer: str
    start: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True)
class Annotations:
    """What a file holds: its format, the questions whose videos are there, and how many others there are."""

    format: str
    questions: tuple[VideoQuestion, ...]
    without_video: int


def read(path: str | Path, videos: str | Path, format: str = "") -> Annotations:
    """The questions of an annotation file.

    Args:
        path: .jsonl, .json, .csv, .tsv or .parquet. videos: folder with the videos, in the benchmark's own order.
        format: one of :data:`FORMATS`; empty: found by the columns.

    Raises:
        InputError: a file that cannot be read, of no known format, or of which no video is there.
    """
    path, videos = Path(path), Path(videos)
    if format and format not in FORMATS:
        raise InputError(f"annotations of '{format}': give one of {', '.join(FORMATS)}")
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder; give the one with the videos")
    rows = _rows(path)
    if not rows:
        raise InputError(f"{path}: holds no questions")
    format = format or _format_of(path, rows[0])
    questions, missing = [], 0
    for number, row in enumerate(rows):
        try:
            question = _READERS[format](row, number, path, videos)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}: question {number + 1} is none of {format}'s: {told}") from None
        if question.video.is_file():
            questions.append(question)
        else:
            missing += 1
    if not questions:
        wanted = _READERS[format](rows[0], 0, path, videos).video
        raise InputError(f"{path}: none of its {missing} videos is there; the first would be {wanted}")
    return Annotations(format, tuple(questions), missing)


def _format_of(path: Path, row: Mapping[str, Any]) -> str:
    for name, marks in _MARKS.items():
        if marks <= row.keys():
            return name
    raise InputError(
        f"{path}: its columns ({', '.join(map(str, row))[:120]}) are those of none of {', '.join(FORMATS)}"
    )


# ---- files ----


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """Rows of a file, by its ending."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a benchmark's annotations")
    readers: Mapping[str, Callable[[Path], Iterable[Mapping[str, Any]]]] = {
        ".jsonl": json_lines, ".json": _json_rows, ".csv": _csv_rows, ".tsv": _csv_rows, ".parquet": _parquet_rows,
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: give a {', '.join(readers)} file")
    return list(readers[path.suffix.lower()](path))


def _json_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InputError(f"{path}: is no list of questions")
    return content


def _csv_rows(path: Path) -> list[Mapping[str, Any]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None


def _parquet_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise InputError(f"{path}: parquet files need pyarrow; {how_to_install('questions')}") from None
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as parquet ({error})") from None


# ---- each benchmark ----


def _inside(folder: Path, *parts: str) -> Path:
    """A path below a folder; a file's own words must not lead out of it."""
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the video '{'/'.join(parts)}' lies outside of {folder}")
    return path


def _lettered(texts: Iterable[Any]) -> tuple[str, ...]:
    return tuple(f"{chr(65 + k)}. {str(text).strip()}" for k, text in enumerate(texts))


def _vsi(row: Mapping[str, Any], number: int, path: Path, videos: Path) -> VideoQuestion:
    options = row.get("options") or ()
    if isinstance(options, str):  # in a CSV
        options = json.loads(options.replace("'", '"')) if options.startswith("[") else ()
    return VideoQuestion(
        str(row.get("id", number)),
        str(row["question_type"]),
        str(row["question"]),
        _inside(videos, str(row["dataset"]), f"{row['scene_name']}.mp4"),
        tuple(str(o) for o in options),
        str(row["ground_truth"]),
    )


def _urban(row: Mapping[str, Any], number: int, path: Path, videos: Path) -> VideoQuestion:
    text = str(row["question"])
    options = tuple(f"{letter}. {words}" for letter, words in _OPTION.findall(text))
    stem = _OPTION.split(text)[0].strip() if options else text
    stem = re.sub(r"\s*(?:choices|options):?\s*$", "", re.sub(r"^question:\s*", "", stem, flags=re.I), flags=re.I)
    name = str(row["video_id"])
    return VideoQuestion(
        str(row.get("Question_id", number)),
        str(row["question_category"]),
        stem,
        _inside(videos, name if Path(name).suffix else f"{name}.mp4"),
        options,
        str(row.get("answer") or "").strip()[:1].upper(),
    )


def _ego(row: Mapping[str, Any], number: int, path: Path, videos: Path) -> VideoQuestion:
    uid = str(row["q_uid"])
    count = sum(f"option {k}" in row for k in range(10))
    options = _lettered(row[f"option {k}"] for k in range(count))
    answer = _ego_answers(path).get(uid)
    letter = "" if answer is None else options[int(answer)][0]
    return VideoQuestion(uid, "egoschema", str(row["question"]), _inside(videos, f"{uid}.mp4"), options, letter)


def _ego_answers(path: Path) -> Mapping[str, Any]:
    """Option numbers by question, of the file beside the questions that tells a subset of them."""
    beside = path.with_name("subset_answers.json")
    if not beside.is_file():
        return {}
    content = json.loads(beside.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _mvbench(row: Mapping[str, Any], number: int, path: Path, videos: Path) -> VideoQuestion:
    options = _lettered(row["candidates"])
    answer = [str(c) for c in row["candidates"]].index(str(row["answer"]))
    return VideoQuestion(
        f"{path.stem}-{number}",
        path.stem,
        str(row["question"]),
        _inside(videos, str(row["video"])),
        options,
        options[answer][0],
        float(row.get("start") or 0.0),
        float(row.get("end") or "inf"),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any], int, Path, Path], VideoQuestion]] = {
    "vsi-bench": _vsi, "urbanvideo": _urban, "egoschema": _ego, "mvbench": _mvbench,
}  # fmt: skip
