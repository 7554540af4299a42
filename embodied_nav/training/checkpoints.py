"""Checkpoints of a training as one safetensors file: networks, optimiser, facts. Knows no method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError


def save(
    path: Path, networks: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, about: Mapping[str, object]
) -> None:
    """Writes a checkpoint; the one before stays until the new one is whole.

    Args:
        networks: by name, without a dot.
        optimizer: its state is kept by the parameters' order.
        about: facts that :func:`load` returns.
    """
    tensors = {f"{name}.{k}": v for name, network in networks.items() for k, v in network.state_dict().items()}
    for k, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        for name, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{k}.{name}"] = value
    write(path, tensors, about)


def write(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, object]) -> None:
    """Writes tensors with facts; the file before stays until the new one is whole."""
    from safetensors.torch import save_file

    other = path.with_suffix(".new")
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, str(other), {"about": json.dumps(about)})
    other.replace(path)


def read(path: Path, network: nn.Module) -> None:
    """Reads what :func:`write` wrote of a network.

    Raises:
        InputError: it is damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(str(path)))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise InputError(_unreadable(path, error)) from None


def facts(path: Path) -> dict[str, object]:
    """The facts of a checkpoint.

    Raises:
        InputError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            return dict(json.loads(file.metadata()["about"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(_unreadable(path, error)) from None


def load(path: Path, networks: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Reads a checkpoint into networks of the same shapes, and the optimiser's state.

    Raises:
        InputError: it is damaged, or of other networks.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path), device=str(device))
        for name, network in networks.items():
            start = f"{name}."
            network.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
        for k, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            start = f"optimizer.{k}."
            found = {key.removeprefix(start): v for key, v in tensors.items() if key.startswith(start)}
            if found:
                optimizer.state[parameter] = found | {"step": found["step"].cpu()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); begin again in another folder"


def device_of(wanted: str) -> torch.device:
    """The device of a training; ``wanted`` is auto (a CUDA GPU where there is one), cpu or cuda.

    Raises:
        InputError: there is no GPU.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError("training.device = cuda: torch sees no GPU here; set it to auto or cpu")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def fast_bfloat16(device: torch.device) -> bool:
    """Whether sums in bfloat16 are faster: on a GPU, and on processors that have them; others take ten times longer."""
    if device.type == "cuda":
        return True
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in about or "amx_bf16" in about
