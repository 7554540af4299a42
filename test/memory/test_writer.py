"""The continuous file: what a killed process leaves, what trouble does, and what a file of version 1 becomes."""

import os
import resource
import signal
import sqlite3
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms
from load_worker import remember_without_end
from version_1 import write_version_1

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.geometry import Camera
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.file import writer as writing
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.memory_file import read_looks
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps.local_clouds import cloud_points

#: 50 and more to be sure, fewer where every minute counts.
KILLS = int(os.environ.get("EMBODIED_NAV_KILLS", "10"))


def rows(m):
    return np.sort(m.state.voxels.store.rows[m.state.voxels.store.rows["key"] >= 0], order="key")


def same_hits(c, d):
    return np.array_equal(c.hits, d.hits) and np.array_equal(c.details, d.details)


def same_content(a, b, clouds=True):
    """Whether two memories hold the same; the voxels bit by bit."""
    assert np.array_equal(rows(a), rows(b)) and a.frames == b.frames and a.stamp == b.stamp and a.uuid == b.uuid
    assert np.array_equal(a.occupancy().data, b.occupancy().data)
    assert a.keyframes.keys() == b.keyframes.keys() and len(a.deltas) == len(b.deltas)
    assert [o.name for o in a.objects()] == [o.name for o in b.objects()]
    for c, d in zip(a.state.local_clouds(), b.state.local_clouds(), strict=True):
        assert not clouds or (same_hits(c, d) and all(map(same_view, c.views, d.views)))
        assert np.array_equal(c.votes, d.votes) and len(c.views) == len(d.views)
        assert np.array_equal(c.T_map_cloud, d.T_map_cloud) and c.frames == d.frames


def same_view(v, w):
    whole = v.color is None if w.color is None else np.array_equal(v.color, w.color)
    return whole and np.array_equal(v.depth, w.depth) and np.array_equal(v.T, w.T) and v.frames == w.frames


def remember(m, frames, first=0):
    """Frames with a keyframe, a delta and an array every fifth."""
    for i, f in enumerate(frames, first):
        m.integrate(f)
        if i % 5 == 0:
            k = i // 5
            m.add_keyframe(Keyframe(k, f, 0.5, 9, "overlap"))
            seen = ObjectObservation("table", "yellow", 0.9, np.array([1.7, 3.4, 0.7]), np.ones(3))
            segments = (f.instance_ids == 1).astype(np.uint16)
            m.add_delta(SemanticDelta(k, k - 1, f.stamp, "test", "", (seen,), segments=segments))
            m.add_look(max(m.keyframes), points=np.full((4, 3), k, np.float32), size=np.array([3, 4], np.int32))


# ---- what is written ----


