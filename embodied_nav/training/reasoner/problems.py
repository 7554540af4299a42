"""Decision problems as text: prompt, what can be said of the options, their returns. Knows no network and no files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...frames import Option
from ...models.small_lm import END, PAD, UNKNOWN, Tokenizer
from ...reasoner import Context, format_answer, situation
from ...reasoner.prompt import LETTERS, parse_answer
from ...reasoner.situation import area, metres, percent
from ...reasoner.thought import Matter, Thought, matter_of, telling, thoughts_for
from .codec import from_dict


@dataclass(frozen=True)
class Problem:
    """One decision.

    Attributes:
        id: of the episode and the decision in it.
        scene: the apartment's seed.
        prompt: the situation as text.
        goal: the target's name.
        matter: what can be said of the options.
        rules: index of the option that the rules chose.
        returns: of every option, from rollouts; empty where none were made.
    """

    id: str
    scene: int
    prompt: str
    goal: str
    matter: Matter
    rules: int
    returns: tuple[float, ...] = ()

    @classmethod
    def of(cls, id: str, scene: int, context: Context, rules: int, returns: Sequence[float] = ()) -> Problem:
        """The problem of a situation."""
        goal = context.target.name
        return cls(id, scene, situation(context), goal, matter_of(context), rules, tuple(float(r) for r in returns))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Problem:
        """The problem of a row of :mod:`.collect`; returns are the SPL, averaged over the worlds.

        Raises:
            InputError: see :func:`.codec.from_dict`.
        """
        context = from_dict(row["state"]).context
        episode, _, _ = str(row["id"]).rpartition("/")
        scene = int(episode.removeprefix("large-").split("-")[0])
        spl = row["returns"]["spl"] if "returns" in row else ()
        rules = parse_answer(row["rules"], context.options)[0]
        return cls.of(str(row["id"]), scene, context, rules, [sum(values) / len(values) for values in spl])

    @property
    def best(self) -> int:
        """Index of the option with the highest return."""
        return max(range(len(self.returns)), key=lambda k: self.returns[k])

    def regret(self, chosen: int) -> float:
        """The best return less that of an option."""
        return max(self.returns) - self.returns[chosen]

    def answers(self, chosen: int) -> list[Thought]:
        """True reasonings that conclude in an option."""
        return thoughts_for(self.matter, chosen)


def answer_text(thought: Thought, chosen: int) -> str:
    """The whole answer."""
    return format_answer(thought.words, LETTERS[chosen])


def options_of(problem: Problem) -> tuple[Option, ...]:
    """Options with the problem's letters, to read an answer."""
    return tuple(Option(LETTERS[k], "", None, 0.0, 0.0, "") for k in range(len(problem.matter.claims)))


def make_tokenizer(problems: Iterable[Problem]) -> Tokenizer:
    """The tokenizer of the vocabulary, of all numbers, and of the words in some problems."""
    from ...language.vocabulary import every_word

    numbers = {metres(k / 2) for k in range(70)} | {percent(k / 10) for k in range(11)} | {area(k) for k in range(31)}
    words = every_word() | numbers | {str(k) for k in range(10)} | set(LETTERS) | {PAD, END, UNKNOWN}
    texts: list[str] = ["<think></think><answer></answer>\n"]
    for problem in problems:
        texts.append(problem.prompt)
        texts += [thought.words for k in range(len(problem.matter.claims)) for thought in problem.answers(k)]
    return Tokenizer.of(texts, words)


def teach(problem: Problem, chance: random.Random, noise: float) -> tuple[Thought, int] | None:
    """What an imperfect teacher says: the rules' choice, or with the chance ``noise`` any; None where it has no words.

    Of the true reasonings for the rules' choice it gives the one that says most: which of the other criteria hold is
    hard to see. After a perfect teacher reinforcement finds groups without variance alone, and nothing to improve.
    """
    count = len(problem.matter.claims)
    if chance.random() < noise:
        return explained(problem, chance.randrange(count), chance)
    thoughts = problem.answers(problem.rules)
    return (telling(thoughts), problem.rules) if thoughts else None


def explained(problem: Problem, chosen: int, chance: random.Random) -> tuple[Thought, int] | None:
    """A true reasoning for an option with the option, or None where there is none."""
    thoughts = problem.answers(chosen)
    return (chance.choice(thoughts), chosen) if thoughts else None


def counterfactual(problem: Problem, thought: Thought) -> tuple[Thought, int] | None:
    """The reasoning with its facts exchanged, and the option that follows then; None where nothing turns."""
    changed = thought.changed()
    if changed is None:
        return None
    names = problem.matter.names
    turned = changed.conclusion()
    return (changed, names.index(turned)) if turned in names else None
