"""Two maps become one: against the map that all frames make in one frame of coordinates."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.geometry import invert, pose2d
from embodied_nav.memory import MemoryConfig, SpatialMemory, merge
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps.joining import transform_between

#: Where the second map's origin lies in the first one.
T_A_B = pose2d(1.7, -0.6, 0.8)


def remember(memory, frames):
    """Frames with a keyframe and a delta every fifth."""
    for i, f in enumerate(frames):
        if i % 5 == 0:
            k = i // 5
            memory.add_keyframe(Keyframe(k, f, 0.5, 9, "overlap"))
        memory.integrate(f)
        if i % 5 == 0:
            seen = ObjectObservation("table", "yellow", 0.9, f.T_map_camera[:3, 3], np.ones(3))
            segments = (f.instance_ids == 1).astype(np.uint16)
            memory.add_delta(SemanticDelta(k, k - 1, f.stamp, "test", "", (seen,), segments=segments))


def elsewhere(frames, T):
    """The same frames in coordinates of another map, T (4x4) of it from this one."""
    return [replace(f, T_map_camera=T @ f.T_map_camera) for f in frames]


def cells(memory):
    return {tuple(v) for v in np.floor(memory.voxels().positions / 0.05).astype(int)}


def alike(a, b):
    a, b = cells(a), cells(b)
    return len(a & b) / len(a | b)


@pytest.fixture(scope="module")
def truth(walk_frames):
    m = SpatialMemory()
    remember(m, walk_frames[:40])
    return m


def half_maps(walk_frames):
    a, b = SpatialMemory(), SpatialMemory()
    remember(a, walk_frames[:20])
    remember(b, elsewhere(walk_frames[20:40], invert(T_A_B)))
    return a, b


def test_two_memories_make_the_map_of_both_in_the_firsts_coordinates(walk_frames, truth):
    a, b = half_maps(walk_frames)
    before = cells(a), cells(b)
    m = merge(a, b, T_A_B)
    assert (cells(a), cells(b)) == before, "neither is changed"
    assert alike(m, truth) > 0.9 and alike(a, truth) < 0.8
    assert m.uuid == a.uuid and len(m.keyframes) == 8 and m.frames == 40
    record = next(r for r in m.maps if r.uuid == b.uuid)
    assert record.merged_into == a.uuid and np.allclose(record.T_into, T_A_B)
    for i, k in b.keyframes.items():
        assert np.allclose(m.keyframes[i + 4].T_map_camera, T_A_B @ k.T_map_camera)
        assert m.keyframes[i + 4].thumbnail == k.thumbnail
    assert [d.keyframe_id for d in m.deltas] == list(range(8))
    assert np.allclose(m.deltas[6].objects[0].position, walk_frames[30].T_map_camera[:3, 3])
    assert {o.label for o in m.objects()} == {o.label for o in truth.objects()}


def test_the_merged_memory_is_saved_and_goes_on(tmp_path, walk_frames):
    m = merge(*half_maps(walk_frames), T_A_B)
    m.save(tmp_path / "m.db")
    assert find_faults(tmp_path / "m.db") == []
    again = SpatialMemory.load(tmp_path / "m.db")
    assert cells(again) == cells(m) and [r.merged_into for r in again.maps].count(m.uuid) == 1
    remember(again, walk_frames[40:45])
    assert len(again.keyframes) == 9


@pytest.mark.parametrize("survivor", ["old", "new"])
def test_a_session_that_was_lost_joins_the_map_it_finds_itself_in(tmp_path, walk_frames, truth, survivor):
    path, first = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(first, path)
    remember(first, walk_frames[:20])
    writer.close()

    memory = SpatialMemory.load(path)
    writer = MemoryWriter(memory, path)
    lost = memory.begin_map()
    there = elsewhere(walk_frames[20:40], invert(T_A_B))
    remember(memory, there)
    if survivor == "old":
        memory.become(first.uuid, T_A_B)
        later, uuid, gone, T = walk_frames[40:50], first.uuid, lost, np.eye(4)
    else:
        memory.absorb(first.uuid, invert(T_A_B))
        later, uuid, gone, T = elsewhere(walk_frames[40:50], invert(T_A_B)), lost, first.uuid, invert(T_A_B)
    assert memory.uuid == uuid and sorted(memory.keyframes) == list(range(8))
    for i in range(8):
        expected = T @ walk_frames[5 * i].T_map_camera
        assert np.allclose(memory.keyframes[i].T_map_camera, expected, atol=1e-9)
    for f in later:
        memory.integrate(f)
    writer.close()
    assert find_faults(path) == []
    again = SpatialMemory.load(path)
    assert again.uuid == uuid and cells(again) == cells(memory) and len(again.sessions) == 3
    with pytest.raises(InputError, match=f"was merged into map {uuid}"):
        SpatialMemory.load(path, map=gone)
    with_all = SpatialMemory()
    remember(with_all, elsewhere(walk_frames[:40], T))
    for f in later:
        with_all.integrate(f)
    assert alike(again, with_all) > 0.85
    facts = {m["uuid"]: m for m in describe(path)["maps"]}
    assert facts[gone]["keyframes"] == facts[gone]["blocks"] == 0 and facts[uuid]["keyframes"] == 8


def test_a_join_made_beside_the_memory_takes_late_frames_to_where_they_belong(tmp_path, walk_frames):
    path, first = tmp_path / "memory.db", SpatialMemory()
    remember(first, walk_frames[:20])
    first.save(path)
    memory = SpatialMemory.load(path)
    memory.begin_map()
    there = elsewhere(walk_frames[20:40], invert(T_A_B))
    remember(memory, there[:10])
    joining = memory.begin_join(SpatialMemory.load(path, map=first.uuid), T_A_B, into=True)
    joining.run()
    before = cells(memory)
    assert before and memory.uuid != first.uuid, "it answers as before until the join is finished"
    memory.finish_join(joining, stamp=there[15].stamp)
    assert memory.uuid == first.uuid
    for f in (*there[10:15], *walk_frames[35:40]):  # the first five do not know of it yet
        memory.integrate(f)
    expected = SpatialMemory()
    remember(expected, walk_frames[:30])
    for f in walk_frames[30:40]:
        expected.integrate(f)
    assert alike(memory, expected) > 0.9
    with pytest.raises(InputError, match="has changed"):
        memory.finish_join(joining)
    with pytest.raises(InputError, match="not of one file"):
        memory.begin_join(SpatialMemory(), T_A_B)


def test_the_transform_is_found_by_common_keyframes(walk_frames):
    a, b = SpatialMemory(), SpatialMemory()
    remember(a, walk_frames[:15])
    remember(b, elsewhere(walk_frames[10:25], invert(T_A_B)))
    assert np.allclose(transform_between(a.keyframes, b.keyframes), T_A_B)
    c = SpatialMemory()
    remember(c, walk_frames[30:35])
    with pytest.raises(InputError, match="no keyframe in common"):
        transform_between(a.keyframes, c.keyframes)


def test_what_does_not_fit_is_refused(walk_frames):
    a, b = SpatialMemory(), SpatialMemory(MemoryConfig(voxel_size=0.1))
    for other, T in ((a, T_A_B), (b, T_A_B), (SpatialMemory(), np.full((4, 4), np.nan))):
        with pytest.raises(InputError) as error:
            merge(a, other, T)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="in no file"):
        a.absorb(b.uuid, T_A_B)
