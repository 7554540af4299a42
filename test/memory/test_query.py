"""Finding objects by words."""

import numpy as np
import pytest

from embodied_nav.frames import MemoryObject
from embodied_nav.memory.query import match_text, rank


def thing(i, label, color="", position=(0, 0, 0), confidence=0.9):
    return MemoryObject(i, label, color, np.array(position, float), np.full(3, 0.4), confidence, 50, 0, 1, 0)


@pytest.mark.parametrize(
    ("text", "label", "color", "fits"),
    [
        ("red sofa", "sofa", "red", 1.0),
        ("the red couch", "sofa", "red", 1.0),
        ("Sofas", "sofa", "blue", 1.0),
        ("grey chairs", "chair", "gray", 1.0),
        ("fridge", "refrigerator", "white", 1.0),
        ("bookshelves", "bookshelf", "", 1.0),
        ("table", "dining table", "brown", 1.0),
        ("dining table", "coffee table", "brown", 0.0),
        ("coffee table", "coffee table", "brown", 1.0),
        ("red", "lamp", "red", 1.0),
        ("something red", "lamp", "red", 1.0),
        ("red", "lamp", "blue", 0.0),
        ("lamp", "sofa", "red", 0.0),
        ("chair", "armchair", "red", 0.0),
        ("xyzzy", "sofa", "red", 0.0),
    ],
)
def test_words(text, label, color, fits):
    assert match_text(text, label, color) == pytest.approx(fits)


def test_the_wrong_colour_counts_less_and_another_label_nothing():
    objects = (thing(1, "sofa", "blue"), thing(2, "sofa", "red"), thing(3, "chair", "red"))
    found = rank(objects, "red sofa")
    assert [o.id for o, _ in found] == [2, 1]
    assert 0 < found[1][1] < found[0][1] <= 1


def test_nearest_among_equals_and_a_box():
    objects = (thing(1, "chair", position=(5, 0, 0)), thing(2, "chair", position=(1, 0, 0)), thing(3, "bed"))
    assert [o.id for o, _ in rank(objects, "chair", near=np.zeros(3))] == [2, 1]
    box = (np.array([0.7, -1, -1]), np.array([2, 1, 1]))
    assert [o.id for o, _ in rank(objects, "", box)] == [2]
    assert len(rank(objects)) == 3
