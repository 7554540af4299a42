"""Runs many episodes, in one process or several. Knows nothing of one episode, nor of resuming (``results``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

#: Environment variables that limit numeric libraries to one thread.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What a process needs to run one episode; ``parameters`` are (dotted name, value) pairs.

    With a ``dataset`` of Habitat, ``index`` counts its episodes, and ``scenes`` and ``suite`` say nothing.
    """

    index: int
    scenes: tuple[int, ...]
    agent: str
    perception: str
    localization: str
    simulator: str
    seed: int
    parameters: tuple[tuple[str, Any], ...] = ()
    suite: str = "plain"
    dataset: str = ""
    scenes_dir: str = ""
    protocol: str = "auto"


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
    from .drivers import create_driver

    parameters = dict(job.parameters)
    key = (job.agent, job.perception, job.localization, job.parameters, job.simulator, job.dataset)
    if key not in _workers:
        cv2.setNumThreads(1)  # one core per episode; OpenCV's waiting threads would take more
        robot = RobotProfile.from_parameters(parameters, "robot")
        simulator = _simulator(job, robot, parameters)
        _workers[key] = (simulator, create_driver(job.agent, job.perception, robot, parameters))
    simulator, driver = _workers[key]
    episode, run = _prepared(job)
    options: dict[str, Any] = {"localization": job.localization, "seed": job.seed, "parameters": parameters}
    try:
        return run(simulator, driver, episode, **options)
    except PerceptionError as error:  # of a back end that nothing stands in for: the row would be of another agent
        raise InputError(f"episode {episode.id}: perception '{job.perception}': {error}") from None


def _simulator(job: Job, robot: Any, parameters: dict[str, Any]) -> Any:
    """The job's simulator; each process of several takes the next one of several Habitat servers."""
    from ..sim import SIMULATORS

    if job.dataset:
        import multiprocessing

        from ..sim.habitat.simulator import dataset_simulator

        identity = multiprocessing.current_process()._identity
        return dataset_simulator(job.simulator, robot, parameters, identity[0] - 1 if identity else 0)
    settings = SIMULATORS[job.simulator].settings_from(parameters)
    return SIMULATORS.create(job.simulator, None, robot, settings=settings)


def _prepared(job: Job) -> tuple[Any, Callable[..., dict[str, Any]]]:
    """The job's episode, and what runs it in a simulator with a driver."""
    if job.dataset:
        from .protocol_runner import run_protocol_episode

        dataset = _dataset(job.dataset, job.scenes_dir, job.protocol)
        return dataset.episodes[job.index], partial(run_protocol_episode, protocol=dataset.protocol)
    from ..sim.suites import suite_episode
    from .runner import run_episode

    return suite_episode(job.suite, job.index, job.scenes), run_episode


@lru_cache(maxsize=1)
def _dataset(path: str, scenes_dir: str, protocol: str) -> Any:
    """A data set, read once a process."""
    from ..sim.habitat.datasets import load_dataset

    return load_dataset(path, scenes_dir, protocol)


def _deaf_to_interrupts() -> None:
    """Ignores Ctrl-C in a child: the parent handles it and ends its children."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
