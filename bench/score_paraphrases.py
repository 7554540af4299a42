"""Search of a memory by words, by meaning and by both: how often a paraphrase finds the thing that it means.

    python bench/score_paraphrases.py [--half choosing|held_out|both] [--misses]

``bench/paraphrases/`` holds two halves of 100 phrases: wording and threshold were chosen on one, the other is for the
report. The memory holds one object of each of the 40 categories. Each half ends with 20 phrases that mean nothing
there: whatever is found for them is wrong.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject
from embodied_nav.language.meaning import LEAST, Meaning
from embodied_nav.memory.query.answering import Knowledge, Query, ask

FOLDER = Path(__file__).resolve().parent / "paraphrases"
HALVES = ("choosing", "held_out")
#: Phrase -> labels of what is found, best first.
Search = Callable[[str], Sequence[str]]


def read(half: str) -> list[tuple[str, frozenset[str]]]:
    """(phrase, labels that it may mean) pairs of one half; no labels where it means nothing in a home."""
    with (FOLDER / f"{half}.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [(row["phrase"], frozenset(filter(None, row["labels"].split("|")))) for row in rows]


def searches(meaning: Meaning) -> dict[str, Search]:
    """The three kinds of search, over a memory with one object of every category in the halves."""
    labels = sorted({label for half in HALVES for _, wanted in read(half) for label in wanted})
    objects = tuple(
        MemoryObject(i, label, "", np.zeros(3), np.full(3, 0.4), 0.9, 50, 0, 1, i) for i, label in enumerate(labels)
    )

    def by(known: Knowledge) -> Search:
        def search(phrase: str) -> Sequence[str]:
            try:
                return [a.object.label for a in ask(Query(phrase), known)]
            except InputError:
                return []

        return search

    def by_meaning(phrase: str) -> Sequence[str]:
        cosines = meaning.scores(phrase, labels)
        return [labels[i] for i in np.argsort(-cosines, kind="stable") if cosines[i] >= LEAST]

    return {
        "words": by(Knowledge(objects)),
        "meaning": by_meaning,
        "both": by(Knowledge(objects, meaning=meaning.scores)),
    }


def score(search: Search, phrases: Sequence[tuple[str, frozenset[str]]]) -> dict[str, int]:
    """How many phrases find what they mean first, among the first three, nothing; and false finds."""
    found = [(search(phrase), wanted) for phrase, wanted in phrases]
    meant = [(labels, wanted) for labels, wanted in found if wanted]
    return {
        "top-1": sum(bool(wanted.intersection(labels[:1])) for labels, wanted in meant),
        "top-3": sum(bool(wanted.intersection(labels[:3])) for labels, wanted in meant),
        "nothing": sum(not labels for labels, _ in meant),
        "false": sum(bool(labels) for labels, wanted in found if not wanted),
    }


def main() -> None:
    """Prints a table, and with ``--misses`` the phrases of the choosing half that fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=(*HALVES, "both"), default="both")
    parser.add_argument("--misses", action="store_true", help="list what fails of the half 'choosing'")
    args = parser.parse_args()
    if args.misses and args.half == "held_out":
        parser.error("--misses lists the half 'choosing' alone: nothing may be chosen on the other")
    kinds = searches(Meaning())
    print(f"{'half':10} {'search':8} {'top-1':>6} {'top-3':>6} {'nothing':>8} {'false of 20':>12} {'CPU ms':>7}")
    for half in HALVES if args.half == "both" else (args.half,):
        phrases = read(half)
        for name, search in kinds.items():
            search("warm up")
            start = time.process_time()
            s = score(search, phrases)
            ms = 1e3 * (time.process_time() - start) / len(phrases)
            print(f"{half:10} {name:8} {s['top-1']:6} {s['top-3']:6} {s['nothing']:8} {s['false']:12} {ms:7.1f}")
        if args.misses and half == "choosing":
            for phrase, wanted in phrases:
                labels = kinds["both"](phrase)[:3]
                if not wanted.intersection(labels[:1]) and (wanted or labels):
                    print(f"    {phrase}: {', '.join(labels) or 'nothing'}, not {' or '.join(wanted) or 'anything'}")


if __name__ == "__main__":
    main()
