"""Maps keyframe ids in messages to ids in the memory. Knows nothing of what is done with keyframes."""

from __future__ import annotations

from dataclasses import replace

from ...frames import Keyframe, SemanticDelta
from ...memory import SpatialMemory
from .conversions import BadMessage


class KeyframeIds:
    """Keeps keyframe ids unique in the memory: the keyframe node counts from 0 again after a restart.

    Attributes:
        newest: stamp (ns) of the newest keyframe, -1 for none.
    """

    def __init__(self) -> None:
        self.newest = -1
        self._offset: int | None = None
        self._last = -1
        self._by_stamp: dict[int, int] = {}

    def renumbered(self, keyframe: Keyframe, memory: SpatialMemory) -> Keyframe:
        """The keyframe with an id that is new to the memory."""
        if self._offset is None:
            first = memory.sessions[-1]["first_keyframe"]  # the memory adds this offset by itself
            self._offset = max(max(memory.keyframes, default=-1) + 1 - first, 0)
        elif keyframe.id <= self._last:
            self._offset += self._last + 1
        self._last = keyframe.id
        number = self._offset + keyframe.id
        self.newest = keyframe.frame.stamp
        self._by_stamp[self.newest] = number
        while len(self._by_stamp) > 1000:
            del self._by_stamp[next(iter(self._by_stamp))]
        return Keyframe(number, keyframe.frame, keyframe.overlap, keyframe.inliers, keyframe.reason)

    def matched(self, delta: SemanticDelta) -> SemanticDelta:
        """The delta with the ids that its keyframes have in the memory.

        Raises:
            BadMessage: ``unknown_keyframe``.
        """
        if delta.stamp not in self._by_stamp:
            raise BadMessage("unknown_keyframe", f"semantic delta of keyframe {delta.keyframe_id}, which never came")
        previous = -1
        if delta.previous_id >= 0 and self._offset is not None:
            previous = delta.previous_id + self._offset
        return replace(delta, keyframe_id=self._by_stamp[delta.stamp], previous_id=previous)

    def forget(self) -> None:
        """Forgets all keyframes, so that their deltas are refused: their coordinates belong to another map."""
        self._by_stamp.clear()


def first_of_run(memory: SpatialMemory) -> int:
    """Id of the first keyframe of the newest keyframe's run. Stamps ascend within a run, also across a crash and
    restart; a simulated clock restarts with each run."""
    ids = sorted(memory.keyframes)
    stamps = [memory.keyframes[i].stamp for i in ids]
    k = len(ids) - 1
    while k > 0 and stamps[k - 1] < stamps[k]:
        k -= 1
    return ids[k] if ids else 0
