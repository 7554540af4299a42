"""From a plan and odometry to a velocity: pure pursuit, recovery when stuck, collision guard. Knows no planner.

The control node and the in-process agent both drive with this chain.
"""

from __future__ import annotations

import math

import numpy as np

from ..frames import Velocity
from ..geometry import invert, transform_points, yaw_of
from ..robot import RobotProfile
from .guard import CollisionGuard
from .pursuit import PursuitConfig, RegulatedPurePursuit
from .recovery import Contact, Recovery

#: A repeated plan is transformed into odom again only if that moves one of its points by more than this (m). Odometry
#: drift between two plans is smaller and not worth changing a path under way; a loop closure or a jump is larger.
_PLAN_MOVED = 0.1
#: The same for the heading (rad) at its end.
_PLAN_TURNED = 0.05
_NOWHERE = np.zeros((0, 2))


class PathFollower:
    """Follows the navigator's newest plan in odom: pure pursuit, recovery when stuck, the guard as the last stage.

    A new plan is placed in odom when it arrives. While it is repeated it keeps that place, so that small corrections of
    the map do not jerk the robot; it is placed again once they have moved it noticeably.

    Attributes:
        touched: Nx2 (x, y) m in odom, where contact was detected at the last command.
    """

    def __init__(
        self,
        robot: RobotProfile,
        pursuit: PursuitConfig | None = None,
        guard: CollisionGuard | None = None,
        recovery: Recovery | None = None,
        contact: Contact | None = None,
    ) -> None:
        self.pursuit = RegulatedPurePursuit(pursuit, robot)
        self.guard = guard or CollisionGuard(robot=robot)
        self.recovery = recovery or Recovery()
        self._contact = contact or Contact()
        self.reset()

    def reset(self) -> None:
        """Forgets the plan, the obstacles and past motion."""
        self.pursuit.reset()
        self.guard.reset()
        self.recovery.reset()
        self._contact.reset()
        self.reason = ""
        self.touched = _NOWHERE
        self._plan: tuple[np.ndarray, float | None] | None = None
        self._path: np.ndarray | None = None
        self._heading: float | None = None
        self._last: int | None = None

    def displaced(self, stamp: int, T_odom_base: np.ndarray, moved: np.ndarray | None = None) -> None:
        """The base's pose jumped or the clock was set back: obstacles stay around the robot, past motion is forgotten.

        Args:
            stamp: ns, now.
            T_odom_base: 4x4, now.
            moved: 4x4, odom after the jump from odom before; the plan is dropped, too. None: only the clock jumped.
        """
        self.pursuit.reset()
        self.recovery.reset()
        self._contact.reset()
        self._last = None
        guard = self.guard
        before = T_odom_base if moved is None else invert(moved) @ T_odom_base
        around, drops = guard.obstacles.points(before), guard.obstacles.drops(before)
        guard.reset()
        guard.obstacles.add_points(stamp, around @ T_odom_base[:2, :2].T + T_odom_base[:2, 3], stays=True)
        guard.obstacles.add_points(stamp, drops @ T_odom_base[:2, :2].T + T_odom_base[:2, 3], drop=True, stays=True)
        if moved is not None:
            self._plan, self._path, self._heading = None, None, None

    def follow(self, path: np.ndarray, heading: float | None, T_odom_map: np.ndarray) -> None:
        """Sets the plan; an empty one stops the robot.

        A repeated plan changes nothing, unless SLAM has moved map in odom so far that the path lies elsewhere.

        Args:
            path: Nx2 (x, y) m in map. heading: rad in map, to turn to at its end. T_odom_map: 4x4.
        """
        if len(path) == 0:
            self._plan, self._path, self._heading = None, None, None
            return
        placed = transform_points(T_odom_map, np.column_stack([path, np.zeros(len(path))]))[:, :2]
        turned = None if heading is None else heading + yaw_of(T_odom_map)
        if self._is_followed(path, heading, placed, turned):
            return
        self._plan, self._path, self._heading = (path, heading), placed, turned

    def _is_followed(self, path: np.ndarray, heading: float | None, placed: np.ndarray, turned: float | None) -> bool:
        """Whether the plan is the present one, and lies in odom where that one does."""
        if self._plan is None or heading != self._plan[1] or not np.array_equal(path, self._plan[0]):
            return False
        if turned is not None and self._heading is not None:
            off = abs(math.remainder(turned - self._heading, 2.0 * math.pi))
            if off > _PLAN_TURNED:
                return False
        return float(np.linalg.norm(placed - self._path, axis=1).max()) <= _PLAN_MOVED

    def command(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity to drive now; call it at 20 Hz with odometry at ``stamp`` (ns)."""
        velocity, self.reason = self.allow(self.want(stamp, T_odom_base), T_odom_base)
        if self.recovery.active:
            self.reason = self.reason or "recovery"
        return velocity

    def allow(self, wish: Velocity, T_odom_base: np.ndarray) -> tuple[Velocity, str]:
        """A velocity from any source after the guard, and the guard's reason for reducing it ("" if it did not)."""
        return self.guard.filter(wish, T_odom_base)

    def want(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity from pursuit or recovery, before the guard; :meth:`command` applies the guard to it."""
        dt = 0.05 if self._last is None else min(max((stamp - self._last) * 1e-9, 0.0), 0.5)
        self._last = stamp
        wanted = self.pursuit.command(T_odom_base, self._path, dt, self._heading, self.guard.clearance)
        touch = self._contact.update(stamp, T_odom_base, self.guard.passed)
        self.touched = _NOWHERE
        if touch is not None:
            self.touched = self.guard.touched(stamp, T_odom_base, touch.bearing, touch.held)
        return self.recovery.update(stamp, T_odom_base, wanted, touch is not None and touch.held) or wanted

    @property
    def idle(self) -> bool:
        """Whether there is no plan to follow."""
        return self._path is None
