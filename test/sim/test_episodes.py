"""Episodes: solvable, unambiguous, deterministic; goal regions; Habitat's file format."""

import gzip
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.frames import Episode, Goal
from embodied_nav.geometry import habitat_from_ros
from embodied_nav.planning.geodesic import line_of_sight
from embodied_nav.sim import episodes as module
from embodied_nav.sim.apartments import CATEGORIES
from embodied_nav.sim.episodes import (
    KINDS,
    GoalRegion,
    apartment,
    episode_at,
    load_episodes,
    make_episode,
    save_episodes,
)
from embodied_nav.sim.goals import object_region, room_region
from embodied_nav.sim.navigable import box_distance

SEEDS = range(1, 7)


@pytest.fixture(scope="module")
def made():
    return [make_episode(seed, kind, index) for seed in SEEDS for kind in KINDS for index in range(2)]


def test_every_episode_is_solvable_and_at_least_three_metres_long(made):
    for episode in made:
        description, navigable = apartment(int(episode.scene))
        region = GoalRegion(description, navigable, episode)
        x, y, _ = episode.start
        assert navigable.is_free((x, y))
        assert not region.reached(x, y)
        assert region.distance_field[navigable.cell((x, y))] >= 3.0
        assert region.distance(x, y, 0) == pytest.approx(episode.geodesic_distance, abs=1e-6)
        path = region.path(x, y, 0)
        length = np.hypot(*np.diff(path, axis=0).T).sum()
        assert length == pytest.approx(episode.geodesic_distance, rel=0.05, abs=0.1), episode
        passed, blocked = 0, ~navigable.free
        for a, b in itertools.pairwise(path):
            assert line_of_sight(blocked, navigable.cell(a), navigable.cell(b))
            for s in np.linspace(0, 1, 50):
                passed = region.passed(*(a + s * (b - a)), passed)
        assert region.reached(*path[-1], passed)


def test_same_name_same_episode(made):
    for episode in made[:6]:
        kind, index = episode.id.split("-")[1:]
        assert make_episode(int(episode.scene), kind, int(index)) == episode
    assert len({e.id for e in made}) == len(made)
    assert len({(e.scene, e.instruction, e.start) for e in made}) == len(made)


def test_object_instructions_name_all_matching_things_and_no_other(made):
    for episode in made:
        if episode.kind != "object":
            continue
        objects = apartment(int(episode.scene))[0].objects
        goals = [o for o in objects if o.instance in {g.instance for g in episode.goals}]
        names = {f"{o.color} {o.category}" for o in goals}
        assert len(names) == 1 and next(iter(names)) in episode.instruction
        assert len(goals) == sum(f"{o.color} {o.category}" in names for o in objects)
        assert all(CATEGORIES[o.category].goal for o in goals)


def test_relation_goals_stand_where_the_sentence_says(made):
    for episode in made:
        if episode.kind != "relation":
            continue
        objects = apartment(int(episode.scene))[0].objects
        word = next(w for w in (" beside ", " next to ", " near ", " on ") if w in episode.instruction)
        anchor_text = episode.instruction.split(word, 1)[1].removesuffix(" and stop there").split(" ", 1)[1]
        anchors = [o for o in objects if o.category == anchor_text]
        assert anchors
        goals = [o for o in objects if o.instance in {g.instance for g in episode.goals}]
        assert len({o.category for o in goals}) == 1
        for o in objects:
            if o.category != goals[0].category:
                continue
            corners = np.array([[u, v] for u in (-1, 0, 1) for v in (-1, 0, 1)]) * np.array(o.extent[:2]) / 2
            c, s = math.cos(o.yaw), math.sin(o.yaw)
            points = corners @ np.array([[c, s], [-s, c]]) + np.array(o.center[:2])
            gaps = [box_distance(points, a.center, a.extent, a.yaw).min() for a in anchors if a.room == o.room]
            near = min(gaps, default=9.0) <= 0.6
            assert near or o not in goals
            if o not in goals and word != " on ":
                assert min(gaps, default=9.0) > 0.5 or min(gaps) == 0.0


def test_room_instructions_mean_every_room_of_the_kind(made):
    for episode in made:
        if episode.kind != "room":
            continue
        rooms = apartment(int(episode.scene))[0].rooms
        kinds = {rooms[g.room].kind for g in episode.goals}
        assert len(kinds) == 1 and next(iter(kinds)) in episode.instruction
        assert {g.room for g in episode.goals} == {r.id for r in rooms if r.kind in kinds}


