"""Statistics, the results file, drivers and the batch."""

import json
import math

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.evaluation.batch import Job, run_all, run_job
from embodied_nav.evaluation.drivers import AGENTS, create_driver
from embodied_nav.evaluation.results import COLUMNS, Journal, load_results
from embodied_nav.evaluation.runner import run_episode
from embodied_nav.evaluation.statistics import bootstrap, paired_difference, summarize
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode

SETTINGS = {"agent": "rules", "perception": "simulator", "localization": "truth", "scenes": "0-3", "seed": 0}


def row(i, kind="object", success=True, spl=0.5, **other):
    values = dict.fromkeys(COLUMNS, 0.0)
    values.update(id=f"0-{kind}-{i}", scene="0", kind=kind, success=success, spl=spl * success, path_length=10.0)
    values.update(steps=100, collisions=0, oracle_success=success, wall_s=1.0, **other)
    return values


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for k in range(200):
        _, low, high = bootstrap(rng.normal(0.3, 1.0, 60), seed=k)
        inside += low <= 0.3 <= high
    assert 0.89 < inside / 200 < 0.99


def test_bootstrap_is_repeatable_and_narrows():
    values = np.random.default_rng(1).random(400)
    assert bootstrap(values) == bootstrap(values)
    wide, narrow = bootstrap(values[:40]), bootstrap(values)
    assert narrow[2] - narrow[1] < wide[2] - wide[1]
    assert bootstrap([1.0, 1.0]) == (1.0, 1.0, 1.0)


def test_summary_counts_kinds_and_leaves_the_unreachable_out_of_distances():
    rows = [row(0), row(1, success=False), row(2, "room", distance_to_goal=None)]
    rows[2]["collisions"] = 3
    s = summarize(rows)
    assert s["object"]["episodes"] == 2
    assert s["object"]["success"]["mean"] == 0.5
    assert s["room"]["unreachable"] == 1
    assert s["room"]["distance_to_goal"] is None
    assert s["all"]["collisions_per_20_m"] == pytest.approx(2.0)


def test_paired_difference_pairs_by_id_and_beats_the_unpaired_interval():
    rng = np.random.default_rng(2)
    base = rng.random(80)
    a = [row(i, spl=b + 0.05) for i, b in enumerate(base)]
    b = [*(row(i, spl=b) for i, b in reversed(list(enumerate(base)))), row(999)]
    d = paired_difference(a, b)["all"]
    assert d["episodes"] == 80
    assert d["spl"]["low"] == pytest.approx(0.05)
    assert paired_difference(a, [row(5000)]) == {}


def test_intervals_are_over_apartments_not_over_episodes():
    """Ten episodes in each of eight apartments that are all alike inside say no more than eight numbers."""
    means = np.random.default_rng(3).random(8)
    rows = [row(10 * s + k, spl=m) | {"scene": str(s)} for s, m in enumerate(means) for k in range(10)]
    found, alone = summarize(rows)["all"]["spl"], bootstrap(means)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx(alone)
    naive = bootstrap([r["spl"] for r in rows])
    assert found["high"] - found["low"] > 2.0 * (naive[2] - naive[1])
    difference = paired_difference(rows, [r | {"spl": 0.0} for r in rows])["all"]["spl"]
    assert (difference["low"], difference["high"]) == pytest.approx(alone[1:])


def test_clusters_of_unlike_size_keep_the_mean_of_all_values():
    values, clusters = [0.0] * 9 + [1.0], ["a"] * 9 + ["b"]
    mean, low, high = bootstrap(values, clusters=clusters)
    assert mean == pytest.approx(0.1) and (low, high) == (0.0, 1.0), "apartment a, apartment b or both may be drawn"
    assert bootstrap(values, clusters=["a"] * 10) == bootstrap(values), "one apartment: its episodes"


def test_clustered_intervals_cover_the_mean_of_all_apartments():
    rng, inside = np.random.default_rng(4), 0
    clusters = np.repeat(np.arange(30), 5)
    for k in range(150):
        values = np.repeat(rng.normal(0.3, 1.0, 30), 5) + rng.normal(0.0, 0.5, 150)
        _, low, high = bootstrap(values, seed=k, clusters=clusters.tolist())
        inside += low <= 0.3 <= high
    assert 0.85 < inside / 150 <= 0.99


def test_measures_of_the_last_metres_are_of_things_only_and_missing_in_older_files():
    rows = [row(k) | {"in_view": k < 3, "success_0_5": False} for k in range(4)]
    rows += [row(0, "room") | {"in_view": None, "success_0_5": None}]
    s = summarize(rows)
    assert s["all"]["in_view"]["mean"] == s["object"]["in_view"]["mean"] == 0.75 and s["room"]["in_view"] is None
    older = [{k: v for k, v in r.items() if k not in ("in_view", "success_0_5")} for r in rows]
    assert summarize(older)["all"]["in_view"] is None
    difference = paired_difference(rows, older)
    assert difference["object"]["in_view"] is None and difference["all"]["spl"]["mean"] == 0.0
    assert paired_difference(rows, rows)["all"]["in_view"]["mean"] == 0.0


