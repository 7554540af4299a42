"""Reads the tokens of a clause as phrases: what is meant, and what is not meant. Knows no order of goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .lexing import Refusal, Token
from .target import Target
from .vocabulary import RELATIONS

#: Relations that, without an object before them ("stop beside it"), are satisfied by stopping near a thing; others
#: ask for more.
_NEAR = (
    "in front of", "close to", "near to", "next to", "adjacent to", "beside", "besides", "alongside", "near", "inside",
    "within", "by", "on", "at", "in",
)  # fmt: skip


@dataclass(frozen=True)
class Phrase:
    """One thing that a clause names.

    Attributes:
        target: what it says; without a label for "the red one" and "red".
        sign: "" for what is meant, "not" for what is not, "off" for what the way must keep clear of.
        words: with which the exclusion began.
        pronoun: whether "one" stands for its label.
    """

    target: Target
    sign: str = ""
    words: str = ""
    pronoun: bool = False


class PhraseReader:
    """Reads one clause.

    Args:
        refusal: makes the error.
    """

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._done: list[Phrase] = []
        self._sign, self._words = "", ""
        self._excluded = 0  # phrases before the exclusion in hand
        self._begin()

    def _begin(self) -> None:
        self._target = Target("")
        self._pronoun = self._ended = False
        self._color = self._relation = ""
        self._name_end = -1  # index after the last word of the last name

    def read(self, tokens: Sequence[Token]) -> list[Phrase]:
        """The phrases, in order.

        Raises:
            InputError: two things without a clear relation, a relation to nothing, a colour of nothing.
        """
        for token in tokens:
            getattr(self, f"_on_{token.kind}")(token)
        self._close()
        self._complete_exclusion()
        return self._done

    # -- one token -------------------------------------------------------------------------------------------------

    def _on_noun(self, token: Token) -> None:
        noun = token.noun
        assert noun is not None
        if not (self._target.label or self._pronoun) and not self._relation:
            color, self._color = self._color, ""
            self._target = replace(self._target, label=noun.label, color=color, is_room=noun.is_room)
        elif self._relation:
            self._anchor(noun.label, noun.is_room)
        elif self._name_end == token.start and not self._color:
            self._join(noun.label, noun.is_room)
        else:
            raise self._refusal(f"how '{self._target.name}' and '{noun.label}' belong together is not understood")
        self._name_end = token.end

    def _on_place(self, token: Token) -> None:
        if self._target.label or self._relation or self._color:
            raise self._refusal(f"how '{token.value}' belongs to the rest is not understood")
        self._target = replace(self._target, label=token.value)
        self._name_end = token.end

    def _on_color(self, token: Token) -> None:
        if self._color:
            raise self._refusal(f"two colours of one thing are not understood: '{self._color}', '{token.value}'")
        self._color = token.value

    def _on_relation(self, token: Token) -> None:
        named = self._target.label or self._pronoun or self._sign
        self._settle_color()
        if self._relation:
            raise self._refusal(
                f"two relations of one thing are not understood yet: '{self._relation}', '{token.value}'"
            )
        if not named:
            if token.value not in _NEAR:
                raise self._refusal(f"to stand '{token.value}' a thing is not understood yet")
            return
        self._relation = token.value

    def _on_rank(self, token: Token) -> None:
        if self._relation or self._target.rank or self._target.anchor_label:
            raise self._refusal(f"'{token.value}' is not understood there")
        self._target = replace(self._target, rank=token.value)

    def _on_ordinal(self, token: Token) -> None:
        if self._relation or self._target != replace(Target(""), side=self._target.side):
            raise self._refusal(f"'number {token.value}' is not understood there")
        self._target = replace(self._target, ordinal=int(token.value))

    def _on_side(self, token: Token) -> None:
        if self._relation or self._target.side:
            raise self._refusal(f"'{token.value}' is not understood there")
        self._target = replace(self._target, side=token.value)

    def _on_one(self, token: Token) -> None:
        if self._relation:
            raise self._refusal(f"what it is '{self._relation}' is not understood")
        if not self._target.label:
            self._pronoun = True
            self._target = replace(self._target, color=self._color or self._target.color)
            self._color, self._name_end = "", token.end

    def _on_and(self, token: Token) -> None:
        if self._color and not (self._target.label or self._pronoun or self._sign):
            raise self._refusal(f"not understood: '{token.value}'")
        self._close()

    def _on_or(self, token: Token) -> None:
        if not self._sign:
            raise self._refusal(f"not understood: '{token.value}'")
        self._close()

    _on_nor = _on_or

    def _on_but(self, token: Token) -> None:
        if not self._sign:
            raise self._refusal(f"'{token.value}' excludes something, which is not understood")
        self._close()
        self._complete_exclusion()
        self._sign = self._words = ""

    def _on_not(self, token: Token) -> None:
        self._close()
        self._complete_exclusion()
        self._sign, self._words, self._excluded = token.kind, token.value, len(self._done)

    _on_off = _on_not

    # -- parts -----------------------------------------------------------------------------------------------------

    def _anchor(self, label: str, is_room: bool) -> None:
        color, self._color = self._color, ""
        inside = RELATIONS[self._relation] == "in"
        if self._target.anchor_label:
            if not (is_room and inside):
                was = self._target.relation
                raise self._refusal(f"two relations of one thing are not understood yet: '{was}', '{self._relation}'")
            self._target = replace(self._target, room=label)
        else:
            self._target = replace(self._target, relation=self._relation, anchor_label=label, anchor_color=color)
        self._relation = ""

    def _join(self, label: str, is_room: bool) -> None:
        """Of two nouns in a row the first specifies the second ("sofa table") or its room ("kitchen table")."""
        own = self._target
        if own.anchor_label:
            raise self._refusal(f"how '{own.anchor_label}' and '{label}' belong together is not understood")
        if own.is_room:
            self._target = replace(own, label=label, is_room=is_room, relation="in", anchor_label=own.label)
        else:
            self._target = replace(own, label=f"{own.label} {label}", is_room=is_room)

    def _settle_color(self) -> None:
        """Assigns a colour that follows its noun: "the sofa that is red"."""
        color, self._color = self._color, ""
        own = self._target
        if not color:
            return
        if own.anchor_label and not own.anchor_color and not own.room and not own.anchor_is_room:
            self._target = replace(own, anchor_color=color)
        elif not own.color and not own.is_room:
            self._target = replace(own, color=color)
        else:
            raise self._refusal(f"what is {color} is not understood")

    def _complete_exclusion(self) -> None:
        """Refuses an exclusion of nothing."""
        if self._sign and len(self._done) == self._excluded:
            raise self._refusal(f"'{self._words}' excludes something, which is not understood")

    def _close(self) -> None:
        """Ends the phrase in hand."""
        if self._relation:
            raise self._refusal(f"what it is '{self._relation}' is not understood")
        self._settle_color()
        if self._target != Target("") or self._pronoun:
            if self._sign and (self._target.rank or self._target.ordinal or self._target.side):
                raise self._refusal(f"'{self._words} ... {self._target.name}' is not understood")
            if not self._sign and not self._target.label and not self._pronoun and not self._target.color:
                raise self._refusal(f"what is '{self._target.name}' is not understood")
            if self._sign:
                self._target = _as_exclusion(self._target)
            self._done.append(Phrase(self._target, self._sign, self._words, self._pronoun))
        self._begin()


def _as_exclusion(target: Target) -> Target:
    """ "In the bedroom" excludes the bedroom."""
    if target.anchor_is_room and not (target.label or target.color or target.room):
        return Target(target.anchor_label, is_room=True)
    return target
