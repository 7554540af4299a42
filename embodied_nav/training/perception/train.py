"""Trains the compact network on views of apartments; goes on after an interruption. Knows nothing of ROS.

Writes into its folder: checkpoint.safetensors (all that is needed to go on), compact.safetensors (the averaged weights
of the best validation so far), metrics.jsonl, curves.png.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...config import Config, param
from ...errors import InputError
from ...models.compact import CompactConfig
from ...models.compact.network import CompactNetwork, loss
from .scores import Confusion
from .views import NAMES, View, ViewConfig, Views


@dataclass(frozen=True)
class PerceptionTraining(Config):
    """Settings of the training."""

    steps: int = param(3400, "steps; the learning rate falls to 0 at the last one", low=1)
    batch: int = param(12, "views a step", low=1, high=1024)
    rate: float = param(1.5e-3, "highest learning rate", low=1e-6, high=1.0)
    warm_up: int = param(100, "steps until the highest learning rate", low=1)
    weight_decay: float = param(0.02, "weight decay", low=0.0, high=1.0)
    average: float = param(0.998, "share of the old in the moving average of the weights", low=0.0, high=0.99999)
    structure_weight: float = param(0.25, "weight of what is none of the categories in the loss", low=0.0, high=10.0)
    offset_weight: float = param(0.5, "weight of the offsets' loss", low=0.0, high=100.0)
    validate_every: int = param(400, "steps between two validations", low=1)
    validation_views: int = param(200, "views of a validation", low=1)
    threads: int = param(1, "threads of torch", low=1, high=256)
    workers: int = param(1, "processes that make views", low=0, high=64)
    seed: int = param(0, "of all chance", low=0)


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
        resume: go on from the folder's checkpoint.
        until: stop after this step, to go on later; None trains to the end.
        say: called with a line of progress.

    Raises:
        InputError: the folder holds a training already and ``resume`` is not given, or none and it is.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    run = _Run(folder, config, network or CompactConfig(categories=NAMES), resume)
    views = views or ViewConfig(seed=config.seed)
    begun, seen = time.monotonic(), run.step
    for batch in _batches(Views(views), config, run.step):
        parts = run.advance(batch)
        if run.step % 20 == 0:
            speed = (run.step - seen) * config.batch / (time.monotonic() - begun)
            line = {"step": run.step, "category": parts[0], "offset": parts[1], "views_per_s": round(speed, 2)}
            run.note(line)
            say(f"step {run.step} of {config.steps}: loss {parts[0]:.3f}, offset {parts[1]:.3f} m, {speed:.1f} views/s")
        if run.step % config.validate_every == 0 or run.step == config.steps:
            scores = run.validate(views)
            say(f"step {run.step}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
            run.save()
        if run.step == until:
            break
    draw_curves(folder / "metrics.jsonl", folder / "curves.png")
    return folder / "compact.safetensors"


class _Run:
    """State of a training: network, average, optimiser, step, best validation."""

    def __init__(self, folder: Path, config: PerceptionTraining, network: CompactConfig, resume: bool) -> None:
        self.folder, self.config, self.step, self.best = folder, config, 0, -1.0
        self.net = CompactNetwork(network).to(memory_format=torch.channels_last)
        self.average = CompactNetwork(network).to(memory_format=torch.channels_last).eval()
        self.average.load_state_dict(self.net.state_dict())
        self._optimizer = torch.optim.AdamW(self.net.parameters(), config.rate, (0.9, 0.98), 1e-8, config.weight_decay)
        self._weights = torch.ones(len(network.categories) + 1)
        self._weights[0] = config.structure_weight
        self._file = folder / "checkpoint.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists() != resume:
            text = "holds a training already; give --resume or another folder" if not resume else "holds no checkpoint"
            raise InputError(f"{folder}: {text}")
        if resume:
            self._load()

    def advance(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> list[float]:
        """One step; returns the two parts of the loss."""
        inputs, labels, centers = batch
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.rate * self._rate(self.step)
        self.net.train()
        logits, offsets = self.net(inputs.to(memory_format=torch.channels_last))
        total, parts = loss(logits, offsets, labels, centers, self._weights, self.config.offset_weight)
        self._optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        self._follow()
        return parts.tolist()

    @torch.no_grad()
    def validate(self, views: ViewConfig) -> dict[str, float]:
        """mIoU on the apartments 900-999, with their own and with other textures; keeps the best weights."""
        scores = {}
        for name, share in (("miou", 0.0), ("miou_retextured", 1.0)):
            config = _like(views, first_scene=900, scenes=100, seed=views.seed + 1000, retextured=share)
            config = _like(
                config, recolored=share, first_variant=1000, scenes_at_once=8, views_a_scene=10, no_depth=0.0
            )
            confusion, source = Confusion(len(NAMES) + 1), Views(config)
            for k in range(self.config.validation_views):
                view = source[k]
                logits, _ = self.average(torch.from_numpy(view.inputs)[None])
                confusion.add(view.labels, logits[0].argmax(dim=0).numpy())
            scores[name] = confusion.mean_iou()
            scores[name.replace("miou", "above_0.4")] = float((confusion.iou()[1:] > 0.4).sum())
        self.note({"step": self.step, **scores})
        mean = 0.5 * (scores["miou"] + scores["miou_retextured"])
        if mean > self.best:
            self.best = mean
            _write(self.folder / "compact.safetensors", self.average.state_dict(), self._about())
        return scores

    def note(self, line: dict[str, float]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Writes the checkpoint."""
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for k, parameter in enumerate(self.net.parameters()):
            for name, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{k}.{name}"] = value
        _write(self._file, tensors, self._about())

    def _load(self) -> None:
        from safetensors import safe_open
        from safetensors.torch import load_file

        with safe_open(str(self._file), "pt") as file:
            about = json.loads(file.metadata()["about"])
        self.step, self.best = about["step"], about["best"]
        tensors = load_file(str(self._file))
        for name, module in (("net.", self.net), ("average.", self.average)):
            module.load_state_dict({k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)})
        for k, parameter in enumerate(self.net.parameters()):
            start = f"optimizer.{k}."
            found = {key.removeprefix(start): v for key, v in tensors.items() if key.startswith(start)}
            self._optimizer.state[parameter] = found

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
        for mine, theirs in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, share)
            else:
                mine.copy_(theirs)


