"""Checks the camera's mount in TF against the floor seen in depth. Knows nothing of commands.

A mount is rejected only on evidence: a floor at another height, a tilted floor, or one that is right only if the
camera is rotated about its axis. Not evidence: no floor in view, a ramp up to :attr:`MountConfig.max_tilt`, a table, a
flight of stairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from ..config import Config, param
from ..geometry import T_LINK_OPTICAL, Camera, yaw_of
from ..robot import RobotProfile

UNCHECKED, GOOD, DOUBTFUL, WRONG = "not checked yet", "good", "doubtful", "wrong"

_POINTS = 1600  # sampled per image at most
_ROUNDS = 80  # RANSAC iterations
_EARLY = 8  # first images, all checked regardless of the period: the robot is about to start
_PLANES = 5
#: A floor has at least this share of all points and this extent (m) in both directions, and less than the last share of
#: all points lies below it.
_SHARE, _EXTENT, _BELOW = 0.03, 0.5, 0.06
#: A tilted plane with a larger share of points and a smaller slope (rad) cannot be a flight of stairs or a slide.
_LARGE, _GENTLE = 0.22, math.radians(25.0)
#: Of the points within this distance (m) of a solid floor, at least this share lies on it.
_AROUND, _SOLID = 0.09, 0.6
#: Test for one surface: neighbouring pixels differ by less than this depth (m), up to this range (m); the mean normal
#: is within this angle (rad) of the plane's; the normals' sum has at least this share of their total length.
_JOINED, _JOINED_TO, _FACES, _ONE_WAY = 0.08, 3.0, math.radians(12.0), 0.8
#: Largest tilt (rad) and height (m) of a correct floor; largest tilt (rad) of any floor candidate.
_LEVEL, _AT_ZERO, _STEEP = math.radians(5.0), 0.06, math.radians(40.0)
#: A level plane higher than this (m) may be a table or a bed; one as far below, another storey.
_FURNITURE = 0.35
#: Two views agree on a wrong mount if the floor's normal and height in base_link are this close (rad, m); those of
#: stairs and ramps change as the robot turns. The views must be this far apart (rad, m), or this far (m) after a good
#: verdict.
_AGREE, _SAME_HEIGHT, _TURNED, _MOVED, _FAR = math.radians(5.0), 0.06, 0.7, 0.7, 2.0
#: An optical axis that points up more steeply than this (sine) cannot see the ground ahead.
_UPWARD = 0.6


@dataclass(frozen=True)
class MountConfig(Config):
    """Settings of the check of the camera's mount."""

    check: bool = param(True, "stand where depth shows the floor elsewhere than TF says")
    max_height: float = param(0.075, "height of the floor that is believed", unit="m", low=0.02, high=0.5)
    max_tilt: float = param(0.122, "tilt of the floor that is believed (7 degrees)", unit="rad", low=0.05, high=0.6)
    period: float = param(0.25, "time between two looks", unit="s", low=0.0, high=10.0)
    looks: int = param(3, "looks in a row that it takes to doubt", low=1, high=100)


@dataclass(frozen=True)
class Judgement:
    """The result of checking the mount with one image.

    Attributes:
        verdict: ``not checked yet``, ``good`` or ``wrong``; ``doubtful`` where a step or a podium would look the same.
        found, mend: what was measured and how to fix it; "" if nothing is wrong.
        height, normal: of the floor that was found, m and unit vector in base_link; NaN and None if none was.
    """

    verdict: str
    found: str = ""
    mend: str = ""
    height: float = math.nan
    normal: np.ndarray | None = None

    @property
    def text(self) -> str:
        """``found`` and ``mend`` in one line."""
        return f"{self.found}: {self.mend}" if self.mend else self.found


