"""Damage of many kinds: what is recovered has no fault, keeps all that is intact, and says what is lost."""

import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from test_writer import remember

from embodied_nav.cli.main import main
from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import describe, find_faults

PAGE = 4096


@pytest.fixture(scope="module")
def original(walk_frames, tmp_path_factory):
    """A memory of two maps, and its file."""
    memory = SpatialMemory()
    path = tmp_path_factory.mktemp("original") / "memory.db"
    remember(memory, walk_frames[:15])
    memory.save(path)
    memory.link.path = path
    memory.begin_map()
    remember(memory, walk_frames[15:40], first=0)
    memory.save(path)
    return memory, path


@pytest.fixture
def file(original, tmp_path):
    path = tmp_path / "memory.db"
    path.write_bytes(original[1].read_bytes())
    return path


def readable(path, table, key, columns):
    """Rows of a damaged database that can be read one by one, each by a connection of its own."""
    found = {}
    for number in range(200):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
                row = db.execute(f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} = ?", (number,)).fetchone()
        except sqlite3.Error:
            continue
        if row is not None:
            found[number] = row
    return found


def zero_pages(data, rng):
    for page in rng.sample(range(12, len(data) // PAGE), 4):
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    return data


def cut_short(data, rng):
    return data[: rng.randrange(len(data) // 3, len(data))]


def flip_bytes(data, rng):
    for at in rng.sample(range(12 * PAGE, len(data)), 60):
        data[at] ^= rng.randrange(1, 256)
    return data


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", [zero_pages, cut_short, flip_bytes])
def test_whatever_was_damaged_what_is_recovered_has_no_fault(original, file, tmp_path, damage, seed):
    file.write_bytes(damage(bytearray(file.read_bytes()), random.Random(seed)))
    before, new = file.read_bytes(), tmp_path / "new.db"
    good, there = (readable(path, "keyframes", "id", "pose, stamp") for path in (original[1], file))
    intact = {number: row for number, row in there.items() if good.get(number) == row}
    try:
        _, lost = SpatialMemory.recover(file, new)
    except InputError as error:
        assert "nothing in it can be recovered" in str(error) and not new.exists()
        return
    assert find_faults(new) == [] and file.read_bytes() == before
    kept = readable(new, "keyframes", "id", "pose, stamp")
    assert {number: kept.get(number) for number in intact} == intact, "what can be read is kept"
    assert lost or kept == good


def test_what_names_lost_keyframes_goes_with_them_but_not_what_they_saw(original, file, tmp_path, capsys):
    with closing(sqlite3.connect(file)) as db, db:
        of_map = "SELECT id FROM keyframes WHERE map = (SELECT number FROM maps WHERE uuid = ?) ORDER BY id"
        mine = [i for (i,) in db.execute(of_map, (original[0].uuid,))]
        gone = mine[1:3]
        db.execute(f"DELETE FROM keyframes WHERE id IN ({gone[0]}, {gone[1]})")
        deltas = db.execute("SELECT count(*) FROM deltas").fetchone()[0]
    assert any("name keyframe" in fault for fault in find_faults(file))
    new = tmp_path / "new.db"
    assert main(["memory", "recover", str(file), str(new), "--json"]) == 0
    lost = json.loads(capsys.readouterr().out)["lost"]
    assert find_faults(new) == []
    assert lost[0].startswith("in numbers: 2 of ") and " keyframes, 2 of " in lost[0] and "deltas" in lost[0]
    assert lost[1].startswith(f"keyframes {gone[0]}, {gone[1]}, ")
    found = SpatialMemory.load(new)
    assert sorted(found.keyframes) == [i for i in mine if i not in gone]
    clouds = {c.number: c for c in found.state.local_clouds()}
    for cloud in original[0].state.local_clouds():
        same = clouds[cloud.number]
        assert np.array_equal(same.hits, cloud.hits) and len(same.views) == len(cloud.views)
        assert same.keyframe_id == (-1 if cloud.keyframe_id in gone else cloud.keyframe_id)
    with closing(sqlite3.connect(new)) as db:
        assert db.execute("SELECT count(*) FROM deltas").fetchone()[0] == deltas - 2
    assert abs(len(found) - len(original[0])) < 0.1 * len(original[0])


def test_all_maps_of_a_file_come_along(original, file, tmp_path):
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE keyframes SET pose = x'00' WHERE id = (SELECT max(id) FROM keyframes)")
    found, lost = SpatialMemory.recover(file, tmp_path / "new.db")
    assert lost and find_faults(tmp_path / "new.db") == []
    before, after = describe(original[1]), describe(tmp_path / "new.db")
    assert {m["uuid"] for m in after["maps"]} == {m["uuid"] for m in before["maps"]} and len(after["maps"]) == 2
    assert after["map"] == before["map"] == found.uuid
    assert sum(m["keyframes"] for m in after["maps"]) == sum(m["keyframes"] for m in before["maps"]) - 1


def test_names_of_classes_that_are_lost(file, tmp_path):
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DELETE FROM classes WHERE number = (SELECT max(number) FROM classes)")
        last = db.execute("SELECT max(number) FROM classes").fetchone()[0]
    assert last >= 0
    SpatialMemory.recover(file, tmp_path / "new.db")
    assert find_faults(tmp_path / "new.db") == []


def test_without_the_log_of_its_last_commits(original, tmp_path, walk_frames):
    from embodied_nav.memory.file.writer import MemoryWriter

    path = tmp_path / "live.db"
    memory = SpatialMemory()
    writer = MemoryWriter(memory, path, 0.0)
    remember(memory, walk_frames[:12])
    writer.flush()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())  # and not what stands beside it
    writer.close()
    try:
        SpatialMemory.recover(copy, tmp_path / "new.db")
    except InputError as error:
        assert "nothing" in str(error)
    else:
        assert find_faults(tmp_path / "new.db") == []


LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("PRAGMA journal_mode = DELETE")
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_locked_file_is_not_damaged(file, tmp_path, monkeypatch):
    from embodied_nav.memory.file import memory_file

    monkeypatch.setattr(memory_file, "_BUSY", 0.1)
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        for action in (SpatialMemory.load, find_faults, lambda path: SpatialMemory.recover(path, tmp_path / "new.db")):
            with pytest.raises(InputError, match="locked") as told:
                action(file)
            assert "damaged" not in str(told.value) and "end it" in str(told.value)
    finally:
        holder.communicate("")
    assert find_faults(file) == []


def test_damaged_and_open_elsewhere_is_told_apart(file, tmp_path):
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    hold = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM meta').fetchall()\n"
    hold += "print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "open\n"
        with open(file, "r+b") as damaged:
            damaged.seek(PAGE * 20)
            damaged.write(bytes(40 * PAGE))
        with pytest.raises(InputError, match=f"process {holder.pid} has it open"):
            SpatialMemory.recover(file, tmp_path / "new.db")
    finally:
        holder.communicate("")
    SpatialMemory.recover(file, tmp_path / "new.db")


@pytest.mark.parametrize(
    "code, told",
    [("SQLITE_READONLY_DIRECTORY", "read-only"), ("SQLITE_CANTOPEN", "read-only"), ("SQLITE_IOERR_READ", "the disk")],
)
def test_what_cannot_be_opened_is_not_damaged(file, monkeypatch, code, told):
    from embodied_nav.memory.file import memory_file

    def refuse(path):
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = getattr(sqlite3, code)
        raise error

    monkeypatch.setattr(memory_file, "_connect", refuse)
    with pytest.raises(InputError, match=told) as found:
        SpatialMemory.load(file)
    assert "damaged" not in str(found.value)
