"""The explorer: the real navigator over floor plans, forks of it, hidden worlds, returns of options."""

from collections import deque
from dataclasses import is_dataclass

import numpy as np
import pytest

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN
from embodied_nav.reasoner import FrontierPolicy, RulesPolicy
from embodied_nav.sim.episodes import apartment, make_episode
from embodied_nav.training.reasoner.explorer import Explorer, ExplorerConfig
from embodied_nav.training.reasoner.returns import option_returns
from embodied_nav.training.reasoner.worlds import HiddenWorlds, episode_in

RULES = RulesPolicy()


@pytest.fixture(scope="module")
def explored():
    """An explorer in the middle of its episode, and the states on the way there."""
    explorer = Explorer(make_episode(1, "object", 0))
    return explorer, explorer.states(RULES, time_limit=14.0)


def test_reaches_its_goal_and_is_the_same_every_time():
    episode = make_episode(1, "object", 0)
    first, second = (Explorer(episode).run(RULES) for _ in range(2))
    assert first == second
    assert first.success and first.stopped and 0.2 < first.spl <= 1.0
    assert first.path_length >= episode.geodesic_distance - 0.5
    assert first.distance_to_goal == 0.0


def test_says_nothing_that_is_not_so(explored):
    explorer, _ = explored
    truth, seen = explorer.floor.navigable.grid.data, explorer.seen
    assert (truth[seen == FREE] == FREE).all() and (truth[seen == OCCUPIED] == OCCUPIED).all()
    assert 0.05 < (seen != UNKNOWN).mean() < 0.9
    things = {o.instance: o for o in explorer.floor.objects}
    assert len(explorer.objects()) > 3
    for o in explorer.objects():
        thing = things[o.id]
        assert (o.label, o.color) == (thing.category, thing.color)
        half = np.hypot(*thing.extent[:2]) / 2.0
        assert np.linalg.norm(o.position[:2] - thing.center[:2]) <= half + 1e-6
        assert o.confirmed >= 1 and o.last_seen >= o.first_seen


def test_sees_only_what_is_in_view_and_not_behind_walls():
    navigable = apartment(1)[1]
    explorer = Explorer(make_episode(1, "object", 0))
    explorer.sense()
    yaw = float(explorer.pose[2])
    camera = explorer.pose[:2] + 0.1 * np.array([np.cos(yaw), np.sin(yaw)])
    places = navigable.grid.centers(np.argwhere(explorer.seen == FREE))
    places = places[np.hypot(*(places - explorer.pose[:2]).T) > 0.4]
    bearings = np.arctan2(*(places - camera).T[::-1]) - yaw
    assert (np.abs(np.remainder(bearings + np.pi, 2 * np.pi) - np.pi) < np.pi / 4 + 0.1).all()
    in_sight = [navigable.line_of_sight(camera, (*place, 0.1)) for place in places]
    assert len(in_sight) > 200 and np.mean(in_sight) > 0.95  # cells at a grazing edge


def test_errors_are_rare_and_repeatable():
    episode = make_episode(1, "object", 0)
    config = ExplorerConfig(error_rate=0.4, noise_seed=3)
    runs = [Explorer(episode, config) for _ in range(2)]
    for explorer in runs:
        explorer.run(RULES, time_limit=20.0)
    names = [[(o.id, o.label, o.color) for o in explorer.objects()] for explorer in runs]
    assert names[0] == names[1]
    things = {o.instance: (o.category, o.color) for o in runs[0].floor.objects}
    wrong = [things[i] != (label, color) for i, label, color in names[0]]
    assert 0 < sum(wrong) < 0.6 * len(wrong)


def test_a_fork_goes_on_alone(explored):
    explorer, _ = explored
    before = explorer.seen.copy(), explorer.pose.copy(), len(explorer.decisions), explorer.navigator.stage
    one, two = explorer.fork(), explorer.fork()
    a, b = one.run(RULES, time_limit=40.0), two.run(RULES, time_limit=40.0)
    assert a == b
    assert (explorer.seen == before[0]).all() and (explorer.pose == before[1]).all()
    assert len(explorer.decisions) == before[2] and explorer.navigator.stage == before[3]
    assert explorer.fork().run(FrontierPolicy(), time_limit=40.0).decisions > before[2]


def test_every_decision_is_a_state(explored):
    explorer, states = explored
    assert len(states) == len(explorer.decisions)
    for state, decision in zip(states, explorer.decisions, strict=True):
        assert [o.text for o in state.context.options] == [o.text for o in decision.options]
        again = state.before.fork()
        again.decide()
        assert again.decisions[-1].chosen == decision.chosen


def test_hidden_worlds_agree_with_what_was_seen_and_differ_elsewhere(explored):
    _, states = explored
    state = states[1]
    hidden = HiddenWorlds(state.before.episode)
    worlds = hidden.draw(state.before, 4, 1)
    assert len(worlds) >= 3
    seen, true = state.before.seen, worlds[0].floor
    for world in worlds[1:]:
        grid = world.floor.navigable.grid.data
        agree = (grid[seen == FREE] == FREE).mean()
        assert agree > 0.995 and (grid[seen == OCCUPIED] == OCCUPIED).mean() > 0.995
        assert (grid != true.navigable.grid.data).mean() > 0.01
        touched = state.before.touched
        assert set(touched) <= set(world.origin.tolist())
        for k, origin in enumerate(world.origin):
            if origin >= 0:
                assert world.floor.objects[k] == true.objects[origin]
        assert world.region.mask.any()
    again = hidden.draw(state.before, 4, 1)
    assert all(a.floor.objects == b.floor.objects for a, b in zip(worlds, again, strict=True))


@pytest.mark.parametrize("kind", ["object", "relation", "room", "route"])
def test_the_task_means_the_same_in_the_true_world(kind):
    from embodied_nav.language import parse_instruction

    description, navigable = apartment(2)
    episode = make_episode(2, kind, 0)
    there = episode_in(episode, parse_instruction(episode.instruction), description, navigable)
    assert there is not None
    assert {(g.instance, g.room) for g in there.goals} >= {(g.instance, g.room) for g in episode.goals}
    assert there.waypoints == episode.waypoints


def test_returns_tell_a_good_option_from_stopping(explored):
    _, states = explored
    state = states[1]
    worlds = HiddenWorlds(state.before.episode).draw(state.before, 2, 1)
    r = option_returns(state, worlds, RULES, time_limit=60.0)
    count = len(state.context.options)
    assert r.spl.shape == (count, len(worlds)) and len(r.value) == count
    assert state.context.options[-1].kind == "stop"
    assert r.value[-1] == 0.0 and r.time[-1].max() < 1.0 and r.value.max() > 0.3
    assert abs(float(r.advantage.sum())) < 1e-9 and r.spread > 0.3
    assert ((r.spl >= 0.0) & (r.spl <= 1.0)).all() and ((r.soft_spl >= 0.0) & (r.soft_spl <= 1.0)).all()


def test_a_fork_shares_nothing_that_changes(explored):
    """Whatever state the navigator gets, its forks must not write into each other's."""
    navigator = explored[0].navigator
    other = navigator.fork()
    for name, value in vars(navigator).items():
        changes = isinstance(value, (list, set, dict, deque)) or (
            is_dataclass(value) and not value.__dataclass_params__.frozen and name != "policy"
        )
        assert not changes or getattr(other, name) is not value, f"{name} is shared: copy it in Navigator.fork"
    assert other._near is not navigator._near and other._room_map is not navigator._room_map
