"""One vocabulary: by a word, an instruction, a question to the memory and perception all mean the same."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject, ObjectObservation
from embodied_nav.language import COLORS, LABELS, canonical, known_room, match_text, parse_instruction, take_apart
from embodied_nav.language.vocabulary import COLOR_SYNONYMS, FURNISHINGS, OTHER_WORDS, RELATIONS, ROOM_WORDS, SYNONYMS
from embodied_nav.memory.query.answering import Knowledge, Query, ask
from embodied_nav.perception.words import relevant_objects
from embodied_nav.reasoner.targets import SURE, candidates
from embodied_nav.rooms.priors import DEFINING, KINDS, TYPICAL
from embodied_nav.sim.apartments.catalog import CATEGORIES
from embodied_nav.sim.apartments.catalog import COLORS as TINTS

#: One thing of every category.
THINGS = tuple(
    MemoryObject(i, label, "", np.zeros(3), np.full(3, 0.4), 0.9, 50, 0, 1, i)
    for i, label in enumerate(sorted(LABELS), start=1)
)


def of_reasoner(word, objects=THINGS):
    """Labels of what an instruction with this word would drive to."""
    found = candidates(parse_instruction(f"find the {word}").target, objects, {}, None)
    return {c.object.label for c in found if c.score >= SURE}


def of_memory(word, objects=THINGS):
    """Labels of what a question with this word is answered with, without what is only akin."""
    found = ask(Query(f"where is the {word}?", max_results=len(objects)), Knowledge(objects))
    return {a.object.label for a in found if a.score >= SURE}


def of_perception(word):
    """Labels of what concerns an instruction with this word most."""
    seen = [ObjectObservation(o.label, "", 0.9, o.position, o.extent) for o in THINGS]
    found = relevant_objects(f"find the {word}", seen)
    return {found[0].label} if found else set()


@pytest.mark.parametrize("word", sorted({*LABELS, *SYNONYMS}))
def test_a_word_means_the_same_to_reasoner_memory_and_perception(word):
    meant = of_reasoner(word)
    assert SYNONYMS.get(word, word) in meant
    assert of_memory(word) == meant
    assert of_perception(word) == {SYNONYMS.get(word, word)}


@pytest.mark.parametrize("word", sorted(SYNONYMS))
def test_a_back_end_may_use_any_word_of_a_category(word):
    thing = MemoryObject(1, word, "", np.zeros(3), np.full(3, 0.4), 0.9, 50, 0, 1, 1)
    for asked in (word, SYNONYMS[word], *OTHER_WORDS[SYNONYMS[word]]):
        assert of_reasoner(asked, (thing,)) == of_memory(asked, (thing,)) == {word}, asked


def test_the_words_that_once_contradicted_each_other():
    assert of_reasoner("bin") == of_memory("bin") == {"trash can"}
    assert of_memory("stool") == {"stool"} and of_memory("chair") == {"chair"}
    assert of_memory("basin") == of_reasoner("basin") == {"washbasin"}
    assert of_memory("table") == of_reasoner("table") >= {"dining table", "coffee table", "table"}


def test_no_word_means_two_things():
    words = [word for others in OTHER_WORDS.values() for word in others]
    assert len(words) == len(set(words))
    assert LABELS.isdisjoint(words) and set(OTHER_WORDS) <= LABELS
    names = [name for some in ROOM_WORDS.values() for name in some]
    assert len(names) == len(set(names)) and LABELS.isdisjoint(names)
    assert not set(COLOR_SYNONYMS) & {*COLORS, *LABELS, *SYNONYMS}


def test_everybody_uses_the_vocabularys_labels_rooms_and_colours():
    assert set(TYPICAL) <= FURNISHINGS and set(CATEGORIES) <= FURNISHINGS
    assert set(KINDS) | set(DEFINING) | {k for kinds in TYPICAL.values() for k in kinds} <= set(ROOM_WORDS)
    assert {label for labels in DEFINING.values() for label in labels} <= FURNISHINGS
    assert {room for info in CATEGORIES.values() for room in info.rooms} <= set(ROOM_WORDS)
    assert tuple(TINTS) == COLORS


@pytest.mark.parametrize("word", sorted({*COLORS, *COLOR_SYNONYMS}))
def test_a_colour_means_the_same_to_reasoner_memory_and_perception(word):
    color = COLOR_SYNONYMS.get(word, word)
    sofas = [MemoryObject(i, "sofa", c, np.zeros(3), np.full(3, 1.0), 0.9, 50, 0, 1, i) for i, c in enumerate(COLORS)]
    driven = candidates(parse_instruction(f"find the {word} couch").target, sofas, {}, None)[0].object
    told = ask(Query(f"{word} couch"), Knowledge(sofas))[0].object
    seen = relevant_objects(f"find the {word} couch", [ObjectObservation("sofa", c, 0.9, o.position, o.extent)
                                                       for c, o in zip(COLORS, sofas, strict=True)])  # fmt: skip
    assert driven.color == told.color == color and [o.color for o in seen] == [color]


@pytest.mark.parametrize("kind, word", [(kind, word) for kind, words in ROOM_WORDS.items() for word in words])
def test_a_room_means_the_same_in_instructions_and_questions(kind, word):
    target = parse_instruction(f"go to the {word}").target
    assert target.is_room and target.label == kind == known_room(word)
    (_, (words,)) = take_apart(f"what's in the {word}?").relations[0]
    assert known_room(words) == kind


@pytest.mark.parametrize("phrase", sorted(RELATIONS))
def test_relations_stand_in_one_table(phrase):
    landmarks = "sofa and the tv" if phrase == "between" else "sofa"
    try:
        told = parse_instruction(f"find the lamp {phrase} the {landmarks}").stages[0].relation
    except InputError:
        told = ""
    asked = take_apart(f"lamp {phrase} the {landmarks}").relations
    assert told or asked, "nobody understands it"
    assert told in ("", phrase) and (not asked or asked[0][0] == RELATIONS[phrase])


@pytest.mark.parametrize("phrase", ["beside", "next to", "alongside", "near", "near to", "close to", "in front of"])
def test_to_stop_beside_a_thing_is_to_go_to_it(phrase):
    assert parse_instruction(f"stop {phrase} the red sofa").target.label == "sofa"


@pytest.mark.parametrize(
    "text, label, color, fits",
    [
        ("red leather sofa", "sofa", "red", 1.0),
        ("the sofa that is red", "sofa", "red", 1.0),
        ("light blue lamp", "lamp", "blue", 1.0),
        ("kitchen table", "dining table", "", 1.0),
        ("flux capacitor", "flux capacitor", "", 1.0),
        ("capacitors", "flux capacitor", "", 1.0),
        ("capacitor", "sofa", "", 0.0),
        ("office chair", "chair", "", 0.4),
        ("chair", "office chair", "", 0.4),
        ("sink", "washbasin", "", 0.4),
        ("tv", "tv stand", "", 0.0),
        ("TV stand", "TV_stand", "", 1.0),
        ("red unicorn", "sofa", "red", 0.0),
        ("", "sofa", "red", 0.0),
    ],
)
def test_texts(text, label, color, fits):
    assert match_text(text, label, color) == pytest.approx(fits)


def test_labels_of_back_ends_are_brought_into_the_vocabularys_form():
    assert canonical("TV_Monitor") == "tv" and canonical(" Dining  table ") == "dining table"
    assert canonical("Flux capacitor") == "flux capacitor" and canonical("") == ""