def test_routes_name_landmarks_that_exist_once(made):
    for episode in made:
        if episode.kind != "route":
            continue
        description, navigable = apartment(int(episode.scene))
        assert 1 <= len(episode.waypoints) <= 2 and len(episode.goals) == 1
        end = next(o for o in description.objects if o.instance == episode.goals[0].instance)
        assert end.category in episode.instruction
        region = GoalRegion(description, navigable, episode)
        x, y, _ = episode.start
        assert region.passed(x, y) == 0
        straight = region.distance(x, y)
        assert episode.geodesic_distance >= straight - 0.1
        gx, gy, _ = episode.goals[0].position
        if not any(w[navigable.cell((gx, gy))] for w in region.waypoints):
            assert not region.reached(gx, gy, 0)
        assert region.reached(gx, gy, len(episode.waypoints))


def test_object_region_is_near_and_in_sight():
    description, navigable = apartment(2)
    for thing in description.objects:
        region = object_region(navigable, thing)
        assert not (region & ~navigable.free).any()
        cells = np.argwhere(region)
        if len(cells):
            distance = box_distance(navigable.grid.centers(cells), thing.center, thing.extent, thing.yaw)
            assert distance.max() <= 1.0
            room = description.rooms[thing.room]
            # A wall 12 cm thick is not seen through; a doorway may be.
            share = (region & room_region(navigable, room)).sum() / region.sum()
            assert share > 0.5, thing


def test_room_region_is_the_room():
    description, navigable = apartment(3)
    together = np.zeros_like(navigable.free)
    for room in description.rooms:
        region = room_region(navigable, room)
        assert region.any() and not (region & together).any()
        together |= region
    # What is left are doorways.
    assert together.sum() > 0.9 * navigable.free.sum()


def test_episode_at_mixes_scenes_and_kinds_evenly(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "make_episode", lambda *a: calls.append(a))
    for i in range(2 * 4 * 5):
        episode_at(i, [10, 11, 12, 13, 14])
    assert len(set(calls)) == 40
    for scene in range(10, 15):
        for kind in KINDS:
            assert [c[2] for c in calls if c[:2] == (scene, kind)] == [0, 1]
    assert [c[1] for c in calls[:8]] == list(KINDS) * 2


def test_bad_requests():
    with pytest.raises(InputError, match="kind"):
        make_episode(1, "dance", 0)
    with pytest.raises(InputError, match="scenes"):
        episode_at(0, [])
    with pytest.raises(InputError, match="episode -1"):
        episode_at(-1, [1])


finite = st.floats(-1e3, 1e3, allow_nan=False)
points = st.tuples(finite, finite, finite)
goals = st.builds(Goal, st.sampled_from(["object", "room", "point"]), points, st.integers(0, 999), st.integers(-1, 20))
any_episode = st.builds(
    Episode,
    id=st.text(min_size=1, max_size=20),
    scene=st.from_regex(r"[0-9]{1,4}|[a-z]{1,8}/[a-z]{1,8}\.glb", fullmatch=True),
    kind=st.sampled_from(KINDS),
    instruction=st.text(max_size=60),
    start=st.tuples(finite, finite, st.floats(-math.pi, math.pi)),
    goals=st.lists(goals, max_size=4).map(tuple),
    geodesic_distance=st.floats(0, 1e4),
    waypoints=st.lists(points, max_size=3).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_episode, max_size=4))
@example([Episode("0", "1", "object", "", (-0.0, -0.0, -0.0), (Goal("point", (-0.0, 0.0, -0.0)),), -0.0)])
@example([Episode("0", "1", "object", "", (1, 2, -math.pi), (), 3)])
def test_round_trip(tmp_path_factory, episodes):
    path = tmp_path_factory.mktemp("round") / "episodes.json.gz"
    save_episodes(path, episodes)
    assert load_episodes(path) == episodes
    first = path.read_bytes()
    save_episodes(path, load_episodes(path))
    assert path.read_bytes() == first


def test_an_unknown_length_stays_unknown(tmp_path):
    episode = Episode("7", "3", "object", "find the red sofa", (1.0, 2.0, 0.0), (), math.nan)
    save_episodes(tmp_path / "e.json.gz", [episode])
    (loaded,) = load_episodes(tmp_path / "e.json.gz")
    assert math.isnan(loaded.geodesic_distance)


