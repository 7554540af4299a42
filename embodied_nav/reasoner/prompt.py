"""Formats options as a prompt and parses answers, for all policies. Knows nothing of maps and of policies."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..frames import Option

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL | re.IGNORECASE)
_DIRECTIONS = ("ahead", "ahead left", "left", "behind left", "behind", "behind right", "right", "ahead right")

#: Letters of options, in order.
LETTERS = "ABCDEFGH"


class AnswerError(ValueError):
    """An answer that names none of the options."""


def direction_words(bearing: float) -> str:
    """A bearing (rad, left positive) in words: "ahead left"."""
    return _DIRECTIONS[round(bearing / (math.pi / 4)) % 8]


def prompt(instruction: str, options: Sequence[Option], facts: Sequence[str] = ()) -> str:
    """The prompt for a policy.

    Args:
        instruction: the sentence to follow.
        options: at most eight.
        facts: lines on the state (where it is in a route, what it sees, the last decisions).
    """
    lines = [f"Instruction: {instruction}", *facts, "Options:"]
    lines += [f"{o.letter}. {o.text}" for o in options]
    lines.append("Think briefly, then answer with one letter: <think>...</think><answer>X</answer>")
    return "\n".join(lines)


def format_answer(think: str, letter: str) -> str:
    """The text form of a decision."""
    return f"<think>{think}</think><answer>{letter}</answer>"


def parse_answer(text: str, options: Sequence[Option]) -> tuple[int, str]:
    """Index of the chosen option and the reasoning.

    Only the content of the last answer tag counts, not letters within the reasoning.

    Raises:
        AnswerError: no answer tag, or not exactly one letter of an option in it.
    """
    answers = _ANSWER.findall(text)
    if not answers:
        raise AnswerError("no <answer> tag")
    letters = re.findall(r"(?<![A-Za-z])([A-Za-z])(?![A-Za-z])", answers[-1])
    known = [o.letter for o in options]
    chosen = {letter.upper() for letter in letters if letter.upper() in known}
    if len(chosen) != 1:
        raise AnswerError(f"answer '{answers[-1].strip()[:40]}' names not exactly one of {', '.join(known)}")
    think = _THINK.search(text)
    return known.index(chosen.pop()), think.group(1).strip() if think else ""
