"""Sources of a driver's pose in map: the simulator's ground truth, odometry alone, or SLAM. Knows no metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError
from ..frames import Tracking
from ..geometry import Camera, invert
from ..sim.interface import Observation, Simulator

if TYPE_CHECKING:
    from ..slam import Joined, Landmark

#: Names that :func:`create_localization` knows.
NAMES = ("truth", "odom", "slam")


@dataclass(frozen=True, eq=False)
class Correction:
    """SLAM's corrected past poses: stamps (N int64 ns, ascending) and T_map_camera (Nx4x4) of all frames so far.

    ``joined``: if not None, two maps were merged with it; the poses are in the map ``joined.map_id``.
    """

    stamps: np.ndarray
    poses: np.ndarray
    joined: Joined | None = None


class Localization(Protocol):
    """Estimates map->odom.

    Attributes:
        T_map_odom: 4x4, as of the last camera frame (ground truth: now).
        tracking: whether it can be trusted; without tracking no frame is mapped and no plan followed.
        lost_s: seconds without tracking so far; None if that cannot happen.
    """

    @property
    def tracking(self) -> Tracking:
        """The tracking state at the newest frame."""

    @property
    def lost_s(self) -> float | None:
        """Seconds without tracking so far."""

    @property
    def T_map_odom(self) -> np.ndarray:
        """4x4, map from odom."""

    def see(self, observation: Observation) -> Correction | None:
        """Processes a camera frame; returns the correction of past poses that it caused, if any."""


def create_localization(name: str, simulator: Simulator, parameters: Mapping[str, Any] | None = None) -> Localization:
    """Makes the localization for one episode; the simulator has been reset.

    Args:
        parameters: of SLAM's components, by dotted name (``slam.*``, ``odometry.*``).

    Raises:
        InputError: unknown name, or SLAM's libraries are missing.
    """
    if name == "truth":
        return TrueLocalization(simulator)
    if name == "odom":
        return OdomLocalization()
    if name == "slam":
        return SlamLocalization(simulator.camera(), parameters=parameters)
    raise InputError(f"localization '{name}' does not exist here; known: {', '.join(NAMES)}")


class TrueLocalization:
    """The simulator's ground truth."""

    tracking, lost_s = Tracking(), None

    def __init__(self, simulator: Simulator) -> None:
        self._truth = simulator.privileged()

    @property
    def T_map_odom(self) -> np.ndarray:
        """4x4, map from odom, now."""
        return self._truth.T_map_odom()

    def see(self, observation: Observation) -> None:
        """Ignores the frame: the ground truth needs no images."""


class OdomLocalization:
    """Takes odometry as the pose in map, so its drift remains."""

    T_map_odom = np.eye(4)
    tracking, lost_s = Tracking(), None

    def see(self, observation: Observation) -> None:
        """Ignores the frame."""


class SlamLocalization:
    """This package's SLAM on colour, depth and wheel odometry; map is odometry's frame at the start.

    Args:
        landmarks: keyframes of earlier sessions, to relocalise against; until then it stays in a map of its own.
        parameters: by dotted name, as :func:`create_localization` takes them.

    Attributes:
        slam: the component, for reports.
    """

    def __init__(
        self, camera: Camera, landmarks: Sequence[Landmark] = (), parameters: Mapping[str, Any] | None = None
    ) -> None:
        from ..slam import OdometryConfig, Slam, SlamConfig

        given = parameters or {}
        odometry = OdometryConfig.from_parameters(given, "odometry")
        self.slam = Slam(SlamConfig.from_parameters(given, "slam"), odometry, landmarks=landmarks)
        self._camera = camera
        self.T_map_odom = np.eye(4)

    @property
    def tracking(self) -> Tracking:
        """SLAM's tracking state at the newest frame."""
        return self.slam.tracking

    @property
    def lost_s(self) -> float:
        """Seconds without tracking so far."""
        return float(self.slam.lost_summary()["slam_lost_s"])

    def see(self, observation: Observation) -> Correction | None:
        """Runs SLAM on a frame."""
        T_odom_camera = observation.T_odom_base @ observation.T_base_camera
        update = self.slam.process(observation.stamp, observation.depth, self._camera, observation.color, T_odom_camera)
        if update.tracking.placed:
            self.T_map_odom = update.T_map_camera @ invert(T_odom_camera)
        return Correction(*self.slam.trajectory(), update.joined) if update.corrected else None
