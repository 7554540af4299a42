"""Many episodes, in one process or several, resumable. Knows nothing of how one episode is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: What keeps numeric libraries to one thread.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What a process needs to run one episode."""

    index: int
    scenes: tuple[int, ...]
    agent: str
    perception: str
    localization: str
    seed: int


def run_all(jobs: Sequence[Job], processes: int, report: Callable[[dict[str, Any]], None]) -> None:
    """Runs the jobs and reports each row as it is finished (in any order).

    Args:
        jobs: episodes to run.
        processes: 1 runs in this process; more are spawned, each with one thread.
        report: gets the rows.
    """
    for row in _rows(jobs, processes):
        report(row)


def _rows(jobs: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield run_job(job)
        return
    import multiprocessing

    # Children read these when they import numpy and the like.
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs)), _deaf_to_interrupts) as pool:
            yield from pool.imap_unordered(run_job, jobs)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_workers: dict[tuple[str, str, str], Any] = {}


def run_job(job: Job) -> dict[str, Any]:
    """Runs one episode; simulator and driver are kept for the next of the same settings."""
    import cv2

    from ..robot import RobotProfile
    from ..sim.embedded import EmbeddedSimulator
    from ..sim.episodes import episode_at
    from .drivers import create_driver
    from .runner import run_episode

    key = (job.agent, job.perception, job.localization)
    if key not in _workers:
        cv2.setNumThreads(1)  # an episode is worth one core; threads that wait for work would take more
        robot = RobotProfile()
        _workers[key] = (EmbeddedSimulator(robot=robot), create_driver(job.agent, job.perception, robot))
    simulator, driver = _workers[key]
    episode = episode_at(job.index, job.scenes)
    return run_episode(simulator, driver, episode, localization=job.localization, seed=job.seed)


def _deaf_to_interrupts() -> None:
    """The parent hears Ctrl-C and ends its children."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
