"""What the words of a question do not name is guessed by meaning, and every answer says that it is a guess."""

import numpy as np
import pytest

from embodied_nav.frames import MemoryObject
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.query.answering import Knowledge, Query, ask
from embodied_nav.memory.query.replies import answer_in_words
from embodied_nav.rooms import Room, Rooms

SECOND = 10**9


class Opinions:
    """Stands in for the model: cosines by label, whatever the text; remembers the texts."""

    def __init__(self, **cosines):
        self.cosines, self.texts = cosines, []

    def __call__(self, text, labels):
        self.texts.append(text)
        return np.array([self.cosines.get(label, 0.1) for label in labels], np.float32)


def thing(i, label, color, xy, status="present"):
    return MemoryObject(i, label, color, np.array([*xy, 0.4]), np.full(3, 0.4), 0.9, 50, 0, 90 * SECOND, i, status)


def a_flat(meaning):
    """A kitchen (x from 0 to 4 m) and a living room (x from 4 to 8 m)."""
    labels = np.zeros((40, 80), np.int32)
    labels[:, :40], labels[:, 40:] = 1, 2
    objects = (
        thing(1, "chair", "red", (1.0, 1.0)),
        thing(2, "sofa", "green", (6.0, 3.0)),
        thing(3, "refrigerator", "white", (0.5, 3.5)),
        thing(4, "trash can", "gray", (7.0, 1.0)),
        thing(5, "armchair", "red", (5.0, 1.0), "gone"),
    )
    rooms = Rooms(labels, tuple(Room(i, 16.0, (4.0 * i - 2, 2.0), 4.0, 4.0, 4.0, (), 0.0) for i in (1, 2)), 0.1, (0, 0))
    return Knowledge(
        objects, stamp=100 * SECOND, rooms=rooms, room_names={1: "kitchen", 2: "living room"}, meaning=meaning
    )


@pytest.fixture
def sitting():
    return Opinions(sofa=0.6, chair=0.5, armchair=0.55)


def found(text, meaning, **more):
    return ask(Query(text, **more), a_flat(meaning))


def test_a_description_finds_what_it_means_and_says_that_it_guesses(sitting):
    answers = found("somewhere to sit", sitting)
    assert [a.object.label for a in answers] == ["sofa", "chair"] and all(a.by_meaning for a in answers)
    assert answers[0].why == "by meaning (0.60)" and answers[0].score == pytest.approx(0.6 * 0.99)
    assert found("somewhere to sit", None) == []
    assert [a.object.label for a in found("somewhere to sit", sitting, include_gone=True)][1] == "armchair"


@pytest.mark.parametrize("text", ["sofa", "the couch", "a green thing", "where is the sofa that I sleep on?", ""])
def test_what_words_name_is_never_asked_of_the_model(sitting, text):
    answers = found(text, sitting)
    assert answers and not any(a.by_meaning for a in answers) and sitting.texts == []


@pytest.mark.parametrize("text", ["piano", "the purple piano", "where is the tv?", "something purple"])
def test_a_thing_that_is_not_there_is_not_replaced_by_another(sitting, text):
    assert found(text, sitting) == [] and sitting.texts == []


def test_a_filler_word_names_nothing(sitting):
    """The last word of "trash can" is the verb here."""
    assert [a.object.label for a in found("where can I sit", sitting)] == ["sofa", "chair"]


def test_what_is_meant_too_little_is_not_told():
    assert found("the stock market", Opinions(sofa=0.29)) == []


def test_colour_room_and_relation_narrow_what_is_meant(sitting):
    assert found("something red to sit on", sitting)[0].object.label == "chair"
    answers = found("something to sit on in the kitchen", sitting)
    assert answers[0].object.label == "chair" and answers[0].why == "by meaning (0.50); in the kitchen"
    answers = found("a place to sit near the fridge", sitting)
    assert sitting.texts[-1] == "place to sit" and "near the white refrigerator" in answers[0].why


def test_a_room_may_be_described_too():
    meaning = Opinions(sofa=0.6, chair=0.5, kitchen=0.7)
    answers = found("something to sit on in the room where we cook", meaning)
    assert meaning.texts == ["room where we cook", "something to sit"]
    assert answers[0].object.label == "chair" and answers[0].why == "by meaning (0.50); in the kitchen"
    meaning.cosines["kitchen"] = 0.4
    assert found("something to sit on in the morning", meaning)[0].object.label == "sofa"
    assert meaning.texts[-1] == "something to sit on in the morning"


def test_a_thing_that_is_named_may_be_in_a_room_that_is_described():
    meaning = Opinions(kitchen=0.7)
    best = found("the chair in the room where we cook", meaning)[0]
    assert best.object.label == "chair" and best.by_meaning and best.score > 0.9 and meaning.texts
    assert best.why == "in the kitchen; 'room where we cook' by meaning"
    assert found("the sofa in the room where we cook", meaning)[0].score < 0.3
    named = found("the chair in the kitchen", meaning)
    assert named[0].score == best.score and not named[0].by_meaning
    meaning.cosines["kitchen"] = 0.4
    assert found("the chair in the room where we cook", meaning)[0].score < 0.3
    assert found("the chair in the attic", Opinions(kitchen=0.7))[0].score < 0.3, "a name is no description"


