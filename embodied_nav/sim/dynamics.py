"""A differential-drive base among obstacles: limits, exact arcs, collisions. Knows nothing of meshes and sensors."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numba import njit

from ..frames import OccupancyGrid
from ..robot import RobotProfile

#: Longest substep: s, and m (a quarter of a grid cell).
SUBSTEP_TIME, SUBSTEP_LENGTH = 0.02, 0.00625
#: State vector: position (m), heading (rad), velocities (m/s, rad/s), length of the path driven (m).
X, Y, YAW, LINEAR, ANGULAR, PATH = range(6)
#: Rows of the table of limits: forward, reverse and turning speed, the three accelerations, footprint radius.
_LIMITS = (
    "max_linear", "max_reverse", "max_angular",
    "linear_acceleration", "linear_deceleration", "angular_acceleration", "footprint_radius",
)  # fmt: skip


class ClearanceMap(Protocol):
    """What the dynamics need of a navigable map."""

    #: Geometry of the cells.
    grid: OccupancyGrid
    #: HxW float32, m from a cell's centre to the nearest obstacle.
    clearance: np.ndarray


class DifferentialDrive:
    """A circular robot that drives arcs within its velocity and acceleration limits, and stops or slides at obstacles.

    Sliding as in Habitat: the component of a motion into an obstacle is dropped, the rest is carried out; without
    sliding the whole translation is dropped. Turning in place never collides, since the footprint is a circle.

    Args:
        robot: limits and footprint.
        navigable: where obstacles are; None for endless free space.
        sliding: see above.
    """

    def __init__(self, robot: RobotProfile, navigable: ClearanceMap | None, sliding: bool = True) -> None:
        self.robot, self.sliding = robot, bool(sliding)
        self.state = np.zeros(6)
        self._limits = np.array([getattr(robot, name) for name in _LIMITS])
        self.set_map(navigable)

    def set_map(self, navigable: ClearanceMap | None) -> None:
        """Changes the obstacles."""
        if navigable is None:
            self._clearance, self._grid = np.full((1, 1), np.inf, dtype=np.float32), np.array([0.0, 0.0, 1.0])
            return
        # A writable copy: numba would compile another signature for a read-only array.
        self._clearance = np.array(navigable.clearance, dtype=np.float32, order="C")
        self._grid = np.array([*navigable.grid.origin, navigable.grid.resolution], dtype=np.float64)

    def reset(self, x: float, y: float, yaw: float) -> None:
        """Places the robot at rest at a pose (m, m, rad)."""
        self.state[:] = x, y, yaw, 0.0, 0.0, 0.0

    @property
    def pose(self) -> tuple[float, float, float]:
        """(x, y, yaw) in the scene's frame, m and rad; yaw in (-pi, pi]."""
        x, y, yaw = self.state[:3]
        return float(x), float(y), math.atan2(math.sin(yaw), math.cos(yaw))

    @property
    def velocity(self) -> tuple[float, float]:
        """Present speed of the wheels along the heading (m/s) and turning rate (rad/s)."""
        return float(self.state[LINEAR]), float(self.state[ANGULAR])

    @property
    def path_length(self) -> float:
        """m driven since reset."""
        return float(self.state[PATH])

    def step(self, v: float, w: float, dt: float) -> bool:
        """Drives with a commanded velocity (m/s, rad/s) for dt seconds; True where the footprint touched something.

        A command that is not finite counts as zero: a broken controller must not move the robot.
        """
        if not (math.isfinite(v) and math.isfinite(w)):
            v = w = 0.0
        pieces = max(1, math.ceil(dt / SUBSTEP_TIME - 1e-9))
        return bool(_drive(self.state, v, w, dt, pieces, self._limits, self.sliding, self._clearance, self._grid))

    def move(self, distance: float, angle: float) -> bool:
        """Moves along an arc (m, rad) at once, without limits, for discrete actions; at rest afterwards."""
        self.state[LINEAR] = self.state[ANGULAR] = 0.0
        pieces = max(1, math.ceil(abs(distance) / SUBSTEP_LENGTH))
        radius, collided = self._limits[6], False
        for _ in range(pieces):
            collided |= _advance(
                self.state, distance / pieces, angle / pieces, radius, self.sliding, self._clearance, self._grid
            )
        return bool(collided)


