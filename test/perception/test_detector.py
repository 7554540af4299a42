"""The back end on made-up rooms: what a stand-in finds, with errors, becomes objects by evidence over views."""

import numpy as np
import pytest
from box_scene import BOXES, camera_pose, in_map_of, keyframe, without_depth

from embodied_nav import perception
from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import PerceptionError
from embodied_nav.perception.detector import DetectorConfig, DetectorPerception
from embodied_nav.perception.detectors import Detection

LABELS = {1: "sofa", 2: "chair", 7: "plant"}


class Eyes:
    """Finds the boxes of the scene by the truth; ``says`` (view -> id -> label, "" for nothing) are its errors."""

    def __init__(self, says=None):
        self.says, self.view, self.ids, self.more = says or {}, 0, None, []

    def detect(self, rgb):
        found = []
        for i, label in LABELS.items():
            v, u = np.nonzero(self.ids == i)
            label = self.says.get(self.view, {}).get(i, label)
            if len(v) > 20 and label:
                box = np.array([u.min() - 3, v.min() - 3, u.max() + 4, v.max() + 4], float)
                found.append(Detection(label, 0.6, np.clip(box, 0, [320, 240, 320, 240])))
        return found + self.more


def see(eyes, poses):
    """Memory after views from some poses, and the deltas."""
    backend = DetectorPerception(DetectorConfig(), eyes)
    memory, previous, deltas = SpatialMemory(), None, []
    for k, pose in enumerate(poses):
        current = keyframe(k, pose)
        eyes.view, eyes.ids = k, current.frame.instance_ids
        delta = backend.perceive(previous, current, "find the red sofa")
        memory.integrate(current.frame)
        memory.add_keyframe(current)
        memory.add_delta(delta)
        previous = current
        deltas.append(delta)
    return memory, deltas


WALK = [camera_pose(x=0.1 * k, y=0.05 * k, yaw=0.03 * k) for k in range(6)]


def test_boxes_become_objects_in_3d():
    eyes = Eyes()
    _, (delta,) = see(eyes, WALK[:1])
    assert delta.source == "detector" and delta.previous_id == -1
    named = {o.name: (k, o) for k, o in enumerate(delta.objects, 1)}
    assert set(named) == {"red sofa", "blue chair", "green plant"}
    for i, name in ((1, "red sofa"), (2, "blue chair"), (7, "green plant")):
        k, o = named[name]
        low, high = np.array(BOXES[i][0]), np.array(BOXES[i][1])
        assert ((o.position > low - 0.05) & (o.position < high + 0.05)).all(), name
        assert (o.extent < high - low + 0.1).all(), name
        own, truth = delta.segments == k, eyes.ids == i
        assert (own & truth).sum() > 0.85 * truth.sum() and (own & ~truth).sum() < 0.05 * truth.sum(), name
    assert "red sofa" in delta.relevant


def test_several_views_confirm_and_one_view_does_not():
    memory, _ = see(Eyes(), WALK[:1])
    assert len(memory.objects()) == 3 and memory.evident_objects() == ()
    memory, _ = see(Eyes(), [WALK[0]] * 4)
    assert memory.evident_objects() == (), "the same viewpoint again is no more evidence"
    memory, _ = see(Eyes(), WALK[:3])
    assert sorted(o.label for o in memory.evident_objects()) == ["chair", "plant", "sofa"]


def test_confusions_of_one_thing_add_up():
    memory, _ = see(Eyes({1: {2: "bench"}, 3: {2: "bench"}}), WALK)
    (chair,) = [o for o in memory.objects() if o.label in ("chair", "bench")]
    assert chair.label == "chair" and chair.confirmed == 6
    assert dict(chair.label_distribution) == pytest.approx({"chair": 4 / 6, "bench": 2 / 6}, abs=0.01)


def test_a_phantom_of_one_view_does_not_count():
    memory, _ = see(Eyes({k: {2: "" if k else "chair"} for k in range(6)}), WALK)
    assert sorted(o.label for o in memory.evident_objects()) == ["plant", "sofa"]


def test_of_two_detections_on_one_thing_the_surer_stays():
    eyes = Eyes()
    eyes.ids = keyframe(0, WALK[0]).frame.instance_ids
    chair = next(d for d in eyes.detect(None) if d.label == "chair")
    eyes.more = [Detection("bench", 0.5, chair.box + np.array([-2, -1, 2, 1]))]
    _, (delta,) = see(eyes, WALK[:1])
    assert sorted(o.label for o in delta.objects) == ["chair", "plant", "sofa"]


def test_what_cannot_be_processed_is_said():
    with pytest.raises(InputError, match=r"needs a model: .*--detector"):
        perception.create("detector")
    blind = without_depth(keyframe(0, WALK[0]))
    with pytest.raises(PerceptionError, match="needs colour and depth"):
        DetectorPerception(detector=Eyes()).perceive(None, blind, "")


def test_with_a_fallback_an_unusable_model_leaves_geometry():
    config = DetectorConfig(file="/nowhere/model.onnx")
    told: list[str] = []
    with pytest.raises(InputError, match="there is no such file"):
        perception.make_resilient("detector", config, perception.ResilienceConfig(fallback="none"), tell=told.append)
    resilient = perception.make_resilient("detector", config, tell=told.append)
    assert len(told) == 1 and "there is no such file" in told[0]
    delta = resilient.perceive(None, keyframe(0, WALK[0]), "find the red sofa")
    assert delta.stale and delta.source == "geometric" and delta.objects
    assert "there is no such file" in resilient.last_error and resilient.name == "detector"


def test_a_map_need_not_lie_level():
    eyes, keys = Eyes(), [keyframe(0, camera_pose()), keyframe(1, camera_pose(yaw=0.3))]
    backend, previous, deltas = DetectorPerception(DetectorConfig(), eyes), None, []
    for view, key in enumerate(keys):
        eyes.view, eyes.ids = view, key.frame.instance_ids
        current = in_map_of(keys[0], key)
        deltas.append(backend.perceive(previous, current, "find the red sofa"))
        previous = current
    assert deltas[1].action == "rotate left"
    assert "red sofa ahead left at" in deltas[0].relevant and "red sofa ahead at" in deltas[1].relevant


def test_a_start_without_depth_still_begins_a_new_history():
    eyes = Eyes()
    backend = DetectorPerception(DetectorConfig(), eyes)
    eyes.ids = (first := keyframe(0, WALK[0])).frame.instance_ids
    backend.perceive(None, first, "")
    emptied = keyframe(1, WALK[0], boxes={i: box for i, box in BOXES.items() if i != 1})
    eyes.ids = emptied.frame.instance_ids
    with pytest.raises(PerceptionError, match="depth"):
        backend.perceive(None, without_depth(emptied), "")
    delta = backend.perceive(emptied, emptied, "")
    assert delta.gone == () and len(delta.new) == 2, "the sofa was of another map"
