"""Walks through a room of boxes, and real frames."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from box_rooms import camera_pose, render, two_rooms, walk

from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera


@pytest.fixture(scope="session")
def walk_frames() -> list[RGBDFrame]:
    """60 frames through both rooms with a depth camera's noise, 0.2 s apart."""
    rng = np.random.default_rng(7)
    return [render(two_rooms(), camera_pose(*p), (i + 1) * 200_000_000, noise=rng) for i, p in enumerate(walk(60))]


@pytest.fixture(scope="session")
def kitchen_frames(kitchen: Path) -> list[RGBDFrame]:
    """Every tenth real frame, 30 of them."""
    import cv2

    fx, fy, cx, cy = np.loadtxt(kitchen / "camera-intrinsics.txt")[[0, 1, 0, 1], [0, 1, 2, 2]]
    frames = []
    for path in sorted(kitchen.glob("*.depth.png"))[::10]:
        mm = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        depth = mm.astype(np.float32) / np.float32(1000)
        depth[(mm == 0) | (mm == 65535)] = np.nan
        color = cv2.cvtColor(cv2.imread(str(path).replace("depth.png", "color.jpg")), cv2.COLOR_BGR2RGB)
        T = np.loadtxt(str(path).replace("depth.png", "pose.txt"))
        frames.append(RGBDFrame(1 + 200_000_000 * len(frames), Camera(640, 480, fx, fy, cx, cy), T, color, depth))
    return frames
