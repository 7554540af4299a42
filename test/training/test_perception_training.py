"""Training of the compact network: views that depend on their index alone, going on after an interruption, export."""

import dataclasses
import json

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.training.perception.scores import Confusion
from embodied_nav.training.perception.views import NAMES, ViewConfig, Views

SMALL = ViewConfig(width=64, camera_width=80, scenes=2, scenes_at_once=1, views_a_scene=4)


@pytest.fixture(scope="module")
def series():
    views = Views(SMALL)
    return [views[k] for k in range(6)]


def test_a_view_depends_on_its_index_alone(series):
    again = Views(SMALL)
    for k in (5, 2):
        for field in dataclasses.fields(series[k]):
            np.testing.assert_array_equal(getattr(again[k], field.name), getattr(series[k], field.name))
    assert not np.array_equal(series[0].inputs, series[1].inputs)


def test_views_show_things_with_labels_and_centres(series):
    for view in series:
        assert view.inputs.shape == (8, 48, 64) and view.labels.shape == (24, 32) and view.centers.shape == (3, 24, 32)
        assert view.labels.min() >= 0 and view.labels.max() <= len(NAMES)
        assert not np.isfinite(view.centers[:, view.labels == 0]).any()
    assert sum((view.labels > 0).any() for view in series) >= 4
    lengths = [np.linalg.norm(view.centers[:, view.labels > 0], axis=0) for view in series]
    assert np.nanmax(np.concatenate(lengths)) < 2.5, "no thing is larger"


def test_mean_iou_leaves_out_what_never_came():
    confusion = Confusion(4)
    confusion.add(np.array([1, 1, 2, 2, 0, -1]), np.array([1, 2, 2, 2, 0, 3]))
    assert confusion.mean_iou() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert np.isnan(confusion.iou()[3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder after four steps in one go, folder after two and two more)."""
    pytest.importorskip("torch", reason="torch is not installed (make setup EXTRAS=train)")
    pytest.importorskip("safetensors")
    from embodied_nav.models.compact import CompactConfig
    from embodied_nav.training.perception.train import PerceptionTraining, train

    network = CompactConfig(categories=NAMES, width=64, width_2=4, width_4=8, width_8=8, width_16=8)
    config = {"batch": 2, "validate_every": 2, "validation_views": 1, "workers": 0, "reuse": 2, "pool": 6}
    whole, parts = tmp_path_factory.mktemp("training") / "whole", tmp_path_factory.mktemp("training") / "parts"
    train(whole, PerceptionTraining(steps=4, **config), SMALL, network, say=lambda line: None)
    for steps in (2, 4):
        train(parts, PerceptionTraining(steps=4, **config), SMALL, network, resume=steps == 4, say=lambda line: None,
              until=steps)  # fmt: skip
    return whole, parts


def test_going_on_gives_the_same_weights(trained):
    from safetensors.numpy import load_file

    one, other = (load_file(folder / "checkpoint.safetensors") for folder in trained)
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
    lines = [json.loads(line) for line in (trained[1] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "miou as made" in line] == [2, 4]


def test_a_folder_is_never_overwritten(trained):
    from embodied_nav.training.perception.train import PerceptionTraining, train

    with pytest.raises(InputError, match="holds a training already; give --resume"):
        train(trained[0], PerceptionTraining(steps=1))
    with pytest.raises(InputError, match="holds no checkpoint"):
        train(trained[0] / "other", PerceptionTraining(steps=1), resume=True)


def test_what_is_shipped_answers_as_torch_does(trained, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (make setup EXTRAS=train)")
    import torch

    from embodied_nav.perception.compact import load_session
    from embodied_nav.training.perception.export import export, load_network

    _, graph = export(trained[0] / "compact.safetensors", tmp_path / "weights", 1.5, dict.fromkeys(NAMES, 0.5))
    assert graph.stat().st_size < 100_000, "the weights are in one file"
    session, about = load_session(str(graph))
    assert (about.categories, about.width, about.unknown_from, about.spacing[0]) == (NAMES, 64, 1.5, 0.5)
    network = load_network(trained[0] / "compact.safetensors")
    inputs = np.random.default_rng(0).standard_normal((1, 8, 40, 64)).astype(np.float32)
    with torch.no_grad():
        expected = [out.numpy() for out in network(torch.from_numpy(inputs))]
    for found, wanted in zip(session.run(None, {"inputs": inputs}), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.02)
