"""Where a map has its origin in the coordinates that it was recorded in stays in its file."""

import pytest

from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import describe
from embodied_nav.memory.file.memory_file import create_empty, note_origin


def test_an_origin_is_kept_when_the_file_is_written_anew(tmp_path):
    path = tmp_path / "memory.db"
    create_empty(path)
    assert describe(path)["origin_m"] == [0.0, 0.0, 0.0]
    note_origin(path, (448_000.0, 5_412_000.0, 0.0))
    SpatialMemory.load(path).save(path)
    assert describe(path)["origin_m"] == [448_000.0, 5_412_000.0, 0.0]
    SpatialMemory().save(path)
    assert describe(path)["origin_m"] == [0.0, 0.0, 0.0], "of another map"


def test_only_a_memory_file_takes_one(tmp_path):
    (tmp_path / "other.db").write_text("something else")
    with pytest.raises(InputError, match="no memory file"):
        note_origin(tmp_path / "other.db", (1.0, 2.0, 3.0))
