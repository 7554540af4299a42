"""SLAM for a registered RGB-D camera: odometry, loop closure, pose graph. Knows nothing of ROS, memory and language.

The map frame is the camera's (or, with wheels, odometry's) frame at the start. :meth:`Slam.trajectory` gives the poses
of all past frames under the newest correction; the memory corrects its keyframes with it.

A view that earlier keyframes already hold refreshes these: where a new keyframe stands beside an old one, one of the
two is taken out of the graph again, and what it said of its neighbours stays (``PoseGraph.retire``). So the graph is as
large as the area, whatever the hours.

A false loop is worse than a missed one: a loop must match in appearance (features) and shape (depth, free space) and be
consistent with the graph's uncertainty. No loop is sought between keyframes whose relative pose is already certain, so
that the work per keyframe does not grow with the number of visits.

A session with an unknown pose starts a map of its own. Every keyframe is matched against landmarks, the keyframes of
earlier sessions. When two views from different places give the same transform between two maps, the maps are merged.
Relocalisation in an old map and merging of two maps are thus the same operation.

While tracking is lost (:class:`~embodied_nav.frames.Tracking`) no pose is trusted. The view is matched against the
session's own keyframes, and a pose that several consecutive frames agree on is accepted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import Tracking
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import extract
from .looks import Landmark
from .loop_search import GATE, LoopSearch, distances
from .odometry import OdometryConfig, OdometryStep, RGBDOdometry, thinned
from .places import Location, Places, View
from .pose_graph import PoseGraph
from .sightings import Sighting, Sightings
from .slam_config import SlamConfig
from .tracking import TRACKING, Stretch, TrackingLog
from .trajectory import Trajectory
from .update import Joined, SlamUpdate

#: Poses of a view that differ by more than this (m, rad) are two places: ambiguous.
_SAME_PLACE = (0.3, 0.2)
#: Standard deviations (m, rad) of landmarks in their map, those of the session that made it.
_LANDMARK_SIGMA = (0.03, 0.015)
#: Two maps are merged when two views give the same transform between them within this (m, rad); votes older than this
#: many keyframes do not count, since the session has drifted since.
_SAME_WAY, _VOTES_KEPT = (0.15, 0.08), 30
#: The floors of two maps coincide within this height (m) and tilt (rad).
_SAME_FLOOR = (0.10, 0.04)
#: Standard deviation (m) within which keyframes count as being at the same place when there are too many of them.
_CROWD_SIGMA = 0.5
#: So many newest keyframes are no older view of a place.
_RECENT = 10
#: Standard deviations (m, rad) of a pose given from outside.
_GIVEN_SIGMA = (0.3, 0.2)


@dataclass(frozen=True, eq=False)
class _Vote:
    """One view's hypothesis of the transform between two maps: T is 4x4, the other map from the current one."""

    number: int
    landmark: int
    found: Location
    T: np.ndarray


@dataclass(frozen=True, eq=False)
class _Found:
    """What the search of a keyframe came to; see :class:`.update.SlamUpdate`."""

    loops: tuple[int, ...] = ()
    corrected: bool = False
    joined: Joined | None = None


@dataclass(frozen=True, eq=False)
class _Seen:
    """A keyframe that shows the same place as a view, and the view's pose relative to it."""

    keyframe: int
    found: Location


@dataclass(frozen=True, eq=False)
class Relocation:
    """Result of relocalising a view: T_map_camera 4x4, the matched keyframe, number of feature matches."""

    T_map_camera: np.ndarray
    keyframe: int
    inliers: int


