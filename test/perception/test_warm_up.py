"""The warm-up runs the back ends that will be used, as they are, and says in one line where one fails."""

import pytest
from box_scene import camera_pose, keyframe

from embodied_nav import perception
from embodied_nav.errors import InputError
from embodied_nav.perception import PerceptionError
from embodied_nav.perception.detector import DetectorPerception
from embodied_nav.perception.warm_up import warm_up


class Eyes:
    def __init__(self, error=None):
        self.error, self.calls = error, 0

    def detect(self, rgb):
        self.calls += 1
        if self.error:
            raise self.error
        return []


def test_a_made_back_end_is_run_and_none_is_made_again(monkeypatch):
    monkeypatch.setattr("embodied_nav.perception.warm_up.create", lambda *_: pytest.fail("made again"))
    eyes = Eyes()
    warm_up(backends=[DetectorPerception(detector=eyes)])
    assert eyes.calls == 2


def test_it_leaves_nothing_behind():
    truth = perception.create("simulator")
    warm_up(backends=[truth])
    delta = truth.perceive(None, keyframe(0, camera_pose()), "")
    assert delta.objects == delta.gone == (), "the names of the made-up things are forgotten"


def test_a_back_end_that_fails_is_one_line():
    eyes = Eyes(PerceptionError("the detector gives class 7, of 3 names; give detector.classes"))
    with pytest.raises(InputError, match=r"perception 'detector' fails at a made-up picture: .* give detector.classes"):
        warm_up(backends=[DetectorPerception(detector=eyes)])


def test_without_any_named_all_that_need_no_model_are_run(monkeypatch):
    made = []
    monkeypatch.setattr(
        "embodied_nav.perception.warm_up.create", lambda name: made.append(name) or perception.create(name)
    )
    warm_up()
    assert {"geometric", "simulator"} <= set(made) and not {"server", "vlm"} & set(made)
