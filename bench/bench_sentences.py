"""Reading of sentences: time a sentence, and correction of misspelt words against difflib's, on the same words.

    python bench/bench_sentences.py

Prints milliseconds a sentence of the hand-written ones, the time of a correction by rapidfuzz and by
``difflib.get_close_matches`` over the same word list with their ratio, and how often each finds the word that was
misspelt (a letter swapped, doubled or left out), and changes a common word that is none of ours.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import random
import statistics
import time
from pathlib import Path

from embodied_nav.errors import InputError
from embodied_nav.language import parse_instruction, spelling

SENTENCES = Path(__file__).resolve().parent.parent / "test" / "language" / "sentences.json"
#: Words that mean something else and look like ours.
OTHERS = tuple(sorted(spelling._OTHER_WORDS))


def misspelt(word: str, draw: random.Random) -> str:
    """A word with two letters swapped, one doubled or one left out."""
    k = draw.randrange(1, len(word) - 1)
    forms = (word[:k] + word[k + 1] + word[k] + word[k + 2 :], word[:k] + word[k] + word[k:], word[:k] + word[k + 1 :])
    return draw.choice(forms)


def by_difflib(word: str) -> str:
    """The correction of a plain spelling checker."""
    found = difflib.get_close_matches(word, spelling._targets(), n=1, cutoff=0.8)
    return found[0] if found else ""


def timed(function, words: list[str]) -> tuple[list[str], float]:
    """What a function finds, and ms a word."""
    start = time.perf_counter()
    found = [function(word) for word in words]
    return found, 1000.0 * (time.perf_counter() - start) / len(words)


def main() -> None:
    """Runs and prints."""
    times = []
    for row in json.loads(SENTENCES.read_text(encoding="utf-8")):
        start = time.perf_counter()
        with contextlib.suppress(InputError):
            parse_instruction(row["text"])
        times.append(1000.0 * (time.perf_counter() - start))
    print(f"a sentence: p50 {statistics.median(times):.2f} ms, p95 {sorted(times)[int(0.95 * len(times))]:.2f} ms")
    draw = random.Random(0)
    names = [w for w in spelling._targets() if len(w) > 4 and not w.endswith("s")]
    pairs = [(w, form) for w in names if not spelling.known(form := misspelt(w, draw))]
    wrong = [form for _, form in pairs]
    ours, ours_ms = timed(spelling.correction.__wrapped__, wrong)
    peer, peer_ms = timed(by_difflib, wrong)
    print(f"a correction: ours {ours_ms:.3f} ms, difflib {peer_ms:.3f} ms, difflib / ours {peer_ms / ours_ms:.1f}")
    for name, found, function in (("ours", ours, spelling.correction.__wrapped__), ("difflib", peer, by_difflib)):
        right = sum(a == b for a, (b, _) in zip(found, pairs, strict=True))
        other = sum(bool(a) and a != b for a, (b, _) in zip(found, pairs, strict=True))
        changed = sum(bool(function(word)) for word in OTHERS)
        print(
            f"{name}: of {len(pairs)} misspelt words {right / len(pairs):.1%} found, {other / len(pairs):.1%} taken "
            f"for another; of {len(OTHERS)} other English words {changed} changed"
        )


if __name__ == "__main__":
    main()
