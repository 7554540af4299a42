"""Writes trained weights as they are shipped: a half-precision safetensors file and an ONNX graph that reads it.

Normalisations are folded into convolutions.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...models.compact import CHANNELS, CompactConfig
from ...models.compact.network import CompactNetwork
from ..onnx_weights import refer


def load_network(path: Path) -> CompactNetwork:
    """The network of a training's compact.safetensors, in evaluation mode."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(str(path), "pt") as file:
        about = json.loads(file.metadata()["about"])
    network = CompactNetwork(CompactConfig.from_mapping(about["network"]))
    network.load_state_dict(load_file(str(path)))
    return network.eval()


def export(
    trained: Path, folder: Path, unknown_from: float, spacing: dict[str, float], name: str = "compact"
) -> tuple[Path, Path]:
    """Exports a training's weights.

    Args:
        trained: compact.safetensors of a training.
        unknown_from, spacing: see :mod:`.calibrate`.
        folder: for NAME.safetensors and NAME.onnx.

    Returns:
        Both paths.
    """
    from safetensors.torch import save_file

    network = load_network(trained)
    config = network.config
    _fold(network)
    folder.mkdir(parents=True, exist_ok=True)
    weights, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    state = {key: value.to(torch.float16).contiguous() for key, value in network.state_dict().items()}
    about = {
        "network": json.dumps(config.to_mapping()),
        "unknown_from": json.dumps(round(unknown_from, 4)),
        "spacing": json.dumps(spacing),
    }
    save_file(state, str(weights), about)
    weights.chmod(0o644)  # safetensors lets nobody else read its files
    network.load_state_dict({key: value.float() for key, value in state.items()})
    example = torch.zeros(1, CHANNELS, config.width * 3 // 4, config.width)
    torch.onnx.export(
        network, (example,), str(graph), input_names=["inputs"], output_names=["logits", "offsets"],
        dynamic_axes={"inputs": {2: "height"}, "logits": {2: "rows"}, "offsets": {2: "rows"}}, opset_version=17,
        dynamo=False, do_constant_folding=False,
    )  # fmt: skip
    refer(graph, weights, about)
    return weights, graph


def _fold(module: nn.Module) -> None:
    """Folds every normalisation into the convolution before it."""
    for child in module.children():
        if isinstance(child, nn.Sequential):
            for k in range(len(child) - 1):
                if isinstance(child[k], nn.Conv2d) and isinstance(child[k + 1], nn.BatchNorm2d):
                    child[k], child[k + 1] = fuse_conv_bn_eval(child[k], child[k + 1]), nn.Identity()
        if isinstance(getattr(child, "norm", None), nn.BatchNorm2d):
            child.second, child.norm = fuse_conv_bn_eval(child.second, child.norm), nn.Identity()
        _fold(child)
