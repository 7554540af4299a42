"""What is left of a thing that was carried off: its foot, or what lies under a thing on it."""

import numpy as np

from embodied_nav.memory.objects.remnants import Fullest


def column(voxels, height):
    return np.column_stack([np.zeros((voxels, 2)), np.linspace(0.0, height, voxels)])


def test_a_share_of_the_voxels_or_half_of_them_and_no_height():
    fullest = Fullest()
    fullest.note(1, column(200, 0.5))
    assert fullest.is_remnant(1, column(29, 0.5)), "too few"
    assert fullest.is_remnant(1, column(80, 0.05)), "its lowest layer"
    assert not fullest.is_remnant(1, column(80, 0.4)), "seen from one side"
    assert not fullest.is_remnant(1, column(120, 0.05)), "a table whose legs noise took: its top is most of it"
    assert not fullest.is_remnant(2, column(5, 0.05)), "never seen before"
    fullest.note(1, column(10, 0.1))
    assert fullest.lost_half(1, 99) and not fullest.lost_half(1, 100)


def test_what_becomes_another_is_as_large_as_the_larger():
    fullest = Fullest()
    fullest.note(1, column(50, 1.0))
    fullest.note(2, column(100, 0.3))
    fullest.take(1, 2)
    assert fullest.is_remnant(1, column(40, 0.2)) and not fullest.is_remnant(2, column(1, 0.0))
    fullest.drop(1)
    assert not fullest.is_remnant(1, column(1, 0.0))
