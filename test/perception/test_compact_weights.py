"""The weights of ``compact`` that the package ships: what a user gets without training."""

import numpy as np

from embodied_nav.models.compact import shipped_weights
from embodied_nav.perception.compact import load_session
from embodied_nav.training.perception.views import NAMES, ViewConfig, Views


def test_they_are_small_and_have_a_card():
    graph = shipped_weights()
    weights, card = graph.with_suffix(".safetensors"), graph.with_suffix(".md").read_text(encoding="utf-8")
    assert weights.stat().st_size < 8_000_000 and graph.stat().st_size < 100_000
    for told in ("embodied-nav train perception", "mIoU", "1000-1049", "Sweet Home 3D", "real"):
        assert told in card


def test_they_name_most_of_what_is_seen_in_apartments_that_training_never_saw():
    session, about = load_session(str(shipped_weights()))
    assert about.categories == NAMES
    config = ViewConfig(width=about.width, first_scene=1000, scenes=4, scenes_at_once=2, views_a_scene=4, toward=0.0,
                        retextured=0.0, recolored=0.0, vary_camera=0.0, no_depth=0.0, holes=0.0)  # fmt: skip
    views, right, shown, called = Views(config), 0, 0, 0
    for k in range(16):
        logits = session.run(None, {"inputs": views[k].inputs[None].astype(np.float32)})[0][0]
        named, label = logits.argmax(axis=0), views[k].labels
        right += np.count_nonzero((named == label) & (label > 0))
        shown, called = shown + np.count_nonzero(label), called + np.count_nonzero(named)
    assert shown > 10_000, "the views show things"
    assert right > 0.65 * shown and right > 0.65 * called
