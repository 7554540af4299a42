"""From episodes to exported weights in one go: states, problems, readers, training, export, held-out figures.

What was collected and trained is not done again. Knows nothing of commands, of ROS and of how a part works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...config import Config, param
from ...models.small_lm import SmallLMConfig, Tokenizer
from ...reasoner.situation import VERSION
from .. import checkpoints, curves
from .collect import CollectConfig, collect, read_rows
from .export import export
from .learn import Learner, ReasonerTraining, begin_with, train
from .problems import Problem, make_tokenizer
from .reader import SHAPE, Reader
from .scoring import measure


@dataclass(frozen=True)
class StatesConfig(Config):
    """Which states are collected for a training; see :class:`.collect.CollectConfig` for the parts.

    Training uses apartments 0 to 899, held-out states are of 900 to 999; 1000 to 1999 are for reports alone.
    """

    plain: int = param(1400, "states with returns of the plain suite", low=1, high=10**6)
    hard: int = param(0, "states with returns of the hard suite", low=0, high=10**6)
    imitated: int = param(8000, "states without returns, of further episodes of the plain suite", low=0, high=10**7)
    held_out: int = param(150, "held-out states with returns of each suite", low=1, high=10**5)
    per_episode: int = param(2, "states of an episode that are rolled out", low=1, high=100)
    others: int = param(6, "further states of an episode, to imitate the teacher on", low=0, high=100)
    worlds: int = param(2, "worlds that a state is judged in", low=1, high=32)
    chance: float = param(0.3, "share of the decisions on the way that are drawn at random", low=0.0, high=1.0)
    error_rate: float = param(0.25, "errors of perception in the hard suite", low=0.0, high=1.0)
    jobs: int = param(1, "processes that collect", low=1, high=256)
    seed: int = param(0, "of all draws", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class ReadersConfig(Config):
    """Training of the readers that judge consistency: the first rewards it, the second only reports it."""

    steps: int = param(800, "steps of each reader", low=1, high=10**6)
    batch: int = param(64, "examples a step", low=1, high=4096)


def run(
    folder: Path, states: StatesConfig, readers: ReadersConfig, training: ReasonerTraining, network: SmallLMConfig,
    *, resume: bool = False, say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Collects, trains and exports; returns the exported ONNX file.

    Args:
        folder: gets the states, the checkpoints, metrics.jsonl, curves.png, ``export/`` and ``export_sft/``: the best
            weights of all, and those of supervised training alone.
        resume: go on from the folder's checkpoint. States that were collected are used in any case. Of a training that
            is through, only the figures and the exports are made anew.

    Raises:
        InputError: see :func:`.collect.collect` and :class:`.learn.Learner`.
    """
    problems, held_out = gather(folder, states, say), gather_held_out(folder, states, say)
    tokenizer = begin_with(training.start, network)[1] if training.start else make_tokenizer(problems)
    say(f"{len(problems)} states, {sum(bool(p.returns) for p in problems)} with returns; {len(tokenizer)} words")
    judges = [_reader(folder, k, tokenizer, problems, readers, training, say) for k in range(2)]
    learner = Learner(folder, training, network, tokenizer, judges[0], resume=resume)
    train(learner, problems, held_out[: training.validation], say=say)
    curves.draw(folder / "metrics.jsonl", folder / "curves.png", str)
    for name, place in (("sft", "export_sft"), ("best", "export")):
        trained = learner.load(name)
        scores = measure(trained, tokenizer, held_out, training.answer_limit, judges)
        say(f"{name}, held out: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        about = {"situation": str(VERSION), "held_out": json.dumps({k: round(v, 4) for k, v in scores.items()})}
        graph = export(trained, tokenizer, folder / place, "reasoner", about)
    return graph


def gather(folder: Path, states: StatesConfig, say: Callable[[str], None]) -> list[Problem]:
    """The problems to learn from, of apartments 0 to 899; collects what the folder lacks.

    Raises:
        InputError: see :func:`.collect.collect`.
    """
    learned = range(900)
    plain, hard = (_collecting(states, suite, states.per_episode, states.others) for suite in ("plain", "hard"))
    return [
        *_problems(folder / "states_plain.jsonl", learned, states.plain, plain, states.jobs, say),
        *_problems(folder / "states_hard.jsonl", learned, states.hard, hard, states.jobs, say),
        *_problems(
            folder / "imitated_plain.jsonl", learned[::-1], states.imitated, _collecting(states, "plain", 0, 100),
            states.jobs, say,
        ),
    ]  # fmt: skip


def gather_held_out(folder: Path, states: StatesConfig, say: Callable[[str], None]) -> list[Problem]:
    """Problems with returns of apartments 900 to 999, of the suites that are learned from; collects what is lacking.

    Raises:
        InputError: see :func:`.collect.collect`.
    """
    return [
        problem
        for suite, count in (("plain", states.held_out), ("hard", states.held_out if states.hard else 0))
        for problem in _problems(
            folder / f"held_out_{suite}.jsonl", range(900, 1000), count,
            _collecting(states, suite, states.per_episode, 0), states.jobs, say,
        )
    ]  # fmt: skip


def _problems(
    path: Path, scenes: range, count: int, config: CollectConfig, jobs: int, say: Callable[[str], None]
) -> list[Problem]:
    if not count:
        return []
    say(f"collecting {count} states: {path}")
    collect(path, scenes, count, config, jobs)
    return [Problem.of_row(row) for row in read_rows([path])]


def _collecting(states: StatesConfig, suite: str, rolled_out: int, others: int) -> CollectConfig:
    return CollectConfig(
        per_episode=rolled_out, others=others, worlds=states.worlds, chance=states.chance, suite=suite,
        error_rate=states.error_rate if suite == "hard" else 0.0, seed=states.seed,
    )  # fmt: skip


def _reader(
    folder: Path, number: int, tokenizer: Tokenizer, problems: Sequence[Problem], config: ReadersConfig,
    training: ReasonerTraining, say: Callable[[str], None],
) -> Reader:  # fmt: skip
    """A reader, trained or read from the folder."""
    torch.set_num_threads(training.threads)
    reader = Reader(tokenizer, 1000 * training.seed + number, torch.device("cpu"))
    path = folder / f"reader{number}.safetensors"
    about = {"words": tokenizer.version, "shape": SHAPE.to_mapping(), **config.to_mapping()}
    if path.exists() and checkpoints.facts(path) == about:
        checkpoints.read(path, reader.network)
    else:
        say(f"training reader {number}")
        say(f"reader {number}: {reader.train(problems, config.steps, config.batch):.3f} right")
        checkpoints.write(path, reader.network.state_dict(), about)
    return reader
