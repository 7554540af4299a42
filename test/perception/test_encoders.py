"""Encoders of transformers on tiny random models, each against the model itself; and what is refused."""

import importlib.util
import inspect
import json
import sys

import numpy as np
import pytest
import tiny_encoders as tiny

from embodied_nav.errors import InputError
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.memory import MemoryConfig
from embodied_nav.perception import PerceptionError
from embodied_nav.perception.encoders import Encoder, make_encoder, with_features
from embodied_nav.tables import ENCODERS

missing = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
needs_torch = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: the extra 'encoder'")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}

    def folder(kind):
        if kind not in folders:
            folders[kind] = tiny.save(tmp_path_factory.mktemp(kind), kind)
        return folders[kind]

    return folder


def settings(kind, folder, **more):
    entry = "dino" if kind.startswith("dino") else "clip"
    return {
        "perception.encoder": entry, "encoder.model": str(folder), "encoder.device": "cpu", "encoder.image_size": 64,
        **more,
    }  # fmt: skip


def picture(width=80, height=60, seed=0):
    color = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return RGBDFrame(1, Camera(width, height, 60.0, 60.0, width / 2 - 0.5, height / 2 - 0.5), np.eye(4), color)


def pixels(kind, frame, rows, columns):
    """1x3xHxW tensor as the model wants it."""
    import cv2
    import torch

    patch = tiny.PATCH[kind]
    small = cv2.resize(frame.color, (columns * patch, rows * patch), interpolation=cv2.INTER_AREA) / 255
    return torch.tensor(((small - tiny.MEAN) / tiny.STD).transpose(2, 0, 1)[None], dtype=torch.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@needs_torch
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_picture_becomes_a_grid_over_all_of_it(saved, kind):
    encoder = make_encoder(settings(kind, saved(kind)))
    assert isinstance(encoder, Encoder) and encoder.dim == tiny.DIM.get(kind, 24)
    grid = encoder.encode(picture())
    rows, columns = (3, 5) if tiny.PATCH[kind] == 14 else (3, 4)
    assert grid.shape == (rows, columns, encoder.dim) and grid.dtype == np.float32
    assert np.allclose(np.linalg.norm(grid, axis=-1), 1, atol=1e-5)
    other = picture()
    other.color[:12, :10] = 255 - other.color[:12, :10]
    changed = np.abs(encoder.encode(other) - grid).max(-1)
    assert changed[0, 0] > 1e-3 and changed[0, 0] == changed.max()


@needs_torch
@pytest.mark.parametrize("kind", ["dinov2", "dinov2_with_registers", "dinov3_vit"])
def test_dino_gives_the_patch_tokens_row_by_row(saved, kind):
    import torch
    from transformers import AutoModel

    frame, encoder = picture(), make_encoder(settings(kind, saved(kind)))
    grid = encoder.encode(frame)
    rows, columns = grid.shape[:2]
    with torch.no_grad():
        tokens = AutoModel.from_pretrained(saved(kind)).eval()(pixels(kind, frame, rows, columns)).last_hidden_state[0]
    skipped = {"dinov2": 1}.get(kind, 4)
    assert len(tokens) == skipped + rows * columns
    for i in range(rows):
        for j in range(columns):
            want = unit(tokens[skipped + i * columns + j].numpy())
            assert np.allclose(grid[i, j], want, atol=2e-3), (i, j)


@needs_torch
def test_a_clip_patch_is_what_its_last_layer_makes_of_it_alone(saved):
    """The last layer of the model with a mask by which each token sees only itself, run by the model's own code."""
    import torch
    from transformers import CLIPModel

    frame, encoder = picture(), make_encoder(settings("clip", saved("clip")))
    grid = encoder.encode(frame)
    model = CLIPModel.from_pretrained(saved("clip"), attn_implementation="eager").eval()
    vision = model.vision_model
    with torch.no_grad():
        found = vision(pixels("clip", frame, *grid.shape[:2]), interpolate_pos_encoding=True, output_hidden_states=True)
        before = found.hidden_states[-2]
        n = before.shape[1]
        alone = torch.full((1, 1, n, n), -1e9).masked_fill(torch.eye(n, dtype=torch.bool), 0.0)
        layer = vision.encoder.layers[-1]
        takes = inspect.signature(layer.forward).parameters
        more = {"causal_attention_mask": None} if "causal_attention_mask" in takes else {}  # transformers 4
        out = layer(before, attention_mask=alone, **more)
        out = out[0] if isinstance(out, tuple) else out
        want = model.visual_projection(vision.post_layernorm(out[0, 1:]))
        whole = layer(before, attention_mask=torch.zeros(1, 1, n, n), **more)
        whole = whole[0] if isinstance(whole, tuple) else whole
    assert np.allclose(grid.reshape(-1, 12), unit(want.numpy()), atol=2e-3)
    assert not torch.allclose(whole, out, atol=1e-2)  # the mask says something


@needs_torch
@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_a_picture_of_one_patch_is_what_the_model_says_of_it_as_a_whole(saved, kind):
    """Where a picture has one patch only, the pooling head of SigLIP sees the same."""
    import torch
    from transformers import AutoModel

    frame = picture(32, 32)
    encoder = make_encoder(settings(kind, saved(kind), **{"encoder.image_size": 16}))
    grid = encoder.encode(frame)
    assert grid.shape[:2] == (1, 1)
    model = AutoModel.from_pretrained(saved(kind)).eval()
    given = pixels(kind, frame, 1, 1)
    with torch.no_grad():
        if kind == "siglip2":
            flat = given[0].permute(1, 2, 0).reshape(1, 1, -1)
            more = {"pixel_attention_mask": torch.ones(1, 1), "spatial_shapes": torch.tensor([[1, 1]])}
            found = model.get_image_features(flat, **more)
        else:
            found = model.get_image_features(given, interpolate_pos_encoding=True)
    want = getattr(found, "pooler_output", found)[0].numpy()
    assert np.allclose(grid[0, 0], unit(want), atol=2e-3)


@needs_torch
@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_a_text_gets_the_embedding_that_the_model_gives_it(saved, kind):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tower = make_encoder(settings(kind, saved(kind))).text_tower()
    model, tokenizer = AutoModel.from_pretrained(saved(kind)).eval(), AutoTokenizer.from_pretrained(saved(kind))
    more = {} if kind == "clip" else {"padding": "max_length", "max_length": 64}
    tokens = tokenizer("a photo of red sofa", return_tensors="pt", **more)
    with torch.no_grad():
        found = model.get_text_features(input_ids=tokens["input_ids"])
    want = getattr(found, "pooler_output", found)[0].numpy()
    assert np.allclose(tower("Red sofa"), unit(want), atol=1e-4)
    assert not np.allclose(tower("red sofa"), tower("fridge"), atol=1e-2)
    assert tower("long " * 200).shape == want.shape


@needs_torch
def test_a_text_is_embedded_once(saved, monkeypatch):
    encoder = make_encoder(settings("clip", saved("clip")))
    asked, real = [], type(encoder)._embedded
    monkeypatch.setattr(type(encoder), "_embedded", lambda self, *a: (asked.append(a[-1]), real(self, *a))[1])
    tower = encoder.text_tower()
    tower.prepare(["sofa", "bed", "sofa"])
    assert np.array_equal(tower("sofa"), tower("sofa")) and asked == ["sofa", "bed"]


@needs_torch
def test_dino_knows_no_words_and_names_itself(saved):
    encoder = make_encoder(settings("dinov2", saved("dinov2")))
    assert encoder.text_tower() is None and encoder.name == f"dino:{saved('dinov2')}"


@needs_torch
def test_a_frame_without_colour_is_told(saved):
    encoder = make_encoder(settings("dinov2", saved("dinov2")))
    with pytest.raises(PerceptionError, match="no colour"):
        encoder.encode(RGBDFrame(1, Camera(8, 6, 6.0, 6.0, 4.0, 3.0), np.eye(4)))


# ---- what is refused, in one line ----


def refused(parameters):
    with pytest.raises(InputError) as error:
        encoder = make_encoder(parameters)
        encoder.load()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_encoder_is_no_encoder_and_an_unknown_one_is_told():
    assert make_encoder({}) is None and make_encoder({"perception.encoder": "none"}) is None
    assert "perception.encoder dyno: unknown (did you mean dino?); give one of clip, dino, vggt" in refused(
        {"perception.encoder": "dyno"}
    )
    assert "encoder.model is empty" in refused({"perception.encoder": "dino"})
    assert "out of range [14, 2048] px" in refused({"perception.encoder": "dino", "encoder.image_size": 4})


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_a_missing_library_is_named_with_the_command(monkeypatch, tmp_path, library):
    for name in ("torch", "transformers"):
        if name == library:
            monkeypatch.setitem(sys.modules, name, None)
    if library == "transformers" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is missing, too, and named first")
    said = refused(settings("dinov2", tmp_path))
    assert f"encoder 'dino' needs {library}; install it with" in said


@needs_torch
def test_bad_folders_are_told_in_one_line(saved, tmp_path):
    assert "there is no config.json" in refused(settings("dinov2", tmp_path))
    assert "is of kind 'dinov2'; encoder 'clip' takes clip, siglip, siglip2" in refused(
        settings("clip", saved("dinov2"))
    )
    assert "set encoder.download" in refused(settings("clip", "nobody/nothing-of-this-name"))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text((saved("dinov2") / "config.json").read_text())
    (empty / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5]}))
    assert "names no image_mean and image_std" in refused(settings("dinov2", empty))
    (empty / "preprocessor_config.json").unlink()
    assert "cannot be loaded" in refused(settings("dinov2", empty))
    (empty / "preprocessor_config.json").write_text(json.dumps({"image_mean": tiny.MEAN, "image_std": tiny.STD}))
    assert "cannot be loaded" in refused(settings("dinov2", empty))  # no weights
    (empty / "model.safetensors").write_bytes(b"\0" * 64)
    assert "cannot be loaded" in refused(settings("dinov2", empty))
    (empty / "config.json").write_text("{")
    assert "cannot be loaded" in refused(settings("dinov2", empty))