def _like(config: ViewConfig, **changes: object) -> ViewConfig:
    return ViewConfig.from_mapping(config.to_mapping() | changes)


class _Series(torch.utils.data.IterableDataset):
    """Views from ``first`` to ``last``; of several workers each makes every n-th batch."""

    def __init__(self, views: Views, first: int, last: int, batch: int) -> None:
        self._views, self._first, self._last, self._batch = views, first, last, batch

    def __iter__(self) -> Iterator[View]:
        worker = torch.utils.data.get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for k in range(self._first + number * self._batch, self._last, count * self._batch):
            for index in range(k, k + self._batch):
                yield self._views[index]


def _batches(views: Views, config: PerceptionTraining, first: int) -> torch.utils.data.DataLoader:
    series = _Series(views, first * config.batch, config.steps * config.batch, config.batch)
    spawn = {"multiprocessing_context": "spawn", "prefetch_factor": 4} if config.workers else {}
    return torch.utils.data.DataLoader(series, config.batch, num_workers=config.workers, collate_fn=_stack, **spawn)


def _stack(views: list[View]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs, labels, centers = (
        np.stack([getattr(view, name) for view in views]) for name in ("inputs", "labels", "centers")
    )
    return torch.from_numpy(inputs), torch.from_numpy(labels), torch.from_numpy(centers)


def _write(path: Path, tensors: dict[str, torch.Tensor], about: dict[str, object]) -> None:
    from safetensors.torch import save_file

    other = path.with_suffix(".new")
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, str(other), {"about": json.dumps(about)})
    other.replace(path)


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draws metrics.jsonl as curves."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, names in zip(figure.subplots(1, 2), (("category", "offset"), ("miou", "miou_retextured")), strict=True):
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            axes.plot([p[0] for p in points], [p[1] for p in points], label=name)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=110)
