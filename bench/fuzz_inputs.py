"""Feeds mutated messages and files to everything that reads some: none may crash, hang, or become a silent wrong map.

    python bench/fuzz_inputs.py [--seconds N] [--messages N] [--files N] [--seed S] [--only WORD] [--out FILE]

Good messages and small recordings are made by code, then changed by byte and by field. A reader may take what it gets
(then what it gives is checked), or refuse it by an InputError or BadMessage of one line. Anything else is a crash; more
than the limits of processor or wall time is a hang; what it took and should not have is wrong. Prints a table, and for
each finding the seed that makes it again; exits 1 where there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))

from fuzz_targets import Target, Wrong

from embodied_nav.cli.environment import complete_environment
from embodied_nav.errors import InputError

#: An item may take so long: s of processor time, and of wall time on whatever machine.
CPU_LIMIT, WALL_LIMIT = 10.0, 120.0
#: Address space of a process (bytes): a size that was made up must not fill the machine. A map reserves gigabytes.
MEMORY = 1 << 38
#: The exit code of a process in which a reader cannot even be made.
_UNPREPARED = 3
OUTCOMES = ("accepted", "refused", "crashed", "hung", "wrong")
#: Findings of one kind that are told; the others are counted.
TOLD = 5


@dataclass
class Row:
    """What became of a target's items."""

    counts: Counter = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Hung(BaseException):
    """Beyond the limit; no reader's ``except Exception`` swallows it."""


def _too_long(*_: object) -> None:
    raise Hung


def judge(try_one: Callable[[np.random.Generator], None], rng: np.random.Generator) -> tuple[str, str]:
    """(outcome, what is to be said of it) of one item."""
    from_where = ""
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT)
    signal.setitimer(signal.ITIMER_REAL, WALL_LIMIT)
    try:
        try_one(rng)
        return "accepted", ""
    except Hung:
        return "hung", "beyond the limit"
    except Wrong as error:
        return "wrong", str(error)
    except InputError as error:
        return _refused(str(error))
    except Exception as error:
        if type(error).__name__ == "BadMessage":
            return _refused(str(error))
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "embodied_nav" in f.filename]
        if frames:
            from_where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
        return "crashed", f"{type(error).__name__}: {str(error)[:150]}{from_where}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _refused(text: str) -> tuple[str, str]:
    if "\n" in text.strip() or not text.strip():
        return "wrong", f"the refusal is not one line: {text!r}"
    return "refused", text


def generator(seed: int, name: str, index: int) -> np.random.Generator:
    """The same for the same item, whatever ran before."""
    return np.random.default_rng([seed, int.from_bytes(name.encode()[:8].ljust(8, b"\0"), "little"), len(name), index])


def run(target: Target, count: int, seed: int, deadline: float, first: int = 0) -> Row:
    """Tries ``count`` items in processes that may die: the item that killed one is a crash, the next one goes on."""
    row, start = Row(), time.monotonic()
    with tempfile.TemporaryFile() as file, mmap.mmap(-1, 8 * (1 + len(OUTCOMES))) as memory:
        shared = np.frombuffer(memory, np.int64)  # the item that it is at, and how many had which outcome
        shared[0] = first
        while shared[0] < first + count and time.monotonic() < deadline:
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                _child(target, range(int(shared[0]), first + count), seed, deadline, shared, file.fileno())
            _, status = os.waitpid(pid, 0)
            if status != 0:
                row.counts["crashed"] += 1
                number = os.waitstatus_to_exitcode(status)
                row.findings.append(f"item {shared[0]}: the process died ({number})")
                shared[0] += 1
                if number == _UNPREPARED:
                    break
        row.counts.update({name: int(n) for name, n in zip(OUTCOMES, shared[1:], strict=True)})
        file.seek(0)
        row.findings += file.read().decode().splitlines()
        del shared
    row.seconds = time.monotonic() - start
    return row


def _child(target: Target, items: range, seed: int, deadline: float, shared: np.ndarray, file: int) -> None:
    """Tries the items and ends the process."""
    code, told = _UNPREPARED, Counter()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the middleware says of all bad bytes that they are
    try:
        signal.signal(signal.SIGVTALRM, _too_long)
        signal.signal(signal.SIGALRM, _too_long)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        try_one = target.prepare()
        code = 1
        for index in items:
            shared[0] = index
            if time.monotonic() > deadline:
                break
            outcome, text = judge(try_one, generator(seed, target.name, index))
            shared[1 + OUTCOMES.index(outcome)] += 1
            if outcome not in ("accepted", "refused"):
                reason = text.split(" at ")[-1][:40]
                told[reason] += 1
                if told[reason] <= TOLD:
                    os.write(file, f"item {index}: {outcome}: {text}\n".encode())
        else:
            shared[0] = items.stop
        code = 0
    except BaseException as error:
        os.write(file, f"before item {shared[0]}: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def table(rows: dict[str, Row]) -> str:
    """As text."""
    lines = [f"{'kind':34s} {'tried':>8s} " + " ".join(f"{o:>9s}" for o in OUTCOMES) + f" {'s':>7s}"]
    for name, row in rows.items():
        tried = sum(row.counts.values())
        cells = " ".join(f"{row.counts[o]:9d}" for o in OUTCOMES)
        lines.append(f"{name:34s} {tried:8d} {cells} {row.seconds:7.1f}")
    return "\n".join(lines)


def targets(folder: Path) -> list[Target]:
    """All of them; good files are written into ``folder``."""
    import fuzz_files
    import fuzz_messages

    return [*fuzz_messages.targets(), *fuzz_files.targets(folder)]


def main() -> int:
    """Runs what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--messages", type=int, default=100_000, help="in all")
    parser.add_argument("--files", type=int, default=2_000, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--first", type=int, default=0, help="number of the first item, to make a finding again")
    parser.add_argument("--out", help="the table as JSON")
    args = parser.parse_args()
    complete_environment()
    rows: dict[str, Row] = {}
    end = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        chosen = [t for t in targets(Path(name)) if args.only in t.name]
        shares = sum(t.share for t in chosen if t.kind == "messages")
        for k, target in enumerate(chosen):
            count = math.ceil(args.messages * target.share / shares) if target.kind == "messages" else args.files
            # What is left of the time is shared by those that are left.
            share = (end - time.monotonic()) / (len(chosen) - k)
            rows[target.name] = row = run(target, count, args.seed, time.monotonic() + share, args.first)
            for text in row.findings:
                print(f"{target.name}: {text}", flush=True)
    print(table(rows))
    if args.out:
        content = {n: {**{o: r.counts[o] for o in OUTCOMES}, "seconds": round(r.seconds, 1)} for n, r in rows.items()}
        Path(args.out).write_text(json.dumps({"seed": args.seed, "rows": content}, indent=1), encoding="utf-8")
    return 1 if any(r.counts[o] for r in rows.values() for o in ("crashed", "hung", "wrong")) else 0


if __name__ == "__main__":
    sys.exit(main())
