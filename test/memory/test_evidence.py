"""Evidence for an object: viewpoints count once each, by their surest sighting."""

import numpy as np
import pytest

from embodied_nav.frames import MemoryObject
from embodied_nav.geometry import T_LINK_OPTICAL, pose2d
from embodied_nav.memory.objects.evidence import evidence, is_evident
from embodied_nav.memory.objects.index import Sighting

POSES = {k: pose2d(x, 0, yaw) @ T_LINK_OPTICAL for k, (x, yaw) in enumerate([(0, 0), (0.02, 0), (0.02, 0.3), (1, 0)])}


def sighting(keyframe_id, confidence):
    return Sighting(keyframe_id, 1, np.zeros(3), 100, "chair", "red", confidence)


def thing(**fields):
    zeros = {"position": np.zeros(3), "extent": np.ones(3), "confidence": 1.0, "voxels": 9, "first_seen": 0}
    return MemoryObject(1, "chair", "red", **zeros, last_seen=0, keyframe_id=0, **fields)


@pytest.mark.parametrize(
    "seen, sum_",
    [
        ([], 0.0),
        ([(0, 0.6)], 0.6),
        ([(0, 0.6), (1, 0.8)], 0.8),  # 2 cm apart
        ([(0, 0.6), (2, 0.5)], 1.1),  # a turn is another viewpoint
        ([(0, 0.6), (1, 0.8), (2, 0.5), (3, 0.4)], 1.7),
        ([(0, 0.6), (9, 0.9)], 0.6),  # a keyframe that is not there
    ],
)
def test_each_viewpoint_counts_once(seen, sum_):
    assert evidence([sighting(*s) for s in seen], POSES) == pytest.approx(sum_)


def test_what_was_mostly_missed_or_is_gone_does_not_count():
    assert is_evident(thing(confirmed=3, missed=1), 1.8)
    assert not is_evident(thing(confirmed=3, missed=1), 0.95)
    assert not is_evident(thing(confirmed=3, missed=10), 1.8)
    assert not is_evident(thing(confirmed=3, missed=1, status="gone"), 1.8)
