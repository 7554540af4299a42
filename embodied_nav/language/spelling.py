"""Corrects the spelling of words that nobody knows. Knows words, no grammar.

An exact word always wins. Corrected is only what has one likely meaning; never a short word, never one that may be a
misspelt negation, and never a common English word that merely looks like one of ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from .languages import function_words, other_words
from .vocabulary import (
    ANYBODY,
    COURTESY,
    FILLERS,
    NEGATIONS,
    ORDINALS,
    PLACE_WORDS,
    RANKS,
    SHADES,
    every_word,
    is_negation,
    known_color,
    known_label,
    known_room,
    word_set,
)

#: Words of the grammar alone, besides those that the vocabulary lists.
_GRAMMAR = word_set("""
    and or then if so thing things one ones left right leftmost rightmost side hand after afterwards that next
    last pass past passing leave exit via through finally lastly occupied taken empty free sleeping lying sitting
    standing anything anywhere everything any second when can could as lots lot mind
""")
#: Words of orders that are often misspelt; none of them changes what is meant.
_ORDERING = word_set("""
    please kindly nearest closest farthest biggest largest smallest second third could would find search navigate
""")
#: Common words that are a letter or two away from ours and mean something else: they stay unknown.
_OTHER_WORDS = word_set("""
    ample applies apply baird barred barren barrister basic basics basil basis batch bates battle battles beach
    beers bells bender bills bites blank blended blends blind block blocks bloom blooms blown blows blush boils
    boko boots bottled bowel break breaks breed breeds broad bulls bunch burton cafes cages calls carbs cards
    cases casts caves certain chain chains changer changing charge charged charges charming chart charter charts
    chats cheat cheats chess children choir chose clans cleaned clearer click clicks cloak clone clones coach
    coast coasts colts columnist commuter composers compute computed condition conditional conditioned confidence
    controlled convergence cooke cooked cooled copied copies copper costs cough counted countered countess
    countless coworkers crabs crest cries decks discs dispersed displayed diving donor donors draper dressed
    dresses dried driver drivers dustin edits elevation endurance exist exists expertise expresses failing fares
    fibre files filling filming fines firing firms fixes fixing flats flaws fling flood floods flour flowed folks
    followers foods fools form freeze freezes fries fringe frogs frost fulton gamers garage gary gases gates gloss
    glove gloves grabs grams gravy greed greek greeks greet guitarist halfway hangs haters header healer heated
    heirs hills holds holes holmes hooks hoops hopes icons inland insiders irony islanders kindle kinds laying
    libraries liking lining lists locke locked loving machinery marker markers mayer monitored moose morse moses
    nests nexus odor officers opens outset owens pacers packaged painter painters palate pants parenting parsons
    pastry patent patents pearson pests petitions phony photon picks pictured pines piper places planet planets
    plank plans plated plato pleas pleased pleases plotted poets pointer pointers pointing poker polls polo porter
    ports poses powder printed printing projected projection projections prone prosecutor prosecutors protector
    protestors pulse pulses purge pursue races radiation raining raising ranged rangers ranks readiness receivers
    receptive receptors recession recreation redemption regarding rejection remove removes retention rewarding
    rocket rockets rocks roofs roots sales scaled scalp scare scares score scores seals seams sears seconds serve
    served setting settings settle settles shale shell shells shift shifts shire shops short shortages shorts
    shots showed shows sighs sites situation situations sizes skirt skirts slide slides slower snaps sneakers
    sofia spitting splitting stains stale staple staples stare stares stars stats steve stink stitch stood stories
    storm storms story strand strands sturdy sweat swing swings swore tablet tablets tales talks tally tasks teams
    tears thirds tolls towed tower towers tracy trans traps upton utilities violent wager waiter waiting wales
    walked walks walsh washed wasps wasting wells while widow widows width wills winds wings wipes wires wishing
    witch wives world wound write writes
""")


def corrected(words: Sequence[str], labels: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """The words with unknown ones corrected where that is safe, and a note for each correction.

    Args:
        words: lower case.
        labels: categories known in addition to the vocabulary.
    """
    more = {word for label in labels for word in label.split()}
    result, notes = [], []
    for word in words:
        better = "" if known(word) or word in more else correction(word)
        if better:
            notes.append(f"'{word}' read as '{better}'")
        result.append(better or word)
    return result, list(dict.fromkeys(notes))


def known(word: str) -> bool:
    """Whether a word means something in an instruction."""
    return (
        word in _all_known()
        or is_negation(word)
        or not word.isalpha()
        or bool(known_label(word) or known_room(word) or known_color(word))
        or any(word == own + "s" or word == own + "es" for own in (word[:-1], word[:-2]) if own in every_word())
    )


@lru_cache(maxsize=4096)
def correction(word: str) -> str:
    """The one word that a misspelt one must mean, "" where that is not sure."""
    from rapidfuzz.distance import OSA

    if word in _OTHER_WORDS or not 4 <= len(word) <= 24:
        return ""
    if any(OSA.distance(word, n, score_cutoff=2) <= 1 + (len(n) > 5) for n in NEGATIONS if len(n) > 2):
        return ""
    most = 1 if len(word) < 9 else 2
    found = [(d, own) for d, own in _near(word, most) if _plausible(word, own, d)]
    least = min((d for d, _ in found), default=0)
    meant = {_meaning(own): own for d, own in sorted(found, reverse=True) if d == least}
    return next(iter(meant.values())) if len(meant) == 1 else ""


def suggestion(word: str) -> str:
    """The known word most like an unknown one, for a hint, "" if none is near."""
    if word in every_word() or not 4 < len(word) < 24:
        return ""
    near = _near(word, max(1, len(word) // 4))
    found = [(d, own) for d, own in near if own[0] == word[0] and own != word]
    return min(found, default=(0, ""))[1]


def _near(word: str, most: int) -> list[tuple[int, str]]:
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    found = process.extract(word, _targets(), scorer=OSA.distance, score_cutoff=most, limit=None)
    return [(int(distance), own) for own, distance, _ in found]


def _plausible(word: str, own: str, distance: int) -> bool:
    """Whether people misspell so: of short words only two letters swapped, and rarely the first letter."""
    if len(word) == 4 or len(own) < 4:
        return sorted(word) == sorted(own)
    return word[0] == own[0] or (distance == 1 and word[:2] == own[1::-1])


def _meaning(word: str) -> str:
    return known_label(word) or known_room(word) or known_color(word) or word


@lru_cache(maxsize=1)
def _targets() -> tuple[str, ...]:
    """Words that a misspelt one may stand for; plurals of things, too."""
    names = {w for w in every_word() if len(w) > 3}
    return tuple(sorted(names | {w + "s" for w in names if w[-1] != "s"} | _ORDERING))


@lru_cache(maxsize=1)
def _all_known() -> frozenset[str]:
    places = {word for names in PLACE_WORDS.values() for name in names for word in name.split()}
    return frozenset().union(
        every_word(),
        other_words(),
        FILLERS,
        COURTESY,
        NEGATIONS,
        ORDINALS,
        RANKS,
        SHADES,
        ANYBODY,
        _GRAMMAR,
        places,
        function_words(),
    )
