"""Times of a bag's images: their stamps, or times of reception if stamps are unusable. Knows no messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .bag_images import Entry
from .losses import Losses
from .stamps import are_told, on_one_clock


def timed(topic: str, entries: list[Entry], losses: Losses | None, notes: list[str]) -> list[Entry]:
    """Images of one topic on one clock, without duplicate stamps.

    Args:
        losses: counts what is left out, or None. notes: gets a line if stamps were corrected.
    """
    stamps = np.array([entry.stamp for entry in entries], np.int64)
    logged = np.array([entry.logged for entry in entries], np.int64)
    if not are_told(stamps):
        notes.append(f"{topic}: all stamps are {stamps[0] * 1e-9:g} s: the times of reception are taken")
        times = logged
    else:
        # A bag recorded from a looped playback repeats every stamp: keep the first.
        first = np.sort(np.unique(stamps, return_index=True)[1])
        if losses is not None:
            losses.add("with the same stamp as another", len(entries) - len(first))
        entries, stamps, logged = [entries[n] for n in first], stamps[first], logged[first]
        times = on_one_clock(stamps, logged)
        moved = int((times != stamps).sum())
        if moved:
            what = f"{topic}: {moved} of {len(entries)} images are stamped by another clock"
            notes.append(f"{what} ({stamps[times != stamps][0] * 1e-9:.3f} s): placed by when they were received")
    return [replace(entry, stamp=int(time), header=entry.stamp) for entry, time in zip(entries, times, strict=True)]
