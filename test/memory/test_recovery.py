"""What is good in a damaged file comes into a new one; nothing else does, and the damaged one stays as it is."""

import sqlite3

import numpy as np
import pytest
from test_writer import remember
from version_1 import write_version_1

from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import find_faults


@pytest.fixture(scope="module")
def memory(walk_frames):
    m = SpatialMemory()
    remember(m, walk_frames[:30])
    return m


@pytest.fixture
def file(memory, tmp_path):
    memory.save(tmp_path / "memory.db")
    return tmp_path / "memory.db"


def test_a_good_file_comes_whole(memory, file, tmp_path):
    found, lost = SpatialMemory.recover(file, tmp_path / "new.db")
    assert lost == [] and found.keyframes.keys() == memory.keyframes.keys() and len(found.deltas) == len(memory.deltas)
    assert find_faults(tmp_path / "new.db") == []


@pytest.mark.parametrize("part", [0.9, 0.6, 0.3])
def test_of_a_file_cut_short_what_is_left_is_saved(memory, file, tmp_path, part):
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    found, lost = SpatialMemory.recover(file, tmp_path / "new.db")
    assert find_faults(tmp_path / "new.db") == [] and (lost or found.keyframes.keys() == memory.keyframes.keys())
    kept = {c.number: c for c in found.state.local_clouds()}
    for original in memory.state.local_clouds():
        if original.number in kept and len(kept[original.number].hits) == len(original.hits):
            assert np.array_equal(kept[original.number].hits, original.hits)
    if part > 0.5:
        assert len(found.keyframes) > 0 and len(found) > 0
    assert file.stat().st_size == int(len(data) * part)


def test_pages_of_zeros_among_the_clouds(memory, file, tmp_path):
    data = bytearray(file.read_bytes())
    with sqlite3.connect(file) as db:
        try:
            pages = db.execute("SELECT pageno FROM dbstat WHERE name = 'parts' ORDER BY pageno").fetchall()
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite does not tell where its tables lie ({error})")
    middle = 4096 * (pages[len(pages) // 2][0] - 1)
    data[middle : middle + 3 * 4096] = bytes(3 * 4096)
    file.write_bytes(data)
    with pytest.raises(InputError, match="recover"):
        SpatialMemory.load(file)
    found, lost = SpatialMemory.recover(file, tmp_path / "new.db")
    assert lost and len(found) > 0.3 * len(memory) and find_faults(tmp_path / "new.db") == []


def test_one_bad_record_costs_only_itself(memory, file, tmp_path):
    with sqlite3.connect(file) as db:
        db.execute("UPDATE parts SET data = x'00' WHERE cloud = 2 AND kind = 'view_jpeg'")
        db.execute("UPDATE keyframes SET pose = x'00' WHERE id = 1")
    found, lost = SpatialMemory.recover(file, tmp_path / "new.db")
    assert any("cloud 2" in line for line in lost) and any("keyframe 1" in line for line in lost)
    assert sorted(found.keyframes) == [0, 2, 3, 4, 5]


def test_a_damaged_file_of_version_1(memory, tmp_path):
    memory.objects()
    write_version_1(memory, tmp_path / "old.db")
    with sqlite3.connect(tmp_path / "old.db") as db:
        db.execute("UPDATE clouds SET hits = x'00' WHERE number = 1")
    found, lost = SpatialMemory.recover(tmp_path / "old.db", tmp_path / "new.db")
    assert lost[0] == "in numbers: 1 of 7 clouds" and all("cloud 1" in line for line in lost[1:])
    assert len(found.keyframes) == 6


def test_what_is_no_memory_and_what_is_there_stay(memory, file, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for source, new in ((tmp_path / "notes.txt", tmp_path / "new.db"), (file, tmp_path / "notes.txt"),
                        (tmp_path / "missing.db", tmp_path / "new.db")):  # fmt: skip
        with pytest.raises(InputError) as error:
            SpatialMemory.recover(source, new)
        assert "\n" not in str(error.value)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(InputError):
        SpatialMemory.recover(file, tmp_path / "new.db")
    assert (tmp_path / "notes.txt").read_text() == "mine" and not (tmp_path / "new.db").exists()
