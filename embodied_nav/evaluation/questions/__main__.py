"""Prints what answerers know of the question benchmark, and what can be guessed from the questions' words.

    python -m embodied_nav.evaluation.questions --test test.jsonl --train train.jsonl [--out results.json]
    python -m embodied_nav.evaluation.questions --test test.jsonl --train train.jsonl --answerers solver,smollm2
    python -m embodied_nav.evaluation.questions --annotations VSI/test.jsonl --videos VSI/ --detector FILE.onnx

The files are made by ``python -m embodied_nav.training.questions``. Answerers: chance; majority and text-only, trained
on --train; solver, which looks the answer up in the digest; smollm2, which reads the digest (a subset: --smollm2 N).
Attacks, without digest: forest, trained on --train; text-only-k-fold and forest-k-fold, trained on the test questions
themselves, those of other apartments. With --annotations the questions are those of VSI-Bench, UrbanVideo-Bench,
EgoSchema or MVBench, and the digests are of their videos, watched without depth by a detector.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ...reasoner.answering import Solver
from ...training.questions.dataset import Example, in_split, load
from .rivals import Chance, Fitted, ForestAttack, Majority, TextOnly, k_fold
from .small_lm import SmallLanguageModel
from .table import Row, as_json, ask_all, questions_of, row_of, some_of_each, table

_FITTED: Mapping[str, Callable[[], Fitted]] = {"majority": Majority, "text-only": TextOnly, "forest": ForestAttack}
_FOLDED: Mapping[str, Callable[[], Fitted]] = {"text-only-k-fold": TextOnly, "forest-k-fold": ForestAttack}
NAMES = ("chance", *_FITTED, *_FOLDED, "smollm2", "solver")


def _row(name: str, test: Sequence[Example], train: Sequence[Example], subset: int) -> Row:
    questions, started = questions_of(test), time.process_time()
    if name in _FITTED:
        if not train:
            raise InputError(f"{name} needs training questions: give --train FILE, of apartments 0-899")
        rival: Fitted = _FITTED[name]()
        rival.fit(questions_of(train))
        return ask_all(rival, test)
    if name in _FOLDED:
        answers = k_fold(_FOLDED[name], questions)
        return row_of(name, questions, answers, time.process_time() - started)
    if name == "smollm2":
        return ask_all(SmallLanguageModel(), some_of_each(test, subset))
    return ask_all(Solver() if name == "solver" else Chance(), test)


def _of_videos(args: argparse.Namespace) -> list[Example]:
    """The questions of a video benchmark, with digests of its videos."""
    from ...perception import create
    from ...perception.detector import DetectorConfig
    from .videos import read
    from .watching import examples_of

    if not (args.videos and args.detector):
        raise InputError("--annotations needs --videos DIR and --detector FILE ('embodied-nav models get detector')")
    found = read(args.annotations, args.videos)
    left_out = f", {found.without_video} left out whose video is not there" if found.without_video else ""
    print(f"{found.format}: {len(found.questions)} questions{left_out}", file=sys.stderr)
    config = DetectorConfig(file=args.detector)
    examples = examples_of(found.questions, lambda: create("detector", config))
    if not any(e.questions for e in examples):
        raise InputError(f"{args.annotations}: tells no answers, so nothing can be scored")
    return examples


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m embodied_nav.evaluation.questions", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--test", metavar="FILE", help="questions about apartments to answer")
    what.add_argument("--annotations", metavar="FILE", help="a video benchmark's questions to answer")
    parser.add_argument("--videos", metavar="DIR", help="folder of the videos of --annotations")
    parser.add_argument("--detector", metavar="FILE", help="ONNX detector that names what the videos show")
    parser.add_argument("--train", metavar="FILE", help="questions to train the text-only rivals on")
    parser.add_argument("--answerers", default="", metavar="A,B", help="which")
    parser.add_argument("--smollm2", type=int, default=100, metavar="N", help="questions for smollm2 (default: 100)")
    parser.add_argument("--out", metavar="FILE", help="also write the results as JSON")
    args = parser.parse_args(argv)
    try:
        usual = ("chance", "solver") if args.annotations else [n for n in NAMES if n != "smollm2"]
        names = args.answerers.split(",") if args.answerers else list(usual)
        if unknown := [n for n in names if n not in NAMES]:
            raise InputError(f"--answerers {unknown[0]}: give some of {', '.join(NAMES)}")
        test = load(args.test) if args.test else _of_videos(args)
        train = in_split(load(args.train), "train") if args.train else []
        rows = []
        for name in names:
            rows.append(_row(name, test, train, args.smollm2))
            print(f"{name}: {rows[-1].questions} questions, {1e3 * rows[-1].seconds:.1f} CPU ms each", file=sys.stderr)
        print(table(rows))
        if args.out:
            Path(args.out).write_text(json.dumps(as_json(rows), indent=1) + "\n", encoding="utf-8")
    except (InputError, OSError) as error:
        print(f"questions: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
