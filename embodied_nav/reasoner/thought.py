"""Reasoning in a closed form: two options, a fact of each, and what decides. Writes it, reads it, and judges it.

A thought says what was found, names two options by content (never by letter), states the facts of both that decide, the
criterion and what follows: "red sofa not found. explore 3.5 m ahead left; worth 40%. explore 1.5 m behind; worth 100%.
worth more: explore 1.5 m behind". A claim repeats the situation's line of the option word by word up to the fact that
decides, so that it can be copied.

What follows from a thought can be computed from its words alone, so three things can be told of any text: whether its
facts are true of the situation, whether the answer follows, and what the answer must be when a fact is changed. This is
what makes consistency (Embodied-R, sec. 3.3) mean something for a model of this size. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..frames import Option
from .options import Context, Facts
from .situation import area, name_of, part, percent, quoted
from .targets import SURE
from .worth import shares


@dataclass(frozen=True)
class Criterion:
    """What decides between two options.

    Attributes:
        words: as a thought ends.
        facts: which facts of the options it compares, by the names in :data:`FACTS`.
        worth: of an option from its facts' numbers (and its ``distance``); the larger one is chosen.
    """

    words: str
    facts: tuple[str, ...]
    worth: Callable[[Mapping[str, float]], float]


#: Fact -> (words before the number, number of an option's facts and share of worth as text).
FACTS: dict[str, tuple[str, Callable[[Facts, float], str]]] = {
    "worth": ("worth ", lambda f, worth: part(worth)),
    "floor": ("unknown floor ", lambda f, worth: area(f.gain)),
    "fits": ("fits ", lambda f, worth: percent(f.affinity)),
    "match": ("match ", lambda f, worth: percent(f.match)),
    "seen": ("seen ", lambda f, worth: str(min(f.object.confirmed, 9)) if f.object is not None else "0"),
}
#: Kinds of options that have each fact.
_OF_KIND = {"frontier": ("worth", "floor", "fits"), "object": ("match", "seen")}

CRITERIA: dict[str, Criterion] = {
    "floor": Criterion("more floor", ("floor",), lambda n: n["floor"]),
    "fits": Criterion("fits better", ("fits",), lambda n: n["fits"]),
    "nearer": Criterion("nearer", (), lambda n: -n["distance"]),
    "worth": Criterion("worth more", ("worth",), lambda n: n["worth"]),
    "match": Criterion("matches better", ("match",), lambda n: n["match"]),
    "evidence": Criterion("seen more often", ("seen",), lambda n: n["seen"]),
}
#: Criteria of one option alone: what makes it the choice whatever else there is.
ALONE = {
    "stop": "stop at the goal",
    "known": "go to what is known",
    "verify": "verify it from near",
    "look": "look around first",
    "doubt": "nothing better is left",
}


@dataclass(frozen=True)
class Claim:
    """An option as a thought states it: its name, and the numbers of its facts as text by fact."""

    name: str
    facts: tuple[tuple[str, str], ...] = ()

    def stating(self, facts: Sequence[str]) -> Claim:
        """The claim up to the last of these facts that it has: those before it are said, too, as in the situation."""
        last = max((k for k, (fact, _) in enumerate(self.facts, 1) if fact in facts), default=0)
        return Claim(self.name, self.facts[:last])

    @property
    def words(self) -> str:
        """The claim's text."""
        return "; ".join([self.name, *(FACTS[fact][0] + number for fact, number in self.facts)])


@dataclass(frozen=True)
class Thought:
    """A thought: what was found, one or two claims, the key of its criterion, and the option that it says follows.

    Only a comparison says what follows: of one claim alone it is the claim's.
    """

    finding: str
    claims: tuple[Claim, ...]
    criterion: str
    drawn: str = ""

    @property
    def words(self) -> str:
        """The thought's text."""
        return f"{self.premises}: {self.drawn}" if self.drawn else self.premises

    @property
    def premises(self) -> str:
        """The text without what it says follows."""
        ending = CRITERIA[self.criterion].words if self.criterion in CRITERIA else ALONE[self.criterion]
        return ". ".join([self.finding, *(claim.words for claim in self.claims), ending])

    @property
    def follows(self) -> bool:
        """Whether what it says follows is what follows from its facts."""
        return self.conclusion() == self.drawn if self.criterion in CRITERIA else not self.drawn

    def conclusion(self) -> str | None:
        """The name of the option that follows from the stated facts; None where they do not decide."""
        if self.criterion in ALONE:
            return self.claims[0].name if len(self.claims) == 1 else None
        if len(self.claims) != 2:
            return None
        worths = [_worth(claim, CRITERIA[self.criterion]) for claim in self.claims]
        if None in worths or worths[0] == worths[1]:
            return None
        return self.claims[int(worths[1] > worths[0])].name  # type: ignore[operator]  # neither is None

    def changed(self) -> Thought | None:
        """The thought with the deciding facts of its two claims exchanged, which turns the conclusion; or None."""
        criterion = CRITERIA.get(self.criterion)
        if criterion is None or not criterion.facts or len(self.claims) != 2:
            return None
        first, second = self.claims
        other = replace(self, claims=(replace(first, facts=second.facts), replace(second, facts=first.facts)))
        turned = other.conclusion()
        return replace(other, drawn=turned) if turned is not None and turned != self.conclusion() else None


