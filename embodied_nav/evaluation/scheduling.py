"""Which worker runs which episode: those of one apartment one after the other at one worker. Knows no machines.

Making an apartment takes as long as a part of an episode; a worker that keeps to one makes it once. What a lost worker
had in hand comes back and is given out again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Scheduler(Generic[Job]):
    """Hands out jobs.

    Args:
        jobs: (scene, job) pairs, in the order in which they are wanted; the caller keeps them.
        tries: how often a job is given out before it counts as one that kills its workers.
    """

    def __init__(self, jobs: Sequence[tuple[Hashable, Job]], tries: int = 3) -> None:
        self._waiting: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        for scene, job in jobs:
            self._waiting.setdefault(scene, deque()).append(job)
        self._tries = tries
        self._lost: dict[int, int] = {}
        self._at: dict[Hashable, tuple[Hashable, Job]] = {}
        self._scene_of: dict[Hashable, Hashable] = {}

    @property
    def waiting(self) -> int:
        """Jobs that nobody has in hand."""
        return sum(len(jobs) for jobs in self._waiting.values())

    @property
    def running(self) -> int:
        """Jobs in hand."""
        return len(self._at)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._waiting and not self._at

    def next(self, worker: Hashable) -> Job | None:
        """A job for an idle worker: of the apartment it was in, else of one that nobody is in, else of the fullest."""
        if not self._waiting:
            return None
        scene = self._scene_of.get(worker)
        if scene not in self._waiting:
            others = {s for w, s in self._scene_of.items() if w != worker}
            free = [s for s in self._waiting if s not in others]
            scene = free[0] if free else max(self._waiting, key=lambda s: len(self._waiting[s]))
        job = self._waiting[scene].popleft()
        if not self._waiting[scene]:
            del self._waiting[scene]
        self._scene_of[worker], self._at[worker] = scene, (scene, job)
        return job

    def finished(self, worker: Hashable) -> None:
        """The worker's job is done."""
        del self._at[worker]

    def lost(self, worker: Hashable, counts: bool = True) -> Job | None:
        """The worker is gone: what it had in hand waits again, first.

        Args:
            counts: whether that may be the job's doing.

        Returns:
            The job if it has now been lost as often as it may be: it does not wait any more. Else None.
        """
        self._scene_of.pop(worker, None)
        if worker not in self._at:
            return None
        scene, job = self._at.pop(worker)
        self._lost[id(job)] = self._lost.get(id(job), 0) + counts
        if self._lost[id(job)] >= self._tries:
            return job
        self._waiting.setdefault(scene, deque()).appendleft(job)
        self._waiting.move_to_end(scene, last=False)
        return None
