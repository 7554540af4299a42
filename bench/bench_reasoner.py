"""Decisions: time of each policy on the same states, and completions a second in training against TRL's trainer.

    OMP_NUM_THREADS=1 python bench/bench_reasoner.py [--weights FILE.onnx] [--training]

Prints p50 and p95 of CPU ms a decision on one core, the prompt included, over states of the explorer on held-out
apartments. With ``--training`` (extra ``train``) also the completions a CPU second of a GRPO step: ours against TRL's
``GRPOTrainer`` with a network of the same size (Qwen2's form), the same prompts, groups and lengths, one thread each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embodied_nav.reasoner import Context, Policy, RulesPolicy
from embodied_nav.reasoner.compact import CompactPolicy, CompactPolicyConfig
from embodied_nav.reasoner.policies import FrontierPolicy, RandomPolicy
from embodied_nav.sim.suites import suite_episode
from embodied_nav.training.reasoner.explorer import Explorer

#: A step of training: prompts, answers to each, words of an answer; steps that are timed.
PROMPTS, GROUP, LIMIT, STEPS = 8, 8, 48, 3


def states(count: int) -> list[Context]:
    """States with several options, of apartments 1000 and up."""
    found: list[Context] = []
    index = 0
    while len(found) < count:
        explorer = Explorer(suite_episode("plain", index, range(1000, 1100)))
        found += [s.context for s in explorer.states(RulesPolicy()) if len(s.context.options) > 2]
        index += 1
    return found[:count]


def timed(policy: Policy, contexts: Sequence[Context]) -> tuple[float, float]:
    """p50 and p95 of CPU ms."""
    policy.answer(contexts[0])
    times = []
    for context in contexts:
        begun = time.process_time()
        policy.answer(context)
        times.append(1000.0 * (time.process_time() - begun))
    return float(np.median(times)), float(np.percentile(times, 95))


def policies(weights: str) -> dict[str, Callable[[], Policy]]:
    """Every policy that runs without a third party's model."""

    def compact(thinking: str) -> Callable[[], Policy]:
        return lambda: CompactPolicy(CompactPolicyConfig(weights=weights, thinking=thinking))

    return {"rules": RulesPolicy, "frontier": FrontierPolicy, "random": RandomPolicy} | {
        f"compact, thinking {how}": compact(how) for how in ("always", "auto", "never")
    }


def completions(contexts: Sequence[Context]) -> None:
    """Prints completions a CPU second of a training step, ours and TRL's."""
    from embodied_nav.training.reasoner.problems import Problem, make_tokenizer

    problems = [Problem.of(str(k), k, c, 0, [float(k % 2 == i % 2) for i in range(len(c.options))])
                for k, c in enumerate(contexts)]  # fmt: skip
    tokenizer = make_tokenizer(problems)
    numbers = [tokenizer.encode(p.prompt + "\n") for p in problems]
    print(f"prompts of {np.mean([len(n) for n in numbers]):.0f} words, {len(tokenizer)} known")
    with tempfile.TemporaryDirectory() as folder:
        ours = own_training(Path(folder), problems, tokenizer)
        theirs = trl_training(Path(folder), numbers, len(tokenizer))
    print(f"completions a CPU second: ours {ours:.1f}, TRL {theirs:.1f}, ours / TRL {ours / theirs:.1f}")


def own_training(folder: Path, problems, tokenizer) -> float:
    """Completions a CPU second of our step."""
    from embodied_nav.models.small_lm import SmallLMConfig
    from embodied_nav.training.reasoner.learn import Learner, ReasonerTraining

    config = ReasonerTraining(
        sft_steps=0, grpo_steps=100, prompts=PROMPTS, group=GROUP, answer_limit=LIMIT, precision="float32", device="cpu"
    )
    learner = Learner(folder / "own", config, SmallLMConfig(), tokenizer)
    learner.judge = lambda drawn, words, chance: [(chance.random(), chance.random(), 0.0) for _ in words]  # type: ignore[method-assign]
    return measured(lambda: learner.reinforce(problems))


def trl_training(folder: Path, numbers: Sequence[Sequence[int]], words: int) -> float:
    """Completions a CPU second of TRL's step."""
    import random

    import torch
    import transformers
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from trl import GRPOConfig, GRPOTrainer

    from embodied_nav.models.small_lm import SmallLMConfig

    shape = SmallLMConfig()
    own = Tokenizer(models.WordLevel({f"w{k}": k for k in range(words)} | {"<end>": words}, unk_token="w0"))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<end>", pad_token="<end>")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=words + 1, hidden_size=shape.width, intermediate_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=1, max_position_embeddings=shape.context,
        tie_word_embeddings=True, eos_token_id=words, pad_token_id=words,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder / "theirs")
    settings = GRPOConfig(
        output_dir=str(folder / "trl"), max_steps=STEPS + 1, per_device_train_batch_size=PROMPTS * GROUP,
        num_generations=GROUP, max_completion_length=LIMIT, beta=0.01, use_cpu=True, bf16=False, report_to="none",
        gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    rows = [{"prompt": " ".join(f"w{n}" for n in row)} for row in numbers] * 10
    chance = random.Random(0)
    trainer = GRPOTrainer(
        str(folder / "theirs"), lambda completions, **_: [chance.random() for _ in completions], settings,
        Dataset.from_list(rows), processing_class=tokenizer,
    )  # fmt: skip
    marks: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            marks.append(time.process_time())

    trainer.add_callback(Clock())
    trainer.train()
    return STEPS * PROMPTS * GROUP / (marks[-1] - marks[0])  # the first step warms up


def measured(step: Callable[[], object]) -> float:
    """Completions a CPU second of some steps after one to warm up."""
    step()
    begun = time.process_time()
    for _ in range(STEPS):
        step()
    return STEPS * PROMPTS * GROUP / (time.process_time() - begun)


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--weights", default="", metavar="FILE", help="of compact; default: the shipped ones")
    parser.add_argument("--states", type=int, default=60, help="states (default: 60)")
    parser.add_argument("--training", action="store_true", help="also the speed of training, against TRL's")
    args = parser.parse_args()
    contexts = states(args.states)
    print("| policy | p50 CPU ms | p95 CPU ms |\n|---|---|---|")
    for name, make in policies(args.weights).items():
        p50, p95 = timed(make(), contexts)
        print(f"| {name} | {p50:.2f} | {p95:.2f} |", flush=True)
    if args.training:
        completions(contexts)


if __name__ == "__main__":
    main()
