"""Runs many episodes, in one process or several. Knows nothing of one episode, nor of resuming (``results``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Environment variables that limit numeric libraries to one thread.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What a process needs to run one episode; ``parameters`` are (dotted name, value) pairs."""

    index: int
    scenes: tuple[int, ...]
    agent: str
    perception: str
    localization: str
    simulator: str
    seed: int
    parameters: tuple[tuple[str, Any], ...] = ()
    suite: str = "plain"


def run_all(jobs: Sequence[Job], processes: int, report: Callable[[dict[str, Any]], None]) -> None:
    """Runs the jobs and reports each row as it is finished (in any order).

    Args:
        jobs: episodes to run.
        processes: 1 runs in this process; more are spawned, each with one thread.
        report: called with each row.
    """
    for row in _rows(jobs, processes):
        report(row)


def _rows(jobs: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield run_job(job)
        return
    import multiprocessing

    # Children read these variables when they import numpy and similar libraries.
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs)), _deaf_to_interrupts) as pool:
            yield from pool.imap_unordered(run_job, jobs)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_workers: dict[tuple[Any, ...], Any] = {}


def run_job(job: Job) -> dict[str, Any]:
    """Runs one episode; simulator and driver are reused for the next one with the same settings.

    Raises:
        InputError: the episode cannot be run, or perception cannot process one of its keyframes.
    """
    import cv2

    from ..errors import InputError
    from ..perception import PerceptionError
    from ..robot import RobotProfile
    from ..sim import SIMULATORS
    from ..sim.suites import suite_episode
    from .drivers import create_driver
    from .runner import run_episode

    parameters = dict(job.parameters)
    key = (job.agent, job.perception, job.localization, job.parameters, job.simulator)
    if key not in _workers:
        cv2.setNumThreads(1)  # one core per episode; OpenCV's waiting threads would take more
        robot = RobotProfile.from_parameters(parameters, "robot")
        settings = SIMULATORS[job.simulator].settings_from(parameters)
        simulator = SIMULATORS.create(job.simulator, None, robot, settings=settings)
        _workers[key] = (simulator, create_driver(job.agent, job.perception, robot, parameters))
    simulator, driver = _workers[key]
    episode = suite_episode(job.suite, job.index, job.scenes)
    options: dict[str, Any] = {"localization": job.localization, "seed": job.seed, "parameters": parameters}
    try:
        return run_episode(simulator, driver, episode, **options)
    except PerceptionError as error:  # of a back end that nothing stands in for: the row would be of another agent
        raise InputError(f"episode {episode.id}: perception '{job.perception}': {error}") from None


def _deaf_to_interrupts() -> None:
    """Ignores Ctrl-C in a child: the parent handles it and ends its children."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