def test_written_in_habitats_axes(tmp_path):
    episode = Episode(
        "7", "3", "object", "find the red sofa", (1.0, 2.0, math.pi / 2), (Goal("object", (4, 5, 0.5), 9),), 6.5
    )
    save_episodes(tmp_path / "e.json.gz", [episode])
    row = json.loads(gzip.decompress((tmp_path / "e.json.gz").read_bytes()))["episodes"][0]
    assert row["start_position"] == [-2.0, 0.0, -1.0]
    np.testing.assert_allclose(row["start_rotation"], [0, math.sqrt(0.5), 0, math.sqrt(0.5)], atol=1e-12)
    assert row["goals"][0]["position"] == habitat_from_ros(np.array([4, 5, 0.5])).tolist()
    assert row["info"]["geodesic_distance"] == 6.5
    assert row["instruction"]["instruction_text"] == "find the red sofa"
    allowed = {
        "episode_id",
        "scene_id",
        "start_position",
        "start_rotation",
        "info",
        "goals",
        "instruction",
        "reference_path",
    }
    assert set(row) <= allowed


def write(path, document):
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    return path


def test_reads_vln_ce(tmp_path):
    row = {
        "episode_id": 1,
        "trajectory_id": 4,
        "scene_id": "mp3d/zsNo4HB9uLZ/zsNo4HB9uLZ.glb",
        "start_position": [10.257, 0.093, -2.379],
        "start_rotation": [0.0, 0.7071067811865476, 0.0, 0.7071067811865476],
        "info": {"geodesic_distance": 6.425},
        "goals": [{"position": [12.5, 0.09, -8.0], "radius": 3.0}],
        "instruction": {"instruction_text": "Walk out.", "instruction_tokens": [1, 2]},
        "reference_path": [[10.257, 0.093, -2.379], [12.5, 0.09, -8.0]],
    }
    path = write(tmp_path / "val.json.gz", {"episodes": [row], "instruction_vocab": {}})
    (episode,) = load_episodes(path)
    assert (episode.id, episode.kind, episode.instruction) == ("1", "route", "Walk out.")
    np.testing.assert_allclose(episode.start, (2.379, -10.257, math.pi / 2))
    assert episode.goals == (Goal("point", (8.0, -12.5, 0.09)),)
    assert episode.geodesic_distance == 6.425


def test_reads_objectnav(tmp_path):
    row = {
        "episode_id": "0",
        "scene_id": "hm3d/val/00800-TEE/TEE.basis.glb",
        "start_position": [-1.0, 0.5, 2.0],
        "start_rotation": [0, 0, 0, 1],
        "info": {"geodesic_distance": 4.0},
        "goals": [],
        "object_category": "tv_monitor",
    }
    target = {"position": [1.0, 1.0, 1.0], "object_id": 12, "view_points": []}
    document = {"episodes": [row], "goals_by_category": {"TEE.basis.glb_tv_monitor": [target, target]}}
    (episode,) = load_episodes(write(tmp_path / "val.json.gz", document))
    assert (episode.kind, episode.instruction, len(episode.goals)) == ("object", "find a tv monitor", 2)
    np.testing.assert_allclose(episode.start, (-2.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"plain text", "not gzip"),
        (gzip.compress(b"{"), "not gzip"),
        (gzip.compress(b"[]"), "episodes"),
        (gzip.compress(b"{}")[:-4], "not gzip"),
        (gzip.compress(b'{"episodes": [{"episode_id": 1}]}'), "episode 0 misses"),
        (gzip.compress(b'{"episodes": [7]}'), "episode 0"),
    ],
    # gzip writes the time of day into its files: the ids must not, for the tests that run side by side.
    ids=["text", "brace", "list", "cut", "no start", "number"],
)
def test_bad_files_are_one_clear_line(tmp_path, content, says):
    path = tmp_path / "bad.json.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        load_episodes(path)
    assert "\n" not in str(error.value) and "bad.json.gz" in str(error.value)


def test_missing_and_unwritable_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_episodes(tmp_path / "none.json.gz")
    with pytest.raises(InputError, match="cannot be written"):
        save_episodes(tmp_path / "no" / "folder.json.gz", [])


def test_a_not_finite_position_is_refused(tmp_path):
    row = {"episode_id": 1, "scene_id": "3", "start_position": [0, 0, None], "start_rotation": [0, 0, 0, 1]}
    with pytest.raises(InputError, match="episode 0"):
        load_episodes(write(tmp_path / "nan.json.gz", {"episodes": [row]}))
