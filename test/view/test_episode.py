"""The recorded page: what was seen when, and a file that needs nobody."""

import base64
import gzip
import json
import re
from dataclasses import replace

import box_rooms
import numpy as np
import pytest
from pages import SECOND, SHIFT, decision, small_memory, thing

from embodied_nav.errors import InputError
from embodied_nav.view import MadeDecision, Way, record_episode, recorded, write_page
from embodied_nav.view.episode import first_seen, moments


@pytest.fixture(scope="module")
def memory():
    return small_memory()


@pytest.fixture(scope="module")
def record(memory):
    stamps = np.arange(1, 13) * SECOND
    way = Way(stamps, np.column_stack([np.linspace(0, 3, 12), np.zeros(12), np.zeros(12)]), np.zeros(12))
    made = [MadeDecision(3 * SECOND, decision(), 1.25)]
    return record_episode(memory, "find <the> sofa", "reached", way, made, (5.2, 1.0))


def data_of(page):
    """The JSON and the arrays that a page holds."""
    head = re.search(r"const D = (\{.*\}), COUNT = (\d+), POINTS = \"([^\"]*)\";", page)
    count, raw = int(head[2]), gzip.decompress(base64.b64decode(head[3]))
    positions = np.frombuffer(raw, "<i2", 3 * count).reshape(-1, 3)
    births = np.frombuffer(raw, "<u2", count, 6 * count)
    colors = np.frombuffer(raw, np.uint8, 3 * count, 8 * count).reshape(-1, 3)
    assert len(raw) == 12 * count
    return json.loads(head[1]), positions, births, colors


def test_voxels_are_born_with_the_keyframe_that_saw_them_first(memory):
    """Against casting every keyframe's pixels again."""
    voxels, found = memory.voxels(), moments(memory)
    births = first_seen(memory, voxels.positions, found, voxels.last_seen)
    expected, size = {}, memory.config.voxel_size
    boxes = box_rooms.two_rooms()
    for i, moment in reversed(list(enumerate(found))):
        frame = box_rooms.render(boxes, np.linalg.inv(SHIFT) @ moment.T_map_camera)
        rays = box_rooms.CAMERA.rays().astype(np.float64) @ moment.T_map_camera[:3, :3].T
        points = (rays * frame.depth[..., None] + moment.T_map_camera[:3, 3])[np.isfinite(frame.depth)]
        for cell in map(tuple, np.floor(points / size).astype(int)):
            expected[cell] = i
    cells = [tuple(c) for c in np.floor(voxels.positions.astype(np.float64) / size).astype(int)]
    pairs = [(b, expected[c]) for b, c in zip(births, cells, strict=True) if c in expected]
    assert len(pairs) > 0.9 * len(births)
    off = np.array([b - e for b, e in pairs])
    assert (off == 0).mean() > 0.97, "but for pixels on the border of voxels and beyond the largest depth"
    assert len(set(births.tolist())) > 6


def test_the_page_holds_what_was_recorded(record, tmp_path):
    size = write_page(tmp_path / "view.html", record)
    page = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert size == (tmp_path / "view.html").stat().st_size < 10_000_000
    head, positions, births, colors = data_of(page)
    assert head["title"] == "find <the> sofa" and "find &lt;the&gt; sofa" in page
    assert (np.diff(births.astype(int)) >= 0).all(), "drawing the first n shows what was known"
    there = positions * head["step"] + head["middle"]
    order = np.argsort(record.births, kind="stable")
    assert np.abs(there - record.positions[order]).max() < 0.001 + head["step"]
    assert (colors == record.colors[order]).all()
    assert head["seconds"] == 11.0 and len(head["moments"]) == 12 and len(head["way"]) == 12
    assert head["way"][3][:3] == [3.0, round(3 * 3 / 11, 3), 0.0]
    made = head["decisions"][0]
    assert (made["t"], made["chosen"], made["options"][1][0], made["driven"]) == (2.0, 1, "B", 1.2)
    assert head["goal"] == [5.2, 1.0] and head["objects"][0]["name"] == "red sofa"


def test_the_page_asks_nobody_and_holds_no_foreign_markup(record, tmp_path):
    record = replace(record, objects=(thing(label='</script><img src="http://example.com/x">'),), title="</title><b>")
    write_page(tmp_path / "view.html", record)
    page = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page, "the browser is forbidden to ask anybody"
    assert page.count("</script>") == 1 and page.count("<img") == 1 and "</title><b>" not in page
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?https?:", re.sub(r"const D = .*", "", page))


def test_a_large_map_is_thinned_below_the_limit(record, tmp_path, monkeypatch):
    random, count = np.random.default_rng(1), 900_000
    record = replace(
        record,
        positions=random.uniform(-20, 20, (count, 3)).astype(np.float32),
        colors=random.integers(0, 255, (count, 3)).astype(np.uint8),
        labels=np.zeros(count, np.int32),
        births=random.integers(0, 12, count).astype(np.int32),
    )
    assert write_page(tmp_path / "view.html", record) < 10_000_000
    _, positions, _, _ = data_of((tmp_path / "view.html").read_text(encoding="utf-8"))
    assert len(positions) > 100_000


def test_pictures_are_left_out_where_they_are_too_many(record, monkeypatch):
    whole = sum(len(m.picture) for m in record.moments)
    monkeypatch.setattr(recorded, "_PICTURES", whole // 3)
    head, *_ = data_of(recorded.page(record))
    with_picture = [bool(m["jpg"]) for m in head["moments"]]
    assert with_picture[0] and 2 <= sum(with_picture) <= 5


def test_a_map_on_its_side_is_turned_upright(memory):
    """A recording's z may point anywhere: what cameras had above is up in the page."""
    whole = record_episode(memory, "a")
    up = np.array([0.0, -1.0, 0.0])
    turned = record_episode(memory, "a", up=up)
    heights = memory.voxels().positions @ up
    assert np.allclose(turned.positions[:, 2], heights, atol=1e-4)
    assert not turned.rooms and whole.rooms
    o = turned.objects[0]
    assert np.isclose(o.position[2], memory.objects(include_gone=True)[0].position @ up, atol=1e-6)


def test_an_empty_memory_has_a_page_too(tmp_path):
    from embodied_nav.memory import SpatialMemory

    write_page(tmp_path / "view.html", record_episode(SpatialMemory(), "nothing"))
    head, positions, _, _ = data_of((tmp_path / "view.html").read_text(encoding="utf-8"))
    assert not len(positions) and head["moments"] == []


def test_where_it_cannot_be_written_one_line_says_so(record, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "none" / "view.html", record)
