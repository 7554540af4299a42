"""Training of ``causal_lm`` by TRL on a tiny random model: two real steps, an adapter that the policy loads."""

import json
import sys
from pathlib import Path

import pytest

for library in ("torch", "transformers", "trl", "peft", "datasets"):
    pytest.importorskip(library, reason=f"needs {library} (extra train)")

from embodied_nav.cli import main as cli  # noqa: E402
from embodied_nav.errors import InputError  # noqa: E402
from embodied_nav.reasoner.causal_lm import CausalLMConfig, CausalLMPolicy  # noqa: E402
from embodied_nav.reasoner.rewards import STAGES  # noqa: E402
from embodied_nav.training.reasoner.causal_grpo import CausalTraining, _Judge, train  # noqa: E402

sys.path.append(str(Path(__file__).parent))
from test_reasoner_training import HELD_OUT, PROBLEMS  # noqa: E402

SHORT = CausalTraining(steps=2, prompts=2, group=4, answer_limit=8, rank=2, rate=1e-3, save_every=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {w: k for k, w in enumerate([*letters, "<|end|>"])}
    own = Tokenizer(models.BPE(vocab=words, merges=[]))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, eos_token_id=len(words) - 1, pad_token_id=len(words) - 1,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tiny")
    transformers.Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return CausalLMConfig(model=str(path), device="cpu", max_tokens=16)


def test_two_steps_give_an_adapter_that_the_policy_loads(tiny, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    # A model of no training never answers in form: let it earn something else, so that there is something to learn.
    monkeypatch.setattr(_Judge, "_right", lambda self, text, number: float(sum(map(ord, text)) % 2))
    adapter = train(tmp_path, SHORT, tiny, PROBLEMS)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "kl" in line]
    assert len(steps) == 2 and all("rewards/consistency/mean" in line for line in steps)
    assert any(line["grad_norm"] > 0.0 for line in steps)
    learned = load_file(str(adapter / "adapter_model.safetensors"))
    assert any(value.abs().max() > 0.0 for name, value in learned.items() if "lora_B" in name)
    policy = CausalLMPolicy(CausalLMConfig(model=tiny.model, adapter=str(adapter), device="cpu", max_tokens=16))
    assert policy.name == "causal_lm"
    with pytest.raises(InputError, match="--resume"):
        train(tmp_path, SHORT, tiny, PROBLEMS)
    longer = CausalTraining.from_mapping(SHORT.to_mapping() | {"steps": 3})
    assert train(tmp_path, longer, tiny, PROBLEMS, resume=True) == adapter
    with pytest.raises(InputError, match="no checkpoint"):
        train(tmp_path / "other", SHORT, tiny, PROBLEMS, resume=True)


def test_answers_are_judged_by_the_same_rewards(tiny):
    import random

    judge = _Judge(HELD_OUT, random.Random(0))
    judge.reader = type("Reader", (), {"pick": lambda self, told: told.place})()
    form, accuracy, consistency = judge.parts
    problem = HELD_OUT[0]
    good = problem.answers(problem.best)[0].words + f"</think><answer>{'AB'[problem.best]}</answer>"
    bad = f"nothing at all</think><answer>{'AB'[1 - problem.best]}</answer>"
    given = {"prompts": ["", "", ""], "completions": [good, bad, "no answer"], "number": [0, 0, 0]}
    assert form(**given) == [1.0, 1.0, 0.0]
    assert accuracy(**given) == [1.0, 0.0, 0.0]
    assert consistency(**given) == [1.0, 0.0, 0.0], "a wrong answer earns nothing"
    assert [part.__name__ for part in judge.parts] == ["form", "accuracy", "consistency"] and len(STAGES[0][1]) == 3


def test_states_without_returns_are_refused(tiny, tmp_path):
    import dataclasses

    with pytest.raises(InputError, match="returns"):
        train(tmp_path, SHORT, tiny, [dataclasses.replace(p, returns=()) for p in PROBLEMS])


def test_the_command_collects_and_trains(tiny, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"policy: causal_lm\nmodel: {{model: {tiny.model}, device: cpu}}\n"
        "states: {plain: 1, imitated: 0, held_out: 1, others: 0, worlds: 1, per_episode: 1}\n"
        "training: {steps: 1, prompts: 1, group: 2, answer_limit: 8, rank: 2}\n"
    )
    command = ["train", "reasoner", "--config", str(config), "--out", str(tmp_path / "run")]
    assert cli.main(command) == 0
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").exists()
    config.write_text("policy: rules\n")
    assert cli.main(command) == 2
