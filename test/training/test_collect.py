"""States as rows: written, read back, gone on with after an interruption."""

import json

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.reasoner import RulesPolicy, situation
from embodied_nav.reasoner.prompt import parse_answer
from embodied_nav.sim.episodes import make_episode
from embodied_nav.training.reasoner import collect as module
from embodied_nav.training.reasoner.codec import from_dict, record_of, to_dict
from embodied_nav.training.reasoner.collect import CollectConfig, Wandering, collect, main, read_rows
from embodied_nav.training.reasoner.explorer import Explorer

FEW = CollectConfig(per_episode=1, worlds=2)


@pytest.fixture(scope="module")
def state():
    explorer = Explorer(make_episode(1, "relation", 0))
    return explorer.states(RulesPolicy(), time_limit=25.0)[-1]


def test_a_state_survives_json(state):
    before = state.before
    recorded = record_of(state.context, before.decisions, before.stamp * 1e-9, before.driven)
    text = json.dumps(to_dict(recorded), allow_nan=False)
    again = from_dict(json.loads(text))
    assert json.dumps(to_dict(again), allow_nan=False) == text
    a, b = again.context, state.context
    assert a.instruction == b.instruction and a.target == b.target
    assert [(o.letter, o.kind, o.text, o.object_id) for o in a.options] == [
        (o.letter, o.kind, o.text, o.object_id) for o in b.options
    ]
    for one, two in zip(a.facts, b.facts, strict=True):
        assert one.current == two.current and one.key == two.key
        assert np.allclose([one.cost, one.gain, one.affinity], [two.cost, two.gain, two.affinity], atol=1e-4)
    assert [(o.id, o.name, o.confirmed) for o in a.objects] == [(o.id, o.name, o.confirmed) for o in b.objects]
    assert RulesPolicy().answer(a) == RulesPolicy().answer(b)
    assert situation(a) == situation(b) and "After" in situation(b) and "Before" in situation(b)
    assert len(recorded.rooms) >= 2 and len(recorded.past) == min(5, len(before.decisions))
    ids = {r.id for r in recorded.rooms}
    assert all(door[3] in ids for r in recorded.rooms for door in r.doors)
    assert all(abs(sum(p for _, p in r.kinds) - 1.0) < 0.2 for r in recorded.rooms)


def test_rows_of_another_version_or_cut_ones_are_refused(state):
    row = to_dict(record_of(state.context, (), 1.0, 0.0))
    for damaged in (row | {"version": 0}, {k: v for k, v in row.items() if k != "options"}, row | {"stage": 7}):
        with pytest.raises(InputError, match="collect the states anew"):
            from_dict(damaged)


def test_wandering_takes_any_option_but_stop(state):
    policy = Wandering(RulesPolicy(), 1.0, "seed")
    kinds = {
        state.context.options[parse_answer(policy.answer(state.context), state.context.options)[0]].kind
        for _ in range(30)
    }
    assert len(kinds) >= 1 and "stop" not in kinds


def test_collects_and_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "a" / "states.jsonl"
    assert collect(path, range(1, 3), 2, FEW) == 2
    rows = list(read_rows([path]))
    assert len(rows) == 2
    for row in rows:
        recorded = from_dict(row["state"])
        count = len(recorded.context.options)
        assert row["rules"] == RulesPolicy().answer(recorded.context)
        spl = np.array(row["returns"]["spl"])
        assert spl.shape == (count, row["worlds"]) and (spl >= 0.0).all() and (spl <= 1.0).all()
    whole = path.read_text()
    path.write_text(whole + '{"episode": 2, "ro')  # killed while writing
    asked = []
    monkeypatch.setattr(module, "collect_episode", lambda i, *_: asked.append(i) or [rows[0]])
    assert collect(path, range(1, 3), 4, FEW) == 4
    assert asked == [2, 3] and path.read_text().startswith(whole)
    with pytest.raises(InputError, match="other settings"):
        collect(path, range(1, 3), 5, CollectConfig(per_episode=2, worlds=2))


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    out = str(tmp_path / "x.jsonl")
    for bad in (["--scenes", "a-b"], ["--shard", "3/2"], ["--worlds", "0"]):
        assert main(["--out", out, *bad]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "x.jsonl").write_text("no states\n")
    assert main(["--out", out]) == 2
    assert "no file of states" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no states|no file"):
        list(read_rows([out]))


def test_a_row_becomes_a_problem(state):
    from embodied_nav.training.reasoner.problems import Problem

    context = state.context
    count = len(context.options)
    answer = RulesPolicy().answer(context)
    chosen = parse_answer(answer, context.options)[0]
    spl = np.zeros((count, 2))
    spl[(chosen + 1) % count] = [0.5, 0.7]
    row = {
        "id": f"{state.before.episode.id}/7",
        "rules": answer,
        "state": to_dict(record_of(context, state.before.decisions, 1.0, 0.0)),
        "returns": {"spl": spl.tolist()},
    }
    problem = Problem.of_row(row)
    assert Problem.of_row({k: v for k, v in row.items() if k != "returns"}).returns == ()
    assert problem.scene == 1 and problem.rules == chosen and problem.prompt == situation(context)
    assert problem.best == (chosen + 1) % count
    assert problem.regret(chosen) == pytest.approx(0.6)
