"""What ``perception: auto`` stands for, and what each back end says that it can name."""

import pytest

from embodied_nav.errors import InputError
from embodied_nav.model_store import source_named
from embodied_nav.perception import (
    BackgroundPerception,
    ResilienceConfig,
    categories_of,
    choose,
    choosing,
    create,
    make_resilient,
)
from embodied_nav.perception.detector import DetectorConfig, DetectorPerception, open_detector


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A file where ``models get detector`` puts it."""
    monkeypatch.setenv("EMBODIED_NAV_MODELS", str(tmp_path))
    file = tmp_path / "detector" / source_named("detector").keeps
    file.parent.mkdir()
    file.write_bytes(b"no model")
    return file


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Weights of ``compact``, as if the package shipped them."""
    monkeypatch.setattr(choosing, "shipped_weights", lambda: tmp_path / "compact.onnx")


@pytest.fixture
def unshipped(monkeypatch):
    monkeypatch.setattr(choosing, "shipped_weights", lambda: None)


def test_name_of_a_back_end_stands_for_itself(fetched, shipped):
    for name in ("simulator", "geometric", "server"):
        assert choose(name, simulated=True) == choosing.Choice(name)


def test_real_camera_gets_the_detector_that_is_there(fetched, shipped):
    choice = choose("auto", simulated=False)
    assert choice.name == "detector" and str(fetched) in choice.why
    assert choose("auto", simulated=True).name == "detector", "in simulation, too"
    assert "/my.onnx" in choose("auto", simulated=False, detector="/my.onnx").why, "one that is given wins"


def test_without_a_detector_it_depends_on_the_camera(shipped):
    assert choose("auto", simulated=True).name == "compact"
    choice = choose("auto", simulated=False)
    assert choice.name == "geometric" and "no categories" in choice.why and "models get detector" in choice.why


def test_without_weights_simulation_has_geometry(unshipped):
    assert choose("auto", simulated=True).name == "geometric"
    assert choose("auto", simulated=True, compact="/my.onnx").name == "compact"


def test_detector_without_a_file_is_the_fetched_one(fetched):
    with pytest.raises(InputError, match=f"{fetched}: is no ONNX file"):
        open_detector(DetectorConfig())


def test_detector_without_any_says_how_to_get_one():
    with pytest.raises(InputError, match="needs a model: 'embodied-nav models get detector'"):
        open_detector(DetectorConfig())


class Fixed:
    """A detector of three classes, one without a name."""

    names = ("couch", "", "TV_monitor")

    def detect(self, rgb):
        return []


def test_back_ends_say_what_they_can_name():
    assert categories_of(create("geometric")) == frozenset()
    assert categories_of(create("simulator")) is None
    assert categories_of(DetectorPerception(detector=Fixed())) == {"sofa", "tv"}
    assert categories_of(object()) is None


def test_what_takes_a_failing_back_ends_place_names_nothing():
    told = []
    resilient = make_resilient("detector", None, ResilienceConfig(), tell=told.append)
    assert categories_of(resilient) == frozenset() and told
    background = BackgroundPerception(resilient, lambda delta: None)
    background.close()
