"""The form of an answer: ``<think>...</think><answer>B</answer>``, for all policies. Knows no maps, no policies."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..frames import Option

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
#: All that may stand in an answer's tag.
_LETTER = re.compile(r"\s*([A-Z])\s*")
_DIRECTIONS = ("ahead", "ahead left", "left", "behind left", "behind", "behind right", "right", "ahead right")

#: Letters of options, in order.
LETTERS = "ABCDEFGH"
#: What a language model is told before the situation.
TASK = (
    "You steer a robot through a building that it explores. Choose its next move among the options. Think in one or "
    "two short sentences about what decides, then answer with one letter: <think>...</think><answer>X</answer>"
)


class AnswerError(ValueError):
    """An answer that names none of the options."""


def direction_words(bearing: float) -> str:
    """A bearing (rad, left positive) in words: "ahead left"."""
    return _DIRECTIONS[round(bearing / (math.pi / 4)) % 8]


def format_answer(think: str, letter: str) -> str:
    """The text form of a decision."""
    return f"<think>{think}</think><answer>{letter}</answer>"


def parse_answer(text: str, options: Sequence[Option]) -> tuple[int, str]:
    """Index of the chosen option and the reasoning.

    Strict: one answer tag in the whole text, with one option's letter in it and nothing else. Letters in the reasoning
    do not count.

    Raises:
        AnswerError: any other text.
    """
    answers = _ANSWER.findall(text)
    if len(answers) != 1 or text.count("<answer>") != 1:
        raise AnswerError("no <answer> tag" if not answers else "more than one <answer> tag")
    letter = _LETTER.fullmatch(answers[0])
    known = [o.letter for o in options]
    if letter is None or letter[1] not in known:
        raise AnswerError(f"answer '{answers[0].strip()[:40]}' is not one of {', '.join(known)}")
    think = _THINK.search(text)
    return known.index(letter[1]), think[1].strip() if think else ""
