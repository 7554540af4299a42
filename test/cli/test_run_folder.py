"""What a report says of the memory that a run has written."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "perception"))

from box_scene import camera_pose, keyframe

from embodied_nav.cli.run_folder import stale_keyframes
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import create


def drive(memory, stale, late=()):
    """A session of keyframes; those in ``stale`` have a stale delta, those in ``late`` the back end's after that."""
    eyes, previous = create("geometric"), None
    for k in range(4):
        current = keyframe(k, camera_pose(yaw=0.2 * k))
        current = replace(current, frame=replace(current.frame, stamp=memory.stamp + 10**9))
        delta = eyes.perceive(previous, current, "")
        memory.integrate(current.frame)
        memory.add_keyframe(current)
        memory.add_delta(replace(delta, stale=k in stale))
        if k in late:
            memory.add_delta(delta)
        previous = current


@pytest.mark.parametrize(("stale", "late", "count"), [((), (), 0), ((0, 1, 3), (1,), 2), ((0, 1, 2, 3), (), 4)])
def test_keyframes_that_only_the_fallback_has_described_are_counted_in_the_last_session(tmp_path, stale, late, count):
    file = tmp_path / "memory.db"
    memory = SpatialMemory()
    drive(memory, (0, 1))
    memory.save(file)
    assert stale_keyframes(SpatialMemory.load(file)) == 2
    again = SpatialMemory.load(file)
    drive(again, stale, late)
    again.save(file)
    assert stale_keyframes(SpatialMemory.load(file)) == count
