"""Training of the small language model on made-up problems: it learns, goes on after an interruption, and is scored."""

import dataclasses
import json
import random

import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra train)")
pytest.importorskip("safetensors", reason="needs safetensors (extra train)")

from embodied_nav.cli import main as cli  # noqa: E402
from embodied_nav.errors import InputError  # noqa: E402
from embodied_nav.models.small_lm import SmallLM, SmallLMConfig  # noqa: E402
from embodied_nav.reasoner.rewards import Retold  # noqa: E402
from embodied_nav.reasoner.situation import VERSION  # noqa: E402
from embodied_nav.reasoner.thought import Claim, Matter  # noqa: E402
from embodied_nav.training.reasoner import problems as tables  # noqa: E402
from embodied_nav.training.reasoner.export import export, load  # noqa: E402
from embodied_nav.training.reasoner.learn import Learner, ReasonerTraining, train  # noqa: E402
from embodied_nav.training.reasoner.problems import Problem  # noqa: E402
from embodied_nav.training.reasoner.reader import Reader  # noqa: E402
from embodied_nav.training.reasoner.scoring import measure  # noqa: E402

SHAPE = SmallLMConfig(width=48, layers=2, heads=2, hidden=96, context=160)
SHORT = ReasonerTraining(
    sft_steps=60, grpo_steps=20, sft_batch=16, sft_rate=5e-3, grpo_rate=3e-4, prompts=6, group=6, warm_up=5,
    validate_every=40, answer_limit=48, precision="float32", device="cpu", noise=0.3,
)  # fmt: skip


def made(k):
    """Two ways: the one with more floor is worth more; the rules take the nearer one."""
    chance = random.Random(k)
    near, far = 1.5, 4.5
    floors = chance.sample([1, 4, 9], 2)
    order = chance.sample([(near, floors[0]), (far, floors[1])], 2)
    side = chance.sample(["left", "right", "behind"], 2)
    names = [f"explore {d:.1f} m {s}" for (d, _), s in zip(order, side, strict=True)]
    claims = tuple(
        Claim(name, (("floor", f"{f} m2"), ("fits", "10%"))) for name, (_, f) in zip(names, order, strict=True)
    )
    matter = Matter("bed not found", claims, ((), ()))
    rows = [
        f"{'AB'[i]}. {n}; unknown floor {f} m2; fits 10%"
        for i, (n, (_, f)) in enumerate(zip(names, order, strict=True))
    ]
    prompt = "\n".join(["Goal: bed", "Options:", *rows])
    returns = tuple(0.8 if f == max(floors) else 0.2 for _, f in order)
    return Problem(f"{k}", k, prompt, "bed", matter, [d for d, _ in order].index(near), returns)


PROBLEMS, HELD_OUT = [made(k) for k in range(60)], [made(k) for k in range(100, 140)]
TOKENIZER = tables.make_tokenizer(PROBLEMS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    reader = Reader(TOKENIZER, 1, torch.device("cpu"))
    learner = Learner(folder, SHORT, SHAPE, TOKENIZER, reader)
    said = []
    train(learner, PROBLEMS, HELD_OUT, say=said.append)
    return folder, learner, said


def test_it_learns_the_form_and_says_how_it_goes(trained):
    folder, learner, said = trained
    scores = measure(learner.network, TOKENIZER, HELD_OUT, 48)
    assert scores["form"] > 0.9
    assert 0.0 <= scores["regret"] <= 0.6
    losses = [line["loss"] for line in map(json.loads, (folder / "metrics.jsonl").open()) if "loss" in line]
    assert losses[-1] < 0.2 * losses[0]
    assert {"form", "rules", "true", "follows", "regret", "words"} <= scores.keys()
    assert any("without_variance" in line for line in said) and any("regret" in line for line in said)
    names = {path.name for path in folder.iterdir()}
    assert {"checkpoint.safetensors", "sft.safetensors", "best.safetensors", "metrics.jsonl"} <= names


def test_going_on_gives_the_same_weights_as_training_through(trained, tmp_path):
    _, whole, _ = trained
    reader = whole.reader
    first = Learner(tmp_path, SHORT, SHAPE, TOKENIZER, reader)
    train(first, PROBLEMS, HELD_OUT, until=40, say=lambda _: None)
    second = Learner(tmp_path, SHORT, SHAPE, TOKENIZER, reader, resume=True)
    assert second.step == 40
    train(second, PROBLEMS, HELD_OUT, say=lambda _: None)
    for a, b in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_folder_with_a_training_is_not_overwritten(trained):
    folder, *_ = trained
    with pytest.raises(InputError, match="--resume"):
        Learner(folder, SHORT, SHAPE, TOKENIZER)
    with pytest.raises(InputError, match="no checkpoint"):
        Learner(folder / "empty", SHORT, SHAPE, TOKENIZER, resume=True)
    with pytest.raises(InputError, match="another network"):
        Learner(folder, SHORT, dataclasses.replace(SHAPE, width=64), TOKENIZER, resume=True)
    (folder / "checkpoint.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be read"):
        Learner(folder, SHORT, SHAPE, TOKENIZER, resume=True)


def test_weights_are_exported_and_run_without_torch(trained, tmp_path):
    _, learner, _ = trained
    graph = export(learner.network, TOKENIZER, tmp_path, "reasoner", {"situation": "1"})
    model, (network, tokenizer, about) = SmallLM(graph), load(graph.with_suffix(".safetensors"))
    assert about["situation"] == "1" and tokenizer.version == TOKENIZER.version
    ids = TOKENIZER.encode(HELD_OUT[0].prompt + "\n")
    with torch.no_grad():
        wanted = network.logits(network(torch.tensor([ids]))[0])[0, -1].numpy()
    assert abs(model.start(ids).logits - wanted).max() < 1e-3


def test_a_reader_learns_to_pick_by_the_reasoning_alone():
    reader = Reader(TOKENIZER, 5, torch.device("cpu"))
    assert reader.train(PROBLEMS, 150, 32) > 0.6
    assert (
        len(reader.pick([Retold("bed", "bed not found. nearer", ("explore 1.5 m left", "explore 4.5 m right"), 0)]))
        == 1
    )


def test_from_episodes_to_exported_weights_in_one_go(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "states: {plain: 2, held_out: 1, others: 4, worlds: 1, imitated: 5}\n"
        "readers: {steps: 3, batch: 4}\n"
        "training: {sft_steps: 4, sft_batch: 4, grpo_steps: 2, prompts: 2, group: 2, validate_every: 2, device: cpu}\n"
        "network: {width: 16, layers: 1, heads: 2, hidden: 16}\n"
    )
    command = ["train", "reasoner", "--config", str(config), "--out", str(tmp_path / "run")]
    assert cli.main(command) == 0
    files = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*")}
    assert {
        "states_plain.jsonl",
        "held_out_plain.jsonl",
        "metrics.jsonl",
        "curves.png",
        "export_sft/reasoner.onnx",
    } <= files
    model = SmallLM(tmp_path / "run" / "export" / "reasoner.onnx")
    assert model.about["situation"] == str(VERSION) and "regret" in json.loads(model.about["held_out"])
    # What was collected is used again, and a training that is there is not overwritten.
    assert cli.main(command) == 2
    assert cli.main([*command, "--resume"]) == 0
    config.write_text("states: {plains: 2}\n")
    assert cli.main(command) == 2
