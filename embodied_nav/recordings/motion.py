"""Interpolated poses over time, and a tree of moving frames as in TF. Knows no file format."""

from __future__ import annotations

import numpy as np

from ..geometry import invert, matrix_from_quaternion


class Track:
    """Poses of one frame over time, interpolated between neighbours.

    Args:
        stamps: N int64 ns, in any order. positions: Nx3 m. quaternions: Nx4, x, y, z, w, of any non-zero length.
        longest_gap: no interpolation between neighbours farther apart than this (ns).
    """

    def __init__(self, stamps, positions, quaternions, longest_gap: int) -> None:
        stamps = np.asarray(stamps, np.int64)
        order = np.unique(stamps, return_index=True)[1]
        self._stamps, self._gap = stamps[order], longest_gap
        self._positions = np.asarray(positions, np.float64).reshape(-1, 3)[order]
        self._quaternions = np.asarray(quaternions, np.float64).reshape(-1, 4)[order]
        with np.errstate(invalid="ignore", divide="ignore"):
            self._quaternions = self._quaternions / np.linalg.norm(self._quaternions, axis=1, keepdims=True)

    def at(self, stamp: int) -> np.ndarray | None:
        """4x4 float64 at a stamp (ns), None outside the track, in a gap, and if a neighbour is not finite."""
        after = int(np.searchsorted(self._stamps, stamp))
        if after == len(self._stamps):
            return None
        if self._stamps[after] == stamp:
            return self._pose(after, after, 0.0)
        before = after - 1
        if before < 0 or self._stamps[after] - self._stamps[before] > self._gap:
            return None
        share = (stamp - self._stamps[before]) / (self._stamps[after] - self._stamps[before])
        return self._pose(before, after, float(share))

    def broken_at(self, stamp: int) -> bool:
        """Whether a pose at or next to a stamp is invalid: not finite, or a zero quaternion."""
        after = int(np.searchsorted(self._stamps, stamp))
        told = {after} if after < len(self._stamps) and self._stamps[after] == stamp else {after - 1, after}
        near = [i for i in told if 0 <= i < len(self._stamps) and abs(self._stamps[i] - stamp) <= self._gap]
        good = np.isfinite(self._quaternions).all(axis=1) & np.isfinite(self._positions).all(axis=1)
        return any(not np.asarray(good)[i] for i in near)

    @property
    def span(self) -> tuple[int, int]:
        """First and last stamp, ns."""
        return int(self._stamps[0]), int(self._stamps[-1])

    def _pose(self, a: int, b: int, share: float) -> np.ndarray | None:
        q, r = self._quaternions[a], self._quaternions[b]
        position = (1.0 - share) * self._positions[a] + share * self._positions[b]
        if not (np.isfinite(q).all() and np.isfinite(r).all() and np.isfinite(position).all()):
            return None
        return matrix_from_quaternion(_slerp(q, r, share), position)


def _slerp(q: np.ndarray, r: np.ndarray, share: float) -> np.ndarray:
    """Spherical interpolation between two unit quaternions, the shorter way."""
    dot = float(q @ r)
    r, dot = (-r, -dot) if dot < 0 else (r, dot)
    if dot > 0.9999:
        return q + share * (r - q)
    angle = np.arccos(dot)
    return (np.sin((1 - share) * angle) * q + np.sin(share * angle) * r) / np.sin(angle)


class FrameTree:
    """TF of a recording: each frame has one parent, by a fixed transform or a track."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, np.ndarray | Track]] = {}

    def add(self, parent: str, child: str, transform: np.ndarray | Track) -> None:
        """Sets the transform, parent from child; a later call replaces an earlier one."""
        self._parents[child.lstrip("/")] = (parent.lstrip("/"), transform)

    def has(self, frame: str) -> bool:
        """Whether a frame is a parent or a child of any other."""
        frame = frame.lstrip("/")
        return frame in self._parents or any(frame == parent for parent, _ in self._parents.values())

    def parent(self, child: str) -> str | None:
        """The parent frame, or None."""
        found = self._parents.get(child.lstrip("/"))
        return found[0] if found else None

    def at(self, target: str, source: str, stamp: int) -> np.ndarray | None:
        """4x4 float64, target from source at a stamp (ns); None where the frames are not connected then."""
        up, down = self.ancestors(source.lstrip("/")), self.ancestors(target.lstrip("/"))
        meeting = next((frame for frame in up if frame in down), None)
        if meeting is None:
            return None
        T_source, T_target = self._climb(up, meeting, stamp), self._climb(down, meeting, stamp)
        return None if T_source is None or T_target is None else invert(T_target) @ T_source

    def ancestors(self, frame: str) -> list[str]:
        """A frame, its parent, and so on up to the root."""
        found = [frame.lstrip("/")]
        while found[-1] in self._parents and len(found) <= len(self._parents):  # also ends at a cycle
            found.append(self._parents[found[-1]][0])
        return found

    def connected(self, a: str, b: str) -> bool:
        """Whether transforms connect the two frames at any time."""
        return not set(self.ancestors(a)).isdisjoint(self.ancestors(b))

    def moves(self, frame: str) -> bool:
        """Whether anything between a frame and its root moves."""
        return any(isinstance(self._parents[f][1], Track) for f in self.ancestors(frame) if f in self._parents)

    def broken_at(self, frame: str, stamp: int) -> bool:
        """Whether a transform between a frame and its root is invalid at a stamp (ns): see :meth:`Track.broken_at`."""
        tracks = (self._parents[f][1] for f in self.ancestors(frame) if f in self._parents)
        return any(track.broken_at(stamp) for track in tracks if isinstance(track, Track))

    def described(self) -> str:
        """All chains from a root to a leaf as text: map -> odom -> base_link; at most five."""
        parents = {parent for parent, _ in self._parents.values()}
        chains = [" -> ".join(reversed(self.ancestors(leaf))) for leaf in sorted(set(self._parents) - parents)]
        return "; ".join(chains[:5]) + "; ..." * (len(chains) > 5)

    def _climb(self, chain: list[str], top: str, stamp: int) -> np.ndarray | None:
        """4x4, ``top`` from the chain's first frame at a stamp (ns), or None."""
        T = np.eye(4)
        for frame in chain[: chain.index(top)]:
            transform = self._parents[frame][1]
            step = transform.at(stamp) if isinstance(transform, Track) else transform
            if step is None:
                return None
            T = step @ T
        return T
