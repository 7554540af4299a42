"""What is near in meaning, with a made-up encoder and with the real model."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.language import describes, embedding
from embodied_nav.language.glosses import GLOSSES, ROOM_GLOSSES
from embodied_nav.language.meaning import LEAST, LEAST_OF_ROOM, Meaning, choose, document
from embodied_nav.language.vocabulary import FURNISHINGS, LABELS, ROOM_WORDS


class Letters:
    """Embeds a text by how often it has each letter; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        counts = np.array([[text.count(chr(97 + k)) for k in range(26)] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)


def test_glosses_are_of_the_vocabulary_and_every_furnishing_has_one():
    assert FURNISHINGS <= set(GLOSSES) <= LABELS and set(ROOM_GLOSSES) == set(ROOM_WORDS)


def test_a_category_stands_for_its_names_and_its_gloss():
    assert document("sofa").startswith("sofa, couch, settee, loveseat: a soft")
    assert document("Couch") == document("sofa") and document("xylophone_stand") == "xylophone stand"
    assert document("nursery").startswith("nursery, children's room, ")


def test_scores_are_cosines_and_nothing_is_embedded_twice():
    encoder = Letters()
    meaning = Meaning(lambda: encoder)
    assert encoder.asked == [], "the model is loaded when it is needed"
    labels = ["zebra", "sofa"]
    first = meaning.scores("zzebra", labels)
    a, b = Letters().encode(["zzebra", "zebra"])
    assert first.shape == (2,) and first.dtype == np.float32 and first[0] == pytest.approx(a @ b)
    meaning.prepare(["sofa"], [*labels, "lamp"])
    before = len(encoder.asked)
    assert meaning.scores("sofa", [*labels, "lamp"]).shape == (3,) and len(encoder.asked) == before == 5


@pytest.mark.parametrize(
    ("text", "says_more"),
    [
        ("sofa", False), ("the red sofa", False), ("a dark blue couch", False), ("something red", False),
        ("kitchen table", False), ("", False), ("somewhere to sit", True), ("xylophone", True), ("to sit", True),
        ("the thing books stand in", True),
    ],
)  # fmt: skip
def test_names_are_no_description(text, says_more):
    assert describes(text) is says_more
    assert not describes("xylophone", ["xylophone"])


def test_the_setting_names_a_model(monkeypatch, tmp_path):
    assert choose("none") is None
    with pytest.raises(InputError, match=r"has no config\.json"):
        choose(str(tmp_path))
    with pytest.raises(InputError, match="give 'auto', 'none' or a model's folder"):
        choose("")
    monkeypatch.setattr(embedding, "PACKAGE", "no_such_package_of_a_model")
    assert choose("auto") is None


@pytest.fixture(scope="module")
def real():
    if not embedding.available():
        pytest.skip("the model is not installed (make setup EXTRAS=language)")
    return Meaning()


@pytest.mark.parametrize(
    ("text", "label"),
    [("somewhere to sit", "sofa"), ("couch", "sofa"), ("the thing that keeps food cold", "refrigerator")],
)
def test_the_real_model_finds_what_is_meant(real, text, label):
    labels = ["sofa", "refrigerator", "lamp", "window", "oven", "bed", "desk", "plant"]
    scores = real.scores(text, labels)
    assert labels[int(scores.argmax())] == label and scores.max() >= LEAST
    assert real.scores("the stock market", labels).max() < LEAST


@pytest.mark.parametrize(
    ("text", "room"),
    [("the room where we sleep", "bedroom"), ("my workplace", "office"), ("the morning", ""), ("case of fire", "")],
)
def test_the_real_model_finds_the_room_that_is_described(real, text, room):
    rooms = sorted(ROOM_WORDS)
    scores = real.scores(text, rooms)
    assert (rooms[int(scores.argmax())] if scores.max() >= LEAST_OF_ROOM else "") == room
