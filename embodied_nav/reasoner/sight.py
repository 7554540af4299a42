"""Whether what a sentence names can be found at all with the eyes there are. Knows no map and no back end.

A back end says what categories it can name. A target of another category would be searched for in vain: such a sentence
is refused, with what could be found. What is remembered already can be found whatever the eyes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..language import Instruction, Target
from ..language.matching import label_score
from ..language.vocabulary import FURNISHINGS, LABELS

#: Labels of what has no category.
_NAMELESS = frozenset({"object", "surface", ""})
#: Categories listed in a refusal, at most.
_LISTED = 20


@dataclass(frozen=True)
class Sight:
    """What perception can name.

    Attributes:
        backend: its name.
        categories: labels; None: any. Empty: none.
    """

    backend: str = ""
    categories: frozenset[str] | None = None

    def refusal(self, instruction: Instruction, remembered: Collection[str]) -> str:
        """Why an instruction cannot be followed, in one line; "" where it can.

        Args:
            remembered: labels of the things in the memory.
        """
        if self.categories is None:
            return ""
        known = self.categories | frozenset(remembered)
        for target in instruction.stages:
            for label in _unseen(target, known):
                return f"instruction '{' '.join(instruction.text.split())}': {self._why(label, target)}"
        return ""

    def _why(self, label: str, target: Target) -> str:
        if not self.categories:
            what = "rooms are told by the things in them" if target.is_room else f"so no {label} can be found"
            return (
                f"perception '{self.backend}' sees no categories, {what}; give it a detector "
                "(embodied-nav models get detector), or perception server"
            )
        names = sorted(self.categories, key=lambda name: (name not in FURNISHINGS, name not in LABELS, name))
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return (
            f"perception '{self.backend}' cannot tell a {label}; it names {', '.join(names[:_LISTED])}{more}; name one "
            "of these, or give a model that knows more"
        )


def _unseen(target: Target, known: frozenset[str]) -> list[str]:
    """What of a target, of what it stands beside, must not be and is skipped for, nobody here can name."""
    if target.is_room and not known - _NAMELESS:
        return [target.label]
    wanted = [] if target.is_room or target.is_place else [target.label]
    for part in (target, *target.excludes):
        wanted += [part.anchor_label] * bool(part.anchor_label and not part.anchor_is_room)
    wanted += [e.label for e in target.excludes if e.label and not e.is_room]
    wanted += [target.unless] * bool(target.unless)
    return [label for label in wanted if not any(label_score(name, label) > 0.0 for name in known)]
