"""A TensorFlow.js graph becomes an ONNX file that gives the same numbers."""

import json

import numpy as np
import pytest
import tiny_tfjs

from embodied_nav.errors import InputError
from embodied_nav.model_store.tfjs import convert

pytest.importorskip("onnx")
INPUTS = {"start": [1, tiny_tfjs.SIZE, tiny_tfjs.SIZE, 3]}


def write(folder, files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / "model.json"


def test_answers_are_those_computed_point_by_point(tmp_path):
    import onnxruntime as ort

    files, weights = tiny_tfjs.tiny_model()
    convert(write(tmp_path, files), tmp_path / "made.onnx", INPUTS, ["scores"])
    session = ort.InferenceSession(str(tmp_path / "made.onnx"))
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("start", [1, 7, 7, 3])]
    x = np.random.default_rng(1).normal(size=(1, 7, 7, 3)).astype(np.float32)
    (found,) = session.run(["scores"], {"start": x})
    expected = tiny_tfjs.answer(weights, x)
    assert found.shape == expected.shape == (1, 64, 3)
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected) > 0.5  # it says something


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"camera": [1, 7, 7, 3]}, ["scores"], "'loop' is a Enter, which is not known"),
        (INPUTS, ["after"], "NonMaxSuppressionV3"),
        (INPUTS, ["nothing"], "no node 'nothing'"),
    ],
)
def test_what_is_not_known_is_named(tmp_path, inputs, outputs, said):
    model = write(tmp_path, tiny_tfjs.tiny_model()[0])
    with pytest.raises(InputError, match=said) as raised:
        convert(model, tmp_path / "made.onnx", inputs, outputs)
    assert str(model) in str(raised.value)
    assert not (tmp_path / "made.onnx").exists()


def test_loop_in_the_graph_ends(tmp_path):
    files = tiny_tfjs.tiny_model()[0]
    model = json.loads(files["model.json"])
    nodes = {n["name"]: n for n in model["modelTopology"]["node"]}
    nodes["conv"]["input"][0] = "sum"
    with pytest.raises(InputError, match="loop"):
        convert(write(tmp_path, files | {"model.json": json.dumps(model).encode()}), tmp_path / "x", INPUTS, ["scores"])


@pytest.mark.parametrize("damage", ["cut", "longer", "gone", "no json", "no graph"])
def test_damaged_files_are_one_line(tmp_path, damage):
    files = tiny_tfjs.tiny_model()[0]
    if damage == "gone":
        del files["shard2"]
    else:
        name, data = {
            "cut": ("shard2", files["shard2"][:-5]),
            "longer": ("shard2", files["shard2"] + b"1234"),
            "no json": ("model.json", files["model.json"][:-5]),
            "no graph": ("model.json", b'{"modelTopology": []}'),
        }[damage]
        files[name] = data
    with pytest.raises(InputError) as raised:
        convert(write(tmp_path, files), tmp_path / "made.onnx", INPUTS, ["scores"])
    assert str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)
