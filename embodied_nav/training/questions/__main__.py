"""Makes a question file: tours apartments, writes their digests, draws a balanced choice of questions.

    python -m embodied_nav.training.questions --first 1000 --apartments 150 --per-kind 150 --out test.jsonl

Resumable: what an apartment gave is kept in OUT.candidates, and used again by the next run over it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from .candidates import Candidate
from .choosing import choose
from .collecting import collect
from .dataset import Example, save, split_of


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m embodied_nav.training.questions", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--first", type=int, default=1000, help="seed of the first apartment (default: 1000)")
    parser.add_argument("--apartments", type=int, default=150, help="how many (default: 150)")
    parser.add_argument("--per-kind", type=int, default=150, help="questions of each kind at most (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--out", required=True, metavar="FILE", help="question file to write (.jsonl)")
    args = parser.parse_args(argv)
    try:
        if min(args.apartments, args.per_kind, args.jobs) < 1:
            raise InputError("--apartments, --per-kind and --jobs: give numbers above 0")
        scenes = range(args.first, args.first + args.apartments)
        if split_of(scenes[0]) != split_of(scenes[-1]):
            raise InputError(f"apartments {scenes[0]} to {scenes[-1]} are of two splits; keep to one")
        out = Path(args.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        found = collect(scenes, out.with_name(out.name + ".candidates"), args.jobs)
        pool = {
            s: [Candidate(**{**c, "options": tuple(c["options"])}) for c in f["candidates"]] for s, f in found.items()
        }
        questions = choose(pool, args.per_kind, args.seed)
        of_scene = {s: tuple(q for q in questions if q.scene == s) for s in scenes}
        examples = [Example(s, found[s]["digest"], of_scene[s]) for s in scenes]
        save(out, examples, {"first": args.first, "apartments": args.apartments, "seed": args.seed})
    except (InputError, OSError) as error:
        print(f"questions: error: {error}", file=sys.stderr)
        return 2
    print(f"{len(questions)} questions about {len(scenes)} apartments -> {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
