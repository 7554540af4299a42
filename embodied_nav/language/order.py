"""Brings clauses into the order of what they ask for: "before going to the bed, visit the lamp". Knows no goals."""

from __future__ import annotations

import re

_GOING = r"(?:going to|heading to|driving to|visiting|passing|you (?:go to|visit|head to))"
_DONE = r"(?:after|once|when) (?:(?:going to|visiting|passing|you (?:go to|visit|have visited|are at|reach)) )?"
#: What is said -> the same in order; each of the whole sentence.
_FORMS = (
    (re.compile(rf"^before {_GOING} ([^,]+) , (.+)$"), r"\2 , then \1"),
    (re.compile(rf"^([^,]+?) ,? ?before {_GOING} (.+)$"), r"\1 , then \2"),
    (re.compile(rf"^{_DONE}((?:the|a|an|my) [^,]+) , (.+)$"), r"\1 , then \2"),
    (re.compile(r"^([^,]+?) after (?:(?:going to|visiting|passing|you visit|you go to) )?((?:the|a|an|my) [^,]+)$"),
     r"\2 , then \1"),
    (re.compile(r"^([^,]+) , (?:but (?:first|before that)|before that|but before) (.+)$"), r"\2 , then \1"),
    (re.compile(r"^(.+?) (?:on|along) (?:the|your) way to (.+)$"), r"\1 , then go to \2"),
)  # fmt: skip


def in_order(sentence: str) -> str:
    """A cleaned sentence whose clauses stand in the order of what they ask for."""
    for form, order in _FORMS:
        sentence = form.sub(order, sentence)
    return sentence
