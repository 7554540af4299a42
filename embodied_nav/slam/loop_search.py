"""Finds the older keyframes that show what a new one shows, in steps. Knows no frames, maps and odometry.

To compare a view with another takes as long as a frame. So a search is a generator that pauses after each comparison:
whoever runs it can take one step a frame.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from ..geometry import invert, rotation_angle
from .places import Location, Places, View
from .pose_graph import PoseGraph
from .slam_config import SlamConfig

#: Views whose cameras are farther apart (m) or point farther apart (rad) than this have no overlap.
_VIEW_DISTANCE, _VIEW_ANGLE = 3.5, 1.2
#: Views this close (m, rad), with a relative uncertainty below this (m), are registered by depth without features.
_NEAR_DISTANCE, _NEAR_ANGLE, _NEAR_SIGMA = 0.8, 0.6, 0.15
#: Largest standard deviation (m) of such a registration in its weakest direction, by geometry alone.
_NEAR_WEAKEST = 0.01
#: A loop may always differ from the graph by this (m, rad), the error of the views themselves.
GATE = (0.05, 0.03)

#: Steps of a search, and in the end the keyframes that a loop was closed with.
Steps = Generator[None, None, tuple[int, ...]]


class LoopSearch:
    """Looks for loops and adds them to the graph.

    Args:
        graph: gets the loops. places: views of all keyframes but those whose search is not over.
    """

    def __init__(self, graph: PoseGraph, places: Places, config: SlamConfig) -> None:
        self._graph, self._places, self._config = graph, places, config

    def of(self, view: View, number: int) -> Steps:
        """The search for loops of a keyframe and its view."""
        closed = yield from self._by_look(view, number)
        return closed or (yield from self._by_depth(view, number))

    def others(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (N), standard deviations (N x 2) and poses (N x 4 x 4) of all older keyframes relative to one.

        Newer ones, made while the search is under way, look for this one in their turn.
        """
        numbers, relative = self._graph.numbers, invert(self._graph.pose(number)) @ self._graph.poses()
        older = numbers < number
        return numbers[older], self._graph.uncertainty(number)[older], relative[older]

    def _by_look(self, view: View, number: int) -> Steps:
        numbers, sigma, relative = self.others(number)
        distance, angle = distances(relative)
        reach = self._config.loop_gate * sigma
        known = np.isfinite(sigma[:, 0])  # keyframes of other maps have no known relative pose
        visible = known & self._loose(sigma)
        visible &= (distance < _VIEW_DISTANCE + reach[:, 0]) & (angle < _VIEW_ANGLE + reach[:, 1])
        if not visible.any():
            return ()
        of = {int(i): k for k, i in enumerate(numbers)}
        closed: list[int] = []
        for candidate in self._places.candidates(view, numbers[visible].tolist(), self._config.loop_candidates):
            yield
            found = self._places.confirm(view, candidate)
            if found is not None and self._tie(candidate, number, found, sigma[of[candidate]]):
                closed.append(candidate)
            if len(closed) == self._config.loops_per_keyframe:
                break
        return tuple(closed)

    def _by_depth(self, view: View, number: int) -> Steps:
        """A loop with the nearest keyframe, by depth from where the graph says that it is."""
        numbers, sigma, relative = self.others(number)
        distance, angle = distances(relative)
        near = self._loose(sigma) & (sigma[:, 0] < _NEAR_SIGMA) & (distance < _NEAR_DISTANCE) & (angle < _NEAR_ANGLE)
        if not near.any():
            return ()
        yield
        k = int(np.flatnonzero(near)[np.argmin(distance[near] + angle[near])])
        guess = Location(invert(relative[k]), 0, np.diag(np.repeat(sigma[k] ** -2.0, 3)))
        found = self._places.fit(view, int(numbers[k]), guess)
        certain = found is not None and found.weakest < _NEAR_WEAKEST
        if certain and found is not None and self._tie(int(numbers[k]), number, found, sigma[k]):
            return (int(numbers[k]),)
        return ()

    def _loose(self, sigma: np.ndarray) -> np.ndarray:
        """N bool: which places are held so loosely that they need a loop."""
        return sigma[:, 0] > self._config.loop_uncertainty

    def _tie(self, earlier: int, number: int, found: Location, sigma: np.ndarray) -> bool:
        """Adds a loop if it is consistent with the graph's uncertainty; returns whether it was added."""
        difference = invert(self._graph.pose(earlier) @ found.T) @ self._graph.pose(number)
        off_t, off_r = float(np.linalg.norm(difference[:3, 3])), rotation_angle(difference)
        allowed_t, allowed_r = self._config.loop_gate * sigma + GATE
        if off_t > allowed_t or off_r > allowed_r:
            return False
        self._graph.connect(earlier, number, found.T, found.information, loop=True)
        return True


def distances(relative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (m) of N poses (N x 4 x 4) and the angles (rad) between the ways that they look and one looks."""
    angle = np.arccos(np.clip(relative[:, 2, 2], -1.0, 1.0))
    return np.linalg.norm(relative[:, :3, 3], axis=1), angle
