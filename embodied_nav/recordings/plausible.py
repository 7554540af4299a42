"""Checks whether a recording's depth is plausibly in metres. Knows no file format.

A wrong unit silently gives a wrong map. Indoor depth is some metres; and if poses are known, points of one view must
coincide with those of another, which they do only at the right scale.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..errors import InputError
from ..geometry import invert, rotation_angle
from .frame import RecordedFrame
from .sequence import Sequence, metres

#: Number of frames checked, and pixel stride.
_FRAMES, _STRIDE = 10, 8
#: Depth range (m) that is mapped.
_NEAREST, _FARTHEST = 0.1, 5.0
#: A median depth (m) outside the first range is impossible; outside the second, suspicious.
_POSSIBLE, _USUAL = (0.05, 20.0), (0.5, 8.0)
#: Share of valid depth within the mapped range: below the first impossible, below the second suspicious.
_LEAST_SHARE, _USUAL_SHARE = 0.05, 0.3
#: Factors that correct mixed-up units: mm, 0.1 mm, 5000 per metre, a factor of ten.
_FACTORS = (0.001, 0.0001, 0.1, 0.2, 5.0, 10.0, 1000.0, 0.01, 100.0, 0.02, 50.0)
#: Views are compared if the camera moved this far (m, least and most) and turned less than this (rad); points agree
#: within this share of their depth.
_MOVED, _TURNED, _AGREEING = (0.05, 1.5), 0.6, 0.03
#: Least points seen by both views.
_COMMON = 500
#: Least share of points that agree at another scale, and by how much it must exceed that at the current scale.
_AGREE_ENOUGH, _BETTER = 0.5, 0.25
#: Certainly wrong: at least this share agrees at another scale, and at most this share at the current one.
_AGREE_SURELY, _DISAGREE = 0.8, 0.35
#: If fewer agree at every scale, poses, depth and intrinsics are inconsistent.
_STRANGE = 0.2


def check_scale(recording: Sequence) -> None:
    """Checks the depth of some frames; adds notes on what is suspicious.

    Raises:
        InputError: it cannot be in metres, and ``reading.depth_scale`` is not set.
    """
    if recording.reading.depth_scale is not None:
        return
    frames = _some(recording)
    valid = [_valid(frame.depth) for frame in frames]
    values = np.concatenate(valid) if valid else np.zeros(0, np.float32)
    if len(values) == 0:
        if frames:
            recording.notes.append("no depth at all is valid in the frames that were looked at")
        return
    median, share = float(np.median(values)), _share(values)
    factor = _mending(values)
    mend = f"if its unit is another, give it: --set camera.depth_scale={factor:g} (1 takes it as it is)"
    told = f"depth's median is {median:.3g} m, {100 * share:.0f}% of it is {_NEAREST:g} to {_FARTHEST:g} m away"
    if not _POSSIBLE[0] <= median <= _POSSIBLE[1] or share < _LEAST_SHARE:
        raise InputError(f"{recording.folder}: {told}: it cannot be mapped so; {mend}")
    factor, here, there = _scale_of_motion(recording, frames)
    if there < _STRANGE:
        text = f"only {100 * here:.0f}% of depth agrees between views"
        recording.notes.append(f"WARNING: {text}: are the poses the camera's, and its intrinsics right?")
    elif factor != 1.0:
        text = f"{100 * here:.0f}% of depth agrees between views, {100 * there:.0f}% at {factor:g} times its scale"
        told = f"{text}: is its unit another? --set camera.depth_scale={factor:g} (1 takes it as it is)"
        if here <= _DISAGREE and there >= _AGREE_SURELY:
            raise InputError(f"{recording.folder}: {told}")
        recording.notes.append(f"WARNING: {told}")
    elif not _USUAL[0] <= median <= _USUAL[1] or share < _USUAL_SHARE:
        recording.notes.append(f"WARNING: {told}; {mend}")


def _some(recording: Sequence) -> list[RecordedFrame]:
    """Frames spread over a recording, without unreadable ones."""
    found = []
    for index in np.unique(np.linspace(0, len(recording) - 1, _FRAMES).astype(int)):
        try:
            found.append(recording.read(int(index)))
        except InputError:
            continue
    return found


def _valid(depth: np.ndarray) -> np.ndarray:
    values = metres(depth[::_STRIDE, ::_STRIDE])
    return values[np.isfinite(values) & (values > 0)]


def _share(values: np.ndarray) -> float:
    return float(((values >= _NEAREST) & (values <= _FARTHEST)).mean())


def _mending(values: np.ndarray) -> float:
    """The factor that makes depth most plausible for rooms."""
    median = float(np.median(values))

    def worth(factor: float) -> tuple[bool, float]:
        return (_USUAL[0] <= median * factor <= _USUAL[1] / 2, _share(values * np.float32(factor)))

    return max((1.0, *_FACTORS), key=worth)


def _scale_of_motion(recording: Sequence, frames: list[RecordedFrame]) -> tuple[float, float, float]:
    """A factor (1 if no other is clearly better), the share of points that agree between views at the current scale,
    and the share at that factor. Both shares are 1 if nothing can be compared."""
    if recording.poses is None:
        return 1.0, 1.0, 1.0
    camera = recording.depth_camera or recording.camera
    pairs = []
    for a, b in combinations(frames, 2):
        T = invert(b.T_map_camera @ recording.T_color_depth) @ a.T_map_camera @ recording.T_color_depth
        if _MOVED[0] <= np.linalg.norm(T[:3, 3]) <= _MOVED[1] and rotation_angle(T) <= _TURNED:
            pairs.append((metres(a.depth), metres(b.depth), T))
    here = _agreement(camera, pairs, 1.0)
    if here is None:
        return 1.0, 1.0, 1.0
    median = float(np.median(np.concatenate([_valid(frame.depth) for frame in frames])))
    rooms = [factor for factor in _FACTORS if _USUAL[0] <= median * factor <= _USUAL[1]]
    agreeing = {factor: _agreement(camera, pairs, factor) or 0.0 for factor in rooms} or {1.0: here}
    best = max(agreeing, key=lambda factor: agreeing[factor])
    there = agreeing[best]
    if there < _AGREE_ENOUGH or there < here + _BETTER:
        return 1.0, here, here if there < _AGREE_ENOUGH else max(here, there)
    return best, here, there


def _agreement(camera, pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]], factor: float) -> float | None:
    """Share of the points of one view that coincide with the other's, with depth times a factor; None if the views
    overlap too little."""
    agree, total = 0, 0
    rays = camera.rays()[::_STRIDE, ::_STRIDE].reshape(-1, 3).astype(np.float64)
    for first, second, T in pairs:
        z = first[::_STRIDE, ::_STRIDE].ravel() * factor
        points = (rays * z[:, None])[np.isfinite(z) & (z > 0)] @ T[:3, :3].T + T[:3, 3]
        pixels, depth = camera.project(points)
        inside = np.isfinite(pixels).all(axis=1)
        at = np.rint(pixels[inside]).astype(np.int64)
        height, width = second.shape
        within = ((at >= 0) & (at < (width, height))).all(axis=1)
        u, v = at[within].T
        seen, expected = second[v, u] * factor, depth[inside][within]
        known = np.isfinite(seen) & (seen > 0)
        agree += int((np.abs(seen - expected)[known] < _AGREEING * expected[known]).sum())
        total += int(known.sum())
    return agree / total if total > _COMMON else None
