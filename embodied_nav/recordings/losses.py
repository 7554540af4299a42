"""Counts the dropped frames of a recording by reason; rejects a recording with too many damaged. Knows no format."""

from __future__ import annotations

from collections import Counter

from ..errors import InputError

#: Tolerated share of damaged frames; a single one is always tolerated.
_TOLERATED = 0.1


class Losses:
    """The dropped frames of one recording.

    Args:
        where: the recording's name, for errors.

    Attributes:
        counts: number by reason.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.counts: Counter[str] = Counter()
        self._damaged: Counter[str] = Counter()
        self._first = ""

    @property
    def total(self) -> int:
        """Number of dropped frames."""
        return self.counts.total()

    @property
    def number_damaged(self) -> int:
        """Number of damaged frames among them."""
        return self._damaged.total()

    def add(self, reason: str, number: int = 1) -> None:
        """Counts images that make no frame but are not damaged, e.g. a depth image without colour."""
        if number > 0:
            self.counts[reason] += number

    def damaged(self, reason: str, cause: str) -> None:
        """Counts a damaged frame.

        Args:
            cause: what is wrong, with the file or topic; the first one is reported if there are too many.
        """
        self.counts[reason] += 1
        self._damaged[reason] += 1
        self._first = self._first or cause

    def check(self, frames: int, mend: str = "") -> None:
        """Rejects a recording with too many damaged frames.

        Args:
            frames: their total number, including damaged ones.

        Raises:
            InputError: more than a tenth (and more than one) are damaged, or all.
        """
        number = self._damaged.total()
        if number and (number > max(1, frames * _TOLERATED) or number >= frames):
            reasons = ", ".join(f"{reason}: {n}" for reason, n in self._damaged.most_common())
            mend = f"; {mend}" if mend else ""
            text = f"{number} of {frames} frames cannot be used ({reasons}); the first: {self._first}{mend}"
            raise InputError(f"{self._where}: {text}")

    def told(self) -> str:
        """Summary for the terminal: number by reason; empty if nothing was dropped."""
        return ", ".join(f"{n} {reason}" for reason, n in self.counts.most_common())
