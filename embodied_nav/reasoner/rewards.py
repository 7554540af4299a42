"""Rewards of one answer: form, accuracy, logical consistency, closed-loop return. Pure functions; knows no training.

Embodied-R, sec. 3.3: the three are weighted in stages, 7:3:0, then 3:7:0, then 1:7:2. Each is written against the ways
in which a policy could earn it without deserving it: letters inside the reasoning, several tags, no reasoning, a
reasoning that copies the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..frames import Option
from .prompt import LETTERS, AnswerError, parse_answer

#: Weights of form, accuracy and consistency; and up to which share of the training each holds.
STAGES = ((1.0 / 6.0, (0.7, 0.3, 0.0)), (1.0 / 3.0, (0.3, 0.7, 0.0)), (1.0, (0.1, 0.7, 0.2)))
#: Share of the way from the worst to the best option from which an answer counts as right.
RIGHT = 0.9
#: Fewest words of a reasoning, and most of an answer as a whole.
_LEAST_WORDS, _MOST_WORDS = 3, 120
_FORM = re.compile(r"<think>[^<>]+</think>\s*<answer>[^<>]+</answer>")
#: A letter that stands for an option: "A", "(B)", "option C"; "a" as an article does not.
_LETTER = re.compile(rf"(?<![A-Za-z])(?:[Oo]ption\s+)?\(?[{LETTERS}]\)?(?![A-Za-z'])")


def weights(done: float) -> tuple[float, float, float]:
    """Weights of form, accuracy and consistency once a share (0 to 1) of the training is done."""
    return next(parts for until, parts in STAGES if done <= until or until >= 1.0)


def form(text: str, options: Sequence[Option]) -> float:
    """1 where the answer is one reasoning without letters, then one letter of an option, and nothing else; else 0."""
    try:
        _, think = parse_answer(text, options)
    except AnswerError:
        return 0.0
    fits = _FORM.fullmatch(text.strip()) is not None and _LETTER.search(think) is None
    return float(fits and len(think.split()) >= _LEAST_WORDS and len(text.split()) <= _MOST_WORDS)


def accuracy(text: str, options: Sequence[Option], returns: Sequence[float]) -> float:
    """0 to 1: the chosen option's return between those of the worst and the best option; 0 for no answer.

    Args:
        returns: of every option, from rollouts (closed loop). Equal ones count as right, whichever is chosen.
    """
    try:
        chosen, _ = parse_answer(text, options)
    except AnswerError:
        return 0.0
    low, high = min(returns), max(returns)
    return 1.0 if high - low < 1e-9 else (returns[chosen] - low) / (high - low)


@dataclass(frozen=True)
class Retold:
    """A decision as a reader gets it who has not seen the situation.

    Attributes:
        goal: in words. think: the reasoning without letters. names: the options in another order.
        place: of the chosen option among them.
    """

    goal: str
    think: str
    names: tuple[str, ...]
    place: int

    def consistency(self, picked: int) -> float:
        """1 where the reader has picked the chosen option, or one of the same name; else 0."""
        return float(0 <= picked < len(self.names) and self.names[picked] == self.names[self.place])


def retold(
    text: str, options: Sequence[Option], names: Sequence[str], goal: str, order: Sequence[int]
) -> Retold | None:
    """An answer as it is put before the reader whose choice tells its consistency; None where there is no reasoning.

    Letters are taken out of the reasoning and the options are put into another order, so that neither a letter nor a
    place gives the answer away; it is judged by content.

    Args:
        names: what each option is, without its letter.
        goal: in words.
        order: the options' indices in the new order.
    """
    try:
        chosen, think = parse_answer(text, options)
    except AnswerError:
        return None
    if not think:
        return None
    return Retold(goal, without_letters(think), tuple(names[k] for k in order), list(order).index(chosen))


def without_letters(think: str) -> str:
    """A reasoning without letters of options."""
    return " ".join(_LETTER.sub(" ", think).split())


def group_advantages(rewards: Sequence[float]) -> list[float] | None:
    """Rewards of a group's answers less their mean, by their standard deviation; None without variance (dropped)."""
    mean = sum(rewards) / len(rewards)
    deviation = (sum((r - mean) ** 2 for r in rewards) / len(rewards)) ** 0.5
    return None if deviation < 1e-4 else [(r - mean) / (deviation + 1e-4) for r in rewards]
