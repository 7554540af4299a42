"""What an RGB-D camera would add to the map at a pose: cells and objects in its view. Knows no map owner and no robot.

No pixels: rays over the floor plan tell the cells, samples on the objects' boxes the objects. Both respect the heights
of what stands in between (``NavigableMap.tops``).
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Samples of an object's box: along its two sides and its height.
_ALONG, _HEIGHTS = (-1.0, 0.0, 1.0), (0.1, 0.5, 0.95)
SAMPLES = len(_ALONG) ** 2 * len(_HEIGHTS)
#: Samples in view from which on an object counts as wholly visible: the far half of a box hides itself.
_WHOLE = 0.4
#: Step along a ray, cells.
_STEP = 0.75
#: Sightings weighted by distance that make a cell an obstacle, and the distance (m) up to which each counts fully; as
#: in ``MemoryConfig.min_evidence`` and ``near_range``.
_EVIDENCE, _NEAR_RANGE = 1.0, 2.0


def box_samples(center, extent, yaw: float) -> np.ndarray:
    """Samples on and in an upright box, SAMPLES x 3 float64 (m)."""
    c, s = np.cos(yaw), np.sin(yaw)
    u, v, h = (a.ravel() for a in np.meshgrid(_ALONG, _ALONG, _HEIGHTS, indexing="ij"))
    u, v = u * extent[0] / 2.0, v * extent[1] / 2.0
    z = center[2] + (h - 0.5) * extent[2]
    return np.stack([center[0] + c * u - s * v, center[1] + s * u + c * v, z], axis=1)


@njit(cache=True, nogil=True)
def see_cells(
    tops, floor, occupied, corner, resolution, pose, camera, rays, frames, marks, frame, evidence, data, known
):
    """Marks the cells that one frame shows.

    Args:
        tops: HxW float32, m up to which a cell blocks the view. floor, occupied: HxW bool, truth.
        corner: (x, y) m of cell [0, 0]. pose: (x, y, yaw) of the robot.
        camera: (forward offset, height, pitch, tan of half the horizontal, of half the vertical field of view,
            greatest depth).
        rays: number of rays. frames: the camera's frames that this one stands for.
        marks: HxW int32, the last frame that saw a cell; ``frame`` is this one's number.
        evidence: HxW float32, obstacle evidence. data: HxW int8, the map that is brought up to date.
        known: (first row, first column, last row, last column) of what is known, brought up to date.
    """
    height, width = tops.shape
    cos_yaw, sin_yaw = np.cos(pose[2]), np.sin(pose[2])
    x0 = (pose[0] + camera[0] * cos_yaw - corner[0]) / resolution
    y0 = (pose[1] + camera[0] * sin_yaw - corner[1]) / resolution
    for k in range(rays):
        across = camera[3] * (2.0 * (k + 0.5) / rays - 1.0)
        shorter = 1.0 / np.sqrt(1.0 + across * across)
        dx, dy = (cos_yaw - across * sin_yaw) * shorter, (sin_yaw + across * cos_yaw) * shorter
        # Slope of the lowest line of sight in this column of the image.
        lowest = -np.tan(np.arctan(camera[4] * shorter) + camera[2])
        horizon = -np.inf
        steps = int(camera[5] / (_STEP * shorter * resolution))
        for i in range(1, steps):
            d = _STEP * i
            r, c = int(np.floor(y0 + d * dy)), int(np.floor(x0 + d * dx))
            if r < 0 or c < 0 or r >= height or c >= width:
                break
            d *= resolution
            top = tops[r, c]
            if top <= 0.0:
                slope = -camera[1] / d
                if slope > horizon and slope >= lowest and floor[r, c] and data[r, c] < 0:
                    data[r, c] = 0
                    _extend(known, r, c)
                continue
            slope = (top - camera[1]) / d
            if slope > horizon and slope >= lowest:
                horizon = slope
                if occupied[r, c] and marks[r, c] != frame:
                    marks[r, c] = frame
                    evidence[r, c] += frames * min(1.0, (_NEAR_RANGE / d) ** 2)
                    if evidence[r, c] >= _EVIDENCE and data[r, c] != 100:
                        data[r, c] = 100
                        _extend(known, r, c)
            if top == np.inf:
                break


@njit(cache=True, nogil=True)
def stand_on(floor, corner, resolution, xy, radius, data, known):
    """Frees the floor around the robot (m): it stands there."""
    height, width = data.shape
    reach = int(radius / resolution) + 1
    row, column = int(np.floor((xy[1] - corner[1]) / resolution)), int(np.floor((xy[0] - corner[0]) / resolution))
    for r in range(max(0, row - reach), min(height, row + reach + 1)):
        for c in range(max(0, column - reach), min(width, column + reach + 1)):
            near = ((r - row) ** 2 + (c - column) ** 2) * resolution * resolution <= radius * radius
            if near and floor[r, c] and data[r, c] < 0:
                data[r, c] = 0
                _extend(known, r, c)


@njit(cache=True, nogil=True)
def _extend(known, r, c):
    """Widens the known window by a cell."""
    known[0], known[1] = min(known[0], r), min(known[1], c)
    known[2], known[3] = max(known[2], r), max(known[3], c)


@njit(cache=True, nogil=True)
def see_objects(tops, corner, resolution, pose, camera, samples, middles, extents, focal, seen, pixels):
    """Marks the samples of objects that one frame shows, and estimates the pixels of each object.

    Args:
        tops, corner, resolution, pose, camera: as for :func:`see_cells`.
        samples: M x SAMPLES x 3, m. middles: M x 3, m. extents: M x 4, the box's sides, height and yaw.
        focal: focal length, px.
        seen: M x SAMPLES bool, brought up to date. pixels: M, of each object in this frame, 0 out of view.
    """
    cos_yaw, sin_yaw = np.cos(pose[2]), np.sin(pose[2])
    x0, y0 = pose[0] + camera[0] * cos_yaw, pose[1] + camera[0] * sin_yaw
    cos_pitch, sin_pitch = np.cos(camera[2]), np.sin(camera[2])
    for m in range(samples.shape[0]):
        pixels[m] = 0.0
        half = 0.5 * np.sqrt(extents[m, 0] ** 2 + extents[m, 1] ** 2)
        ahead = (middles[m, 0] - x0) * cos_yaw + (middles[m, 1] - y0) * sin_yaw
        aside = (middles[m, 1] - y0) * cos_yaw - (middles[m, 0] - x0) * sin_yaw
        if ahead < -half or ahead > camera[5] + half + 0.3 or abs(aside) > camera[3] * (ahead + half) + 1.5 * half:
            continue
        hits = 0
        for k in range(samples.shape[1]):
            dx, dy, dz = samples[m, k, 0] - x0, samples[m, k, 1] - y0, samples[m, k, 2] - camera[1]
            front, left = dx * cos_yaw + dy * sin_yaw, dy * cos_yaw - dx * sin_yaw
            depth = cos_pitch * front - sin_pitch * dz
            down = -sin_pitch * front - cos_pitch * dz
            if depth < 0.1 or depth > camera[5] or abs(left) > camera[3] * depth or abs(down) > camera[4] * depth:
                continue
            if _in_sight(tops, corner, resolution, x0, y0, camera[1], samples[m, k]):
                seen[m, k] = True
                hits += 1
        if hits == 0:
            continue
        bearing = np.arctan2(middles[m, 1] - y0, middles[m, 0] - x0) - extents[m, 3]
        away = max(np.sqrt((middles[m, 0] - x0) ** 2 + (middles[m, 1] - y0) ** 2) - half, 0.3)
        flat = abs(extents[m, 1] * np.sin(bearing)) + abs(extents[m, 0] * np.cos(bearing))
        wide = abs(extents[m, 0] * np.sin(bearing)) + abs(extents[m, 1] * np.cos(bearing))
        tall = extents[m, 2] + flat * max(camera[1] - middles[m, 2] - 0.5 * extents[m, 2], 0.0) / away
        share = min(1.0, hits / (_WHOLE * samples.shape[1]))
        pixels[m] = share * wide * tall * (focal / away) ** 2


@njit(cache=True, nogil=True)
def _in_sight(tops, corner, resolution, x0, y0, z0, point):
    """Whether the line from the camera to a point is above ``tops`` until a cell and a half before its end."""
    ax, ay = (x0 - corner[0]) / resolution, (y0 - corner[1]) / resolution
    bx, by = (point[0] - corner[0]) / resolution, (point[1] - corner[1]) / resolution
    length = np.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
    n = int(length * 1.5) + 1
    for k in range(n):
        s = (k + 0.5) / n
        if (1.0 - s) * length < 1.5:
            return True
        r, c = int(np.floor(ay + s * (by - ay))), int(np.floor(ax + s * (bx - ax)))
        if r < 0 or c < 0 or r >= tops.shape[0] or c >= tops.shape[1]:
            return False
        if tops[r, c] > z0 + s * (point[2] - z0):
            return False
    return True


@njit(cache=True, nogil=True)
def drive(path, pose, speed, seconds, limits):
    """Follows a path for a while, without obstacles and slip.

    Args:
        path: N x 2, m; one point means "turn". pose: (x, y, yaw), brought up to date. speed: m/s, now.
        limits: (speed m/s, turning rate rad/s, acceleration m/s^2, turn to rad or NaN).

    Returns:
        (speed afterwards, m/s; length driven, m).
    """
    period, ahead, turn_above = 0.05, 0.35, 0.8
    driven = 0.0
    steps = int(round(seconds / period))
    for _ in range(steps):
        if path.shape[0] < 2:
            speed = 0.0
            if path.shape[0] == 1 and not np.isnan(limits[3]):
                pose[2] += _turn(limits[3] - pose[2], limits[1] * period)
            continue
        at, left = _nearest(path, pose)
        tx, ty = _along(path, at + ahead)
        error = np.arctan2(ty - pose[1], tx - pose[0]) - pose[2]
        error -= 2.0 * np.pi * np.round(error / (2.0 * np.pi))
        if left < 0.02:
            speed = 0.0
            continue
        wish = limits[0] * max(0.0, 1.0 - abs(error) / turn_above)
        wish = min(wish, np.sqrt(2.0 * limits[2] * left) + 0.05)
        speed = min(wish, speed + limits[2] * period)
        pose[2] += _turn(error, limits[1] * period)
        step = min(speed * period, left)
        pose[0], pose[1] = _along(path, at + step)
        driven += step
    return speed, driven


@njit(cache=True, nogil=True)
def _turn(error, most):
    """The part of an angle (rad) that can be turned at once."""
    error -= 2.0 * np.pi * np.round(error / (2.0 * np.pi))
    return min(max(error, -most), most)


@njit(cache=True, nogil=True)
def _nearest(path, pose):
    """(arc length of the path's point nearest to the pose, arc length left from there), m."""
    best, at, total = np.inf, 0.0, 0.0
    for i in range(path.shape[0] - 1):
        ux, uy = path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1]
        length = np.sqrt(ux * ux + uy * uy)
        if length <= 0.0:
            continue
        s = ((pose[0] - path[i, 0]) * ux + (pose[1] - path[i, 1]) * uy) / length
        s = min(max(s, 0.0), length)
        gap = (path[i, 0] + ux * s / length - pose[0]) ** 2 + (path[i, 1] + uy * s / length - pose[1]) ** 2
        if gap < best - 1e-12:
            best, at = gap, total + s
        total += length
    return at, total - at


@njit(cache=True, nogil=True)
def _along(path, at):
    """(x, y) at an arc length, m; the end beyond it."""
    for i in range(path.shape[0] - 1):
        ux, uy = path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1]
        length = np.sqrt(ux * ux + uy * uy)
        if at <= length and length > 0.0:
            return path[i, 0] + ux * at / length, path[i, 1] + uy * at / length
        at -= length
    return path[-1, 0], path[-1, 1]
