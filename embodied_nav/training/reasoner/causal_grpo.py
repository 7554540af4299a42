"""GRPO for the policy ``causal_lm``: TRL's trainer, a LoRA adapter, Embodied-R's staged rewards. Knows no simulator.

Embodied-R, sec. 3.3. What the trainer begins with is saved first and loaded again from there: with an adapter in memory
alone, TRL would take the reference for the distance from the wrong place. Several GPUs are used where it is started by
``accelerate launch``; a vLLM server draws the answers where its address is given. Writes into its folder: ``start``
(the model that it begins with), ``adapter``, TRL's checkpoints, metrics.jsonl.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, TrainerCallback

from ...config import Config, param
from ...errors import InputError
from ...reasoner import rewards
from ...reasoner.causal_lm import CausalLMConfig, conversation, load
from ...reasoner.prompt import LETTERS, TASK
from ...reasoner.rewards import Retold
from .problems import Problem, options_of

#: What every answer begins with, as in the policy.
_BEGUN = "<think>"
#: Said to the reader of a reasoning, who does not see the situation.
_READ = "Somebody chose among the options and said why. Which one? Answer with one letter."


@dataclass(frozen=True)
class CausalTraining(Config):
    """Settings of the training of ``causal_lm``."""

    steps: int = param(300, "steps of GRPO", low=1, high=10**7)
    prompts: int = param(8, "situations a step", low=1, high=4096)
    group: int = param(8, "answers drawn for each", low=2, high=256)
    rate: float = param(1e-5, "highest learning rate", low=1e-9, high=1.0)
    kl: float = param(0.04, "weight of the distance to the model that it begins with", low=0.0, high=10.0)
    rank: int = param(16, "rank of the LoRA adapter", low=1, high=1024)
    answer_limit: int = param(120, "most tokens of an answer", low=8, high=8192)
    temperature: float = param(1.0, "of drawn answers", low=0.05, high=5.0)
    vllm: str = param("", "address of a running 'trl vllm-serve', http://host:8000; empty: the trainer draws itself")
    save_every: int = param(50, "steps between two checkpoints", low=1, high=10**7)
    seed: int = param(0, "of all chance", low=0, high=2**31 - 1)


def train(
    folder: Path, config: CausalTraining, model: CausalLMConfig, problems: Sequence[Problem], *, resume: bool = False,
) -> Path:  # fmt: skip
    """Trains an adapter; returns its folder.

    Args:
        folder: for all files. model: what it begins with; its adapter, if any, is merged in.
        problems: with the returns of their options.
        resume: go on from the newest checkpoint.

    Raises:
        InputError: the folder holds a training already and ``resume`` is not given, or none and it is; no problem has
            returns; the model cannot be loaded.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer

    begun = any(folder.glob("checkpoint-*"))
    if begun != resume:
        text = "holds no checkpoint" if resume else "holds a training already; give --resume or another folder"
        raise InputError(f"{folder}: {text}")
    rated = [problem for problem in problems if problem.returns]
    if not rated:
        raise InputError("no state has returns: collect some first")
    start = folder / "start"
    with first_process():
        tokenizer = _saved(model, start)
    rows = [
        {"prompt": conversation(tokenizer, TASK, problem.prompt, _BEGUN), "number": k}
        for k, problem in enumerate(rated)
    ]
    settings = GRPOConfig(
        output_dir=str(folder), max_steps=config.steps, per_device_train_batch_size=config.prompts * config.group,
        num_generations=config.group, max_completion_length=config.answer_limit, temperature=config.temperature,
        learning_rate=config.rate, beta=config.kl, loss_type="grpo", reward_weights=list(rewards.weights(0.0)),
        logging_steps=1, save_steps=config.save_every, save_total_limit=2, seed=config.seed, report_to="none",
        use_cpu=not torch.cuda.is_available(), bf16=torch.cuda.is_available(),
        gradient_checkpointing=torch.cuda.is_available(), disable_tqdm=True,
        **({"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": config.vllm} if config.vllm else {}),
    )  # fmt: skip
    judge = _Judge(rated, random.Random(config.seed))
    trainer = GRPOTrainer(
        str(start), judge.parts, settings, Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=LoraConfig(
            r=config.rank, lora_alpha=2 * config.rank, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )  # fmt: skip
    judge.reader = _Reader(trainer.model, tokenizer)
    trainer.add_callback(_Stages(trainer, folder / "metrics.jsonl"))
    trainer.train(resume_from_checkpoint=resume or None)
    trainer.save_model(str(folder / "adapter"))
    return folder / "adapter"


def first_process() -> AbstractContextManager[None]:
    """Lets the first of several processes, as ``accelerate launch`` starts them, go before the others."""
    from accelerate import PartialState

    return PartialState().main_process_first()


def _saved(model: CausalLMConfig, start: Path) -> Any:
    """Writes the model that training begins with, once; returns its tokenizer."""
    if (start / "config.json").exists():
        return AutoTokenizer.from_pretrained(str(start))
    tokenizer, network = load(model)
    tokenizer.save_pretrained(str(start))
    network.save_pretrained(str(start))
    return tokenizer


class _Reader:
    """The model as it began, without its adapter: picks an option by the reasoning, without the situation."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][-1] for letter in LETTERS]

    @torch.no_grad()
    def pick(self, told: Retold) -> int:
        """Index of the option."""
        rows = "\n".join(f"{LETTERS[k]}. {name}" for k, name in enumerate(told.names))
        text = f"Goal: {told.goal}\nOptions:\n{rows}\nReason: {told.think}"
        prompt = conversation(self._tokenizer, _READ, text, "")
        ids = self._tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with self._model.disable_adapter():
            logits = self._model(input_ids=ids.to(self._model.device)).logits[0, -1].float()
        return int(logits[self._letters[: len(told.names)]].argmax())


class _Judge:
    """TRL's reward functions: form, accuracy, consistency, from texts of answers and numbers of problems."""

    def __init__(self, problems: Sequence[Problem], chance: random.Random) -> None:
        self._problems, self._chance = problems, chance
        self.reader: _Reader | None = None

    @property
    def parts(self) -> list[Callable[..., list[float]]]:
        """In the order of their weights; TRL tells them apart by their names."""

        def form(prompts: list[str], completions: list[str], number: list[int], **_: Any) -> list[float]:
            return [rewards.form(_BEGUN + t, self._options(n)) for t, n in zip(completions, number, strict=True)]

        def accuracy(prompts: list[str], completions: list[str], number: list[int], **_: Any) -> list[float]:
            return [self._right(t, n) for t, n in zip(completions, number, strict=True)]

        def consistency(prompts: list[str], completions: list[str], number: list[int], **_: Any) -> list[float]:
            return [self._consistent(t, n) for t, n in zip(completions, number, strict=True)]

        return [form, accuracy, consistency]

    def _options(self, number: int) -> tuple:
        return options_of(self._problems[number])

    def _right(self, text: str, number: int) -> float:
        return rewards.accuracy(_BEGUN + text, self._options(number), self._problems[number].returns)

    def _consistent(self, text: str, number: int) -> float:
        problem, count = self._problems[number], len(self._problems[number].matter.claims)
        if (
            self.reader is None or self._right(text, number) < rewards.RIGHT
        ):  # as in the paper, a wrong answer earns nothing
            return 0.0
        order = self._chance.sample(range(count), count)
        told = rewards.retold(_BEGUN + text, self._options(number), problem.matter.names, problem.goal, order)
        return 0.0 if told is None else told.consistency(self.reader.pick(told))


class _Stages(TrainerCallback):
    """Sets the rewards' weights by the share of the training that is done, and keeps the figures."""

    def __init__(self, trainer: Any, file: Path) -> None:
        self._trainer, self._file = trainer, file

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Sets the weights."""
        shares = rewards.weights(state.global_step / max(1, state.max_steps))
        self._trainer.reward_weights = torch.tensor(shares, dtype=torch.float32)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Adds a line to the file."""
        if logs and state.is_world_process_zero:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
