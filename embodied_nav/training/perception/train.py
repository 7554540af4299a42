"""Trains the compact network on views of apartments; goes on after an interruption. Knows nothing of ROS.

Writes into its folder: checkpoint.safetensors (all that is needed to go on), compact.safetensors (the averaged weights
of the best validation so far), metrics.jsonl, curves.png.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ...config import Config, param
from ...errors import InputError
from ...models.compact import CompactConfig
from ...models.compact.network import CompactNetwork, loss
from .. import checkpoints, curves
from .augment import augment
from .pool import Batch, Pool, fresh_views
from .scores import Confusion
from .views import NAMES, ViewConfig

#: Batches' worth of views that are in the pool before the first step.
_AHEAD = 4


@dataclass(frozen=True)
class PerceptionTraining(Config):
    """Settings of the training."""

    steps: int = param(8000, "steps; the learning rate falls to 0 at the last one", low=1)
    batch: int = param(128, "views a step", low=1, high=4096)
    reuse: int = param(4, "times that a view is used on average: 1/reuse of a batch are new views", low=1, high=100)
    pool: int = param(2048, "views that are kept for being used again", low=1)
    rate: float = param(2.5e-3, "highest learning rate", low=1e-6, high=1.0)
    warm_up: int = param(300, "steps until the highest learning rate", low=1)
    weight_decay: float = param(0.02, "weight decay", low=0.0, high=1.0)
    average: float = param(0.998, "share of the old in the moving average of the weights", low=0.0, high=0.99999)
    light: float = param(0.8, "share of views in another light", low=0.0, high=1.0)
    structure_weight: float = param(0.5, "weight of what is none of the categories in the loss", low=0.0, high=10.0)
    overlap_weight: float = param(0.5, "weight of the loss of overlap", low=0.0, high=10.0)
    offset_weight: float = param(0.5, "weight of the offsets' loss", low=0.0, high=100.0)
    validate_every: int = param(1000, "steps between two validations", low=1)
    validation_views: int = param(400, "views of a validation", low=1)
    threads: int = param(1, "threads of torch", low=1, high=256)
    workers: int = param(-1, "processes that make views; -1: one for each core but one", low=-1, high=256)
    device: str = param("auto", "auto takes a CUDA GPU where there is one", choices=("auto", "cpu", "cuda"))
    precision: str = param(
        "auto", "of the network's sums; auto takes bfloat16 where it is fast", choices=("auto", "float32", "bfloat16")
    )
    seed: int = param(0, "of all chance", low=0)

    @property
    def fresh(self) -> int:
        """New views a step."""
        return max(1, self.batch // self.reuse)

    @property
    def processes(self) -> int:
        """Processes that make views."""
        return max(1, (os.cpu_count() or 2) - 1) if self.workers < 0 else self.workers


def train(
    folder: Path,
    config: PerceptionTraining,
    views: ViewConfig | None = None,
    network: CompactConfig | None = None,
    *,
    resume: bool = False,
    until: int | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Trains, and returns the file of the best weights.

    Args:
        folder: for all files.
        views: of them the width is not used: it is the network's.
        resume: go on from the folder's checkpoint.
        until: stop after this step, to go on later; None trains to the end.
        say: called with a line of progress.

    Raises:
        InputError: the folder holds a training already and ``resume`` is not given, or none and it is; its checkpoint
            is damaged or of another network.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    run = Run(folder, config, network or CompactConfig(categories=NAMES), resume)
    views = _like(views or ViewConfig(seed=config.seed), width=run.net.config.width)
    pool = Pool(config.pool, run.device, config.seed)
    # The pool is ahead of the steps; a training that goes on fills it anew before its first step.
    ahead = math.ceil(_AHEAD * config.batch / config.fresh)
    number = max(0, run.step + ahead - math.ceil(config.pool / config.fresh))
    series = fresh_views(views, number, config.fresh, config.processes)
    begun, seen, last = time.monotonic(), run.step, config.steps if until is None else until
    while run.step < last:
        while number < run.step + ahead:
            pool.add(next(series), number * config.fresh)
            number += 1
        parts = run.advance(pool.draw(config.batch, run.step))
        if run.step % 20 == 0:
            category, overlap, offset = parts.tolist()
            speed = (run.step - seen) * config.fresh / (time.monotonic() - begun)
            run.note({"step": run.step, "category": category, "overlap": overlap, "offset": offset,
                      "new_views_per_s": round(speed, 2)})  # fmt: skip
            text = f"loss {category:.3f}, overlap {overlap:.3f}, offset {offset:.3f} m, {speed:.1f} new views/s"
            say(f"step {run.step} of {config.steps}: {text}")
        if run.step % config.validate_every == 0 or run.step == config.steps:
            scores = run.validate(views)
            say(f"step {run.step}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
            run.save()
    curves.draw(folder / "metrics.jsonl", folder / "curves.png", _panel)
    return folder / "compact.safetensors"


class Run:
    """State of a training: network, average, optimiser, step, best validation.

    Args:
        folder, config, resume: as :func:`train` takes them.
        network: shape of the network.

    Attributes:
        validation: batches of each kind of held-out views, made by the first :meth:`validate`.
    """

    def __init__(self, folder: Path, config: PerceptionTraining, network: CompactConfig, resume: bool) -> None:
        self.folder, self.config, self.step, self.best = folder, config, 0, -1.0
        self.device = checkpoints.device_of(config.device)
        self.net, self.average = (
            CompactNetwork(network).to(self.device, memory_format=torch.channels_last) for _ in range(2)
        )
        self.average.eval().load_state_dict(self.net.state_dict())
        self._optimizer = torch.optim.AdamW(self.net.parameters(), config.rate, (0.9, 0.98), 1e-8, config.weight_decay)
        self._half = config.precision == "bfloat16" or (
            config.precision == "auto" and checkpoints.fast_bfloat16(self.device)
        )
        self._chance = torch.Generator(self.device)
        self._weights = torch.ones(len(network.categories) + 1, device=self.device)
        self._weights[0] = config.structure_weight
        self.validation: dict[str, list[Batch]] = {}
        self._file = folder / "checkpoint.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists() != resume:
            text = "holds a training already; give --resume or another folder" if not resume else "holds no checkpoint"
            raise InputError(f"{folder}: {text}")
        if resume:
            self._load()

    def advance(self, batch: Batch) -> torch.Tensor:
        """One step; returns the parts of the loss (3,)."""
        config = self.config
        for group in self._optimizer.param_groups:
            group["lr"] = config.rate * self._rate(self.step)
        self._chance.manual_seed(config.seed * 1_000_003 + self.step)
        inputs, labels, centers = augment(
            batch[0].float(), batch[1].long(), batch[2].float(), self._chance, light=config.light
        )
        self.net.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            logits, offsets = self.net(inputs.to(memory_format=torch.channels_last))
        total, parts = loss(
            logits.float(), offsets.float(), labels, centers, self._weights, config.overlap_weight, config.offset_weight
        )
        self._optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        self._follow()
        return parts

    @torch.no_grad()
    def validate(self, views: ViewConfig) -> dict[str, float]:
        """mIoU on the apartments 900-999 in each of their kinds; keeps the weights that are best on average."""
        if not self.validation:
            self.validation = held_out_views(self.config, views, self.net.config)
        scores = {}
        for name, batches in self.validation.items():
            confusion = Confusion(len(NAMES) + 1)
            for inputs, labels, *_ in batches:
                logits, _ = self.average(inputs.to(self.device).float())
                confusion.add(labels.numpy(), logits.argmax(dim=1).cpu().numpy())
            scores[f"miou {name}"] = confusion.mean_iou()
            scores[f"above 0.4 {name}"] = float((confusion.iou()[1:] > 0.4).sum())
        self.note({"step": self.step, **scores})
        mean = sum(score for name, score in scores.items() if name.startswith("miou")) / len(self.validation)
        if mean > self.best:
            self.best = mean
            self.keep(self.folder / "compact.safetensors")
        return scores

    def keep(self, path: Path) -> None:
        """Writes the averaged weights."""
        checkpoints.write(path, self.average.state_dict(), self._about())

    def note(self, line: dict[str, float]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Writes the checkpoint."""
        checkpoints.save(self._file, self._networks, self._optimizer, self._about())

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {"net": self.net, "average": self.average}

    def _load(self) -> None:
        about: dict = checkpoints.facts(self._file)
        if about.get("network") != self.net.config.to_mapping():
            raise InputError(f"{self._file}: is of another network; give --config as it was, or another folder")
        self.step, self.best = about["step"], about["best"]
        checkpoints.load(self._file, self._networks, self._optimizer, self.device)

    def _about(self) -> dict[str, object]:
        return {"step": self.step, "best": self.best, "network": self.net.config.to_mapping()}

    def _rate(self, step: int) -> float:
        if step < self.config.warm_up:
            return (step + 1) / self.config.warm_up
        done = (step - self.config.warm_up) / max(1, self.config.steps - self.config.warm_up)
        return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))

    @torch.no_grad()
    def _follow(self) -> None:
        """The moving average, of the normalisations' statistics too; quicker at the start."""
        share = 1.0 - min(self.config.average, self.step / (self.step + 10.0))
        pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        mine, theirs = zip(*((a, b) for a, b in pairs if a.dtype.is_floating_point), strict=True)
        torch._foreach_lerp_(list(mine), list(theirs), share)


