"""Question files: varied apartments, candidates that are true, a choice from which words tell nothing, splits."""

import math
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.reasoner.answering import Solver, without_letter
from embodied_nav.reasoner.digest import facts_of, write
from embodied_nav.sim.embedded import describe
from embodied_nav.training.questions import collecting
from embodied_nav.training.questions.candidates import KINDS, Candidate, Truth, candidates
from embodied_nav.training.questions.choosing import Question, choose
from embodied_nav.training.questions.dataset import Example, in_split, load, save, split_of
from embodied_nav.training.questions.worlds import make_world, resized, without


@pytest.fixture(scope="module")
def world():
    return make_world(3)


def test_things_are_taken_away_and_made_smaller_with_their_triangles():
    scene = describe("3")
    table = next(o for o in scene.objects if o.category == "sofa")
    picture = next(o for o in scene.objects if o.category == "picture")
    small = resized(scene, {table.instance: 0.5, picture.instance: 0.5})
    for thing, keeps in ((table, "base"), (picture, "middle")):
        after = next(o for o in small.objects if o.instance == thing.instance)
        assert np.allclose(np.array(after.extent), np.array(thing.extent) / 2)
        corners = small.mesh.triangles[small.mesh.instance == thing.instance].reshape(-1, 3)
        before = scene.mesh.triangles[scene.mesh.instance == thing.instance].reshape(-1, 3)
        assert np.allclose(np.ptp(corners, axis=0), np.ptp(before, axis=0) / 2, atol=1e-4)
        low, high = before[:, 2].min(), before[:, 2].max()
        if keeps == "base":
            assert corners[:, 2].min() == pytest.approx(low, abs=0.05)
        else:
            assert corners[:, 2].mean() == pytest.approx((low + high) / 2, abs=0.1)
    fewer = without(scene, [table.instance])
    assert len(fewer.objects) == len(scene.objects) - 1 and not (fewer.mesh.instance == table.instance).any()
    others = scene.mesh.instance != table.instance
    assert np.array_equal(fewer.mesh.triangles, scene.mesh.triangles[others])


def test_a_world_is_toured_twice_and_things_are_gone_in_between(world):
    assert 2 <= len(world.removed) <= 5
    present = {o.instance for o in world.second.objects}
    assert not present & set(world.removed) and len(world.first.objects) == len(present) + len(world.removed)
    facts = facts_of(world.memory, world.here)
    gone = {t.label for t in facts.things if t.status == "gone"}
    names = {o.instance: o.category for o in world.first.objects}
    assert gone <= {names[i] for i in world.removed} | {"rug", "picture", "curtain"}
    assert np.allclose(world.here, world.poses[-1])


def test_candidates_are_true_and_only_of_what_was_seen(world):
    truth, found = Truth(world), candidates(world)
    kinds = Counter(c.kind for c in found)
    assert set(kinds) <= set(KINDS) and len(kinds) >= 10
    for c in found:
        if c.options:
            assert c.answer in c.options and len(set(c.options)) == len(c.options) >= 2, c
        else:
            assert KINDS[c.kind] and float(c.answer) > 0
    counts = {c.category: int(c.answer) for c in found if c.kind == "object_counting"}
    for category, count in counts.items():
        seen = [o for o in world.second.objects if o.category == category and not world.seen.never(o.instance)]
        assert count == len(seen) and all(world.seen.well(o.instance) for o in seen)
    sizes = {n: i for i, n in truth.names.items()}
    for c in (c for c in found if c.kind == "object_size_estimation"):
        name = c.text.split(") of the ")[1].split(", measured")[0]
        assert float(c.answer) == pytest.approx(100 * max(truth.well[sizes[name]].extent), abs=0.51)


def test_distances_are_those_of_the_surfaces(world):
    truth = Truth(world)
    a, b = list(truth.well.values())[:2]
    mesh = world.second.mesh
    corners = [mesh.triangles[mesh.instance == o.instance].reshape(-1, 3) for o in (a, b)]
    most = min(float(np.linalg.norm(corners[1] - p, axis=1).min()) for p in corners[0])
    low, high = (np.array([c.min(axis=0) for c in corners]), np.array([c.max(axis=0) for c in corners]))
    least = float(np.linalg.norm(np.maximum(0.0, np.maximum(low[0] - high[1], low[1] - high[0]))))
    assert least - 1e-6 <= truth.distance(a, b) <= most + 0.15
    assert truth.distance(a, b) == truth.distance(b, a)


