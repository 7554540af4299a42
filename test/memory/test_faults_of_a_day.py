"""What happens to a memory that runs for days: a slow card, and a clock that jumps."""

import time
from dataclasses import replace

import numpy as np
import pytest
from test_writer import remember, same_content

from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import find_faults
from embodied_nav.memory.file.writer import MemoryWriter

HOUR = 3_600_000_000_000


def test_a_slow_card_delays_the_file_and_nothing_else(tmp_path, walk_frames, monkeypatch):
    commit = MemoryWriter._commit

    def slowly(self, snapshot):
        time.sleep(0.3)
        commit(self, snapshot)

    monkeypatch.setattr(MemoryWriter, "_commit", slowly)
    memory, path = SpatialMemory(), tmp_path / "memory.db"
    writer = MemoryWriter(memory, path, period=0.0, voxel_period=0.0)
    remember(memory, walk_frames[:5])
    begun, ticks = time.monotonic(), []
    for i in range(5, 45, 5):
        remember(memory, walk_frames[i : i + 5], i)
        start = time.thread_time()
        writer.tick()
        ticks.append(time.thread_time() - start)
    assert writer.commits <= 2 + (time.monotonic() - begun) / 0.3, "what came meanwhile is written in one go"
    assert max(ticks) < 0.1 and writer.trouble == ""
    writer.close()
    assert find_faults(path) == []
    same_content(memory, SpatialMemory.load(path))


@pytest.mark.parametrize("jump", [-2 * HOUR, 10 * HOUR], ids=["back", "forward"])
def test_a_clock_that_jumps_changes_no_map(tmp_path, walk_frames, jump):
    """Set by two hours back, or by ten forward, between two frames: nothing is lost and nothing is taken for gone."""
    begin = 20 * HOUR
    steady, jumped = SpatialMemory(), SpatialMemory()
    writer = MemoryWriter(jumped, tmp_path / "memory.db")
    for memory, late in ((steady, 0), (jumped, jump)):
        stamped = [
            replace(f, stamp=begin + f.stamp + late * (i >= 20)) for i, f in enumerate([*walk_frames[:40]])
        ]  # fmt: skip
        remember(memory, stamped)
    writer.close()
    assert find_faults(tmp_path / "memory.db") == []
    assert np.array_equal(steady.occupancy().data, jumped.occupancy().data)
    assert [o.name for o in steady.objects()] == [o.name for o in jumped.objects()]
    assert not any(o.status == "gone" for o in jumped.objects(include_gone=True))
    assert steady.keyframes.keys() == jumped.keyframes.keys() and not jumped.state.content.events
    assert jumped.stamp == max(begin + walk_frames[39].stamp + jump, begin + walk_frames[19].stamp)
    same_content(jumped, SpatialMemory.load(tmp_path / "memory.db"))