@needs_torch
def test_missing_weights_are_never_made_up(saved, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(saved("dinov2"), folder)
    weights = load_file(folder / "model.safetensors")
    del weights[next(name for name in weights if "layernorm" in name)]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "weights are missing" in refused(settings("dinov2", folder))


@needs_torch
def test_a_gpu_that_is_not_there_is_told(saved, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no GPU" in refused(settings("dinov2", saved("dinov2"), **{"encoder.device": "cuda"}))


class Flat:
    """An encoder without a model."""

    name, dim, knows_words = "flat:1", 3, False

    def __init__(self, settings=None):
        pass

    def load(self):
        pass

    def encode(self, frame):
        return np.ones((2, 2, 3), np.float32)

    def text_tower(self):
        return None


def test_the_memory_gets_room_for_the_features_that_will_come():
    assert with_features(MemoryConfig(), None) == MemoryConfig()
    config = with_features(MemoryConfig(feature_pooling="max"), Flat())
    assert (config.feature_dim, config.feature_source, config.feature_pooling) == (3, "flat:1", "max")
    with pytest.raises(InputError, match="have 3 components; leave it out"):
        with_features(MemoryConfig(feature_dim=4), Flat())
    with pytest.raises(InputError, match="flat:1 is set; leave it out"):
        with_features(MemoryConfig(feature_source="clip:x"), Flat())
    with pytest.raises(InputError, match="feature_pooling = 'median': must be one of mean, max"):
        MemoryConfig(feature_pooling="median")


def test_another_encoder_is_one_line_in_the_table():
    from embodied_nav.registry import Entry

    ENCODERS.add(Entry("flat", "ones", Flat))
    try:
        assert isinstance(ENCODERS.create("flat"), Encoder)
    finally:
        ENCODERS.remove("flat")
