"""The order of fusion in lock-step: each frame waits for the keyframe gate's verdict and its delta. Knows no ROS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ...frames import Keyframe, RGBDFrame, SemanticDelta


@dataclass
class _Pending:
    """Inputs of one stamp so far. ``taken``: the gate's verdict; ``described``: whether perception made a delta."""

    frame: RGBDFrame | None = None
    keyframe: Keyframe | None = None
    delta: SemanticDelta | None = None
    taken: bool | None = None
    described: bool | None = None


class FusionOrder:
    """Holds a frame until the gate has decided whether it is a keyframe and, if it is, its delta has arrived.

    Args:
        fuse: called with (frame, keyframe or None, delta or None), each stamp once.
    """

    def __init__(self, fuse: Callable[[RGBDFrame, Keyframe | None, SemanticDelta | None], None]) -> None:
        self._fuse = fuse
        self._pending: dict[int, _Pending] = {}
        self._lock = threading.Lock()

    def frame(self, frame: RGBDFrame) -> None:
        """Adds a frame that may be fused."""
        self._note(frame.stamp, "frame", frame)

    def refused(self, stamp: int) -> None:
        """Marks a frame that must not be fused: nothing more is expected for it."""
        with self._lock:
            self._pending.pop(stamp, None)

    def keyframe(self, keyframe: Keyframe) -> None:
        """Adds the keyframe of this stamp."""
        self._note(keyframe.frame.stamp, "keyframe", keyframe)

    def delta(self, delta: SemanticDelta) -> None:
        """Adds perception's delta for the keyframe of this stamp."""
        self._note(delta.stamp, "delta", delta)

    def progress(self, node: str, stage: str, stamp: int, taken: bool) -> None:
        """Takes in that another node has finished its input of this stamp."""
        if node == "keyframe" and stage == "frame":
            self._note(stamp, "taken", taken)
        elif node == "perception" and stage == "keyframe":
            self._note(stamp, "described", taken)

    def _note(self, stamp: int, name: str, value: object) -> None:
        with self._lock:
            entry = self._pending.setdefault(stamp, _Pending())
            setattr(entry, name, value)
            if not _is_complete(entry):
                return
            del self._pending[stamp]
            for old in [s for s in self._pending if s < stamp - 60_000_000_000]:
                del self._pending[old]
        assert entry.frame is not None
        self._fuse(entry.frame, entry.keyframe, entry.delta)


def _is_complete(entry: _Pending) -> bool:
    if entry.frame is None or entry.taken is None:
        return False
    if not entry.taken:
        return True
    return entry.keyframe is not None and (entry.delta is not None or entry.described is False)