def test_the_solver_finds_in_the_digest_what_chance_does_not(world):
    digest, solver = write(facts_of(world.memory, world.here)), Solver()
    questions = [q for q in choose({3: candidates(world)}, 8) if q.options]
    answers = [solver.answer(digest, q.text, q.options) for q in questions]
    chance = np.mean([1 / len(q.options) for q in questions])
    assert np.mean([a == q.answer for a, q in zip(answers, questions, strict=True)]) > chance + 0.2
    # Of what is gone it knows some, and never names what is still there.
    assert all(a in ("", q.answer) for a, q in zip(answers, questions, strict=True) if q.kind == "gone")


def pool(scenes=12):
    """Candidates whose answer is nearly always "left", and sizes that follow from the category."""
    rng, found = np.random.default_rng(0), {}
    for s in range(scenes):
        found[s] = [
            Candidate("direction", "bed", f"side {k}?", "left" if rng.random() < 0.8 else "right", ("left", "right"))
            for k in range(40)
        ] + [
            Candidate("size", c, f"size {k}?", f"{10 * math.exp(abs(rng.normal(m, 0.5))):.0f}")
            for k in range(20)
            for c, m in (("bed", 1.0), ("lamp", 0.2))
        ]
    return found


def test_a_choice_is_balanced_by_letter_content_category_and_apartment():
    chosen = choose(pool(), 60, seed=1)
    sides = [q for q in chosen if q.kind == "direction"]
    assert len(sides) == 60 and Counter(q.answer for q in sides) == {"A": 30, "B": 30}
    right = Counter(without_letter(next(o for o in q.options if o[0] == q.answer)) for q in sides)
    assert abs(right["left"] - right["right"]) <= 2
    sizes = [q for q in chosen if q.kind == "size"]
    assert abs(sum(q.category == "bed" for q in sizes) - 30) <= 1
    bins = Counter(round(math.log(float(q.answer), 1.25)) for q in sizes if q.category == "bed")
    assert max(bins.values()) <= 5
    assert max(Counter(q.scene for q in sides).values()) <= 10
    assert len({q.id for q in chosen}) == len(chosen)
    assert choose(pool(), 60, seed=1) == chosen and choose(pool(), 60, seed=2) != chosen


def test_question_files_are_read_back_and_others_refused(tmp_path):
    question = Question("7-x-0", 7, "x", "bed", "which?", ("A. one", "B. two"), "B")
    examples = [Example(7, "DIGEST 1", (question,)), Example(1003, "DIGEST 1", ())]
    path = tmp_path / "deep" / "q.jsonl"
    save(path, examples, {"seed": 0})
    assert load(path) == examples and in_split(examples, "test") == examples[1:]
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "none.jsonl").write_text("no json\n")
    for name, says in (
        ("other.jsonl", "no question file"),
        ("none.jsonl", "no JSON"),
        ("gone.jsonl", "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            load(tmp_path / name)


def test_splits_keep_acceptance_out():
    assert [split_of(s) for s in (0, 899, 900, 999, 1000, 1999)] == [
        "train",
        "train",
        "choose",
        "choose",
        "test",
        "test",
    ]
    for seed in (-1, 2000, 12345):
        with pytest.raises(InputError, match="no split"):
            split_of(seed)


def test_collecting_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    made = []

    def make(scene):
        made.append(scene)
        return {"scene": scene, "digest": "d", "candidates": [asdict(Candidate("x", "bed", "?", "1"))]}

    monkeypatch.setattr(collecting, "make", make)
    path = tmp_path / "c.jsonl"
    collecting.collect([1, 2], path, 1)
    with open(path, "a") as file:
        file.write('{"scene": 3, "dig')  # killed in the middle of a line
    assert set(collecting.collect([1, 2, 3], path, 1)) == {1, 2, 3} and made == [1, 2, 3]
    path.write_text(path.read_text().replace('"candidates": 1', '"candidates": 0', 1))
    with pytest.raises(InputError, match="another version"):
        collecting.collect([1], path, 1)


def test_the_same_seed_gives_the_same_questions(world):
    again = replace(world, memory=world.memory)
    assert candidates(again) == candidates(world)
