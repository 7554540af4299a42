"""Colour names of well-known colours, of shades, and of noisy surfaces."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.language import COLORS
from embodied_nav.perception.color_names import (
    color_in_full_light,
    dominant_color,
    exposure_gain,
    lab_from_rgb,
    name_color,
)

#: CSS colours whose everyday name nobody disputes.
KNOWN = {
    "red": ["ff0000", "dc143c", "b22222", "8b0000", "a52a2a"],
    "green": ["008000", "00ff00", "228b22", "006400", "2e8b57", "9acd32", "90ee90", "556b2f"],
    "blue": ["0000ff", "00008b", "4169e1", "1e90ff", "4682b4", "87cefa", "191970"],
    "yellow": ["ffff00", "ffd700", "f0e68c", "eedd00"],
    "orange": ["ffa500", "ff8c00", "ff7f50", "ff6600"],
    "purple": ["800080", "4b0082", "9932cc", "8a2be2", "9370db"],
    "pink": ["ffc0cb", "ff69b4", "ff1493", "ffb6c1"],
    "brown": ["8b4513", "a0522d", "654321", "c19a6b", "5c4033"],
    "black": ["000000", "141414", "1c1c1c"],
    "white": ["ffffff", "f5f5f5", "fffaf0", "f0f0f0"],
    "gray": ["808080", "a9a9a9", "696969", "708090"],
    "turquoise": ["40e0d0", "00ced1", "20b2aa", "008b8b", "48d1cc"],
}


def rgb(text):
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.uint8)


@pytest.mark.parametrize("name, code", [(n, c) for n, codes in KNOWN.items() for c in codes])
def test_known_colours(name, code):
    assert name_color(rgb(code)) == name


def test_arrays_keep_their_shape():
    image = np.stack([[rgb("ff0000"), rgb("0000ff")], [rgb("ffffff"), rgb("000000")]])
    assert name_color(image).tolist() == [["red", "blue"], ["white", "black"]]


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name(color):
    assert name_color(np.array(color, np.uint8)) in COLORS


@given(st.integers(0, 255))
def test_greys_have_no_hue(value):
    assert name_color(np.full(3, value, np.uint8)) in ("black", "gray", "white")


@pytest.mark.parametrize("name, hue", [("red", 0), ("green", 120), ("blue", 225), ("yellow", 57)])
def test_light_and_shade_keep_the_name(name, hue):
    for value in (0.55, 0.75, 1.0) if name != "yellow" else (0.8, 1.0):
        color = np.array(colorsys.hsv_to_rgb(hue / 360, 0.85, value)) * 255
        assert name_color(color.astype(np.uint8)) == name


def test_lab_reference_values():
    lab = lab_from_rgb(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]]))
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [0, 0, 0]]
    assert np.allclose(lab, expected, atol=0.05)


def test_the_dominant_colour_outlives_noise_glare_and_shade():
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal((190, 40, 40), 20, (1000, 3)), 0, 255)
    pixels[:250], pixels[250:450] = 245, 15
    assert dominant_color(pixels.astype(np.uint8)) == "red"
    assert dominant_color(np.zeros((0, 3), np.uint8)) == ""


@pytest.mark.parametrize("light", [0.25, 0.4, 0.8])
def test_a_dim_room_changes_no_name(light):
    """Linear light is what a dimmer changes; the walls tell how dim it is."""

    def lit(rgb):
        linear = np.where(
            np.array(rgb) <= 10.31, np.array(rgb) / 255 / 12.92, ((np.array(rgb) / 255 + 0.055) / 1.055) ** 2.4
        )
        dim = light * linear
        return np.round(255 * np.where(dim <= 0.0031308, 12.92 * dim, 1.055 * dim ** (1 / 2.4) - 0.055)).astype(
            np.uint8
        )

    view = np.tile(lit((252, 250, 246)), (60, 60, 1))
    view[20:40, 20:40] = lit((60, 60, 60))
    gain = exposure_gain(view)
    colors = {
        "white": (235, 234, 230), "gray": (130, 130, 132), "black": (30, 30, 32), "orange": (230, 120, 30),
        "brown": (120, 75, 42), "pink": (240, 140, 178), "purple": (125, 50, 168), "yellow": (235, 200, 44),
    }  # fmt: skip
    for name, rgb in colors.items():
        assert color_in_full_light(np.tile(lit(rgb), (50, 1)), gain) == name, (name, gain)


def test_a_bright_view_is_not_brightened_and_a_black_one_within_bounds():
    assert exposure_gain(np.full((30, 30, 3), 255, np.uint8)) == pytest.approx(1.25)
    assert exposure_gain(np.zeros((30, 30, 3), np.uint8)) == 6.0