@pytest.mark.parametrize(
    ("text", "named", "ids"),
    [
        ("Where is the chair in the room where we cook?", "where is the chair in the kitchen?", [1]),
        ("what is in the room where we cook?", "what is in the kitchen?", [1, 3]),
        ("how many chairs are there in the room where we cook?", "how many chairs are there in the kitchen?", [1]),
        ("is there a sofa in the room where we cook?", "is there a sofa in the kitchen?", []),
        ("where is the room where we cook?", "where is the kitchen?", [1, 3]),
    ],
)
def test_a_sentence_about_a_room_that_is_described_says_what_it_took_it_for(text, named, ids):
    known = a_flat(Opinions(kitchen=0.7))
    reply, same = answer_in_words(text, known), answer_in_words(named, known)
    assert reply.text == f"By meaning 'room where we cook' is the kitchen. {same.text}" and reply.kind == same.kind
    assert sorted(a.object.id for a in reply.answers) == ids and all(a.by_meaning for a in reply.answers)
    assert not any(a.by_meaning for a in same.answers)
    assert not answer_in_words("what is in the room where we cook?", a_flat(Opinions(kitchen=0.4))).understood


def test_what_only_looks_like_a_relation_belongs_to_the_description(sitting):
    assert found("where I sit on long evenings", sitting)[0].object.label == "sofa"
    assert sitting.texts == ["where i sit on long evenings"]


def test_box_and_time_narrow_what_is_meant(sitting):
    box = (np.array([0.0, 0, 0]), np.array([3.0, 3, 1]))
    assert [a.object.label for a in found("somewhere to sit", sitting, box=box)] == ["chair"]
    assert found("somewhere to sit", sitting, since=95 * SECOND) == []


def test_an_image_text_encoder_goes_first(sitting):
    import dataclasses

    known = a_flat(sitting)
    seen = tuple(dataclasses.replace(o, feature=np.array([1.0, 0.0])) for o in known.objects)
    known = dataclasses.replace(known, objects=seen, encoder=lambda text: np.array([1.0, 0.0]), neutral=())
    answers = ask(Query("somewhere to sit"), known)
    assert len(answers) == sum(o.status == "present" for o in seen) and sitting.texts == []
    assert all(a.by_meaning and a.why.startswith("by its looks (1.00)") for a in answers)


def looking(sitting, neutral=("stuff",), **looks):
    """The flat with features in a plane, and an encoder of texts into it."""
    import dataclasses

    known, asked = a_flat(sitting), []
    turned = {label: np.array([np.cos(a), np.sin(a)]) for label, a in looks.items()}
    objects = tuple(dataclasses.replace(o, feature=turned.get(o.label)) for o in known.objects)

    def encoder(text):
        asked.append(text)
        return np.array([0.6, 0.8] if text == "stuff" else [1.0, 0.0])

    return dataclasses.replace(known, objects=objects, encoder=encoder, neutral=neutral), asked


def test_words_that_name_a_thing_are_never_compared_with_its_looks(sitting):
    known, asked = looking(sitting, sofa=1.5, chair=0.0)
    (found,) = ask(Query("the couch"), known)
    assert found.object.label == "sofa" and not found.by_meaning and asked == []


def test_looks_find_what_has_no_such_name_and_the_best_comes_first(sitting):
    known, asked = looking(sitting, sofa=0.3, chair=0.1)
    answers = ask(Query("the piano"), known)
    assert [a.object.label for a in answers] == ["chair", "sofa"] and asked == ["piano", "stuff"]
    assert all(a.by_meaning and 0.5 < a.score < 1 for a in answers)


def test_what_looks_more_like_nothing_than_like_the_text_is_left_to_meaning(sitting):
    known, _ = looking(sitting, sofa=0.6, chair=1.2)
    assert ask(Query("the piano"), known) == []
    answers = ask(Query("somewhere to sit"), known)
    assert answers and all(a.why.startswith("by meaning") for a in answers)


def test_looks_count_in_the_room_that_is_asked_for(sitting):
    known, asked = looking(sitting, sofa=0.0, chair=0.0)
    answers = ask(Query("a gadget in the kitchen"), known)
    assert asked[0] == "gadget" and answers[0].object.label == "chair" and "in the kitchen" in answers[0].why
    assert answers[0].score > 2 * answers[1].score


def test_a_sentence_says_that_it_guesses_by_looks(sitting):
    known, _ = looking(sitting, sofa=0.2)
    reply = answer_in_words("where is the piano?", known)
    assert reply.text.startswith("I know nothing by these words; by its looks the nearest is the green sofa (")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Where can I sit?", "where"), ("is there something to sit on?", "exists"), ("what can I sit on?", "what")],
)
def test_a_sentence_says_that_it_guesses(sitting, text, kind):
    reply = answer_in_words(text, a_flat(sitting))
    assert reply.kind == kind and [a.object.id for a in reply.answers] == [2, 1]
    assert reply.text.startswith(
        "I know nothing by these words; by meaning the nearest is the green sofa (0.59), in the"
    )
    assert "less near: the red chair (0.49), in the kitchen" in reply.text


@pytest.mark.parametrize(
    "text",
    [
        "how many pianos are there?", "how many pianos were there in the kitchen?",
        "is there a piano?", "where is the sofa?", "what is in the kitchen?",
        "what has changed?", "where is the red chair that my uncle bought?", "what is in the attic?",
    ],
)  # fmt: skip
def test_sentences_that_need_no_guess_stay_as_they_are(sitting, text):
    assert answer_in_words(text, a_flat(sitting)).text == answer_in_words(text, a_flat(None)).text


def test_what_is_meant_too_little_is_not_understood():
    reply = answer_in_words("what is the capital of France?", a_flat(Opinions(sofa=0.2)))
    assert not reply.understood and "'capital' and 'france'" in reply.text


def test_the_memory_passes_the_model_on(sitting):
    memory = SpatialMemory()
    memory.meaning = sitting
    assert memory.knowledge().meaning is memory.meaning is sitting
    assert memory.ask(Query("somewhere to sit")) == []
