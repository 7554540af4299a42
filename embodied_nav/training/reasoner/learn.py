"""Trains the small language model: imitation of an imperfect teacher, then GRPO. Knows no simulator and no ROS.

Embodied-R, sec. 3.3, for a model from scratch: supervised training stops early, on a teacher that errs; then groups of
answers are drawn for each situation and reinforced by form, accuracy (returns of rollouts) and consistency, weighted in
stages, with a penalty on the distance to the supervised model. Groups without variance are dropped. Writes into its
folder: checkpoint.safetensors (all that is needed to go on), sft.safetensors and best.safetensors, metrics.jsonl.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...config import Config, param
from ...errors import InputError
from ...models.small_lm import SmallLMConfig, Tokenizer
from ...models.small_lm.network import Network
from ...reasoner import format_answer, rewards
from ...reasoner.prompt import LETTERS
from ...reasoner.situation import VERSION
from ...reasoner.thought import Thought
from .. import checkpoints
from .batches import Prompts, answer_log_probabilities, padded, sample
from .export import load
from .problems import Problem, answer_text, counterfactual, explained, options_of, teach
from .reader import Reader
from .scoring import measure


@dataclass(frozen=True)
class ReasonerTraining(Config):
    """Settings of the training of ``compact``."""

    seed: int = param(0, "of all chance", low=0)
    start: str = param("", "exported weights (reasoner.safetensors) to begin with, their words included; empty: none")
    teacher: str = param("rules", "who is imitated: the rules, or the best option known", choices=("rules", "best"))
    noise: float = param(0.2, "share of the teacher's choices that are drawn by chance", low=0.0, high=1.0)
    counterfactuals: float = param(
        0.2, "share of examples whose reasoning has its facts exchanged, for the answer to follow it", low=0.0, high=1.0
    )
    others: float = param(
        0.2, "share of examples whose reasoning is for another option, for the answer to follow it", low=0.0, high=1.0
    )
    direct: float = param(
        0.2, "share of examples that answer without reasoning, as the policy may when it is sure", low=0.0, high=1.0
    )
    letter_weight: float = param(
        8.0, "weight of the answer's letter, beside 1 for each word of the reasoning", low=0.1, high=1000.0
    )
    prompt_weight: float = param(0.1, "weight of the prompt's words in supervised training", low=0.0, high=1.0)
    sft_steps: int = param(1200, "steps of supervised training", low=0)
    sft_batch: int = param(32, "situations a step", low=1, high=4096)
    answers: int = param(4, "answers to each: a situation is long, and read once for all of them", low=1, high=64)
    sft_rate: float = param(1.5e-3, "its highest learning rate", low=1e-7, high=1.0)
    grpo_steps: int = param(1000, "steps of GRPO", low=0)
    prompts: int = param(16, "situations a step", low=1, high=1024)
    group: int = param(8, "answers drawn for each", low=2, high=256)
    grpo_rate: float = param(1e-4, "learning rate of GRPO", low=1e-8, high=1.0)
    kl: float = param(0.01, "weight of the distance to the supervised model", low=0.0, high=10.0)
    consistent: bool = param(True, "whether consistency is rewarded")
    answer_limit: int = param(64, "most words of an answer", low=8, high=512)
    warm_up: int = param(60, "steps until the highest learning rate", low=1)
    weight_decay: float = param(0.05, "weight decay", low=0.0, high=1.0)
    validate_every: int = param(100, "steps between two validations", low=1)
    validation: int = param(200, "problems of a validation", low=1)
    threads: int = param(1, "threads of torch", low=1, high=256)
    device: str = param("auto", "auto takes a CUDA GPU where there is one", choices=("auto", "cpu", "cuda"))
    precision: str = param(
        "auto", "of the network's sums; auto takes bfloat16 where it is fast", choices=("auto", "float32", "bfloat16")
    )

    @property
    def steps(self) -> int:
        """Steps of both parts together."""
        return self.sft_steps + self.grpo_steps


class Learner:
    """State of a training.

    Args:
        folder: for all files. config: settings. network: shape.
        tokenizer: of the problems. reader: judges consistency.
        resume: go on from the folder's checkpoint.

    Raises:
        InputError: the folder holds a training already and ``resume`` is not given, or none and it is; its checkpoint
            is damaged or of another network or vocabulary; see :func:`begin_with`.
    """

    def __init__(
        self, folder: Path, config: ReasonerTraining, network: SmallLMConfig, tokenizer: Tokenizer,
        reader: Reader | None = None, *, resume: bool = False,
    ) -> None:  # fmt: skip
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.device = checkpoints.device_of(config.device)
        self.folder, self.config, self.tokenizer, self.reader = folder, config, tokenizer, reader
        self.network = Network(network, len(tokenizer)).to(self.device)
        self.start = Network(network, len(tokenizer)).to(self.device)  # the supervised model, kept for the distance
        groups = [
            {"params": [p for p in self.network.parameters() if (p.ndim == 2) == decays], "weight_decay": decay}
            for decays, decay in ((True, config.weight_decay), (False, 0.0))
        ]
        self._optimizer = torch.optim.AdamW(groups, config.sft_rate, (0.9, 0.98))
        half = config.precision == "bfloat16"
        self._half = half or (config.precision == "auto" and checkpoints.fast_bfloat16(self.device))
        if config.start and not resume:
            self.network.load_state_dict(begin_with(config.start, network)[0].state_dict())
        self.step, self.best = 0, -math.inf
        self._file = folder / "checkpoint.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists() != resume:
            text = "holds a training already; give --resume or another folder" if not resume else "holds no checkpoint"
            raise InputError(f"{folder}: {text}")
        if resume:
            about: dict = checkpoints.facts(self._file)
            if (about.get("network"), about.get("words")) != (network.to_mapping(), tokenizer.version):
                raise InputError(f"{self._file}: is of another network or vocabulary; take another folder")
            self.step, self.best = about["step"], about["best"]
            checkpoints.load(self._file, self._networks, self._optimizer, self.device)

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self.network, "start": self.start}

    # -- supervised ------------------------------------------------------------------------------------------------

    def imitate(self, problems: Sequence[Problem]) -> dict[str, float]:
        """One supervised step; returns the parts of the loss."""
        config = self.config
        given, words, weight = self._lesson(problems, random.Random(f"{config.seed}/{self.step}"))
        self._rate(config.sft_rate, self.step, config.sft_steps)
        with self._sums():
            read = self.network(given.ids)
            told_log = answer_log_probabilities(self.network, given, words, read)
            prompt_loss = self._prompt_loss(given, read[0])
        loss = -(told_log * weight).sum() / weight.sum()
        self._descend(loss + config.prompt_weight * prompt_loss)
        self.step += 1
        if self.step == config.sft_steps:
            self.start.load_state_dict(self.network.state_dict())
            self.keep("sft")
            self.best = -math.inf
            self._optimizer.state.clear()
        return {"loss": float(loss.detach()), "prompt": float(prompt_loss.detach())}

    def _lesson(self, problems: Sequence[Problem], chance: random.Random) -> tuple[Prompts, Tensor, Tensor]:
        """Situations, answers to imitate (the same number to each, in their order), and the weight of every word."""
        config, prompts = self.config, list[str]()
        answers: list[list[int]] = []
        weights: list[list[float]] = []
        while len(prompts) < config.sft_batch:
            problem = chance.choice(problems)
            drawn = [told for _ in range(config.answers) if (told := self._example(problem, chance)) is not None]
            if not drawn:
                continue
            prompts.append(problem.prompt)
            # Where the teacher has no words for a choice, the others are said again.
            for text, begun in (drawn * config.answers)[: config.answers]:
                answers.append([*self.tokenizer.encode(text), self.tokenizer.end])
                row = [1.0] * (len(answers[-1]) - 3) + [config.letter_weight, 1.0, 1.0]
                # Of premises with changed facts, or for another option, only what follows from them is learned.
                row[: len(begun)] = [0.0] * len(begun)
                weights.append(row)
        given = Prompts.of(self.tokenizer, prompts, self.device)
        words = padded(answers, self.tokenizer.pad, self.device)
        weight = torch.zeros(words.shape, device=self.device)
        for k, row in enumerate(weights):
            weight[k, : len(row)] = torch.tensor(row)
        return given, words, weight

    def _example(self, problem: Problem, chance: random.Random) -> tuple[str, list[int]] | None:
        """An answer to imitate, and the words that it begins with and that are not the teacher's; None: no words."""
        config = self.config
        best = config.teacher == "best" and bool(problem.returns)
        if chance.random() < config.direct:
            return format_answer("", LETTERS[problem.best if best else problem.rules]), []
        if chance.random() < config.others:
            told = explained(problem, chance.randrange(len(problem.matter.claims)), chance)
            return None if told is None else (answer_text(*told), self._premises(told[0]))
        told = explained(problem, problem.best, chance) if best else teach(problem, chance, config.noise)
        if told is None:
            return None
        turned = counterfactual(problem, told[0]) if chance.random() < config.counterfactuals else None
        return (answer_text(*told), []) if turned is None else (answer_text(*turned), self._premises(turned[0]))

    def _premises(self, thought: Thought) -> list[int]:
        return self.tokenizer.encode("<think>" + thought.premises)

    def _prompt_loss(self, prompts: Prompts, hidden: Tensor) -> Tensor:
        logits = self.network.logits(hidden[:, :-1]).float()
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), prompts.ids[:, 1:], reduction="none")
        seen = prompts.ids[:, 1:] != self.tokenizer.pad
        return (loss * seen).sum() / seen.sum()

    # -- GRPO ------------------------------------------------------------------------------------------------------

    def reinforce(self, problems: Sequence[Problem]) -> dict[str, float]:
        """One step of GRPO on problems with returns; returns rewards, entropy, distance, dropped groups."""
        config, chance = self.config, random.Random(f"{self.config.seed}/{self.step}")
        drawn = [chance.choice(problems) for _ in range(config.prompts)]
        given = Prompts.of(self.tokenizer, [p.prompt for p in drawn], self.device)
        generator = torch.Generator(self.device).manual_seed(config.seed * 1_000_003 + self.step)
        with self._sums():
            words = sample(self.network, given, config.group, config.answer_limit, self.tokenizer, generator=generator)
        done = (self.step - config.sft_steps) / max(1, config.grpo_steps)
        parts = self.judge(drawn, words, chance)
        share = rewards.weights(done)
        if not config.consistent:
            share = (share[0] + share[2], share[1], 0.0)
        total = [sum(w * r for w, r in zip(share, row, strict=True)) for row in parts]
        groups = [total[k : k + config.group] for k in range(0, len(total), config.group)]
        advantages = [rewards.group_advantages(group) for group in groups]
        kept = [k for k, group in enumerate(advantages) if group is not None]
        self._rate(config.grpo_rate, self.step - config.sft_steps, config.grpo_steps)
        told = self._improve(given, words, advantages, kept) if kept else {}
        self.step += 1
        means = [sum(row[i] for row in parts) / len(parts) for i in range(3)]
        lengths = (words != self.tokenizer.pad).sum(dim=1).float().mean()
        return {"form": means[0], "accuracy": means[1], "consistency": means[2], "length": float(lengths),
                "without_variance": 1.0 - len(kept) / len(groups), **told}  # fmt: skip

    def _improve(
        self, given: Prompts, words: Tensor, advantages: Sequence[list[float] | None], kept: Sequence[int]
    ) -> dict[str, float]:
        group = self.config.group
        rows = torch.tensor([k * group + j for k in kept for j in range(group)], device=self.device)
        some, answers = Prompts(given.ids[kept], given.lengths[kept]), words[rows]
        weight = torch.tensor([a for k in kept for a in advantages[k] or ()], device=self.device)[:, None]
        seen = (answers != self.tokenizer.pad).float()
        with self._sums():
            logs = answer_log_probabilities(self.network, some, answers)
            with torch.no_grad():
                before = answer_log_probabilities(self.start, some, answers)
        # One update a batch: the ratio to the drawing policy is 1, its gradient that of the logarithm.
        gain = (logs - logs.detach()).exp() * weight
        distance = (before - logs).exp() - (before - logs) - 1.0
        loss = -((gain - self.config.kl * distance) * seen).sum() / seen.sum()
        self._descend(loss)
        return {
            "kl": float((distance * seen).sum().detach() / seen.sum()),
            "entropy": float(-(logs * seen).sum().detach() / seen.sum()),
        }

    def judge(self, drawn: Sequence[Problem], words: Tensor, chance: random.Random) -> list[tuple[float, float, float]]:
        """Form, accuracy and consistency of drawn answers, in order."""
        times = len(words) // len(drawn)
        texts = [self.tokenizer.decode(row) for row in words.tolist()]
        rows: list[tuple[float, float, rewards.Retold | None]] = []
        for k, text in enumerate(texts):
            problem = drawn[k // times]
            options, returns = options_of(problem), problem.returns
            right, told = rewards.accuracy(text, options, returns), None
            if right >= rewards.RIGHT and self.reader is not None:  # as in the paper, a wrong answer earns nothing
                order = chance.sample(range(len(options)), len(options))
                told = rewards.retold(text, options, problem.matter.names, problem.goal, order)
            rows.append((rewards.form(text, options), right, told))
        asked = [told for _, _, told in rows if told is not None]
        picked = iter(self.reader.pick(asked) if self.reader is not None and asked else ())
        return [(form, right, 0.0 if told is None else told.consistency(next(picked))) for form, right, told in rows]

    # -- both ------------------------------------------------------------------------------------------------------

    def validate(self, problems: Sequence[Problem]) -> dict[str, float]:
        """Scores of the likeliest answers on held-out problems; keeps the best weights so far.

        Best is what loses least against the best options, with a share of inconsistent answers held against it.
        """
        readers = () if self.reader is None else (self.reader,)
        scores = measure(self.network, self.tokenizer, problems, self.config.answer_limit, readers)
        self.note({"step": self.step, **scores})
        worth = _CONSISTENT * scores.get("consistent", 0.0) - scores["regret"]
        if worth > self.best:
            self.best = worth
            self.keep("best")
        return scores

    def keep(self, name: str) -> None:
        """Writes the network's weights."""
        about = {"network": self.network.config.to_mapping(), "words": list(self.tokenizer.words), "step": self.step}
        checkpoints.write(self.folder / f"{name}.safetensors", self.network.state_dict(), about)

    def load(self, name: str) -> Network:
        """The network whose weights :meth:`keep` wrote.

        Raises:
            InputError: it cannot be read.
        """
        network = Network(self.network.config, len(self.tokenizer)).to(self.device)
        checkpoints.read(self.folder / f"{name}.safetensors", network)
        return network

    def save(self) -> None:
        """Writes the checkpoint."""
        about = {"network": self.network.config.to_mapping(), "words": self.tokenizer.version}
        checkpoints.save(self._file, self._networks, self._optimizer, about | {"step": self.step, "best": self.best})

    def note(self, line: dict[str, float]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _sums(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def _rate(self, highest: float, step: int, steps: int) -> None:
        begin = min(1.0, (step + 1) / self.config.warm_up)
        end = 0.55 + 0.45 * math.cos(math.pi * min(1.0, step / max(1, steps)))
        for group in self._optimizer.param_groups:
            group["lr"] = highest * begin * end

    def _descend(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()


def begin_with(path: str, network: SmallLMConfig) -> tuple[Network, Tokenizer]:
    """The network and the words of exported weights.

    Raises:
        InputError: they cannot be read, or are of another network or of another form of the situation.
    """
    weights, tokenizer, about = load(Path(path))
    if weights.config != network or about.get("situation") != str(VERSION):
        raise InputError(f"{path}: is of another network or another form of the situation; train without 'start'")
    return weights, tokenizer


#: Regret (SPL) that a share of consistent answers of 1 makes up for, among weights to keep.
_CONSISTENT = 0.1


def train(
    learner: Learner, problems: Sequence[Problem], held_out: Sequence[Problem], *, until: int | None = None,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Trains to the end, or to a step.

    Args:
        problems, held_out: to learn from, and to choose weights by; those of GRPO need returns.
    """
    config, begun = learner.config, time.monotonic()
    rated = [p for p in problems if p.returns]
    last = config.steps if until is None else min(until, config.steps)
    while learner.step < last:
        supervised = learner.step < config.sft_steps
        told = learner.imitate(problems) if supervised else learner.reinforce(rated)
        learner.note({"step": learner.step, **told})
        if learner.step % 20 == 0:
            text = ", ".join(f"{k} {v:.3f}" for k, v in told.items())
            say(f"step {learner.step} of {config.steps}, {time.monotonic() - begun:.0f} s: {text}")
        if learner.step % config.validate_every == 0 or learner.step in (config.sft_steps, config.steps):
            scores = learner.validate(held_out)
            say(f"step {learner.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
            learner.save()
