"""What runs on a GPU, on both devices: tiny random models in bf16 and 4 bits, and steps of each training.

`make gpu-check` runs the half that is marked; the half on the CPU keeps the tests themselves right on every machine.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (make setup EXTRAS=vlm)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (make setup EXTRAS=vlm)")
pytest.importorskip("safetensors")

for folder in ("perception", "training"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

import tiny_encoders  # noqa: E402
import tiny_vlm  # noqa: E402
from test_reasoner_training import HELD_OUT, PROBLEMS, SHAPE, SHORT, TOKENIZER  # noqa: E402

from embodied_nav.perception.describing import Request  # noqa: E402
from embodied_nav.perception.local_vlm import LocalVlm, VlmConfig  # noqa: E402
from embodied_nav.perception.vlm_answers import schema  # noqa: E402

both = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
PICTURES = np.random.default_rng(0).integers(0, 255, (2, 60, 80, 3), dtype=np.uint8)
REQUEST = Request("You are the eyes of a robot.", "What is new?", (PICTURES[0], PICTURES[1]), schema(5))


def needs(*libraries: str) -> None:
    """Skips where an extra is missing."""
    for library in libraries:
        pytest.importorskip(library, reason=f"{library} is not installed (make setup EXTRAS='vlm train')")


def on(tensors, device: str) -> bool:
    """Whether all of them are there."""
    return {tensor.device.type for tensor in tensors} == {device}


# --- models that look ---


@both
@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
def test_a_vision_language_model_in_bf16(tmp_path, kind, device):
    needs("accelerate")
    settings = VlmConfig(model=str(tiny_vlm.save(tmp_path, kind)), device=device, max_tokens=32, image_width=80)
    vlm = LocalVlm(replace(settings, precision="bf16"))
    assert vlm._model.dtype == torch.bfloat16 and on(vlm._model.parameters(), device)
    said = vlm.ask(REQUEST)
    assert isinstance(said, str) and said == vlm.ask(REQUEST), "greedy: the same twice"
    chosen = LocalVlm(replace(settings, precision="auto"))._model.dtype
    assert chosen == (torch.bfloat16 if device == "cuda" else torch.float32)


@both
def test_a_vision_language_model_in_4_bits(tmp_path, device):
    needs("accelerate", "bitsandbytes")
    folder = tiny_vlm.save(tmp_path, "smolvlm")
    vlm = LocalVlm(VlmConfig(model=str(folder), device=device, max_tokens=32, image_width=80, precision="4bit"))
    assert vlm._model.is_loaded_in_4bit and on(vlm._model.parameters(), device)
    assert isinstance(vlm.ask(REQUEST), str)


@both
@pytest.mark.parametrize("kind", tiny_encoders.KINDS)
def test_features_are_those_of_the_cpu(tmp_path, kind, device):
    from embodied_nav.frames import RGBDFrame
    from embodied_nav.geometry import Camera
    from embodied_nav.perception.encoders import make_encoder

    folder = str(tiny_encoders.save(tmp_path, kind))
    entry = "dino" if kind.startswith("dino") else "clip"
    settings = {"perception.encoder": entry, "encoder.model": folder, "encoder.image_size": 64}
    frame = RGBDFrame(1, Camera(80, 60, 60.0, 60.0, 39.5, 29.5), np.eye(4), PICTURES[0])
    plain = make_encoder(settings | {"encoder.device": "cpu", "encoder.precision": "float32"}).encode(frame)
    for precision, least in (("float32", 0.9999), ("bf16", 0.95)):
        grid = make_encoder(settings | {"encoder.device": device, "encoder.precision": precision}).encode(frame)
        assert grid.shape == plain.shape and grid.dtype == np.float32
        assert (grid * plain).sum(-1).min() > least, precision


@pytest.mark.gpu
def test_onnxruntime_finds_on_the_gpu_what_it_finds_on_the_cpu(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA (package onnxruntime-gpu)")
    needs("onnx")
    from onnx_models import write_model

    from embodied_nav.perception.detectors.onnx_detector import OnnxDetector, OnnxOptions

    box = np.array([[[32.0], [24.0], [16.0], [8.0], [0.1], [0.9]]], np.float32)
    model = write_model(tmp_path / "a.onnx", {"output0": box}, names="{0: 'chair', 1: 'tv'}")
    one, other = (OnnxDetector(model, OnnxOptions(provider=name)) for name in ("cpu", "cuda"))
    assert other._session.get_providers()[0] == "CUDAExecutionProvider"
    found = [[(d.label, round(d.score, 4)) for d in detector.detect(PICTURES[0])] for detector in (one, other)]
    assert found[0] == found[1] and len(found[0]) == 1


# --- models that decide ---


@both
def test_a_language_model_decides_in_bf16(tmp_path, device):
    from embodied_nav.reasoner.causal_lm import CausalLMConfig, load

    folder = tiny_language_model(tmp_path)
    _, model = load(CausalLMConfig(model=folder, device=device, precision="bf16"))
    assert model.dtype == torch.bfloat16 and on(model.parameters(), device)
    with torch.no_grad():
        logits = model(torch.tensor([[1, 2, 3]], device=device)).logits
    assert logits.device.type == device and bool(torch.isfinite(logits).all())
    _, chosen = load(CausalLMConfig(model=folder, device=device, precision="auto"))
    assert chosen.dtype == (torch.bfloat16 if device == "cuda" else torch.float32)


def tiny_language_model(folder: Path) -> str:
    """A Qwen2 of some thousand random weights, with tokenizer and chat template."""
    tokenizer = tiny_vlm._tokenizer("qwen2_5_vl")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


# --- trainings ---


def noted(folder: Path) -> list[dict]:
    """The lines of a training's metrics."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@both
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_of_train_perception(tmp_path, device, precision):
    from safetensors.numpy import load_file

    from embodied_nav.models.compact import CompactConfig
    from embodied_nav.training.perception.train import PerceptionTraining, train
    from embodied_nav.training.perception.views import NAMES, ViewConfig

    network = CompactConfig(categories=NAMES, width=64, width_2=4, width_4=8, width_8=8, width_16=8)
    views = ViewConfig(width=64, camera_width=80, scenes=2, scenes_at_once=1, views_a_scene=4)
    config = PerceptionTraining(
        steps=4, batch=2, validate_every=2, validation_views=1, workers=0, reuse=2, pool=6, device=device,
        precision=precision,
    )  # fmt: skip
    quiet = {"say": lambda line: None}
    train(tmp_path, config, views, network, until=2, **quiet)
    before = load_file(tmp_path / "checkpoint.safetensors")
    train(tmp_path, config, views, network, resume=True, **quiet)
    after = load_file(tmp_path / "checkpoint.safetensors")
    assert all(np.isfinite(value).all() for value in after.values())
    assert any(not np.array_equal(before[name], after[name]) for name in before), "it learned"
    scored = [line for line in noted(tmp_path) if "miou as made" in line]
    assert [line["step"] for line in scored] == [2, 4]
    assert (tmp_path / "compact.safetensors").is_file()


