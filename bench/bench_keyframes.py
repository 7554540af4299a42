"""Keyframe gate against the plain recipe of Embodied-R (sec. 3.2) on real frames and on views of nothing.

    python bench/bench_keyframes.py [FOLDER] [--frames N]

The recipe, written anew from the paper: ORB with default settings at full size, brute-force Hamming matches with cross
check, homography by RANSAC at 5 px, the warped corners rasterised, a keyframe where less than half of the view overlaps
with the last keyframe or where anything fails. It detects features in both images of a pair, as published. Both gates
see the same decoded frames; times are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import recorded

from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera, invert
from embodied_nav.keyframes import KeyframeGate, depth_overlap, extract, match
from embodied_nav.recordings import SevenScenes


class PlainRecipe:
    """Embodied-R's keyframe selection."""

    def __init__(self) -> None:
        self.orb = cv2.ORB_create()
        self.matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self.last: np.ndarray | None = None

    def process(self, frame: RGBDFrame) -> bool:
        """Whether the frame becomes a keyframe."""
        if self.last is not None and self.overlap(self.last, frame.color) >= 0.5:
            return False
        self.last = frame.color
        return True

    def overlap(self, a: np.ndarray, b: np.ndarray) -> float:
        """Part of b that lies in a; 0 where anything fails."""
        ka, da = self.orb.detectAndCompute(cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), None)
        kb, db = self.orb.detectAndCompute(cv2.cvtColor(b, cv2.COLOR_RGB2GRAY), None)
        if da is None or db is None:
            return 0.0
        matches = self.matcher.match(da, db)
        if len(matches) < 4:
            return 0.0
        pa = np.float32([ka[m.queryIdx].pt for m in matches])
        pb = np.float32([kb[m.trainIdx].pt for m in matches])
        H, _ = cv2.findHomography(pb, pa, cv2.RANSAC, 5.0)
        if H is None:
            return 0.0
        h, w = a.shape[:2]
        corners = cv2.perspectiveTransform(np.float32([[[0, 0], [w, 0], [w, h], [0, h]]]), H)
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [np.int32(np.clip(corners, -1e6, 1e6))], 1)
        return float(mask.mean())


def dense_truth(a: RGBDFrame, b: RGBDFrame) -> float:
    """Part of b's surface that a saw, from every second pixel's depth in numpy."""
    T = invert(a.T_map_camera) @ b.T_map_camera
    points = b.camera.unproject(b.depth)[::2, ::2].reshape(-1, 3).astype(np.float64)
    points = points[np.isfinite(points[:, 2])] @ T[:3, :3].T + T[:3, 3]
    uv, z = a.camera.project(points)
    uv = np.nan_to_num(np.rint(uv), nan=-1.0).astype(int)
    inside = (z > 0.05) & (uv >= 0).all(1) & (uv < (a.camera.width, a.camera.height)).all(1)
    seen_depth = np.zeros(len(z))
    seen_depth[inside] = a.depth[uv[inside, 1], uv[inside, 0]]
    known = ~np.isnan(seen_depth)
    return float((np.abs(seen_depth - z) <= np.maximum(0.05, 0.05 * z))[known].mean())


def load(folder: Path, count: int) -> list[RGBDFrame]:
    """Real frames with the given poses."""
    recording = SevenScenes(folder, max_frames=count)
    frames = []
    for i in range(len(recording)):
        raw = recording.read(i)
        depth = raw.depth.astype(np.float32) / 1000.0
        depth[raw.depth == 0] = np.nan
        frames.append(RGBDFrame(raw.stamp, recording.camera, raw.T_map_camera, raw.color, depth))
    return frames


def nothing(kind: str, count: int = 30) -> list[RGBDFrame]:
    """Thirty frames at rest before a blank wall, a noisy wall, or in the dark; noise anew in each frame, no depth."""
    rng = np.random.default_rng(0)
    camera = Camera(640, 480, 585, 585, 320, 240)
    level, noise = {"blank wall": (180, 0), "noisy wall": (150, 20), "dark": (2, 3)}[kind]
    return [
        RGBDFrame(1 + i * 10**9, camera, np.eye(4),
                  np.clip(rng.normal(level, noise, (480, 640, 3)), 0, 255).astype(np.uint8))
        for i in range(count)
    ]  # fmt: skip


def run(process: Callable[[RGBDFrame], object], frames: Sequence[RGBDFrame]) -> tuple[int, np.ndarray]:
    """Keyframes taken, and CPU ms of each frame."""
    taken, times = 0, []
    for frame in frames:
        start = time.process_time_ns()
        taken += bool(process(frame))
        times.append((time.process_time_ns() - start) * 1e-6)
    return taken, np.array(times)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation, ties by their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b)[0])


