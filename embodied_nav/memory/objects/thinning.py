"""Semantic deltas of the past, put together: one by one for an hour, then by the hour, then by the day. Knows no files.

What was new, gone and moved in a span is kept, each kind of thing once; what else was in view is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from ...frames import ObjectObservation, SemanticDelta
from ..config import RetentionConfig

#: ``source`` of deltas that were put together.
DIGEST = "digest"
_HOUR, _DAY = 3_600_000_000_000, 86_400_000_000_000


def thin(deltas: dict[int, SemanticDelta], now: int, retention: RetentionConfig) -> None:
    """Puts the deltas of a span together once all of it is old enough.

    Args:
        deltas: by number, oldest first; the one put together has the number of the span's last. now: ns.
    """
    for age, span in ((retention.hourly, _DAY), (retention.whole, _HOUR)):
        end = (now - int(age * _HOUR)) // span * span
        old: dict[int, list[int]] = {}
        for number, delta in deltas.items():
            if delta.stamp >= end:
                break
            old.setdefault(int(delta.stamp) // span, []).append(number)
        for numbers in old.values():
            if len(numbers) > 1:
                together = _digest([deltas[n] for n in numbers])
                for n in numbers[:-1]:
                    del deltas[n]
                deltas[numbers[-1]] = together


def _digest(deltas: Sequence[SemanticDelta]) -> SemanticDelta:
    """One delta for several that follow each other."""
    first, last = deltas[0], deltas[-1]
    new, gone, moved = (_each_once(chain(*(getattr(d, kind) for d in deltas))) for kind in ("new", "gone", "moved"))
    told = [f"{kind} {_names(things)}" for kind, things in (("new", new), ("gone", gone), ("moved", moved)) if things]
    minutes = round((last.stamp - first.stamp) / 60e9)
    text = f"within {minutes} minutes: {'; '.join(told) if told else 'no change'}"
    return SemanticDelta(
        last.keyframe_id, first.previous_id, last.stamp, DIGEST, "drove around", (), new, gone, moved, text=text
    )


def _each_once(things: chain[ObjectObservation]) -> tuple[ObjectObservation, ...]:
    """The last observation of each kind of thing, in the order in which they came first."""
    return tuple({(o.label, o.color): o for o in things}.values())


def _names(things: Sequence[ObjectObservation]) -> str:
    return ", ".join(o.name for o in things)
