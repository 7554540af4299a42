"""One bound for all that a memory takes: what leaves for the disk reads as before, and the bound is kept."""

import errno
import os

import numpy as np
import pytest
from test_writer import remember, same_content

from embodied_nav.memory import MemoryConfig, RetentionConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps import bound
from embodied_nav.memory.submaps.cells import HIT
from embodied_nav.memory.voxels import mapped_arrays
from embodied_nav.memory.voxels.mapped_arrays import on_disk, to_disk

ALL = RetentionConfig(covered=1.0)
_COMMON = {"keyframe_images": 2, "voxel_size": 0.1}
BOUNDED, FREE = MemoryConfig(max_mb=3.0, **_COMMON), MemoryConfig(**_COMMON)


def test_arrays_on_disk_are_as_they_were_in_a_file_without_a_name(tmp_path):
    rng = np.random.default_rng(1)
    hits = np.zeros(1000, HIT)
    hits.view(np.uint8)[:] = rng.integers(0, 256, hits.nbytes, np.uint8)
    parted = np.arange(24, dtype=np.uint16).reshape(4, 6)[:, ::2]
    arrays = [hits, np.empty((0, 3), np.float32), rng.random((7, 5)), parted]
    there = to_disk(arrays, tmp_path)
    assert not list(tmp_path.iterdir())
    for a, b in zip(arrays, there, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        assert b.flags.writeable and b.flags.aligned and (on_disk(b) or not b.size) and not on_disk(a)
    assert on_disk(there[2][1:, 0]), "a part of one"
    mapped_arrays.release()
    assert there[0].tobytes() == hits.tobytes()
    assert to_disk([np.empty(0)], tmp_path)[0].size == 0


@pytest.fixture(scope="module")
def pair(walk_frames):
    """Two memories of the same drive, one bounded; keyframes are all kept."""
    bounded, free, most = SpatialMemory(BOUNDED, ALL), SpatialMemory(FREE, ALL), 0
    for i in range(0, len(walk_frames), 5):
        remember(bounded, walk_frames[i : i + 5], i)
        remember(free, walk_frames[i : i + 5], i)
        most = max(most, bounded.usage.total)
    return bounded, free, most


def test_the_bound_is_kept_and_nothing_is_lost(pair):
    bounded, free, most = pair
    assert most <= BOUNDED.max_mb * 1e6 < free.usage.total, "else the test shows nothing"
    assert any(on_disk(v.depth) for c in bounded.state.content.clouds for v in c.views)
    assert not any(on_disk(v.depth) for c in free.state.content.clouds for v in c.views)
    held = bounded.usage["clouds"] + bounded.usage["looks"]
    assert held < 0.5 * (free.usage["clouds"] + free.usage["looks"])
    for c, d in zip(bounded.state.local_clouds(), free.state.local_clouds(), strict=True):
        assert np.array_equal(c.hits, d.hits) and np.array_equal(c.votes, d.votes) and len(c.views) == len(d.views)
        assert all(np.array_equal(v.depth, w.depth) for v, w in zip(c.views, d.views, strict=True))
    assert [o.name for o in bounded.objects()] == [o.name for o in free.objects()]
    assert np.array_equal(bounded.occupancy().data, free.occupancy().data)


def test_a_file_of_it_is_the_same(pair, tmp_path):
    bounded, free, _ = pair
    bounded.save(tmp_path / "bounded.db")
    free.save(tmp_path / "free.db")
    a, b = (SpatialMemory.load(tmp_path / n, FREE) for n in ("bounded.db", "free.db"))
    for c, d in zip(a.state.content.clouds, b.state.content.clouds, strict=True):
        assert np.array_equal(c.hits, d.hits) and np.array_equal(c.votes, d.votes)
        assert all(np.array_equal(v.depth, w.depth) for v, w in zip(c.views, d.views, strict=True))
    assert len(a) == len(b) and a.looks.keys() == b.looks.keys()


def test_what_is_written_is_written_once_more_at_most(tmp_path, walk_frames):
    """Clouds that leave memory are those of the file still."""
    memory, path = SpatialMemory(BOUNDED, ALL), tmp_path / "memory.db"
    writer = MemoryWriter(memory, path)
    for i in range(0, 40, 5):
        remember(memory, walk_frames[i : i + 5], i)
        writer.flush()
    writer.close()
    assert any(on_disk(c.votes) for c in memory.state.content.clouds)
    same_content(memory, SpatialMemory.load(path, memory.config))


def test_a_correction_reads_what_is_on_disk(walk_frames):
    memories = [SpatialMemory(config, ALL) for config in (BOUNDED, FREE)]
    for m in memories:
        remember(m, walk_frames[:40])
        T = m.keyframes[2].T_map_camera.copy()
        T[0, 3] += 0.2
        m.move_keyframes({2: T})
        remember(m, walk_frames[40:45], 40)
    bounded, free = memories
    assert any(on_disk(v.depth) for c in bounded.state.content.clouds for v in c.views)
    assert np.mean(bounded.occupancy().data == free.occupancy().data) > 0.999
    assert [o.name for o in bounded.objects()] == [o.name for o in free.objects()]


def test_a_full_disk_is_told_and_the_memory_goes_on(walk_frames, monkeypatch):
    memory = SpatialMemory(BOUNDED, ALL)
    remember(memory, walk_frames[:5])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        remember(memory, walk_frames[5:40], 5)
        assert "max_mb" in memory.trouble and "No space left" in memory.trouble and "\n" not in memory.trouble
    remember(memory, walk_frames[40:50], 40)
    assert "cannot be put on disk" not in memory.trouble and any(on_disk(c.votes) for c in memory.state.content.clouds)


def test_folder_of_files_without_a_name(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert mapped_arrays.disk_folder() is None
    monkeypatch.delenv("TMPDIR")
    assert mapped_arrays.disk_folder() in (None, "/var/tmp")


def test_what_a_keyframe_costs_does_not_count_those_on_disk(walk_frames):
    memory = SpatialMemory(BOUNDED, ALL)
    remember(memory, walk_frames)
    used = bound.usage(memory.state)
    assert used.total == sum(used.values()) and set(used) >= {"voxels", "clouds", "looks", "keyframes", "images"}
    assert used["clouds"] + used["looks"] <= 2e6


def test_what_finds_no_room_is_told(walk_frames):
    memory = SpatialMemory(MemoryConfig(max_mb=1.0, keyframe_images=2), ALL)
    remember(memory, walk_frames[:10])
    assert "does not fit into max_mb" in memory.trouble and "\n" not in memory.trouble


def test_a_part_that_cannot_be_exchanged_any_more_is_made_with_all_the_rest(walk_frames, monkeypatch):
    """A correction of one keyframe, and no room left for it once it is made."""
    made = []
    for config in (BOUNDED, FREE):
        memory = SpatialMemory(config, ALL)
        remember(memory, walk_frames[:40])
        T = memory.keyframes[2].T_map_camera.copy()
        T[0, 3] += 0.2
        correction = memory.begin_correction({2: T})
        correction.run()
        assert correction.blocks is not None, "else all is made anyway"
        with monkeypatch.context() as patch:
            patch.setattr(type(memory.state.voxels), "takes", lambda *_: False)
            memory.apply(correction)
        made.append(memory)
    bounded, free = made
    assert np.mean(bounded.occupancy().data == free.occupancy().data) > 0.999
    assert np.array_equal(bounded.state.voxels.grid.free_space()[1], free.state.voxels.grid.free_space()[1])