def auc(score: np.ndarray, low: np.ndarray) -> float:
    """Chance that a pair with low overlap scores below one without."""
    p, n = score[low], score[~low]
    return float((p[:, None] < n).mean() + 0.5 * (p[:, None] == n).mean())


def without(frames: Sequence[RGBDFrame], *fields: str) -> list[RGBDFrame]:
    """The frames with some of their images taken away."""
    from dataclasses import replace

    return [replace(f, **dict.fromkeys(fields)) for f in frames]


def gates(frames: list[RGBDFrame]) -> None:
    """Time and number of keyframes of each gate on the real sequence, at its rate and at one frame a second."""
    step = max(1, round(1e9 / (frames[1].stamp - frames[0].stamp)))
    rows = [
        ("recipe", lambda: PlainRecipe().process, frames),
        ("recipe, 1 fps as published", lambda: PlainRecipe().process, frames[::step]),
        ("ours: depth, ORB confirms", lambda: KeyframeGate().process, frames),
        ("ours without depth", lambda: KeyframeGate().process, without(frames, "depth")),
        ("ours without colour", lambda: KeyframeGate().process, without(frames, "color")),
    ]
    print(f"\n{'gate':28} {'frames':>6} {'keyframes':>9} {'ms mean':>8} {'p90':>7} {'max':>7} {'recipe / this':>13}")
    base = None
    for name, make, sequence in rows:
        taken, ms = run(make(), sequence)
        base = base or ms.mean()
        print(f"{name:28} {len(sequence):6} {taken:9} {ms.mean():8.3f} {np.percentile(ms, 90):7.3f} {ms.max():7.2f} "
              f"{base / ms.mean():12.1f}x")  # fmt: skip


def ranking(frames: list[RGBDFrame]) -> None:
    """How well each measure ranks overlap, against dense depth reprojection."""
    chosen = frames[::4]
    pairs = [(chosen[i], chosen[i + gap]) for gap in (1, 4, 9) for i in range(0, len(chosen) - gap, 2)]
    truth = np.array([dense_truth(a, b) for a, b in pairs])
    recipe = PlainRecipe()
    features = {id(f): extract(f.color) for f in chosen}

    def by_features(a: RGBDFrame, b: RGBDFrame) -> float:
        # The last keyframe's features are kept, as the gate keeps them.
        return match(extract(b.color), features[id(a)]).overlap

    def by_depth(a: RGBDFrame, b: RGBDFrame) -> float:
        return depth_overlap(b.depth, b.camera, a.depth, a.camera, invert(a.T_map_camera) @ b.T_map_camera)

    print(f"\n{len(pairs)} pairs, {int((truth < 0.6).sum())} with overlap below 0.6")
    print(f"{'measure':28} {'Spearman':>9} {'AUC(<.6)':>9} {'ms p50':>7} {'p90':>7}")
    for name, measure in (
        ("recipe", lambda a, b: recipe.overlap(a.color, b.color)),
        ("ours: ORB half size", by_features),
        ("ours: depth, stride 16", by_depth),
    ):
        scores, times = [], []
        for a, b in pairs:
            start = time.process_time_ns()
            scores.append(measure(a, b))
            times.append((time.process_time_ns() - start) * 1e-6)
        score = np.nan_to_num(np.array(scores))
        rank, area = spearman(truth, score), auc(score, truth < 0.6)
        print(f"{name:28} {rank:9.3f} {area:9.3f} "
              f"{np.median(times):7.3f} {np.percentile(times, 90):7.3f}")  # fmt: skip


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recorded.add_folder(parser)
    parser.add_argument("--frames", type=int, default=300, help="at most so many frames")
    arguments = parser.parse_args()
    if not recorded.are_there(arguments.folder):
        return
    cv2.setNumThreads(1)
    frames = load(arguments.folder, arguments.frames)
    KeyframeGate().process(frames[0])
    depth_overlap(frames[0].depth, frames[0].camera, frames[1].depth, frames[1].camera, np.eye(4))  # compiles
    print("keyframes of 30 frames of nothing, without depth")
    for kind in ("blank wall", "noisy wall", "dark"):
        views = nothing(kind)
        recipe, ours = run(PlainRecipe().process, views)[0], run(KeyframeGate().process, views)[0]
        print(f"  {kind:12} recipe {recipe:3}   ours {ours:3}")
    gates(frames)
    ranking(frames)


if __name__ == "__main__":
    main()
