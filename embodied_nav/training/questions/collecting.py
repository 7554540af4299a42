"""Tours apartments, in one process or several, and keeps what each gave in a file. Knows no choice among candidates."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...reasoner import digest
from .candidates import candidates
from .dataset import VERSION, json_lines
from .worlds import make_world


def make(scene: int) -> dict[str, Any]:
    """What one apartment gives: its digest, then its candidates."""
    world = make_world(scene)
    text = digest.write(digest.facts_of(world.memory, world.here))
    return {"scene": scene, "digest": text, "candidates": [asdict(c) for c in candidates(world)]}


def collect(scenes: Sequence[int], path: Path, jobs: int) -> dict[int, Mapping[str, Any]]:
    """What each apartment gives, from the file where it is there already; what is made is added to it."""
    head = {"candidates": VERSION, "digest": digest.VERSION}
    found: dict[int, Mapping[str, Any]] = {}
    if path.exists():
        lines = json_lines(path)
        if next(lines, None) != head:
            raise InputError(f"{path}: holds candidates of another version; remove it")
        with suppress(InputError):  # the last line of a run that was killed
            for line in lines:
                found[line["scene"]] = line
    missing = [s for s in scenes if s not in found]
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in (head, *found.values())))
        started = time.monotonic()
        for k, line in enumerate(_made(missing, jobs), start=1):
            found[line["scene"]] = line
            file.write(json.dumps(line) + "\n")
            file.flush()
            told = f"apartment {line['scene']}: {len(line['candidates'])} candidates"
            print(f"{told}, {(time.monotonic() - started) / k:.1f} s each, {len(missing) - k} left", file=sys.stderr)
    return {s: found[s] for s in scenes}


def _made(scenes: Sequence[int], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1:
        yield from map(make, scenes)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _one_thread) as pool:
        yield from pool.map(make, scenes)


def _one_thread() -> None:
    """One core a process: OpenCV's waiting threads would take more."""
    import cv2

    cv2.setNumThreads(1)
