"""Chooses among candidates so that no answer follows from the question's words. Knows no worlds and no digests.

Within a kind each category comes as often as it can; within a category each answer. Of choices each content is the
right one as often as chance would have it among the options that it stands in, and each letter equally often.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Candidate

#: Candidates that are compared for each place.
_COMPARED = 300
#: Answers that differ by less than this factor count as the same number.
_SAME = 1.25


@dataclass(frozen=True)
class Question:
    """One question of the benchmark.

    Attributes:
        id: names it: scene, kind, number. scene: seed of the apartment.
        kind, category: see :class:`~.candidates.Candidate`.
        text: the question. options: "A. left", ...; empty where a number is asked for.
        answer: a letter, or a number in digits.
    """

    id: str
    scene: int
    kind: str
    category: str
    text: str
    options: tuple[str, ...]
    answer: str


def choose(pool: Mapping[int, Sequence[Candidate]], per_kind: int, seed: int = 0) -> list[Question]:
    """A balanced choice, at most ``per_kind`` of each kind; the same pool and seed give the same one.

    Args:
        pool: seed of the apartment -> its candidates.
    """
    kinds: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    for scene in sorted(pool):
        for candidate in pool[scene]:
            kinds[candidate.kind].append((scene, candidate))
    chosen: list[Question] = []
    for k, kind in enumerate(sorted(kinds)):
        rng = np.random.default_rng([seed, 13, k])
        picked = _Balance(kinds[kind], per_kind, len(pool), rng).pick()
        chosen += [_question(scene, n, c, letter, rng) for n, ((scene, c), letter) in enumerate(_lettered(picked, rng))]
    return sorted(chosen, key=lambda q: (q.scene, q.kind, q.id))


class _Balance:
    """Greedy choice of one kind by what was chosen so far."""

    def __init__(self, members: list[tuple[int, Candidate]], wanted: int, scenes: int, rng: np.random.Generator):
        self.left, self.wanted, self.rng = list(members), wanted, rng
        self.most = max(1, math.ceil(2.0 * wanted / max(scenes, 1)))
        self.of_scene: Counter[int] = Counter()
        self.of_category: Counter[str] = Counter()
        #: (context, content) -> how much more often it was right than chance would have it.
        self.lead: Counter[tuple[str, str]] = Counter()

    def pick(self) -> list[tuple[int, Candidate]]:
        picked: list[tuple[int, Candidate]] = []
        while self.left and len(picked) < self.wanted:
            some = self.rng.choice(len(self.left), min(_COMPARED, len(self.left)), replace=False)
            best = min(some.tolist(), key=lambda k: (self._cost(self.left[k][1]), k))
            scene, candidate = self.left.pop(best)
            if self.of_scene[scene] >= self.most:
                continue
            picked.append((scene, candidate))
            self.of_scene[scene] += 1
            self.of_category[candidate.category] += 1
            self._count(candidate)
        return picked

    def _cost(self, c: Candidate) -> float:
        """How uneven it would make things: the lead of its answer, and how often its category was asked about."""
        right, wrong = contents(c)
        lead = 0.0
        for context in (c.category, ""):
            others = [self.lead[context, w] for w in wrong]
            lead += self.lead[context, right] - (sum(others) / len(others) if others else 0.0)
        return lead + 0.5 * self.of_category[c.category]

    def _count(self, c: Candidate) -> None:
        right, wrong = contents(c)
        for context in (c.category, ""):
            self.lead[context, right] += max(1, len(wrong))
            for w in wrong:
                self.lead[context, w] -= 1


def contents(c: Candidate) -> tuple[str, tuple[str, ...]]:
    """What the right answer says, and what the wrong ones say, as far as that may be guessed without looking."""
    if not c.options:
        return str(round(math.log(max(float(c.answer), 1e-3), _SAME))), ()
    if c.kind == "obj_appearance_order":  # what comes first is half of it
        return c.answer.split(", ")[0], tuple(o.split(", ")[0] for o in c.options if o != c.answer)
    return c.answer, tuple(o for o in c.options if o != c.answer)


def _lettered(picked: Sequence[tuple[int, Candidate]], rng: np.random.Generator):
    """Each with the index of its right answer's letter, all equally often."""
    letters = [0] * len(picked)
    by_count: dict[int, list[int]] = defaultdict(list)
    for k, (_, c) in enumerate(picked):
        by_count[len(c.options)].append(k)
    for count, places in by_count.items():
        values = rng.permutation([n % max(1, count) for n in range(len(places))])
        for place, value in zip(places, values.tolist(), strict=True):
            letters[place] = value
    return list(zip(picked, letters, strict=True))


def _question(scene: int, number: int, c: Candidate, letter: int, rng: np.random.Generator) -> Question:
    name = f"{scene}-{c.kind}-{number}"
    if not c.options:
        return Question(name, scene, c.kind, c.category, c.text, (), c.answer)
    wrong = [o for o in c.options if o != c.answer]
    texts = [wrong[k] for k in rng.permutation(len(wrong))]
    texts.insert(letter, c.answer)
    options = tuple(f"{chr(65 + k)}. {text}" for k, text in enumerate(texts))
    return Question(name, scene, c.kind, c.category, c.text, options, chr(65 + letter))