def held_out_views(training: PerceptionTraining, views: ViewConfig, network: CompactConfig) -> dict[str, list[Batch]]:
    """Views of apartments 900-999 by kind (:func:`validation_views`)."""
    size = min(20, training.validation_views)
    count = math.ceil(training.validation_views / size)
    made = {}
    for name, config in validation_views(_like(views, width=network.width)).items():
        series = fresh_views(config, 0, size, min(training.processes, count))
        made[name] = [next(series) for _ in range(count)]
    return made


def validation_views(views: ViewConfig) -> dict[str, ViewConfig]:
    """Views of apartments 900-999: as they are, with textures and with furniture models that training never sees."""
    plain = _like(
        views, first_scene=900, scenes=100, seed=views.seed + 1000, retextured=0.0, recolored=0.0, first_variant=1000,
        scenes_at_once=8, views_a_scene=10, no_depth=0.0, furnished=0.0,
    )  # fmt: skip
    kinds = {"as made": plain, "retextured": _like(plain, retextured=1.0, recolored=1.0)}
    if views.furniture:
        kinds["furnished"] = _like(plain, furnished=1.0, furniture_split="held_out")
    return kinds


def _like(config: ViewConfig, **changes: object) -> ViewConfig:
    return ViewConfig.from_mapping(config.to_mapping() | changes)


def _panel(name: str) -> str:
    return "loss" if name in ("category", "overlap", "offset") else "mIoU" if name.startswith("miou") else ""