@dataclass(frozen=True)
class Matter:
    """What thoughts can be about in a situation, in words.

    Attributes:
        finding: what is found of the goal.
        claims: of every option, with all facts that options of its kind have.
        alone: of every option, the criteria by which it may be chosen without a comparison.
    """

    finding: str
    claims: tuple[Claim, ...]
    alone: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What each option is, without its letter."""
        return tuple(claim.name for claim in self.claims)


def matter_of(context: Context) -> Matter:
    """What thoughts can be about in a situation."""
    told = zip(context.options, context.facts, shares(context), strict=True)
    return Matter(_finding(context), tuple(_claim_of(*one) for one in told), tuple(_alone(context)))


def thoughts_for(matter: Matter, chosen: int) -> list[Thought]:
    """All true thoughts that conclude in an option; empty where none of this form does.

    Args:
        matter: of the situation.
        chosen: index of the option.
    """
    mine = matter.claims[chosen]
    found = [Thought(matter.finding, (mine.stating(("match",)),), key) for key in matter.alone[chosen]]
    for k, theirs in enumerate(matter.claims):
        if k == chosen or theirs.name == mine.name:
            continue
        for key, criterion in CRITERIA.items():
            claims = tuple(c.stating(criterion.facts) for c in ((mine, theirs) if chosen < k else (theirs, mine)))
            thought = Thought(matter.finding, claims, key, mine.name)
            if thought.conclusion() == mine.name:
                found.append(thought)
    return found


def telling(thoughts: Sequence[Thought]) -> Thought:
    """The thought that says most: of one option alone if there is one, else by worth against the best of the others.

    Args:
        thoughts: at least one, all for the same option.
    """

    def rank(thought: Thought) -> tuple[bool, bool, float]:
        others = (claim for claim in thought.claims if claim.name != thought.drawn)
        best = max((_worth(claim, CRITERIA["worth"]) or 0.0 for claim in others), default=0.0)
        return thought.criterion in ALONE, thought.criterion == "worth", best

    return max(thoughts, key=rank)


def is_true(thought: Thought, matter: Matter) -> bool:
    """Whether everything that a thought states is so in the situation."""
    known = {claim.name: dict(claim.facts) for claim in matter.claims}
    stated = ((claim.name, fact) for claim in thought.claims for fact in claim.facts)
    return (
        thought.finding == matter.finding
        and all(claim.name in known for claim in thought.claims)
        and all(known[name].get(fact[0]) == fact[1] for name, fact in stated)
    )


def read(text: str) -> Thought | None:
    """The thought in a text, or None where it is not of this form."""
    *parts, last = [part.strip() for part in re.split(r"\.(?=\s)", text.strip())]
    ending, _, drawn = last.partition(": ")
    keys = [key for key, c in CRITERIA.items() if c.words == ending] + [key for key, w in ALONE.items() if w == ending]
    if not keys or not 2 <= len(parts) <= 3:
        return None
    claims = [_claim(part) for part in parts[1:]]
    if any(claim is None for claim in claims):
        return None
    return Thought(parts[0], tuple(claim for claim in claims if claim is not None), keys[0], drawn)


def _claim(text: str) -> Claim | None:
    name, *pieces = text.split("; ")
    facts = []
    for piece in pieces:
        fact = next((key for key, (words, _) in FACTS.items() if piece.startswith(words)), None)
        if fact is None:
            return None
        facts.append((fact, piece.removeprefix(FACTS[fact][0])))
    return Claim(name, tuple(facts)) if name else None


def _finding(context: Context) -> str:
    goal = quoted(context.target.name)
    best = max((f.match for f in context.facts), default=0.0)
    if max((f.arrived for f in context.facts), default=0.0) >= SURE:
        return f"{goal} is here"
    if best >= SURE:
        return f"{goal} found"
    return f"{goal} perhaps found" if best > 0.0 else f"{goal} not found"


def _claim_of(option: Option, facts: Facts, worth: float) -> Claim:
    own = _OF_KIND.get(option.kind, ())
    return Claim(name_of(option, facts), tuple((fact, FACTS[fact][1](facts, worth)) for fact in own))


def _alone(context: Context) -> Iterator[tuple[str, ...]]:
    frontiers = sum(o.kind == "frontier" for o in context.options)
    for option, facts in zip(context.options, context.facts, strict=True):
        if option.kind == "stop":
            yield ("stop",) if facts.arrived > 0.0 else ("doubt",)
        elif option.kind == "look_around":
            yield ("look",)
        elif option.kind == "object":
            yield ("known",) if facts.match >= SURE else ("verify",)
        else:
            yield ("doubt",) if frontiers == 1 else ()


def _worth(claim: Claim, criterion: Criterion) -> float | None:
    """What a claim's stated numbers are worth; None where one is missing or no number."""
    stated = dict(claim.facts)
    numbers: dict[str, float] = {}
    for fact in criterion.facts:
        number = re.match(r"\d+(?:\.\d+)?", stated.get(fact, ""))
        if number is None:
            return None
        numbers[fact] = float(number[0])
    distance = re.search(r"(\d+(?:\.\d+)?) m\b", claim.name)
    if distance is None:
        return None
    return criterion.worth(numbers | {"distance": float(distance[1])})
