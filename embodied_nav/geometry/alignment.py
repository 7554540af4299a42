"""Shows and measures depth-to-colour registration: depth edges against colour edges. Knows nothing of calibration.

Both images should have edges at silhouettes. Depth edges that are shifted or scaled against the colour image show that
depth is not registered to colour, the most common silent fault of an RGB-D set-up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: At a silhouette the background is farther by this much (m) and by this share of its depth.
_JUMP, _RELATIVE_JUMP = 0.10, 0.05
#: Edge pixels compared per frame; more cost time and add no certainty.
_EDGES = 600
#: Least silhouette pixels for a result.
_ENOUGH = 500


@dataclass(frozen=True)
class Alignment:
    """The shift and scale of the depth image for which its edges fit the colour image's.

    Attributes:
        right, down: shift in px at the image's centre.
        scale: about the image's centre; ratio of the colour camera's focal length to the depth camera's.
        gain: score there over the score unmoved; near 1 if the images are registered, or the scene has too few cues.
        edges: silhouette pixels that were compared.
    """

    right: float
    down: float
    scale: float
    gain: float
    edges: int

    @property
    def displacement(self) -> float:
        """Displacement in px half-way from the centre to the side of a 640 px wide image, where most edges are."""
        return float(np.hypot(self.right, self.down) + abs(self.scale - 1.0) * 160)


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """HxW bool: the outermost foreground pixels along the silhouettes of ``depth`` (HxW, m, NaN invalid).

    Structured light leaves a gap without depth between foreground and background; a gap with farther depth beyond it
    counts as a silhouette.
    """
    import cv2

    valid = np.isfinite(depth)
    known = np.where(valid, depth, 0).astype(np.float32)
    allowed = np.maximum(_JUMP, _RELATIVE_JUMP * known)
    touching = cv2.dilate(known, np.ones((3, 3), np.uint8)) - known > allowed
    beyond = cv2.dilate(known, np.ones((9, 9), np.uint8)) - known > allowed
    gap = cv2.dilate((~valid).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return valid & (touching | (gap & beyond))


def edge_picture(color: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """HxWx3 uint8: the colour image, lightened, with depth edges drawn in magenta."""
    picture = (color // 2 + 96).astype(np.uint8)
    picture[depth_edges(depth)] = (255, 0, 255)
    return picture


def edge_distance(frames: list[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Median distance (px) from the depth images' silhouettes to the nearest edge of their colour images.

    A small number proves little if the colour image is full of edges; a large one is a fault.

    Args:
        frames: (HxWx3 uint8, HxW float32 m) of equal size.

    Returns:
        The distance, or None where there are too few silhouettes (fewer than 500 pixels in all).
    """
    import cv2

    found = []
    for color, depth in frames:
        gray = cv2.GaussianBlur(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), (3, 3), 0)
        distance = cv2.distanceTransform(255 - cv2.Canny(gray, 60, 120), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        found.append(distance[depth_edges(depth)])
    distances = np.concatenate(found) if found else np.empty(0)
    return float(np.median(distances)) if len(distances) >= _ENOUGH else None


def alignment(frames: list[tuple[np.ndarray, np.ndarray]], reach: int = 12) -> Alignment | None:
    """Finds the shift and scale at which depth edges best meet colour edges of the same direction, over all frames.

    Args:
        frames: (HxWx3 uint8, HxW float32 m) of equal size.
        reach: largest shift tried in each direction, px.

    Returns:
        None where there are too few silhouettes (fewer than 500 pixels in all).
    """
    edges = [_Edges(color, depth) for color, depth in frames]
    count = sum(len(e.uv) for e in edges)
    if count < _ENOUGH:
        return None

    def score(right: float, down: float, scale: float) -> float:
        return sum(e.score(right, down, scale) for e in edges) / count

    shifts = np.arange(-reach, reach + 1, 3.0)
    tried = [(r, d, s) for s in np.arange(0.88, 1.121, 0.02) for r in shifts for d in shifts]
    best = max(tried, key=lambda movement: score(*movement))
    for step, scale_step in ((1.5, 0.01), (0.75, 0.005)):
        near = [
            (best[0] + i * step, best[1] + j * step, best[2] + k * scale_step)
            for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)
        ]  # fmt: skip
        best = max(near, key=lambda movement: score(*movement))
    gain = score(*best) / max(score(0.0, 0.0, 1.0), 1e-9)
    right, down, scale = (float(round(v, 4)) for v in best)
    return Alignment(right, down, scale, float(gain), count)


class _Edges:
    """Silhouette pixels of one depth image with their normals, and the colour image's gradient."""

    def __init__(self, color: np.ndarray, depth: np.ndarray) -> None:
        import cv2

        gray = cv2.GaussianBlur(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32), (5, 5), 1.2)
        gx, gy = cv2.Scharr(gray, cv2.CV_32F, 1, 0), cv2.Scharr(gray, cv2.CV_32F, 0, 1)
        strength = np.hypot(gx, gy)
        # Clip strong edges, so that one bright window does not dominate.
        self.gradient = np.stack([gx, gy]) / np.maximum(strength, max(float(np.percentile(strength, 95)), 1e-6))
        self.centre = (np.array(depth.shape[::-1]) - 1) / 2
        v, u = np.nonzero(depth_edges(depth))
        pick = np.linspace(0, len(v) - 1, min(_EDGES, len(v))).astype(int)
        self.uv = np.stack([u[pick], v[pick]], 1) - self.centre
        filled = np.where(np.isfinite(depth), depth, np.nanmax(depth, initial=0.0)).astype(np.float32)
        smooth = cv2.GaussianBlur(np.minimum(filled, 5.0), (7, 7), 2.0)
        normal = np.stack([cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)])[
            :, v[pick], u[pick]
        ]
        self.normal = normal / np.maximum(np.hypot(*normal), 1e-9)

    def score(self, right: float, down: float, scale: float) -> float:
        """Sum over the moved silhouette of the colour gradient along its normal, 0 to 1 a pixel."""
        u, v = np.rint(self.uv * scale + self.centre + (right, down)).astype(np.intp).T
        height, width = self.gradient.shape[1:]
        seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        g = self.gradient[:, v[seen], u[seen]]
        return float(np.abs((g * self.normal[:, seen]).sum(0)).sum())
