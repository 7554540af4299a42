"""Habitat's episode files and protocols; what is wrong with a file is one line."""

import copy
import gzip
import math

import pytest

from embodied_nav.errors import InputError
from embodied_nav.sim.habitat.datasets import load_dataset
from embodied_nav.sim.habitat.protocols import PROTOCOLS

from .conftest import objectnav, route, write_json


@pytest.fixture
def folder(house):
    return house.parent.parent


def test_objectnav(folder, objectnav_file, house):
    found = load_dataset(objectnav_file, folder)
    assert found.protocol.name == "objectnav-hm3d" and [e.id for e in found.episodes] == ["house-0", "house-1"]
    episode = found.episodes[0]
    assert episode.scene == str(house) and episode.kind == "object" and episode.instruction == "find a table"
    assert len(episode.targets) == 102 and episode.radius == 0.1 and not episode.reference
    assert episode.position == (-3.0, 0.1, 2.0) and episode.start == (-2.0, 3.0, 0.0), "ROS: x = -z, y = -x"
    assert math.isclose(found.episodes[1].start[2], 1.0)


def test_objectnav_in_a_folder_of_contents(tmp_path, folder):
    """HM3D's layout: the file itself holds no episode; scenes_dir may be any folder that scene_id goes through."""
    document = objectnav(3)
    document["episodes"][0]["scene_id"] = "data/scene_datasets/houses/house.glb"
    write_json(tmp_path / "content" / "house.json.gz", document)
    path = write_json(tmp_path / "val.json.gz", {"episodes": []})
    for scenes in (folder, folder / "houses"):
        assert [e.id for e in load_dataset(path, scenes).episodes] == ["house-0", "house-1", "house-2"]


def test_r2r_with_and_without_its_ground_truth(tmp_path, folder):
    path = write_json(tmp_path / "val.json.gz", route())
    found = load_dataset(path, folder)
    episode = found.episodes[0]
    assert found.protocol.name == "vlnce-r2r" and episode.radius == 3.0 and episode.id == "11"
    assert len(episode.reference) == 3 and not episode.exact_reference and episode.kind == "route"
    write_json(tmp_path / "val_gt.json.gz", {"11": {"locations": [[0, 0, 0], [1, 0, 0]], "actions": [1]}})
    episode = load_dataset(path, folder).episodes[0]
    assert episode.reference == ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)) and episode.exact_reference


def test_rxr_takes_english(tmp_path, folder):
    document = route("hi-IN")
    document["episodes"] += route("en-IN")["episodes"]
    document["episodes"][1]["episode_id"] = 12
    path = write_json(tmp_path / "val_unseen_guide.json.gz", document)
    found = load_dataset(path, folder)
    assert found.protocol.name == "vlnce-rxr" and [e.id for e in found.episodes] == ["12"] and found.left_out == 1
    assert len(load_dataset(path, folder, "vlnce-r2r").episodes) == 2, "R2R's protocol has no languages"


def test_the_published_numbers():
    hm3d, r2r, rxr = (PROTOCOLS[name] for name in ("objectnav-hm3d", "vlnce-r2r", "vlnce-rxr"))
    assert [p.radius for p in (hm3d, r2r, rxr)] == [0.1, 3.0, 3.0] and {p.steps for p in PROTOCOLS.values()} == {500}
    assert [round(math.degrees(p.turn)) for p in (hm3d, r2r, rxr)] == [30, 15, 30]
    assert [p.sliding for p in (hm3d, r2r, rxr)] == [False, True, False]
    assert round(math.degrees(rxr.hfov)) == 79 and all(p.traps for p in PROTOCOLS.values())


def test_episodes_are_chosen_evenly(tmp_path, folder):
    found = load_dataset(write_json(tmp_path / "a.json.gz", objectnav(10)), folder)
    assert [e.id for e in found.chosen(3)] == ["house-0", "house-3", "house-6"]
    assert len(found.chosen(99)) == len(found.chosen(0)) == 10


def broken(change, document=None):
    document = copy.deepcopy(document or objectnav())
    change(document["episodes"][0], document)
    return document


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (broken(lambda e, d: e.pop("start_rotation")), "episode 0 misses 'start_rotation'"),
        (broken(lambda e, d: e.update(start_position=[0, 1])), "episode 0 cannot be read"),
        (broken(lambda e, d: e.update(start_position=[0, 1, math.nan])), "episode 0 cannot be read"),
        (broken(lambda e, d: d.update(goals_by_category={})), "episode 0 misses 'house.glb_table'"),
        (broken(lambda e, d: e.update(scene_id="../../etc/passwd")), "leads out of the scenes' folder"),
        (broken(lambda e, d: e.update(scene_id="hm3d/none.glb")), "has no scene hm3d/none.glb; give the folder"),
        (broken(lambda e, d: d["goals_by_category"]["house.glb_table"][0].update(view_points=[])), "no view points"),
        (broken(lambda e, d: e.pop("goals"), route()), "a test split is judged by its leaderboard"),
        (broken(lambda e, d: d["episodes"].append(e), route()), "two of its episodes have one episode_id"),
        ({"episodes": []}, "holds no episode, nor does a folder content/ beside it"),
        ({"scenes": []}, "has no list 'episodes'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, folder, content, line):
    with pytest.raises(InputError, match=line) as raised:
        load_dataset(write_json(tmp_path / "a.json.gz", content), folder)
    assert "\n" not in str(raised.value)


def test_other_mistakes_are_one_line_each(tmp_path, folder, objectnav_file, route_file):
    plain, bad = tmp_path / "plain.json.gz", tmp_path / "bad_gt.json.gz"
    plain.write_bytes(b"{}")
    write_json(tmp_path / "bad.json.gz", route())
    bad.write_bytes(gzip.compress(b"[1"))
    for path, scenes, protocol, line in (
        (tmp_path / "none.json.gz", folder, "auto", "no such file"),
        (plain, folder, "auto", "not gzip JSON"),
        (objectnav_file, tmp_path / "nowhere", "auto", "--scenes-dir .*nowhere: there is no such folder"),
        (objectnav_file, folder, "vlnce-r2r", "the data set is an ObjectNav one"),
        (route_file, folder, "objectnav-hm3d", "the data set is a VLN-CE one"),
        (route_file, folder, "habitat", "unknown; give one of auto, objectnav-hm3d, vlnce-r2r, vlnce-rxr"),
        (tmp_path / "bad.json.gz", folder, "auto", "bad_gt.json.gz: cannot be read"),
    ):
        with pytest.raises(InputError, match=line):
            load_dataset(path, scenes, protocol)
