"""Words for times: "this morning", "since 14:30", "in the last hour"; and times in words. Knows no memory.

Times of day are local ones. A clock that counts from its start, as in simulation, has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import InputError
from .question import seconds_in, without

#: Stamps (ns) from here on, of 1973, are of a calendar's clock.
_CALENDAR = 100_000_000 * 10**9
#: Words -> (days from today, hour at which it begins, hours that it lasts).
_PARTS = {
    "this morning": (0, 6, 6), "this afternoon": (0, 12, 6), "this evening": (0, 18, 6), "tonight": (0, 18, 6),
    "last night": (-1, 18, 12), "yesterday morning": (-1, 6, 6), "yesterday afternoon": (-1, 12, 6),
    "yesterday evening": (-1, 18, 6), "yesterday": (-1, 0, 24), "today": (0, 0, 24),
}  # fmt: skip
_FROM = r"(?P<from>(?:different |changed |compared )?(?:since|from|than|to) )?"
_PART = re.compile(rf"\b{_FROM}(?P<part>{'|'.join(_PARTS)})\b")
_HOUR = re.compile(
    r"\bsince (?P<hour>\d{1,2})(?:[ .](?P<minute>\d{2}))?(?: ?(?P<half>am|pm|a\.m|p\.m)\b| ?o'?clock\b)?"
)


@dataclass(frozen=True)
class Window:
    """A span of time, ns; ``told``: in words, as in "since 06:00"."""

    since: int
    until: int
    told: str


def window_in(words: str, now: int) -> tuple[Window | None, str]:
    """The span of time that words name (None for none), and the words without it.

    Args:
        words: as of :func:`question.words_of`. now: ns.

    Raises:
        InputError: a time of day, where the clock has none; one that is still to come.
    """
    seconds, rest = seconds_in(words)
    if seconds is not None:
        return Window(now - int(seconds * 1e9), now, f"in the last {_span(seconds)}"), rest
    if found := _PART.search(words):
        day, hour, hours = _PARTS[found["part"]]
        today = _local(now, found["part"]).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = today + timedelta(days=day, hours=hour)
        since, until = _stamp(begin), min(now, _stamp(begin + timedelta(hours=hours)))
        if since > now:
            raise InputError(f"{found['part']} is still to come: it is {_local(now, '').strftime('%H:%M')}")
        if found["from"]:
            return Window(since, now, f"since {clock(since, now)}"), without(found, words)
        return Window(since, until, found["part"]), without(found, words)
    if found := _HOUR.search(words):
        hour = int(found["hour"]) % 12 + 12 * (found["half"][0] == "p") if found["half"] else int(found["hour"])
        minute = int(found["minute"] or 0)
        if hour > 23 or minute > 59:
            raise InputError(f"'{found[0]}' is no time of day")
        begin = _local(now, found[0]).replace(hour=hour, minute=minute, second=0, microsecond=0)
        since = _stamp(begin)
        since = since if since <= now else _stamp(begin - timedelta(days=1))
        return Window(since, now, f"since {clock(since, now)}"), without(found, words)
    return None, words


def clock(stamp: int, now: int) -> str:
    """A time (ns): "09:14", "yesterday at 18:02", "2026-11-28 at 18:02"; "12 s ago" of a clock without days."""
    if now < _CALENDAR:
        return f"{_span(max(0, now - stamp) * 1e-9)} ago"
    then, today = _local(stamp, ""), _local(now, "")
    days = (today.date() - then.date()).days
    day = "" if days == 0 else "yesterday at " if days == 1 else f"{then:%Y-%m-%d} at "
    return f"{day}{then:%H:%M}"


def _local(stamp: int, asked: str) -> datetime:
    if stamp < _CALENDAR:
        raise InputError(
            f"'{asked}' is a time of day, and this memory's clock counts from its start: ask for the last minutes"
        )
    return datetime.fromtimestamp(stamp * 1e-9)


def _stamp(time: datetime) -> int:
    return int(time.timestamp()) * 10**9


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
