"""What happened to objects, told from how they are and how they were at the last look. Knows no voxels and no words.

The index of objects says who is present, gone or found elsewhere; here each change becomes an event with its time, so
that it can be asked for after the frames that showed it were dropped. A first sight is an event only where the place
was seen empty before: everything is seen for the first time once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...frames import MemoryObject
from ..records import Event

#: What is back at its place this soon (ns) was only hidden, or not recognised.
HIDDEN = 60_000_000_000


class History:
    """Notes events of one map's objects."""

    def __init__(self) -> None:
        self._before: dict[int, MemoryObject] = {}

    def restart(self, known: Mapping[int, MemoryObject]) -> None:
        """Takes objects as they are, without events."""
        self._before = dict(known)

    def note(
        self,
        events: dict[int, Event],
        known: Mapping[int, MemoryObject],
        stamp: int,
        keyframe_id: int,
        sighted: Callable[[int], int],
        seen_empty: Callable[[MemoryObject], int],
    ) -> None:
        """Adds what happened since the last call.

        Args:
            events: by number, oldest first. known: id -> object, gone ones too. stamp: ns, now.
            keyframe_id: the newest one, -1 for none.
            sighted: of an object (by id), when (ns) it was last recognised, 0 unknown: its voxels may be seen on, by
                what is left of them at its foot.
            seen_empty: of a new object, when (ns) its place was last seen empty; 0 where it never was.
        """
        before, self._before = self._before, dict(known)
        forgotten = before.keys() - known.keys()
        for number in [n for n, e in events.items() if e.object in forgotten]:
            del events[number]
        for i, o in known.items():
            was = before.get(i)
            if was is o:
                continue
            more: dict[str, Any] = {"keyframe_id": keyframe_id}
            if was is None:
                since = seen_empty(o) if o.status == "present" else 0
                if since:
                    _add(events, Event("came", i, o.label, o.color, since, stamp, target=o.position, **more))
            elif o.status == "gone":
                if was.status == "present":
                    since = min(was.last_seen, sighted(i) or was.last_seen)
                    _add(events, Event("went", i, o.label, o.color, since, stamp, source=was.position, **more))
            elif o.moves > was.moves:
                went = _take_back(events, i)
                since = was.last_seen if went is None else went.since
                found = Event("moved", i, o.label, o.color, since, stamp, was.position, o.position, **more)
                _add(events, found)
            elif was.status == "gone":
                went = _take_back(events, i)
                if went is not None and stamp - went.stamp > HIDDEN:
                    _add(events, went)
                    _add(events, Event("came", i, o.label, o.color, went.stamp, stamp, target=o.position, **more))


def forget(events: dict[int, Event], known: Mapping[int, MemoryObject], before: int) -> list[int]:
    """Drops events noticed before a time (ns); returns the ids of objects that were gone by then."""
    for number in [n for n, e in events.items() if e.stamp < before]:
        del events[number]
    told = {e.object for e in events.values()}
    return [i for i, o in known.items() if o.status == "gone" and o.last_seen < before and i not in told]


def _add(events: dict[int, Event], event: Event) -> None:
    events[max(events, default=-1) + 1] = event


def _take_back(events: dict[int, Event], i: int) -> Event | None:
    """Takes out an object's last event if that is that it went."""
    last = next((n for n in reversed(events) if events[n].object == i), None)
    return events.pop(last) if last is not None and events[last].kind == "went" else None
