"""Where a driver takes its pose in map from: the simulator's truth, odometry alone, or SLAM. Knows no metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import InputError
from ..geometry import Camera, invert
from ..sim.interface import Observation, Simulator

if TYPE_CHECKING:
    from ..slam import Joined, Landmark

#: Names that :func:`create_localization` knows.
NAMES = ("truth", "odom", "slam")


@dataclass(frozen=True, eq=False)
class Correction:
    """SLAM has moved past poses: stamps (N int64 ns, ascending) and T_map_camera (Nx4x4) of all frames so far.

    ``joined``: two maps became one with it; the poses are of ``joined.map_id``.
    """

    stamps: np.ndarray
    poses: np.ndarray
    joined: Joined | None = None


class Localization(Protocol):
    """Says where odometry's frame stands in map.

    Attributes:
        T_map_odom: 4x4, as of the last camera frame (for the truth: of now).
    """

    @property
    def T_map_odom(self) -> np.ndarray:
        """4x4, map from odom."""

    def see(self, observation: Observation) -> Correction | None:
        """Takes in a camera frame; what it changed of the past, if anything."""


def create_localization(name: str, simulator: Simulator) -> Localization:
    """For one episode; the simulator has been reset.

    Raises:
        InputError: unknown name, or SLAM's libraries are missing.
    """
    if name == "truth":
        return TrueLocalization(simulator)
    if name == "odom":
        return OdomLocalization()
    if name == "slam":
        return SlamLocalization(simulator.camera())
    raise InputError(f"localization '{name}' does not exist here; known: {', '.join(NAMES)}")


class TrueLocalization:
    """The simulator's own knowledge."""

    def __init__(self, simulator: Simulator) -> None:
        self._truth = simulator.privileged()

    @property
    def T_map_odom(self) -> np.ndarray:
        """4x4, map from odom, now."""
        return self._truth.T_map_odom()

    def see(self, observation: Observation) -> None:
        """The truth needs no eyes."""


class OdomLocalization:
    """Odometry is believed: its drift stays in."""

    T_map_odom = np.eye(4)

    def see(self, observation: Observation) -> None:
        """It does not look."""


class SlamLocalization:
    """This package's SLAM on colour, depth and wheel odometry; map is odometry's frame at the start.

    Args:
        landmarks: keyframes of earlier sessions; it finds itself among them, or stays in a map of its own.

    Attributes:
        slam: the component, for reports.
    """

    def __init__(self, camera: Camera, landmarks: Sequence[Landmark] = ()) -> None:
        from ..slam import Slam

        self.slam = Slam(landmarks=landmarks)
        self._camera = camera
        self.T_map_odom = np.eye(4)

    def see(self, observation: Observation) -> Correction | None:
        """One frame through SLAM."""
        T_odom_camera = observation.T_odom_base @ observation.T_base_camera
        update = self.slam.process(observation.stamp, observation.depth, self._camera, observation.color, T_odom_camera)
        self.T_map_odom = update.T_map_camera @ invert(T_odom_camera)
        return Correction(*self.slam.trajectory(), update.joined) if update.corrected else None
