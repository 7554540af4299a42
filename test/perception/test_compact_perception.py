"""The back end ``compact`` around its network: what begins a history anew."""

import numpy as np
import pytest
from box_scene import camera_pose, in_map_of, keyframe, without_depth

from embodied_nav.frames import ObjectObservation
from embodied_nav.perception import PerceptionError, compact


class Nothing:
    """A network that sees nothing."""

    def run(self, outputs, feed):
        height, width = np.array(feed["inputs"].shape[2:]) // 2
        logits = np.zeros((1, 2, height, width), np.float32)
        logits[:, 0] = 9.0
        return logits, np.zeros((1, 3, height, width), np.float32)


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(compact, "load_session", lambda _: (Nothing(), compact._About(("sofa",), 160, 1.0, (2.0,))))
    return compact.CompactPerception(compact.CompactPerceptionConfig(weights="some.onnx"))


def test_a_start_without_depth_still_begins_a_new_history(backend):
    first = keyframe(0, camera_pose())
    behind = np.float32(first.frame.T_map_camera[:3, 3]) + np.float32([[1.0, 0.0, 0.0]])  # free space in this view
    thing = ObjectObservation("sofa", "red", 0.9, behind[0], np.full(3, 0.1))
    for start, gone in ((first, 1), (None, 0)):
        backend._history.update([thing], [behind], first.frame)
        if start is None:
            with pytest.raises(PerceptionError, match="depth"):
                backend.perceive(None, without_depth(first), "")
        assert len(backend.perceive(first, first, "").gone) == gone


def test_up_is_the_first_images_top_in_a_map_that_does_not_lie_level(backend):
    first, turned = (keyframe(k, camera_pose(yaw=0.3 * k)) for k in range(2))
    backend.perceive(None, in_map_of(first, first), "")
    delta = backend.perceive(in_map_of(first, first), in_map_of(first, turned), "")
    assert delta.action == "rotate left"


def test_it_tells_how_much_it_does_not_know(backend):
    assert "on real images its names mean little" in backend.facts()["unknown"]
    backend.perceive(None, keyframe(0, camera_pose()), "")
    assert backend.facts()["unknown"].startswith("0% of the last view")
    backend._about = compact._About(("sofa",), 160, 0.0, (2.0,))
    backend.perceive(None, keyframe(0, camera_pose()), "")
    assert backend.facts()["unknown"].startswith("100% of the last view")