def accelerated(
    robot: RobotProfile, velocity: tuple[float, float], command: tuple[float, float], seconds: float, pieces: int
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """What a base that drives freely does on a command, within its limits of speed and acceleration.

    Args:
        velocity: now, m/s and rad/s. command: m/s and rad/s; one that is not finite counts as zero.
        seconds: for so long, in so many equal pieces.

    Returns:
        An arc (m, rad) for each piece, and the velocity at the end.
    """
    v, w = command if all(map(math.isfinite, command)) else (0.0, 0.0)
    v = min(max(v, -robot.max_reverse), robot.max_linear)
    w = min(max(w, -robot.max_angular), robot.max_angular)
    (v0, w0), h, arcs = velocity, seconds / pieces, []
    for _ in range(pieces):
        braking = v0 * v < 0.0 or abs(v) < abs(v0)  # to zero first where the direction changes
        limit = robot.linear_deceleration if braking else robot.linear_acceleration
        v1 = _toward(v0, 0.0 if v0 * v < 0.0 else v, limit * h)
        w1 = _toward(w0, w, robot.angular_acceleration * h)
        arcs.append((0.5 * (v0 + v1) * h, 0.5 * (w0 + w1) * h))
        v0, w0 = v1, w1
    return arcs, (v0, w0)


def _toward(present: float, target: float, change: float) -> float:
    return min(present + change, target) if target > present else max(present - change, target)


@njit(cache=True, nogil=True)
def clearance_at(clearance, grid, x, y):
    """Distance (m) to the nearest obstacle at a position, linear between cell centres; 0 outside the grid.

    Args:
        clearance: HxW float32, m. grid: (origin x, origin y, resolution) float64, m.
    """
    height, width = clearance.shape
    if height == 1 and width == 1:
        return float(clearance[0, 0])
    column, row = (x - grid[0]) / grid[2] - 0.5, (y - grid[1]) / grid[2] - 0.5
    if not (0.0 <= column < width - 1 and 0.0 <= row < height - 1):
        return 0.0
    c, r = int(column), int(row)
    s, t = column - c, row - r
    low = clearance[r, c] * (1.0 - s) + clearance[r, c + 1] * s
    high = clearance[r + 1, c] * (1.0 - s) + clearance[r + 1, c + 1] * s
    return low * (1.0 - t) + high * t


@njit(cache=True, nogil=True)
def _allowed(clearance, grid, x, y, radius, now):
    """Whether the footprint is free or, if it already overlaps an obstacle, does not get deeper."""
    there = clearance_at(clearance, grid, x, y)
    return there >= radius or (now < radius and there >= now)


@njit(cache=True, nogil=True)
def _approach(present, target, change):
    return min(present + change, target) if target > present else max(present - change, target)


@njit(cache=True, nogil=True)
def _advance(state, distance, angle, radius, sliding, clearance, grid):
    """Drives one short arc; True if the footprint touched something."""
    yaw = state[YAW]
    # An arc's chord deviates from the heading by half the turn; sin(x) / x, unlike 1 - cos, is exact for small turns.
    half = 0.5 * angle
    chord = distance if half == 0.0 else math.sin(half) / half * distance
    dx, dy = math.cos(yaw + half) * chord, math.sin(yaw + half) * chord
    state[YAW] = yaw + angle
    if distance == 0.0:
        return False
    x, y = state[X], state[Y]
    now = clearance_at(clearance, grid, x, y)
    if _allowed(clearance, grid, x + dx, y + dy, radius, now):
        state[X], state[Y] = x + dx, y + dy
        state[PATH] += abs(distance)
        return False
    if not sliding:
        return True
    h = 0.5 * grid[2]
    gx = clearance_at(clearance, grid, x + h, y) - clearance_at(clearance, grid, x - h, y)
    gy = clearance_at(clearance, grid, x, y + h) - clearance_at(clearance, grid, x, y - h)
    norm = math.hypot(gx, gy)
    if norm == 0.0:
        return True
    gx, gy = gx / norm, gy / norm
    into = dx * gx + dy * gy  # below 0: towards the obstacle
    dx, dy = dx - into * gx, dy - into * gy
    slack = 0.05 * math.hypot(dx, dy)  # the distance field is not smooth: a little outward keeps a slide going
    dx, dy = dx + slack * gx, dy + slack * gy
    if _allowed(clearance, grid, x + dx, y + dy, radius, now):
        state[X], state[Y] = x + dx, y + dy
        state[PATH] += math.hypot(dx, dy)
    return True


@njit(cache=True, nogil=True)
def _drive(state, v, w, dt, pieces, limits, sliding, clearance, grid):
    """Accelerates or brakes towards (v, w) and drives; see :meth:`DifferentialDrive.step`."""
    v, w = min(max(v, -limits[1]), limits[0]), min(max(w, -limits[2]), limits[2])
    h = dt / pieces
    collided = False
    for _ in range(pieces):
        v0, w0 = state[LINEAR], state[ANGULAR]
        if v0 * v < 0.0 or abs(v) < abs(v0):  # braking, to zero first where the direction changes
            v1 = _approach(v0, 0.0 if v0 * v < 0.0 else v, limits[4] * h)
        else:
            v1 = _approach(v0, v, limits[3] * h)
        w1 = _approach(w0, w, limits[5] * h)
        distance, angle = 0.5 * (v0 + v1) * h, 0.5 * (w0 + w1) * h
        parts = max(1, math.ceil(abs(distance) / SUBSTEP_LENGTH))
        x, y, yaw = state[X], state[Y], state[YAW]
        touched = False
        for _ in range(parts):
            touched |= _advance(state, distance / parts, angle / parts, limits[6], sliding, clearance, grid)
        state[LINEAR], state[ANGULAR] = v1, w1
        if touched:
            collided = True
            moved = (state[X] - x) * math.cos(yaw) + (state[Y] - y) * math.sin(yaw)
            if not sliding or moved * v1 <= 0.0:  # a slide goes on with slipping wheels, anything else stalls them
                state[LINEAR] = min(max(moved / h, min(v1, 0.0)), max(v1, 0.0))
    return collided
