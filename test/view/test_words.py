"""Nothing that was seen, told or decided becomes markup; drawn boxes are where they were seen."""

from html.parser import HTMLParser

import numpy as np
import pytest
from pages import decision, thing

from embodied_nav.frames import ObjectObservation
from embodied_nav.view import Health, pictures, words

EVIL = '<img src="http://example.com/x"><script>go()</script> ![](http://example.com/y) [a](http://example.com)'
#: The elements that the page makes itself.
OURS = {"div", "b", "i", "span", "s", "br"}


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.text = set(), [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "made",
    [
        lambda: words.decision(decision(EVIL, EVIL)),
        lambda: words.goal(EVIL, EVIL),
        lambda: words.light([Health(EVIL, 2, EVIL)]),
        lambda: words.lamp([Health(EVIL, 2, EVIL)]),
        lambda: words.objects([thing(label=EVIL), thing(2, label=EVIL, status="gone")]),
        lambda: words.note(EVIL),
    ],
    ids=["decision", "goal", "light", "lamp", "objects", "note"],
)
def test_what_others_wrote_stays_text(made):
    found = Elements(made())
    assert found.names <= OURS and all(name == "style" for name, _ in found.attributes)
    assert "<img" in found.text, "it is shown as it was written"


def test_a_long_text_is_cut():
    assert len(words.safe("x" * 5000)) <= 600


def test_the_chosen_option_is_the_marked_one():
    rows = words.decision(decision()).split("<div style=")
    marked = [row for row in rows if "font-weight:600" in row]
    assert len(marked) == 1 and "explore" in marked[0]


def test_the_lamp_has_the_worst_state():
    parts = [Health("memory", 0, "ok"), Health("control", 2, "no depth"), Health("slam", 1, "slow")]
    assert words.LIGHTS[2] in words.lamp(parts) and "no depth" in words.lamp(parts)
    assert words.LIGHTS[0] in words.lamp(parts[:1])
    light = words.light(parts)
    assert light.index("control") < light.index("slam") < light.index("memory"), "the worst first"


def test_boxes_are_drawn_where_they_were_seen():
    image = np.full((120, 160, 3), 200, np.uint8)
    seen = ObjectObservation("sofa", "red", 0.9, np.zeros(3), np.ones(3), (40, 50, 80, 90))
    out = pictures.boxed(image, [seen, ObjectObservation("tv", "", 0.5, np.zeros(3), np.ones(3))])
    changed = (out != image).any(axis=2)
    assert changed[60:89, 40].all() and changed[60:89, 79].all() and changed[89, 40:80].all()
    assert not changed[55:85, 45:75].any() and not changed[95:].any()
    assert (image == 200).all(), "the given image is left alone"


def test_pictures_survive_jpeg_and_what_is_none_is_none():
    image = np.zeros((300, 400, 3), np.uint8)
    image[:, :200] = (200, 30, 30)
    small = pictures.decoded(pictures.encoded(image, 100))
    assert small.shape == (75, 100, 3)
    assert abs(small[40, 20].astype(int) - (200, 30, 30)).max() < 12 and small[40, 80].max() < 12
    assert pictures.decoded(b"") is None and pictures.decoded(b"no picture") is None