@both
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_of_train_reasoner(tmp_path, device, precision):
    from embodied_nav.training.reasoner.learn import Learner, train
    from embodied_nav.training.reasoner.reader import Reader

    config = replace(SHORT, sft_steps=12, grpo_steps=4, validate_every=8, device=device, precision=precision)
    learner = Learner(tmp_path, config, SHAPE, TOKENIZER, Reader(TOKENIZER, 1, torch.device(device)))
    assert on(learner.network.parameters(), device)
    train(learner, PROBLEMS, HELD_OUT, say=lambda line: None)
    lines = [line for line in noted(tmp_path) if "loss" in line or "accuracy" in line]
    assert learner.step == 16 and lines
    assert all(np.isfinite(v) for line in noted(tmp_path) for v in line.values() if isinstance(v, float))
    again = Learner(tmp_path, replace(config, grpo_steps=6), SHAPE, TOKENIZER, learner.reader, resume=True)
    assert again.step == 16
    for one, other in zip(learner.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
def test_steps_of_grpo_by_trl(tmp_path):
    """On the CPU this is test/training/test_causal_grpo.py: the trainer takes the GPU where there is one."""
    needs("trl", "peft", "datasets")
    from embodied_nav.reasoner.causal_lm import CausalLMConfig
    from embodied_nav.training.reasoner.causal_grpo import CausalTraining, train

    model = CausalLMConfig(model=tiny_language_model(tmp_path / "model"), device="cuda", max_tokens=16)
    config = CausalTraining(steps=2, prompts=2, group=4, answer_limit=8, rank=2, rate=1e-3, save_every=1)
    adapter = train(tmp_path / "run", config, model, PROBLEMS)
    assert (adapter / "adapter_model.safetensors").is_file()
    assert len([line for line in noted(tmp_path / "run") if "kl" in line]) == 2


@pytest.mark.parametrize("method", ["perception", "reasoner"])
def test_a_training_on_a_gpu_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys, method):
    from embodied_nav.cli import main as cli

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tmp_path / "config.yaml"
    config.write_text("training: {device: cuda}\n")
    assert cli.main(["train", method, "--config", str(config), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said == ["embodied-nav train: error: training.device = cuda: torch sees no GPU here; set it to auto or cpu"]