class Slam:
    """Processes frames in order; see the module.

    Args:
        T_map_start: 4x4, pose of the first frame in map if there are no wheels; default the identity.
        landmarks: keyframes of earlier sessions; if there are any, the session starts with an unknown pose in them.

    Attributes:
        loops: (earlier, later) keyframe numbers of all loops; landmarks are numbered first.
        map_id: the map in whose coordinates poses are given; "" for the session's own, new one.

    Raises:
        InputError: GTSAM is not installed.
    """

    def __init__(
        self,
        config: SlamConfig | None = None,
        odometry: OdometryConfig | None = None,
        T_map_start: np.ndarray | None = None,
        landmarks: Sequence[Landmark] = (),
    ) -> None:
        self.config = config or SlamConfig()
        self._odometry = RGBDOdometry(odometry)
        self._places = Places(self.config.loop_inliers)
        self._graph = PoseGraph()
        self._search = LoopSearch(self._graph, self._places, self.config)
        self._searches = deque[Generator[_Found | None, None, None]]()
        self._current = -1
        self._made = 0
        self._spare: list[int] = []
        #: Keyframe -> the newest one that showed the same; itself where it is missing.
        self._seen_at: dict[int, int] = {}
        self._trajectory = Trajectory(self.config.frames_kept)
        self._last_wheels: np.ndarray | None = None
        self._T_start = np.eye(4) if T_map_start is None else np.asarray(T_map_start, np.float64)
        self._T_odom_keyframe = self._T_odom = self._T_start
        self._log = TrackingLog()
        self._sightings = Sightings()
        self._newest_stamp: int | None = None
        self._votes: list[_Vote] = []
        self._given: tuple[np.ndarray, str] | None = None
        self.loops: list[tuple[int, int]] = []
        self.map_id = ""
        self._map_of: dict[int, str] = {}
        for known in landmarks:
            number = self._graph.add(known.T_map_camera)
            self._graph.hold(number, known.T_map_camera, _LANDMARK_SIGMA)
            self._graph.belongs(number, known.map_id, _LANDMARK_SIGMA)
            self._places.add(number, known.look)
            self._map_of[number] = known.map_id
        self._first = len(self._map_of)

    def process(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        color: np.ndarray | None = None,
        T_odom_camera: np.ndarray | None = None,
    ) -> SlamUpdate:
        """Registers one frame.

        Args:
            stamp: ns.
            depth: HxW float32 m, NaN invalid, registered to ``color``.
            color: HxWx3 uint8 RGB, or None (then loops come from depth alone).
            T_odom_camera: 4x4 wheel odometry of the optical frame, or None.
        """
        wheels = None
        if T_odom_camera is not None and self._last_wheels is not None:
            wheels = invert(self._last_wheels) @ T_odom_camera
        self._last_wheels = T_odom_camera
        step = self._odometry.step(depth, camera, color, wheels, self._seconds_since(stamp))
        if step.keyframe < 0:
            T = self._T_start if T_odom_camera is None else T_odom_camera
            tracking = self._log.update(stamp, step.state, step.doubt)
            return SlamUpdate(T, self._T_start, False, step.source, -1, tracking=tracking)
        if step.state != TRACKING and step.view is None and step.usable and color is not None:
            update = self._find_again(stamp, T_odom_camera)
            if update is not None:
                return update
        keyframe, T = self._current, step.T_keyframe_camera
        self._T_odom = self._T_start if step.source == "first" else self._T_odom_keyframe @ T
        if step.view is not None:
            self._T_odom_keyframe = self._T_odom
            keyframe, T = self._new_keyframe(step, T_odom_camera), np.eye(4)
        told = self._search_on()
        if step.view is not None:
            self._searches.append(self._settle(step.view, keyframe))
        tracking = self._log.update(stamp, step.state, step.doubt)
        if tracking.placed:
            self._sightings.clear()
        if not tracking.lost:
            self._trajectory.add(stamp, keyframe, T)
        return SlamUpdate(
            self._graph.pose(keyframe) @ T,
            self._T_odom,
            told.corrected,
            step.source,
            keyframe,
            told.loops,
            told.joined,
            tracking,
            step.moved,
        )

    def finish(self) -> bool:
        """At the end of a recording: ends the searches under way; returns whether past poses moved."""
        moved = False
        while self._searches:
            moved |= self._search_on().corrected
        return moved

    def _search_on(self) -> _Found:
        """Takes a step of the oldest search for each that is under way, so that they do not pile up.

        What a search found is told with the frame in which it moved the graph, before any other is looked for.
        """
        for _ in range(len(self._searches)):
            try:
                found = next(self._searches[0])
            except StopIteration:
                self._searches.popleft()
            else:
                if found is not None:
                    return found
        return _Found()

    def _settle(self, view: View, number: int) -> Generator[_Found | None, None, None]:
        """What a new keyframe entails beyond its own frame, in steps that each take about a frame's time."""
        joined = yield from self._find_itself(view, number)
        if joined is not None:
            self._graph.optimise()
            yield _Found(corrected=True, joined=joined)
        loops = (yield from self._search.of(view, number)) if number > 0 else ()
        if loops:
            yield None
            yield _Found(loops, self._close(loops, number))
        yield None
        self._refresh(view, number)
        yield None
        self._places.add(number, view)

    def _seconds_since(self, stamp: int) -> float | None:
        """Time since the last frame; None for the first one, and if the clock went back.

        In that case frames with later stamps are dropped from the trajectory.
        """
        last, self._newest_stamp = self._newest_stamp, stamp
        if last is not None and stamp > last:
            return (stamp - last) * 1e-9
        self._trajectory.forget_from(stamp)
        return None

    def _find_again(self, stamp: int, T_odom_camera: np.ndarray | None) -> SlamUpdate | None:
        """Relocalises a view without tracking among the keyframes of this map; None until enough frames agree."""
        view, odometry = self._odometry.look(), self._odometry
        seen = self._recognise(view, self._of_map(self.map_id))
        sighting = None
        if seen is not None:
            T = self._graph.pose(seen.keyframe) @ seen.found.T
            # If the pose was extrapolated by wheels, the camera cannot be far from there.
            expected = self._graph.pose(self._current) @ odometry.T
            near = odometry.strayed or _apart(expected, T) < self.config.loop_gate * odometry.reach + GATE[0]
            sighting = Sighting(stamp, T, T_odom_camera) if near else None
        if not self._sightings.add(sighting):
            return None
        self._sightings.clear()
        assert sighting is not None and seen is not None  # only a recognised frame can complete the count
        number = self._number(sighting.T_map_camera)
        self._graph.connect(seen.keyframe, number, seen.found.T, seen.found.information, loop=True)
        if T_odom_camera is not None and self.config.planar:
            self._graph.hold_level(number, T_odom_camera, self.config.level_height, self.config.level_tilt)
        self._places.add(number, odometry.adopt())
        self.loops.append((seen.keyframe, number))
        self._T_odom_keyframe = self._T_odom
        self._trajectory.add(stamp, number, np.eye(4))
        tracking = self._log.update(stamp, TRACKING)
        return SlamUpdate(
            self._graph.pose(number), self._T_odom, False, "place", number, (seen.keyframe,), tracking=tracking
        )

    def trajectory(self) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (N int64 ns) and poses (Nx4x4, map from optical frame), newest correction applied.

        Contains the newest frames at every place (``frames_kept``) except those while lost; includes frames whose pose
        is extrapolated by wheels.
        """
        stamps, keyframes, motions = self._trajectory.frames()
        return stamps, self._graph.poses()[np.searchsorted(self._graph.numbers, keyframes)] @ motions

    @property
    def lost(self) -> int:
        """Consecutive frames whose pose was not found."""
        return self._odometry.lost

    @property
    def tracking(self) -> Tracking:
        """Whether the newest frame's pose is trusted, and if not, why."""
        return self._log.now

    @property
    def lost_stretches(self) -> list[Stretch]:
        """All finished periods without tracking."""
        return list(self._log.stretches)

    def lost_summary(self) -> dict[str, Any]:
        """See :meth:`.tracking.TrackingLog.summary`."""
        return self._log.summary(self._newest_stamp or 0)

    @property
    def located(self) -> bool:
        """Whether the session is localised in a map of earlier ones, or there is none."""
        return bool(self.map_id) or self._first == 0

    @property
    def keyframes(self) -> int:
        """How many keyframes this session has made."""
        return self._made

    def graph(self) -> tuple[np.ndarray, list[tuple[int, int, bool]]]:
        """Positions (Nx3 m) of all keyframes and landmarks of the current map; edges (first, second, is a loop)."""
        index = {number: i for i, number in enumerate(self._of_map(self.map_id))}
        edges = [(index[e.first], index[e.second], e.loop) for e in self._graph.edges if e.first in index]
        return np.array([self._graph.pose(number)[:3, 3] for number in index]).reshape(-1, 3), edges

    def keyframe_poses(self) -> np.ndarray:
        """Nx4x4, map from optical frame, of the keyframes that this session holds."""
        return self._graph.poses()[self._graph.numbers >= self._first]

    def place(self, T_map_camera: np.ndarray, map_id: str) -> None:
        """Sets the camera's approximate pose in a map of earlier sessions; applied with the next keyframe.

        Raises:
            InputError: the session is localised already, or there is no such map.
        """
        if self.located:
            raise InputError("a pose is taken only while SLAM does not know where it is")
        if map_id not in self._map_of.values():
            raise InputError(f"no keyframe of map '{map_id}' is known")
        self._given = (np.asarray(T_map_camera, np.float64), map_id)
        self._odometry.renew()

    def relocalise(self, depth: np.ndarray, camera: Camera, color: np.ndarray) -> Relocation | None:
        """Global relocalisation of a view among all keyframes without a prior; changes nothing.

        One view cannot distinguish look-alike places: repeat with the next view and accept two results that agree.

        Returns:
            The pose, or None if no keyframe shows the place, or keyframes at different places do.
        """
        settings = self._odometry.config
        depth, camera = thinned(depth, camera, settings.width, settings.max_depth)
        view = View.of(depth, camera, extract(color))
        seen = self._recognise(view)
        if seen is None:
            return None
        return Relocation(self._graph.pose(seen.keyframe) @ seen.found.T, seen.keyframe, seen.found.inliers)

    def _of_map(self, name: str) -> list[int]:
        """Keyframes and landmarks of a map, ascending."""
        return [number for number, other in self._map_of.items() if other == name]

    def _number(self, T: np.ndarray) -> int:
        """A new keyframe of the current map at a pose (4x4): the one that frames are registered to from now on."""
        self._current = number = self._graph.add(T)
        self._map_of[number] = self.map_id
        self._made += 1
        return number

    def _recognise(self, view: View, allowed: Sequence[int] | None = None) -> _Seen | None:
        """The keyframe that shows a view's place; None if none does, or keyframes at different places do."""
        seen = []
        for number in self._places.candidates(view, allowed, most=max(10, self.config.loop_candidates)):
            found = self._places.confirm(view, number)
            if found is not None:
                seen.append(_Seen(number, found))
        if not seen:
            return None
        best = max(seen, key=lambda s: s.found.inliers)
        T_best = self._graph.pose(best.keyframe) @ best.found.T
        apart = [invert(T_best) @ self._graph.pose(s.keyframe) @ s.found.T for s in seen]
        ambiguous = any(np.linalg.norm(T[:3, 3]) > _SAME_PLACE[0] or rotation_angle(T) > _SAME_PLACE[1] for T in apart)
        return None if ambiguous else best

    def _find_itself(self, view: View, number: int) -> Generator[None, None, Joined | None]:
        """Matches a new keyframe against landmarks of other maps; merges maps when two views agree. In steps."""
        if self._given is not None:
            (T_given, name), self._given = self._given, None
            return self._join(name, T_given @ invert(self._graph.pose(number)), ())
        strange = [i for i, name in self._map_of.items() if name != self.map_id]
        if not strange:
            return None
        votes = []
        for candidate in self._places.candidates(view, strange, self.config.loop_candidates):
            yield
            found = self._places.confirm(view, candidate)
            if found is not None:
                T = self._graph.pose(candidate) @ found.T @ invert(self._graph.pose(number))
                votes.append(_Vote(number, candidate, found, T))
        votes = [v for v in votes if self._is_level(v.T)]
        if any(not self._agree(a, b) for a in votes for b in votes):
            return None  # ambiguous: two places look like this one
        self._votes = [v for v in self._votes if v.number > number - _VOTES_KEPT and v.number in self._graph]
        for vote in sorted(votes, key=lambda v: -v.found.inliers):
            others = [v for v in self._votes if self._map_of[v.landmark] == self._map_of[vote.landmark]]
            agreeing = [v for v in others if self._agree(v, vote)]
            if agreeing and 2 * len(agreeing) >= len(others):
                self._votes = []
                return self._join(self._map_of[vote.landmark], vote.T, (vote, *agreeing))
        self._votes += votes
        return None

    def _agree(self, vote: _Vote, other: _Vote) -> bool:
        difference = invert(vote.T) @ other.T
        centre = self._graph.pose(other.number)[:3, 3]
        off = float(np.linalg.norm(difference[:3, :3] @ centre + difference[:3, 3] - centre))
        return off < _SAME_WAY[0] and rotation_angle(difference) < _SAME_WAY[1]

    def _is_level(self, T: np.ndarray) -> bool:
        """With wheels all maps share one floor: rejects a transform that would lift or tilt a map."""
        if not (self.config.planar and self._last_wheels is not None):
            return True
        return abs(T[2, 3]) < _SAME_FLOOR[0] and float(np.arccos(np.clip(T[2, 2], -1.0, 1.0))) < _SAME_FLOOR[1]

    def _join(self, name: str, T: np.ndarray, votes: tuple[_Vote, ...]) -> Joined:
        """Merges the current map and another one; the frame of earlier sessions is kept."""
        if self.map_id == "":
            self._graph.move(self._of_map(""), T, release=self._first)
            joined = Joined(name, "", T)
        else:
            self._graph.move(self._of_map(name), invert(T))
            joined = Joined(self.map_id, name, invert(T))
        for i in self._of_map(joined.joined_map_id):
            self._map_of[i] = joined.map_id
        self.map_id = joined.map_id
        newest = self._current
        for vote in votes:
            self._graph.connect(vote.landmark, vote.number, vote.found.T, vote.found.information, loop=True)
            self.loops.append((vote.landmark, vote.number))
        if not votes:
            here = self._graph.pose(newest)
            known = [i for i in self._of_map(joined.map_id) if i < self._first]
            nearest = min(known, key=lambda i: _apart(self._graph.pose(i), here))
            information = np.diag([_GIVEN_SIGMA[0] ** -2] * 3 + [_GIVEN_SIGMA[1] ** -2] * 3)
            self._graph.connect(nearest, newest, invert(self._graph.pose(nearest)) @ here, information)
        return joined

    def _new_keyframe(self, step: OdometryStep, T_odom_camera: np.ndarray | None) -> int:
        if step.source == "first":
            T = self._T_start if T_odom_camera is None else T_odom_camera
        else:
            T = self._graph.pose(self._current) @ step.T_keyframe_camera
        before, number = self._current, self._number(T)
        if number == self._first:
            self._graph.hold(number, T)
        else:
            self._graph.connect(before, number, step.T_keyframe_camera, step.information)
        if T_odom_camera is not None and self.config.planar:
            self._graph.hold_level(number, T_odom_camera, self.config.level_height, self.config.level_tilt)
        return number

    def _close(self, loops: tuple[int, ...], number: int) -> bool:
        """Brings the graph into line with a keyframe's new loops; returns whether that moved any pose."""
        self.loops += [(earlier, number) for earlier in loops]
        self._seen_at.update(dict.fromkeys(loops, number))
        before = self._graph.poses()
        self._graph.optimise()
        shift = np.linalg.norm(self._graph.poses()[:, :3, 3] - before[:, :3, 3], axis=1).max()
        return bool(shift > self.config.correction)

    def _refresh(self, view: View, number: int) -> None:
        """Takes a keyframe out where the new one and an old one show the same from the same place.

        The old one stays where its view is confirmed by the new one, since the graph knows it best; the new one is
        taken out as soon as no frame can be registered to it any more. What looks different now has changed: there the
        new one stays. Where no loop ties them, as in the dark, only so many stay: those that were seen last.
        """
        for spare in [i for i in self._spare if i < number - 1]:
            self._spare.remove(spare)
            self._retire(spare)
        beside = self._beside(number)
        near = [i for i, sigma in beside if sigma <= self.config.loop_uncertainty]
        if near:
            old = near[0]
            looped = any(old in (e.first, e.second) for e in self._graph.edges_of(number))
            if looped or self._places.confirm(view, old) is not None:
                self._seen_at[old] = number
                self._spare.append(number)
            else:
                self._retire(old)
            return
        crowd = [i for i, sigma in beside if sigma <= _CROWD_SIGMA and not self._graph.is_held(i)]
        if len(crowd) >= self.config.looks_per_place:
            self._retire(min(crowd, key=lambda i: self._seen_at.get(i, i)))

    def _beside(self, number: int) -> list[tuple[int, float]]:
        """Older keyframes beside one and the standard deviations (m) of their distance; the nearest first."""
        if not self.config.refresh_distance:
            return []
        numbers, sigmas, relative = self._search.others(number)
        distance, angle = distances(relative)
        older = (numbers < number - _RECENT) & ~np.isin(numbers, self._spare)
        beside = older & (distance < self.config.refresh_distance) & (angle < self.config.refresh_angle)
        order = np.argsort(distance + angle)
        return [(int(numbers[k]), float(sigmas[k, 0])) for k in order if beside[k]]

    def _retire(self, number: int) -> None:
        """Takes a keyframe out of the graph, unless it holds the map; frames that were registered to it go over."""
        if number not in self._graph or self._graph.is_held(number) or not self._graph.edges_of(number):
            return
        heir, T = self._graph.retire(number)
        self._places.drop(number)
        del self._map_of[number]
        self._seen_at.pop(number, None)
        self._trajectory.hand_over(number, heir, T)


def _apart(T: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(T[:3, 3] - other[:3, 3]))
