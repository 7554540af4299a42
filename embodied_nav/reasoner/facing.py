"""The last metre before STOP: stands where the target is well seen and turns to it. Knows no policy and no options."""

from __future__ import annotations

import math

import numpy as np

from ..frames import MemoryObject
from ..geometry import Camera
from ..robot import RobotProfile
from .framing import Eye
from .navigator_config import NavigatorConfig
from .stands import Stand, well_seen
from .view import View


class Facing:
    """Says when the target is in the picture as well as it can be, and what to do until then.

    Attributes:
        eye: the camera by which places are chosen; before :meth:`look_through` one of 4:3 with ``field_of_view``.
        stand: the place beside the target that is driven to, None before there is one.
        since: ns, when it began to turn to the target; None while it drives.
    """

    def __init__(self, config: NavigatorConfig, robot: RobotProfile) -> None:
        self._config, self._robot = config, robot
        self.look_through(Camera.from_hfov(320, 240, config.field_of_view))
        self.clear()

    def look_through(self, camera: Camera) -> None:
        """Sets the camera; its mount is the robot's."""
        self.eye = Eye(camera, self._robot.T_base_camera())

    def clear(self) -> None:
        """Forgets the target."""
        self.stand: Stand | None = None
        self.since: int | None = None

    def waited(self, nanoseconds: int) -> None:
        """The robot was halted for so long."""
        self.since = None if self.since is None else self.since + nanoseconds

    @property
    def gap(self) -> float:
        """m from the target at which it wants to stand, 0 before it knows."""
        return 0.0 if self.stand is None else self.stand.gap

    def check(self, thing: MemoryObject, view: View, there: bool) -> tuple[bool, float | None]:
        """Whether the target is faced from a good place; if not, the heading to turn to, or None to drive on.

        Args:
            thing: the target.
            there: the robot is where it wanted to stand; else it drives on if the target is better seen from there.

        Returns:
            (faced, heading in rad in map or None).
        """
        headings, shares = view.framing.look(thing, np.array([view.xy]))
        undecided = not there and self.since is None
        if undecided and self.stand is not None and shares[0] < well_seen(self.stand.share):
            return False, None
        off = abs(math.remainder(float(headings[0]) - view.yaw, 2.0 * math.pi))
        if off <= self._config.facing or self._takes_long(view):
            return True, None
        self.since = view.stamp if self.since is None else self.since
        return False, float(headings[0])

    def is_over(self, view: View, heading: float) -> bool:
        """Whether the turn to a heading (rad) is done, or has taken so long that something must be in the way."""
        off = abs(math.remainder(heading - view.yaw, 2.0 * math.pi))
        return self.since is not None and (off <= 0.5 * self._config.facing or self._takes_long(view))

    def _takes_long(self, view: View) -> bool:
        return self.since is not None and (view.stamp - self.since) * 1e-9 > self._config.facing_time
