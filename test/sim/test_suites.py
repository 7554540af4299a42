"""The hard suite of episodes: what it asks for, and where it succeeds."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import Episode, Goal
from embodied_nav.sim.apartments import named
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.episodes import GoalRegion, apartment, episode_at, load_episodes, save_episodes
from embodied_nav.sim.goals import one_goal_region
from embodied_nav.sim.suites import suite_episode

SCENES = range(3)


@pytest.fixture(scope="module")
def episodes():
    return [suite_episode("hard", i, SCENES) for i in range(24)]


def test_plain_is_what_it_was():
    assert suite_episode("plain", 5, SCENES) == episode_at(5, SCENES)


def test_same_for_everyone_with_kinds_in_turn(episodes):
    assert [e.kind for e in episodes[:4]] == ["object", "relation", "room", "route"]
    assert suite_episode("hard", 7, SCENES) == episodes[7]
    assert len({e.id for e in episodes}) == 24
    assert {e.scene for e in episodes} == {"large-0", "large-1", "large-2"}


def test_buildings_are_large_and_found_by_name():
    for seed in SCENES:
        assert 8 <= len(apartment(f"large-{seed}")[0].rooms) <= 15
    assert len(describe("large-1").objects) == len(apartment("large-1")[0].objects)
    assert named("1003")[0] == 1003
    for name in ("huge-3", "large-", "large-x", "apartment"):
        with pytest.raises(InputError, match="large-1003"):
            describe(name)


def test_starts_far_from_every_goal_and_the_goal_can_be_reached(episodes):
    for e in episodes:
        description, navigable = apartment(e.scene)
        region = GoalRegion(description, navigable, e)
        assert region.mask.any() and e.geodesic_distance >= 3.0
        assert navigable.is_free(e.start[:2])
        assert region.passed(*e.start[:2]) == 0
        assert abs(region.distance(*e.start[:2], 0) - e.geodesic_distance) < 0.01


def test_of_several_things_only_the_meant_ones_are_goals(episodes):
    """Look-alikes: the category of an object's or a relation's goal occurs elsewhere, too."""
    excluding = 0
    for e in (e for e in episodes if e.kind in ("object", "relation")):
        things = {o.instance: o for o in apartment(e.scene)[0].objects}
        goals = {g.instance for g in e.goals}
        category = things[min(goals)].category
        alike = {o.instance for o in things.values() if o.category == category}
        assert category in e.instruction and goals < alike
        if "not" in e.instruction.split() or "anything but" in e.instruction:
            excluding += 1
            others = [things[i] for i in alike - goals]
            kinds = {r.id: r.kind for r in apartment(e.scene)[0].rooms}
            assert all(o.color in e.instruction or kinds[o.room] in e.instruction for o in others)
            assert not any(f" {things[g].color} one" in e.instruction for g in goals)
    assert excluding >= 2


def test_two_goals_are_reached_in_order(episodes):
    both = [e for e in episodes if e.stages]
    assert both
    for e in both:
        description, navigable = apartment(e.scene)
        region = GoalRegion(description, navigable, e)
        end = navigable.grid.centers(np.argwhere(region.mask)[0])
        first = navigable.grid.centers(np.argwhere(one_goal_region(description, navigable, e.stages[0][0]))[0])
        assert not region.reached(*end, 0)
        assert region.reached(*end, region.passed(*first, 0))
        path = region.path(*e.start[:2], 0)
        lengths = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        assert abs(lengths - e.geodesic_distance) < 0.03 * e.geodesic_distance + 0.1


def test_stages_are_kept_in_files(tmp_path, episodes):
    chosen = [e for e in episodes if e.stages][:1] + episodes[:1]
    save_episodes(tmp_path / "e.json.gz", chosen)
    for saved, e in zip(load_episodes(tmp_path / "e.json.gz"), chosen, strict=True):
        assert saved == e


def test_an_unknown_suite_is_refused():
    with pytest.raises(InputError, match="plain, hard"):
        suite_episode("harder", 0, SCENES)
    with pytest.raises(InputError):
        suite_episode("hard", -1, SCENES)
    assert Episode("a", "0", "route", "go", (0, 0, 0), (Goal("point", (0, 0, 0)),), 1.0).stages == ()
