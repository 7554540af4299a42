"""``embodied-nav warm-up``: JIT-compiles all kernels once, so that no node has to. Knows no algorithm.

numba caches each kernel on disk as soon as it is compiled: beside the sources or, if these are read-only, in the user's
cache folder; NUMBA_CACHE_DIR overrides that. After an interrupted run the next one continues.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

#: Groups of layers without common kernel modules; one process each: two must not write one kernel's cache at once.
GROUPS = (
    ("rooms.warm_up", "memory.warm_up"),
    ("planning.warm_up", "sim.embedded", "sim.habitat.warm_up"),
    ("slam.warm_up", "perception.warm_up", "keyframes.warm_up", "geometry.warm_up"),
)
#: Period (s) of progress lines without a terminal.
_LINE_EVERY = 10.0


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "warm-up",
        help="compile all kernels once (make setup does it); seconds where that was done",
        description="Compiles the numba kernels of all nodes and keeps them on disk (NUMBA_CACHE_DIR names where), so "
        "that the first start of a node is as quick as any other. Takes minutes on a new machine, seconds after that.",
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (default: one a core, at most 3)")


def run(args: argparse.Namespace) -> int:
    """Compiles the kernels that are not in the cache yet."""
    from .. import kernels

    started = time.monotonic()
    for layer in kernels.LAYERS:
        kernels.import_all(layer)
    show = _Progress(set(kernels.kernels()))
    jobs = min(args.jobs or len(os.sched_getaffinity(0)), len(GROUPS))
    if jobs < 2:
        for group in GROUPS:
            _compile(group, show.add)
    else:
        _side_by_side(jobs, show)
    show.end(time.monotonic() - started)
    return 0


def _side_by_side(jobs: int, show: _Progress) -> None:
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from multiprocessing import get_context

    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(jobs, context) as pool:
        news = manager.Queue()
        waiting = {pool.submit(_compile_there, group, news) for group in GROUPS}
        while waiting:
            done, waiting = wait(waiting, 0.2, FIRST_COMPLETED)
            with suppress(queue.Empty):
                while True:
                    show.add(news.get_nowait())
            for future in done:
                future.result()


def _compile_there(group: Sequence[str], news: queue.Queue) -> None:
    """Runs :func:`_compile` in a child process."""
    _compile(group, news.put)


def _compile(group: Sequence[str], ready: Callable[[list[str]], None]) -> None:
    """Compiles the kernels of some layers; ``ready`` gets the names of kernels compiled or loaded."""
    from .. import kernels

    with kernels.watched(lambda kernel: ready([kernel.partition("(")[0]])):
        for layer in group:
            kernels.warm_up(layer)
            ready([name for name, kernel in kernels.kernels().items() if kernel.overloads])


class _Progress:
    """Shows how many kernels are ready: a line that is updated on a terminal, else a few lines.

    Kernels called only by other kernels are not loaded if their callers come from the cache; at the end all count.
    """

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._ready: set[str] = set()
        self._terminal, self._said, self._compiled = sys.stdout.isatty(), time.monotonic(), 0

    def add(self, names: Sequence[str]) -> None:
        """Counts kernels that are ready."""
        self._compiled += len(names) == 1
        self._ready.update(self._wanted.intersection(names))
        now = time.monotonic()
        if self._compiled and now - self._said > (0.1 if self._terminal else _LINE_EVERY):
            self._said = now
            line = f"compiling kernels: {len(self._ready)} of {len(self._wanted)}"
            print(f"\r{line} " if self._terminal else line, end="" if self._terminal else "\n", flush=True)

    def end(self, seconds: float) -> None:
        """Shows that all are ready."""
        start = "\r" if self._terminal and self._compiled else ""
        what = "" if self._compiled else ", all compiled before"
        print(f"{start}kernels: {len(self._wanted)} ready{what} ({seconds:.0f} s)    ".rstrip(), flush=True)