def test_the_file_is_there_before_the_first_frame_and_holds_everything_at_the_end(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    assert find_faults(path) == [] and describe(path)["uuid"] == memory.state.content.file_uuid
    remember(memory, walk_frames[:20])
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["memory.db"], "one plain file, nothing beside it"
    assert find_faults(path) == []
    other = SpatialMemory.load(path)
    same_content(memory, other)
    assert other.looks.keys() == memory.looks.keys()
    assert np.array_equal(other.looks[2]["points"], memory.looks[2]["points"]) and other.looks[2]["size"].tolist() == [
        3,
        4,
    ]


def test_many_small_cuts_give_the_file_of_one_save(tmp_path, walk_frames):
    memory = SpatialMemory()
    writer = MemoryWriter(memory, tmp_path / "cuts.db", period=0.0, voxel_period=0.0)
    for i in range(0, 40, 4):
        remember(memory, walk_frames[i : i + 4], i)
        if i == 20:
            memory.rebuild_from_keyframes({1: walk_frames[6].T_map_camera})
        writer._wait(20)
    writer.close()
    memory.save(tmp_path / "saved.db")
    a, b = SpatialMemory.load(tmp_path / "cuts.db"), SpatialMemory.load(tmp_path / "saved.db")
    same_content(a, b)
    assert writer.commits > 8
    assert find_faults(tmp_path / "cuts.db") == []


def test_the_map_is_made_again_from_the_clouds_where_voxels_lag(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path, period=0.0, voxel_period=1000.0)
    remember(memory, walk_frames[:30])
    for _ in range(2):  # one may be under way
        writer.tick()
        writer._wait(20)
    facts = describe(path)
    assert not facts["maps"][0]["whole"] and facts["frames"] == 30 and find_faults(path) == []
    again = SpatialMemory.load(path)
    a, b = ({tuple(v) for v in np.floor(m.voxels().positions / 0.05).astype(int)} for m in (memory, again))
    assert len(a & b) > 0.95 * len(a | b)
    assert np.mean(again.occupancy().data == memory.occupancy().data) > 0.97
    assert [o.name for o in again.objects()] == [o.name for o in memory.objects()]
    writer.close()
    same_content(memory, SpatialMemory.load(path))


def test_a_second_session_goes_on_in_the_file_and_writes_only_what_is_new(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    remember(memory, walk_frames[:20])
    writer.close()
    second = SpatialMemory.load(path)
    writer = MemoryWriter(second, path)
    with sqlite3.connect(path) as db:
        before = dict(db.execute("SELECT rowid, data FROM parts"))
    remember(second, walk_frames[20:30])
    writer.close()
    with sqlite3.connect(path) as db:
        after = dict(db.execute("SELECT rowid, data FROM parts"))
    assert before.items() <= after.items(), "what was there is not written again"
    third = SpatialMemory.load(path)
    same_content(second, third)
    assert [s["first_keyframe"] for s in third.sessions] == [0, 4, 6] and third.uuid == memory.uuid
    assert {k.map for k in read_looks(path)} == {memory.uuid} and len(read_looks(path)) == 6


def test_a_map_of_its_own_for_who_does_not_know_where_it_is(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    remember(memory, walk_frames[:20])
    first, voxels = memory.uuid, len(memory)
    second = memory.begin_map()
    assert second == memory.uuid != first and len(memory) == 0 and not memory.objects() and not memory.keyframes
    remember(memory, walk_frames[40:50])
    writer.close()
    assert find_faults(path) == []
    assert SpatialMemory.load(path).uuid == second, "the map that was written last"
    old = SpatialMemory.load(path, map=first)
    assert len(old) == voxels and sorted(old.keyframes) == [0, 1, 2, 3]
    assert sorted(SpatialMemory.load(path).keyframes) == [4, 5]
    assert {m["uuid"]: m["keyframes"] for m in describe(path)["maps"]} == {first: 4, second: 2}
    assert {k.keyframe_id: k.map for k in read_looks(path)} == {
        0: first,
        1: first,
        2: first,
        3: first,
        4: second,
        5: second,
    }
    with pytest.raises(InputError, match="holds no map"):
        SpatialMemory.load(path, map="0000")


def test_saving_one_map_leaves_the_others_in_the_file(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    remember(memory, walk_frames[:10])
    memory.save(path)
    first = SpatialMemory.load(path)
    first.begin_map()
    remember(first, walk_frames[40:45])
    first.save(path)
    assert len(describe(path)["maps"]) == 2 and find_faults(path) == []
    assert len(SpatialMemory.load(path, map=memory.uuid)) == len(memory)


def test_forgetting_everything_empties_the_file_too(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    remember(memory, walk_frames[:10])
    writer.flush()
    memory.clear()
    writer.close()
    facts = describe(path)
    assert facts["voxels"] == facts["keyframes"] == facts["frames"] == 0 and len(facts["maps"]) == 1
    with sqlite3.connect(path) as db:
        assert (
            db.execute("SELECT count(*) FROM parts").fetchone()
            == db.execute("SELECT count(*) FROM looks").fetchone()
            == (0,)
        )


def test_the_owner_is_hardly_kept(tmp_path, walk_frames):
    """A cut at every frame, voxels included, costs little beside the frame itself."""
    memory, plain = SpatialMemory(), SpatialMemory()
    writer = MemoryWriter(memory, tmp_path / "memory.db", period=0.0, voxel_period=0.0)
    remember(memory, walk_frames[:5])
    cuts = []
    for f in walk_frames[5:45]:
        memory.integrate(f)
        plain.integrate(f)
        start = time.thread_time()
        writer.tick()
        cuts.append(time.thread_time() - start)
        writer._wait(20)
    writer.close()
    assert np.median(cuts) < 0.005


# ---- kill -9 ----


def test_the_log_of_one_large_write_does_not_stay(tmp_path, walk_frames, monkeypatch):
    monkeypatch.setattr(writing, "_CHECKPOINT", 8)
    monkeypatch.setattr(writing, "_JOURNAL_BYTES", 1 << 16)
    path, m = tmp_path / "m.db", SpatialMemory()
    writer, log = MemoryWriter(m, path), tmp_path / "m.db-wal"
    remember(m, walk_frames[:30])
    writer.flush()
    large = log.stat().st_size
    for i in range(30, 33):
        remember(m, walk_frames[i : i + 1], i)
        writer.flush()
    assert large > 1 << 19 and log.stat().st_size < 0.8 * large
    writer.close()


def test_a_killed_process_loses_at_most_the_last_second(tmp_path, walk_frames):
    """The file opens after each kill, has no faults, and the next process goes on where it ends."""
    random, missing = np.random.default_rng(3), []
    for kill in range(KILLS):
        if kill % 10 == 0:
            path, kept = tmp_path / f"memory{kill}.db", 0
        journal, killed_at = _kill_one(path, walk_frames[::5], random.uniform(0.0, 1.5))
        facts = describe(path)
        assert find_faults(path) == []
        times = [at for _, at in journal]
        starved = max(np.diff(times[-50:]), default=0.0)  # a busy machine let the process wait so long
        safe = max([n for n, at in journal if at < killed_at - 1.0 - starved], default=kept)
        missing.append(killed_at - min([at for n, at in journal if n > facts["frames"]], default=killed_at))
        told = journal[-1][0] if journal else kept
        assert safe <= facts["frames"] <= told + 1, f"kill {kill}"  # the last one was not told any more
        with sqlite3.connect(path) as db:  # not all are there: newer ones made some redundant
            made = db.execute("SELECT max(id) + 1 FROM keyframes").fetchone()[0] or 0
        assert made >= facts["frames"] // 5 - kill % 10 - 1, "each kill may cost one"
        kept = facts["frames"]
    assert any(missing), "no kill fell between a frame and its commit: the test shows nothing"
    print(f"{KILLS} kills: lost {np.median(missing):.2f} s (median), {max(missing):.2f} s (most)")


def _kill_one(path: Path, views: list, after: float) -> tuple[list[tuple[int, float]], float]:
    """Starts a process on the file and kills it; what it said of frames, and when it died."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            remember_without_end(path, views, 50.0, os.fdopen(send, "w"))
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive) as said:
        assert said.readline() == "ready\n"
        time.sleep(after)
        killed_at = time.monotonic()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = [line.split() for line in said.read().splitlines()]
    return [(int(n), float(at)) for n, at in (line for line in lines if len(line) == 2)], killed_at


# ---- trouble ----


def test_a_full_disk_is_told_and_the_memory_goes_on(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    remember(memory, walk_frames[:10])
    writer.flush()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, before[1]))
        remember(memory, walk_frames[10:20], 10)
        with pytest.raises(InputError) as error:
            writer.flush()
        assert str(path) in str(error.value) and "goes on" in writer.trouble and "\n" not in writer.trouble
        remember(memory, walk_frames[20:25], 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(memory) > 0
    writer.flush()
    assert writer.trouble == ""
    writer.close()
    same_content(memory, SpatialMemory.load(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where it may not")
def test_a_read_only_folder_is_told(tmp_path, walk_frames):
    folder, memory = tmp_path / "locked", SpatialMemory()
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    _goes_on_without(folder / "memory.db", memory, walk_frames)


def test_a_place_that_cannot_be_written_is_told(tmp_path, walk_frames):
    folder, memory = tmp_path / "missing", SpatialMemory()
    writer = _goes_on_without(folder / "memory.db", memory, walk_frames)
    folder.mkdir()
    writer.flush()
    assert writer.trouble == "" and SpatialMemory.load(folder / "memory.db").frames == 5
    writer.close()


def _goes_on_without(path, memory, frames):
    writer = MemoryWriter(memory, path)
    assert str(path) in writer.trouble and "\n" not in writer.trouble
    remember(memory, frames[:5])
    assert memory.frames == 5 and len(memory) > 0
    return writer


def test_a_file_that_is_taken_away_is_begun_anew(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    writer = MemoryWriter(memory, path)
    remember(memory, walk_frames[:10])
    writer.flush()
    for p in tmp_path.iterdir():
        p.unlink()
    remember(memory, walk_frames[10:12], 10)
    writer.close()
    same_content(memory, SpatialMemory.load(path))


def test_who_took_the_file_over_keeps_it(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    first = MemoryWriter(memory, path)
    remember(memory, walk_frames[:10])
    first.flush()
    other = SpatialMemory.load(path)
    second = MemoryWriter(other, path)
    remember(other, walk_frames[10:15])
    second.flush()
    remember(memory, walk_frames[20:25], 20)
    with pytest.raises(InputError, match="another process writes it now"):
        first.flush()
    second.close()
    same_content(other, SpatialMemory.load(path))


def test_another_memorys_file_is_left_alone(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory()
    remember(memory, walk_frames[:3])
    memory.save(path)
    before = path.read_bytes()
    for wrong in (path, tmp_path / "notes.txt"):
        if wrong != path:
            wrong.write_text("mine")
        with pytest.raises(InputError) as error:
            MemoryWriter(SpatialMemory(), wrong)
        assert "\n" not in str(error.value)
    assert path.read_bytes() == before and (tmp_path / "notes.txt").read_text() == "mine"


def test_a_dense_frame_is_written_whole_and_with_the_next_one_as_cells(tmp_path):
    camera, memory = Camera.from_hfov(320, 240, 0.5), SpatialMemory()
    frames = [render(two_rooms(), camera_pose(1.0, 1.5, 0.01 * k), k + 1, camera) for k in range(3)]
    writer = MemoryWriter(memory, tmp_path / "memory.db")
    memory.add_keyframe(Keyframe(0, frames[0], 0.5, 9, "overlap"))
    for k, f in enumerate(frames):
        memory.integrate(f)
        writer.flush()
        (cloud,) = SpatialMemory.load(tmp_path / "memory.db").state.content.clouds
        whole = [v for v in cloud.views if v.color is not None]
        assert (len(whole), len(cloud.hits) > 0) == ((1, False) if k == 0 else (0, True))
        assert cloud.frames == k + 1 and sum(v.frames for v in cloud.views) == k + 1
        assert k == 0 or same_hits(cloud, memory.state.local_clouds()[0])
    assert cloud.hits["weight"].sum() == sum(((f.depth >= 0.1) & (f.depth <= 5.0)).sum() for f in frames)
    writer.close()
    assert find_faults(tmp_path / "memory.db") == []


# ---- version 1 ----


def test_a_file_of_version_1_is_read_and_becomes_version_2_when_written(tmp_path, walk_frames):
    path, memory = tmp_path / "memory.db", SpatialMemory(MemoryConfig(carve_frames=7))
    remember(memory, walk_frames[:20])
    memory.objects()
    write_version_1(memory, path)
    before = path.read_bytes()
    assert describe(path)["schema_version"] == 1 and find_faults(path) == []
    old = SpatialMemory.load(path)
    same_content(memory, old, clouds=False)  # their points are sorted into cells
    for c, d in zip(old.state.content.clouds, memory.state.local_clouds(), strict=True):
        assert 0 < len(c.hits) <= len(cloud_points(d, 0.05))
    assert old.config.carve_frames == 7 and len(old.sessions) == 2
    assert path.read_bytes() == before, "reading changes nothing"
    writer = MemoryWriter(old, path)
    remember(old, walk_frames[20:25])
    writer.close()
    assert describe(path)["schema_version"] == 2 and find_faults(path) == []
    same_content(old, SpatialMemory.load(path))