def test_journal_resumes_after_a_kill_in_the_middle_of_a_line(tmp_path):
    out = tmp_path / "r.json"
    journal = Journal(out, SETTINGS)
    journal.add(row(0))
    journal.close()
    with open(journal.partial, "a") as f:
        f.write('{"id": "0-object-1", "succ')
    again = Journal(out, SETTINGS)
    assert list(again.rows) == ["0-object-0"]
    again.add(row(1))
    content = again.finish(["0-object-0", "0-object-1"])
    assert not again.partial.exists()
    assert json.loads(out.read_text()) == json.loads(json.dumps(content))
    assert [r["id"] for r in load_results(out)["episodes"]] == ["0-object-0", "0-object-1"]
    assert {"agent", "perception", "localization", "episodes", "summary"} <= set(content)
    assert set(COLUMNS) == set(content["episodes"][0])


def test_results_of_other_settings_are_not_touched(tmp_path):
    out = tmp_path / "r.json"
    journal = Journal(out, SETTINGS)
    journal.add(row(0))
    journal.finish(["0-object-0"])
    before = out.read_bytes()
    with pytest.raises(InputError, match="other settings"):
        Journal(out, {**SETTINGS, "agent": "frontier"})
    assert out.read_bytes() == before
    assert len(Journal(out, SETTINGS).rows) == 1


#: As SETTINGS, said in full.
WHOLE = {**SETTINGS, "simulator": "embedded", "suite": "plain", "set": {}, "weights": {}}


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "partial"])
@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"agent": "frontier"}, ["agent rules (now frontier)"]),
        ({"perception": "geometric", "localization": "slam"}, ["perception simulator", "truth (now slam)"]),
        ({"suite": "hard"}, ["suite plain (now hard)"]),
        ({"simulator": "habitat"}, ["simulator embedded (now habitat)"]),
        ({"set": {"memory.voxel_size": 0.1}}, ["set memory.voxel_size by default (now 0.1)"]),
        ({"weights": {"perception.detector.file": "ab12"}}, ["weights perception.detector.file by default (now ab12)"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [SETTINGS, WHOLE], ids=["of an earlier version", "whole"])
def test_every_setting_that_differs_is_named(tmp_path, before, other, told, finished):
    journal = Journal(tmp_path / "r.json", before)
    journal.add(row(0))
    if finished:
        journal.finish(["0-object-0"])
    journal.close()
    with pytest.raises(InputError) as refused:
        Journal(tmp_path / "r.json", {**WHOLE, **other})
    assert all(text in str(refused.value) for text in told) and "\n" not in str(refused.value)
    assert len(Journal(tmp_path / "r.json", WHOLE).rows) == 1, "the same in full"


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"episodes": 3}', '{"episodes": [{"id": 1}]}'])
def test_bad_results_files_are_named(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json"):
        load_results(path)


def test_infinite_distances_are_written_as_null(tmp_path):
    journal = Journal(tmp_path / "r.json", SETTINGS)
    journal.add(row(0) | {"distance_to_goal": math.nan})
    journal.finish(["0-object-0"])
    assert load_results(tmp_path / "r.json")["episodes"][0]["distance_to_goal"] is None


def test_unknown_agent_and_localization():
    with pytest.raises(InputError, match="rules"):
        create_driver("genius", "simulator", RobotProfile())
    with pytest.raises(InputError, match="geometric"):
        create_driver("rules", "clairvoyant", RobotProfile())
    simulator = EmbeddedSimulator()
    with pytest.raises(InputError, match="truth"):
        run_episode(simulator, create_driver("random", "simulator", RobotProfile()), make_episode(0, "object", 0),
                    localization="stars")  # fmt: skip
    assert {"rules", "frontier", "random", "oracle"} <= set(AGENTS)


def test_oracle_succeeds_near_the_shortest_way_on_all_kinds():
    robot = RobotProfile()
    simulator, driver = EmbeddedSimulator(robot=robot), create_driver("oracle", "simulator", robot)
    for kind in ("object", "relation", "room", "route"):
        result = run_episode(simulator, driver, make_episode(1, kind, 0))
        assert result["success"], kind
        assert result["spl"] > 0.85, kind


def test_random_walk_never_renders_and_repeats(monkeypatch):
    jobs = [Job(k, (0, 1), "random", "simulator", "truth", "embedded", 0) for k in range(4)]
    first = [run_job(job) for job in jobs]
    rows = []
    run_all(jobs, 1, rows.append)
    drop = lambda r: {k: v for k, v in r.items() if k != "wall_s"}  # noqa: E731
    assert [drop(r) for r in rows] == [drop(r) for r in first]
    assert all(r["path_length"] > 0 for r in rows)
    from embodied_nav.sim.rasterizer import Rasterizer

    calls = []
    monkeypatch.setattr(Rasterizer, "render", lambda self, T: calls.append(1))
    with pytest.raises(TypeError):
        run_job(jobs[0])  # the simulator renders once at reset; nothing after it
    assert len(calls) == 1
