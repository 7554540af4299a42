"""What one frame knows of its parent: a history in time, or one transform that holds at all times.

Times are integer nanoseconds; 0 asks for the newest. Knows nothing of other frames or of ROS.
"""

from bisect import bisect_right

from ._errors import ExtrapolationException
from ._rigid import Rigid, interpolate


def seconds_text(stamp: int) -> str:
    """Return the time as tf2 prints it: seconds with six digits."""
    # Seconds and fraction apart: stamp * 1e-9 would lose the last digit of today's times.
    seconds, fraction = divmod(stamp, 1_000_000_000)
    return f"{seconds + 1e-9 * fraction:.6f}"


class TimeCache:
    """The last `window` ns of one frame's transforms, oldest first."""

    is_static = False

    def __init__(self, window: int) -> None:
        self._window = window
        self._stamps: list[int] = []
        self._entries: list[tuple[str, Rigid]] = []

    def __len__(self) -> int:
        return len(self._stamps)

    def insert(self, stamp: int, parent: str, transform: Rigid) -> bool:
        """Store one transform; return False when it is older than the window reaches."""
        stamps, entries = self._stamps, self._entries
        if not stamps or stamp > stamps[-1]:
            self._prune()
            stamps.append(stamp)
            entries.append((parent, transform))
            return True
        limit = stamps[-1] - self._window
        self._prune()
        if stamp < limit:
            return False
        # After its equals: of several transforms with one stamp the last to arrive counts.
        place = bisect_right(stamps, stamp)
        before = place
        while before and stamps[before - 1] == stamp:
            before -= 1
            if entries[before] == (parent, transform):
                return True
        stamps.insert(place, stamp)
        entries.insert(place, (parent, transform))
        return True

    def _prune(self) -> None:
        stamps = self._stamps
        if not stamps or stamps[0] >= stamps[-1] - self._window:
            return
        drop = bisect_right(stamps, stamps[-1] - self._window - 1)
        del stamps[:drop]
        del self._entries[:drop]

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._entries.clear()

    def latest(self) -> tuple[int, str | None]:
        """Return newest stamp and its parent; (0, None) when empty."""
        if not self._stamps:
            return 0, None
        return self._stamps[-1], self._entries[-1][0]

    def oldest_stamp(self) -> int:
        """Return the oldest stamp kept, 0 when empty."""
        return self._stamps[0] if self._stamps else 0

    def sample(self, stamp: int) -> tuple[str, Rigid]:
        """Return parent and transform at the time; raise ExtrapolationException outside what is stored."""
        stamps, entries = self._stamps, self._entries
        if not stamps:
            raise ExtrapolationException("")
        if stamp == 0 or stamp == stamps[-1]:
            return entries[-1]
        if stamp == stamps[0]:
            return entries[0]
        if not stamps[0] < stamp < stamps[-1]:
            raise ExtrapolationException(self._outside(stamp))
        after = bisect_right(stamps, stamp)
        parent, older = entries[after - 1]
        next_parent, newer = entries[after]
        if parent != next_parent:
            return parent, older
        start = stamps[after - 1]
        return parent, interpolate(older, newer, (stamp - start) / (stamps[after] - start))

    def _outside(self, stamp: int) -> str:
        asked = seconds_text(stamp)
        if len(self._stamps) == 1:
            only = seconds_text(self._stamps[0])
            return f"Lookup would require extrapolation at time {asked}, but only time {only} is in the buffer"
        if stamp > self._stamps[-1]:
            side, bound, end = "future", "latest", self._stamps[-1]
        else:
            side, bound, end = "past", "earliest", self._stamps[0]
        return (
            f"Lookup would require extrapolation into the {side}.  Requested time {asked} "
            f"but the {bound} data is at time {seconds_text(end)}"
        )


class StaticCache:
    """One transform that holds at every time, and outlives clear()."""

    is_static = True

    def __init__(self) -> None:
        self._entry: tuple[str, Rigid] | None = None

    def __len__(self) -> int:
        return 1

    def insert(self, stamp: int, parent: str, transform: Rigid) -> bool:
        """Replace the transform."""
        self._entry = (parent, transform)
        return True

    def clear(self) -> None:
        """Do nothing: a latched transform is not sent a second time."""

    def latest(self) -> tuple[int, str | None]:
        """Return (0, parent): no stamp bounds a static transform."""
        return 0, self._entry[0]

    def oldest_stamp(self) -> int:
        """Return 0."""
        return 0

    def sample(self, stamp: int) -> tuple[str, Rigid]:
        """Return parent and transform, whatever the time."""
        return self._entry
