"""Parses an instruction: which things to go to, in what order, and what must not be gone to. Knows no maps, no models.

    parse_instruction("go to the lamp, then to a chair that isn't brown").stages   # lamp; chair, not brown

The grammar reads first. What it does not understand may be proposed by a language model (:data:`Proposer`), in the form
of :mod:`.json_form`; whoever it comes from, :func:`checked` compares it with the vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from .conditions import Condition, split_condition, turned
from .json_form import from_json
from .languages import function_words
from .lexing import lex
from .matching import longest_noun
from .naming import named_place, naming
from .order import in_order
from .phrases import Phrase, PhraseReader
from .spelling import corrected
from .target import ROUTE_RADIUS, Instruction, Target
from .vocabulary import COURTESY, FILLERS, is_negation
from .wholeness import checked

#: Length (characters) up to which a sentence is read.
LONGEST_TEXT = 600
#: A language model's reading of a sentence, as JSON text.
Proposer = Callable[[str], str]

_TAG = re.compile(r"<\s*/?\s*\w[^<>]{0,40}>?")
_ELISION = re.compile(r"\b(all|nell|dell|l|d)'(?=\w)")
#: Phrases of politeness and manner, which change nothing.
_POLITE_PHRASES = (
    r"if (?:you (?:can|could|please|would like|would|like|want|don't mind|do not mind|wouldn't mind)|possible|i may)",
    r"(?:when|whenever|once) (?:you (?:can|are ready|have time|have a (?:moment|minute|second)|get a chance)|possible)",
    r"as (?:soon|fast|quickly|quietly|carefully|slowly|safely) as (?:possible|you can)",
    r"(?:would|do) you mind",
    r"i don't (?:care|mind) which(?: one)?",
    r"will do",
    r"(?:is|are) (?:fine|ok|okay)",
    r"be so kind(?: as)?(?: to)?",
    r"why don't you",
    r"thank you(?: very much| so much)?",
    r"thanks a lot", r"many thanks", r"at once", r"right (?:now|away)", r"straight away", r"for (?:me|us|now)",
    r"(?:make|making) (?:your|its) way", r"in (?:that|this) order", r"from here", r"of the (?:two|three|four)",
    r"of (?:all of )?them", r"of all", r"a (?:little )?bit", r"wait a (?:second|minute|moment)", r"one more time",
    r"no matter what", r"don't worry", r"the one (?=that)", r"i think", r"you know", r"in order to",
    r"all the way(?= to| into| over)",
)  # fmt: skip
_POLITE = re.compile(rf"\b(?:{'|'.join(_POLITE_PHRASES)})\b")
#: Verbs with which a clause of its own begins after "and".
_CLAUSE_VERBS = (
    "stop|go|find|pass|patrol|walk|leave|drive|head|move|visit|enter|look|search|come|return|navigate|skip|don't|do not"
    "|wait|stand|park|end|finish"
)
_BREAK = re.compile(
    r"(,)|\b((?:and |but )?(?:after that|after this|afterwards|then(?: finally| lastly| next)?|finally|lastly"
    rf"|next(?! to\b))\b)|\b(and) (?=(?:{_CLAUSE_VERBS})\b)|(?= (?:via|by way of) )"
)
#: A clause that begins so is an order of its own, not a description of what stands before it.
_VERB = re.compile(
    r"(?:(?:please|now|first|also|just|and|but|you|robot|should|can|could|will|must) )*"
    r"(?:go|find|patrol|walk|drive|head|move|visit|enter|look|search|come|return|navigate|seek|take me|bring me|show"
    r"|locate|get|reach)\b"
)
_CARRYING = re.compile(
    r"\b(bring|take|get) (?:me|us) (?!(?:to|into|towards?|over|near|back|up|down|there|inside|home)\b)"
)
#: "In any room except the kitchen" is anywhere but there.
_ANY_ROOM = re.compile(
    r"\b(?:in |to |into )?any (?:other )?rooms? (?=(?:but|except|other than|apart from|excluding)\b)"
)
#: "Take the second door" is to go there.
_TAKEN = re.compile(r"\b(?:take|use) (?=the (?:\w+ ){0,3}(?:doors?|doorway|elevator|lift|stairs)\b)")
_QUESTION = re.compile(
    r"(?:where|what|how|who|why|whose|when (?:is|did|was|were)|(?:is|are|was|were) there|have you)\b"
)
_BEGUN = r"^(?:(?:then|and|first|next|you|please|finally) )*"
_PASS = re.compile(
    _BEGUN + r"(?:(?:walk|go|drive|move|head|get|come) )?(?:pass(?: by)?|past|passing(?: by)?|via|by way of|through)\b"
)
_LEAVE = re.compile(_BEGUN + r"(?:leave|exit|(?:get|go|walk|come|drive|move) out of)\b")
_ON_TO = re.compile(r"^(?:(?:go|walk|drive|move|continue|head) )?on(?:wards?)? to\b|^onto\b")
_ON_THE_WAY = re.compile(r"\b(?:on|along) (?:the|your) way(?: there)?\b")


def parse_instruction(text: str, labels: Collection[str] = (), propose: Proposer | None = None) -> Instruction:
    """Parses an instruction. Every word must be understood, since a robot acts on it.

    Args:
        text: the sentence.
        labels: categories known in addition to the vocabulary, such as those in the memory.
        propose: a language model, asked only for a sentence whose words the grammar does not understand.

    Raises:
        InputError: it is empty or too long, has an unknown word, asks for more than driving, only forbids, or names no
            thing and no room.
    """
    if len(text) <= LONGEST_TEXT and (name := named_place(text)):
        return naming(text, name)
    try:
        return _Sentence(text, labels).parse()
    except _NotUnderstood as error:
        if propose is None:
            raise
        return _proposed(text, labels, propose, error)


class _NotUnderstood(InputError):
    """The grammar did not understand the words: a language model may."""


def _proposed(text: str, labels: Collection[str], propose: Proposer, error: InputError) -> Instruction:
    """What a model proposes, if it stands the checks.

    Raises:
        InputError: it does not; the grammar's error, with why the proposal was refused.
    """
    try:
        stages = checked(from_json(propose(text), labels), labels)
    except InputError as refused:
        raise InputError(f"{error}; the language model's reading is refused, too: {refused}") from None
    words = _clean(text).replace(",", " ").split()
    excluding = next((w for w in words if is_negation(w)), "")
    if excluding and not any(stage.excludes or stage.unless for stage in stages):
        raise InputError(f"{error}; the language model's reading is refused, too: it leaves out '{excluding}'")
    return Instruction(text, stages, ("read by the language model",))


def _clean(text: str) -> str:
    """Words and commas in lower case, separated by one space; other punctuation is dropped, or a comma at a pause."""
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'").replace("\u2018", "'")
    text = re.sub(r"\s[&+]\s", " and ", text)
    text = re.sub(r"(?<=\w)[.;:!?]+(?=\s|$|['\"])|[;:]|\s[-\u2013\u2014]+\s|\u2014|->|\n", " , ", text)
    text = re.sub(r"[^\w',]|_|(?<!\w)'|'(?!\w)", " ", text)
    return re.sub(r"\s+", " ", text.replace(",", " , ")).strip()


@dataclass
class _Excluded:
    """What is not meant, and the index of the goal that it is said of, which may be yet to come."""

    phrase: Phrase
    goal: int


class _Sentence:
    """Parses one sentence."""

    def __init__(self, text: str, labels: Collection[str]) -> None:
        self._text, self._labels = text, labels
        self._goals: list[Target] = []
        self._excluded: list[_Excluded] = []
        self._conditions: list[tuple[Condition, int]] = []  # each with the goal that it stands behind
        self._in_route = False  # whether a passed thing or a left room waits for the end of its route
        self._left = False

    def _refusal(self, why: str) -> InputError:
        return _NotUnderstood(self._line(why))

    def _final(self, why: str) -> InputError:
        """A refusal that no language model may overrule."""
        return InputError(self._line(why))

    def _line(self, why: str) -> str:
        shown = " ".join(self._text.split())
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return f"instruction '{shown}': {why}; say for example 'find the red sofa'"

    def parse(self) -> Instruction:
        """The instruction."""
        if len(self._text) > LONGEST_TEXT:
            raise self._final(f"{len(self._text)} characters are too many; at most {LONGEST_TEXT} are read")
        if tag := _TAG.search(self._text):
            raise self._final(f"'{tag[0]}' is a tag, not a part of a sentence")
        words, notes = corrected(_clean(self._text).split(), self._labels)
        words = _in_english(words, self._labels)
        sentence = turned(_POLITE.sub(" ", _ELISION.sub(_elided, " ".join(words))))
        sentence = _ANY_ROOM.sub("anywhere ", _TAKEN.sub("go to ", sentence))
        sentence = in_order(" ".join(sentence.split()))
        if question := _QUESTION.match(sentence):
            raise self._final(f"'{question[0]}' asks a question; the service ask answers questions")
        if carrying := _CARRYING.search(sentence + " "):
            raise self._final(f"'{carrying[1]}' asks for more than driving somewhere")
        for joint, clause in _clauses(sentence):
            self._read(joint, clause)
        stages = self._complete()
        return Instruction(self._text, checked(stages, self._labels, self._refusal), tuple(notes))

    # -- clauses ---------------------------------------------------------------------------------------------------

    def _read(self, joint: str, clause: str) -> None:
        clause, condition = split_condition(clause, self._labels, self._refusal)
        clause = re.sub(r"^(?:(?:and|finally|first|please|now|but first|so|well|also) )+", "", clause + " ").strip()
        on_the_way, clause = bool(_ON_THE_WAY.search(clause)), _ON_THE_WAY.sub("", clause).strip()
        leaving, passing, on_to = _LEAVE.match(clause), _PASS.match(clause), _ON_TO.match(clause)
        begun = leaving or passing or on_to
        rest = (clause[begun.end() :] if begun else clause).split()
        phrases = PhraseReader(self._refusal).read(lex(rest, self._labels, self._refusal))
        if leaving:
            self._leave(clause, phrases)
            phrases = []
        describes = joint == "," and not _VERB.match(clause) and not begun
        before = len(self._goals)
        for phrase in phrases:
            if phrase.sign:
                # "The chair, not the red one" is said of the chair; "then not the red one, the blue one" of the next.
                behind = len(self._goals) > before or (joint == "," and self._goals)
                self._excluded.append(_Excluded(phrase, len(self._goals) - bool(behind)))
            elif describes and self._refine(phrase):
                continue
            else:
                self._add(phrase, passing=bool(passing or on_the_way), on_to=bool(on_to))
        if condition is not None:
            self._conditions.append((condition, len(self._goals) - 1))

    def _leave(self, clause: str, phrases: Sequence[Phrase]) -> None:
        if any(p.sign or not p.target.is_room for p in phrases):
            raise self._refusal(f"'{clause}': only a room can be left")
        self._in_route = self._left = True

    def _refine(self, phrase: Phrase) -> bool:
        """Whether a phrase after a comma only describes the goal before it: "the chair, the red one"."""
        own = phrase.target
        if own.label or not self._goals or own.rank == "other":
            return False
        last = self._goals[-1]
        if (own.color and last.color) or (own.anchor_label and last.anchor_label):
            return False
        if (own.ordinal and last.ordinal) or (own.rank and last.rank):
            return False
        self._goals[-1] = replace(
            last, color=own.color or last.color, relation=own.relation or last.relation,
            anchor_label=own.anchor_label or last.anchor_label, anchor_color=own.anchor_color or last.anchor_color,
            room=own.room or last.room, ordinal=own.ordinal or last.ordinal, rank=own.rank or last.rank,
            side=own.side or last.side,
        )  # fmt: skip
        return True

    def _add(self, phrase: Phrase, *, passing: bool, on_to: bool) -> None:
        """Adds a goal or a way point."""
        target = phrase.target
        if not target.label:
            if not phrase.pronoun:
                raise self._refusal(f"what is {target.color} is not understood")
            target = self._named(target)
        if target.is_room and target.anchor_label and target.relation != "with":
            raise self._refusal(f"a room '{target.relation}' something is not understood")
        if passing or self._in_route:
            target = replace(target, radius=ROUTE_RADIUS, passing=passing)
            self._in_route = passing
        if on_to and self._goals and not self._goals[-1].passing:
            self._goals[-1] = replace(self._goals[-1], radius=ROUTE_RADIUS, passing=True)
            target = replace(target, radius=ROUTE_RADIUS)
        self._goals.append(target)

    def _named(self, target: Target) -> Target:
        """A target with the label that "one" stands for."""
        spoken_of = [*(e.phrase.target for e in self._excluded if e.phrase.target.label), *self._goals]
        if not spoken_of:
            raise self._refusal(f"what '{f'{target.name} one'.strip()}' stands for is not understood")
        return replace(target, label=spoken_of[-1].label, is_room=spoken_of[-1].is_room)

    # -- the whole -------------------------------------------------------------------------------------------------

    def _complete(self) -> list[Target]:
        """The goals with exclusions and conditions.

        Raises:
            InputError: there are none, or something is said of nothing.
        """
        labels = {"", *(goal.label for goal in self._goals)}
        off = [e.phrase for e in self._excluded if e.phrase.sign == "off" and e.phrase.target.label not in labels]
        if not self._goals:
            if self._excluded:
                names = ", ".join(e.phrase.target.name for e in self._excluded)
                raise self._final(f"it only forbids ({names}) and names nowhere to go")
            raise self._final("names no object and no room")
        if off:
            raise self._final(f"'{off[0].words} the {off[0].target.name}' limits the way, which is not understood")
        self._close_route()
        for excluded in self._excluded:
            index = min(excluded.goal, len(self._goals) - 1)
            own = self._goals[index]
            self._goals[index] = replace(own, excludes=(*own.excludes, excluded.phrase.target))
        for condition, goal in self._conditions:
            self._attach(condition, goal)
        return self._goals

    def _close_route(self) -> None:
        """The last goal is where the robot stops; what is named to be passed after it is passed before."""
        goals = self._goals
        if not goals[-1].passing:
            return
        first = next(k for k in range(len(goals)) if all(g.passing for g in goals[k:]))
        if first:
            end = goals.pop(first - 1)
            goals.append(replace(end, radius=ROUTE_RADIUS))
            for excluded in self._excluded:
                excluded.goal = _moved(excluded.goal, first - 1, len(goals) - 1)
        elif len(goals) == 1 and not self._left:
            goals[0] = replace(goals[0], passing=False, radius=Target("").radius)
        else:
            goals[-1] = replace(goals[-1], passing=False)

    def _attach(self, condition: Condition, goal: int) -> None:
        """Says of a goal that it may be skipped."""
        index = self._goal_of(condition.what, goal % len(self._goals))
        if self._goal_of(condition.place, index) != index:
            raise self._refusal(f"whether something is at '{condition.place}' decides nothing about another goal")
        self._goals[index] = replace(self._goals[index], unless=condition.label)

    def _goal_of(self, what: str, default: int) -> int:
        """Index of the goal that words name."""
        words = [w for w in what.split() if w not in FILLERS and w not in COURTESY]
        if not words:
            return default
        noun, length = longest_noun(words, self._labels)
        fits = [k for k, goal in enumerate(self._goals) if noun is not None and goal.label == noun.label]
        if length != len(words) or not fits:
            raise self._refusal(f"'{what}' is none of the goals")
        return fits[-1]


def _moved(index: int, start: int, end: int) -> int:
    """Where an index points to after the element at ``start`` moved to ``end``."""
    if index < start:
        return index
    return end if index == start else index - 1


def _clauses(sentence: str) -> list[tuple[str, str]]:
    """(what joins it to the one before, words) of each clause; the first joint is ""."""
    clauses: list[tuple[str, str]] = []
    joint, start = "", 0
    for found in _BREAK.finditer(sentence):
        clause = sentence[start : found.start()].strip()
        if clause:
            clauses.append((joint, clause))
            joint = ""
        said = next((group for group in found.groups() if group), "")
        joint = said if said and (joint in ("", ",") or said != ",") else joint or said or "via"
        start = found.end()
    rest = sentence[start:].strip()
    return [*clauses, (joint, rest)] if rest else clauses


def _elided(found: re.Match[str]) -> str:
    return {"all": "to ", "nell": "in ", "dell": "", "d": ""}.get(found[1], "the ")


def _in_english(words: Sequence[str], labels: Collection[str]) -> list[str]:
    """Words of other languages between the names as their English ones; names stay as they are."""
    out: list[str] = []
    k = 0
    while k < len(words):
        _, length = longest_noun(words[k:], labels)
        if length:
            out.extend(words[k : k + length])
        else:
            phrases = (" ".join(words[k : k + n]) for n in (4, 3, 2))
            phrase = next((p for p in phrases if p in function_words()), words[k])
            english = phrase in FILLERS or phrase in COURTESY or phrase == "and"
            out.extend([phrase] if english else function_words().get(phrase, phrase).split())
            length = len(phrase.split())
        k += length
    return out