class MountCheck:
    """Checks an image per period; decides after several that agree.

    Attributes:
        verdict: as in :class:`Judgement`. ``doubtful`` forbids driving but not turning; the same finding from another
            pose, or one with no other explanation, is ``wrong``.
        text: what is wrong.
    """

    def __init__(self, config: MountConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or MountConfig()
        self.robot = robot or RobotProfile()
        self.reset()

    def reset(self) -> None:
        """Forgets all images and the verdict."""
        self.verdict, self.text = UNCHECKED, ""
        self._looked: int | None = None
        self._looks = 0
        self._bad = 0
        self._first: tuple[Judgement, np.ndarray] | None = None
        self._T_base_camera: np.ndarray | None = None

    def add_depth(
        self, stamp: int, depth: np.ndarray, camera: Camera, T_base_camera: np.ndarray, T_odom_base: np.ndarray
    ) -> None:
        """Takes the arguments of :meth:`CollisionGuard.observe_depth`; checks one image per period."""
        if not self.config.check:
            return
        early = self.verdict == UNCHECKED and self._looks < _EARLY
        if self._looked is not None and 0 <= (stamp - self._looked) * 1e-9 < self.config.period and not early:
            return
        self._looks += 1
        self._looked = stamp
        if self._T_base_camera is not None and not np.allclose(self._T_base_camera, T_base_camera, atol=0.005):
            self.reset()  # TF was corrected, or the camera moved: start again
        self._T_base_camera = np.array(T_base_camera)
        self._note(judge(depth, camera, T_base_camera, self.config), T_odom_base)

    def _note(self, found: Judgement, T_odom_base: np.ndarray) -> None:
        if found.verdict == GOOD:
            self.verdict, self.text, self._bad, self._first = GOOD, "", 0, None
        elif found.verdict in (DOUBTFUL, WRONG):
            if self._first is None or not _agree(self._first[0], found):
                self._first, self._bad = (found, np.array(T_odom_base)), 0
            self._bad += 1
            if self._bad >= self.config.looks:
                self._doubt(found, T_odom_base)

    def _doubt(self, found: Judgement, T_odom_base: np.ndarray) -> None:
        assert self._first is not None
        first = self._first[1]
        turned = abs(math.remainder(yaw_of(T_odom_base) - yaw_of(first), 2.0 * math.pi))
        moved = float(np.linalg.norm(T_odom_base[:2, 3] - first[:2, 3]))
        if self.verdict == GOOD:
            if moved < _FAR:
                return  # the mount was right a moment ago: something is in front of the camera
            elsewhere = True
        else:
            elsewhere = turned > _TURNED or moved > _MOVED
        if self.verdict != WRONG:
            self.verdict = WRONG if elsewhere or found.verdict == WRONG else DOUBTFUL
        self.text = found.text


def _agree(a: Judgement, b: Judgement) -> bool:
    if a.normal is None or b.normal is None:
        return a.normal is b.normal
    return bool(a.normal @ b.normal > math.cos(_AGREE) and abs(a.height - b.height) < _SAME_HEIGHT)


def judge(depth: np.ndarray, camera: Camera, T_base_camera: np.ndarray, config: MountConfig | None = None) -> Judgement:
    """Checks ``T_base_camera`` (4x4, optical frame) with one depth image (HxW float32 m, NaN invalid)."""
    config = config or MountConfig()
    axis = T_base_camera[:3, 2]
    points, slants = _points(depth, camera)
    if axis[2] > _UPWARD:
        optical = _floor_of(points, slants, T_base_camera @ T_LINK_OPTICAL)
        sure = optical is not None and optical.right
        what = f"depth's frame looks {math.degrees(math.asin(min(axis[2], 1.0))):.0f} degrees up"
        what += ", its floor is right as of an optical frame" if sure else ", it is no optical frame"
        return Judgement(WRONG, what, "set the driver's frame_id to the optical frame (REP 103: z ahead, x right)")
    floor = _floor_of(points, slants, T_base_camera)
    if floor is not None and floor.right:
        return Judgement(GOOD, "", "", floor.height, floor.normal)
    turned = _about_its_axis(points, slants, T_base_camera)
    if turned:
        what = f"the floor is right only with the camera turned by {turned} degrees about its optical axis"
        return Judgement(WRONG, what, "mend the rotation of base_link -> camera in TF")
    if floor is None:
        return Judgement(UNCHECKED)
    height, tilt = floor.height, floor.tilt
    what = f"floor found at {height:+.2f} m, tilted {math.degrees(tilt):.0f} degrees"
    if tilt > config.max_tilt:
        sure = floor.solid and floor.share > _LARGE and tilt < _GENTLE
        return Judgement(WRONG if sure else DOUBTFUL, what, "mend base_link -> camera in TF", height, floor.normal)
    if config.max_height < abs(height) < _FURNITURE:
        mend = f"mend base_link -> camera in TF, if that is no {'podium' if height > 0 else 'step down'}"
        return Judgement(DOUBTFUL, what, mend, height, floor.normal)
    return Judgement(UNCHECKED, "", "", height, floor.normal)


@dataclass(frozen=True)
class _Floor:
    height: float
    normal: np.ndarray
    share: float
    mean: float
    solid: bool = True

    @property
    def tilt(self) -> float:
        return math.acos(min(abs(self.normal[2]), 1.0))

    @property
    def right(self) -> bool:
        return abs(self.height) < _AT_ZERO and self.tilt < _LEVEL


def _about_its_axis(points: np.ndarray, slants: np.ndarray, T_base_camera: np.ndarray) -> int:
    """Rotation (degrees) about the optical axis that makes the floor correct; 0 if none does."""
    for degrees in (180, 90, -90):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        found = _floor_of(points, slants, T_base_camera @ turn)
        if found is not None and found.right and found.share > 2.0 * _SHARE:
            return degrees
    return 0


def _points(depth: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Nx3 float64 points in the optical frame, sampled evenly, at most 5 m away; and Nx3 surface normals there from the
    pixels beside and below: noisy, not of unit length, zero where these pixels lie on another surface.
    """
    step, beside = max(1, int(math.sqrt(depth.shape[0] * depth.shape[1] / _POINTS))), max(1, camera.width // 160)
    height, width = depth.shape
    v, u = np.mgrid[0 : height - beside : step, 0 : width - beside : step]
    z = np.asarray(depth[v, u], np.float64)
    good = (z > 0.15) & (z < 5.0)  # False for NaN
    v, u = v[good], u[good]
    at = _unprojected(depth, camera, v, u)
    right = _unprojected(depth, camera, v, u + beside) - at
    down = _unprojected(depth, camera, v + beside, u) - at
    slants = np.cross(down, right) / at[:, 2:] ** 2
    with np.errstate(invalid="ignore"):
        joined = (np.abs(right[:, 2]) < _JOINED) & (np.abs(down[:, 2]) < _JOINED) & (at[:, 2] < _JOINED_TO)
    return at, np.where(joined[:, None], slants, 0.0)


def _unprojected(depth: np.ndarray, camera: Camera, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    z = np.asarray(depth[v, u], np.float64)
    return np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=1)


def _floor_of(points: np.ndarray, slants: np.ndarray, T_base_camera: np.ndarray) -> _Floor | None:
    """The plane that is most likely the floor, None if there is none.

    A plane where TF says the floor is comes first, else the lowest one. Its height is that at the robot or that at the
    nearest visible point, whichever is closer to zero (zero if they have opposite signs): a ramp that begins at the
    robot has height zero there.
    """
    if len(points) < 150:
        return None
    p = points @ T_base_camera[:3, :3].T + T_base_camera[:3, 3]
    slants = slants @ T_base_camera[:3, :3].T
    left, facing = np.ascontiguousarray(p), slants
    floors = []
    for _ in range(_PLANES):
        if len(left) < _SHARE * len(p):
            break
        normal, offset, inside = _plane(left, _ROUNDS)
        if inside.sum() < _SHARE * len(p):
            break
        on, left = left[inside], np.ascontiguousarray(left[~inside])
        faces, facing = facing[inside], facing[~inside]
        normal, offset = _refined(on, normal)
        if normal[2] < math.cos(_STEEP) or T_base_camera[:3, 3] @ normal - offset < 0.05 or not _is_wide(on):
            continue
        off = p @ normal - offset
        found = _Floor(_height(on, normal, offset), normal, len(on) / len(p), float(on[:, 2].mean()))
        if found.right:
            return found
        below, close = np.count_nonzero(off < -0.08) / len(p), np.count_nonzero(np.abs(off) < _AROUND)
        if below < _BELOW and _is_surface(faces, normal):
            floors.append(replace(found, solid=bool(len(on) > _SOLID * close)))
    return min(floors, key=lambda f: f.mean, default=None)


def _refined(on: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares plane (unit normal, offset) through points Nx3; the normal points up."""
    middle = on.mean(axis=0)
    best = np.linalg.eigh((on - middle).T @ (on - middle))[1][:, 0]
    best = best if best[2] >= 0.0 else -best
    return best, float(best @ middle)


def _is_surface(faces: np.ndarray, normal: np.ndarray) -> bool:
    """Whether the local surface normals agree with the fitted plane's normal; the edges of stairs lie in a plane, too.

    Of stairs going down only treads are visible, which face up; of stairs going up treads and risers, which face two
    ways.
    """
    mean = faces.sum(axis=0)
    length, total = float(np.linalg.norm(mean)), float(np.linalg.norm(faces, axis=1).sum())
    one_way = normal[2] > math.cos(_GENTLE) or length > _ONE_WAY * total
    return length > 0.0 and one_way and float(mean @ normal) / length > math.cos(_FACES)


def _is_wide(on: np.ndarray) -> bool:
    spread = np.percentile(on[:, :2], 95, axis=0) - np.percentile(on[:, :2], 5, axis=0)
    return bool((spread > _EXTENT).all())


def _height(on: np.ndarray, normal: np.ndarray, offset: float) -> float:
    distance = np.hypot(on[:, 0], on[:, 1])
    near = on[distance <= np.percentile(distance, 5)].mean(axis=0)
    at_robot, at_near = offset / normal[2], float(near[2])
    return 0.0 if at_robot * at_near < 0.0 else min(at_robot, at_near, key=abs)


@njit(cache=True, nogil=True)
def _plane(points, rounds):
    """The plane with the most inliers by RANSAC among points Nx3: unit normal (3,), offset (m), inlier mask (N)."""
    n = points.shape[0]
    state = np.uint64(88172645463325252)
    best, normal, offset = 0, np.zeros(3), 0.0
    for _ in range(rounds):
        ids = np.empty(3, np.int64)
        for k in range(3):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            ids[k] = np.int64(state % np.uint64(n))
        a, b, c = points[ids[0]], points[ids[1]], points[ids[2]]
        m = np.cross(b - a, c - a)
        length = np.sqrt((m**2).sum())
        if length < 1e-3:
            continue
        m = m / length
        d = (m * a).sum()
        count = 0
        for i in range(n):
            count += abs(points[i, 0] * m[0] + points[i, 1] * m[1] + points[i, 2] * m[2] - d) < 0.03
        if count > best:
            best, normal, offset = count, m, d
    inside = np.zeros(n, np.bool_)
    for i in range(n):
        e = points[i, 0] * normal[0] + points[i, 1] * normal[1] + points[i, 2] * normal[2] - offset
        inside[i] = abs(e) < 0.03
    return normal, offset, inside
