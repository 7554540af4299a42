"""The tree of frames and the walk through it. Times are integer ns. Knows nothing of ROS messages; not thread-safe."""

from collections.abc import Iterable

from ._cache import StaticCache, TimeCache
from ._errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from ._rigid import IDENTITY, Rigid, compose, inverse


class FrameTree:
    """Frames by name, each with the history of its transform to its parent (None: a root)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._caches: dict[str, TimeCache | StaticCache | None] = {}

    def __contains__(self, frame: str) -> bool:
        return frame in self._caches

    def __iter__(self) -> Iterable[str]:
        return iter(self._caches)

    def cache(self, frame: str) -> TimeCache | StaticCache | None:
        """Return the history of the frame; None for a root or an unknown frame."""
        return self._caches.get(frame)

    def clear(self) -> None:
        """Forget all transforms that are not static. The names stay known."""
        for cache in self._caches.values():
            if cache is not None:
                cache.clear()

    def insert(self, parent: str, child: str, stamp: int, transform: Rigid, is_static: bool) -> bool:
        """Store one transform; return False when it is too old."""
        cache = self._caches.get(child)
        if cache is None or cache.is_static != is_static:
            cache = StaticCache() if is_static else TimeCache(self._window)
            self._caches[child] = cache
        self._caches.setdefault(parent, None)
        return cache.insert(stamp, parent, transform)

    def require(self, frame: str, argument: str) -> None:
        """Raise when the frame id is not valid (InvalidArgumentException) or not known (LookupException)."""
        if not frame:
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" passed to {argument} - in tf2 frame_ids cannot be empty'
            )
        if frame[0] == "/":
            raise InvalidArgumentException(
                f"Invalid argument \"{frame}\" passed to {argument} - in tf2 frame_ids cannot start with a '/'"
            )
        if frame not in self._caches:
            raise LookupException(f'"{frame}" passed to {argument} does not exist. ')

    def why_invalid(self, frame: str, argument: str) -> str:
        """Return what is wrong with the frame id, '' when it is known."""
        if frame in self._caches:
            return ""
        reason = "frame does not exist"
        if not frame:
            reason = "in tf2 frame_ids cannot be empty"
        elif frame[0] == "/":
            reason = "in tf2 frame_ids cannot start with a '/'"
        return f'Invalid frame ID "{frame}" passed to {argument} - {reason}'

    def latest_stamp(self, frame: str) -> int:
        """Return the newest stamp of the frame's own transform, 0 when it has none."""
        cache = self._caches.get(frame)
        return cache.latest()[0] if cache is not None else 0

    def latest_common_stamp(self, target: str, source: str) -> int:
        """Return the newest time at which the whole path can be evaluated: 0 when all of it is static.

        Raises:
            ConnectivityException, LookupException: no path, or a loop.
        """
        if target == source:
            return self.latest_stamp(target)
        stamps: dict[str, list[int]] = {source: []}
        seen: list[int] = []
        for stamp, parent in self._newest_ancestors(source):
            seen = [*seen, stamp] if stamp else seen
            if parent == target:
                return min(seen, default=0)
            stamps[parent] = seen
        seen = []
        for stamp, parent in self._newest_ancestors(target):
            seen = [*seen, stamp] if stamp else seen
            if parent in stamps:
                return min(seen + stamps[parent], default=0)
        raise ConnectivityException(self._unconnected(target, source))

    def _newest_ancestors(self, frame: str) -> Iterable[tuple[int, str]]:
        """Yield (stamp, parent) of each newest transform on the way to the root."""
        visited = {frame}
        while (cache := self._caches[frame]) is not None:
            stamp, parent = cache.latest()
            if parent is None:
                return
            yield stamp, parent
            if parent in visited:
                raise LookupException(self._loop())
            visited.add(parent)
            frame = parent

    def lookup(self, target: str, source: str, stamp: int) -> tuple[Rigid, int]:
        """Return (T_target_source, the time it holds at). Both frames must be known.

        Raises:
            ConnectivityException, ExtrapolationException, LookupException.
        """
        if stamp == 0:
            stamp = self.latest_common_stamp(target, source)
        path = f", when looking up transform from frame [{source}] to frame [{target}]"
        # Up from the source: T_ancestor_source for every ancestor that can be reached at this time.
        reached: dict[str, Rigid] = {source: IDENTITY}
        frame, transform, gap = source, IDENTITY, None
        while frame != target and (cache := self._caches[frame]) is not None:
            try:
                frame, step = cache.sample(stamp)
            except ExtrapolationException as error:
                # Not the end: the target may hang below this gap.
                gap = error
                break
            if frame in reached:
                raise LookupException(self._loop())
            transform = step if transform is IDENTITY else compose(step, transform)
            reached[frame] = transform
        if frame == target:
            return transform, stamp
        # Up from the target until the two ways meet.
        frame, transform, visited = target, IDENTITY, {target}
        while frame not in reached:
            cache = self._caches[frame]
            if cache is None:
                if gap is not None:
                    raise ExtrapolationException(f"{gap}{path}")
                raise ConnectivityException(self._unconnected(target, source))
            try:
                frame, step = cache.sample(stamp)
            except ExtrapolationException as error:
                raise ExtrapolationException(f"{error}{path}") from None
            if frame in visited:
                raise LookupException(self._loop())
            visited.add(frame)
            transform = step if transform is IDENTITY else compose(step, transform)
        up = reached[frame]
        return (inverse(transform) if up is IDENTITY else compose(inverse(transform), up)), stamp

    def describe(self) -> str:
        """Return one sentence for each frame that has or had a parent."""
        lines = []
        for frame, cache in self._caches.items():
            if cache is not None:
                lines.append(f"Frame {frame} exists with parent {cache.latest()[1] or 'NO_PARENT'}.\n")
        return "".join(lines)

    def _loop(self) -> str:
        return f"The tf tree is invalid because it contains a loop.\n{self.describe()}\n"

    def _unconnected(self, target: str, source: str) -> str:
        return (
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
            "Tf has two or more unconnected trees."
        )
