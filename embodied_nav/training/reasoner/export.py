"""Writes a small language model as it is shipped: half-precision safetensors, and an ONNX graph that reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...models.small_lm import SmallLMConfig, Tokenizer
from ...models.small_lm.network import Network
from ..onnx_weights import refer


class _Step(nn.Module):
    """What the graph computes: the logits after the last word, and all keys and values."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, past: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        hidden, kept = self.network(ids, past, recent=recent)
        return self.network.logits(hidden[:, -1]), kept


def export(network: Network, tokenizer: Tokenizer, folder: Path, name: str, about: Mapping[str, str]) -> Path:
    """Writes NAME.safetensors and NAME.onnx.

    Args:
        network: trained.
        tokenizer: its words.
        about: further metadata, text by name.

    Returns:
        The ONNX file's path.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    state = {f"network.{k}": v.detach().to("cpu", torch.float16).contiguous() for k, v in network.state_dict().items()}
    told = {"words": json.dumps(tokenizer.words), "network": json.dumps(network.config.to_mapping()), **about}
    save_file(state, str(weights), told)
    weights.chmod(0o644)  # safetensors lets nobody else read its files
    copy = Network(network.config, len(tokenizer))
    copy.load_state_dict({k.removeprefix("network."): v.float() for k, v in state.items()})
    config = network.config
    words, past = torch.zeros(1, 7 + config.before, dtype=torch.int64), torch.zeros(config.kept, 2, 1, 5, config.head)
    example = (words[:, :7], past, words[:, 7:])
    torch.onnx.export(
        _Step(copy.eval()), example, str(graph), input_names=["ids", "past", "recent"], output_names=["logits", "kept"],
        dynamic_axes={"ids": {1: "new"}, "past": {3: "before"}, "kept": {3: "all"}}, opset_version=17,
        dynamo=False, do_constant_folding=False,
    )  # fmt: skip
    refer(graph, weights, {})
    return graph


def load(weights: Path) -> tuple[Network, Tokenizer, dict[str, str]]:
    """The network, its tokenizer and the metadata of an exported safetensors file.

    Raises:
        InputError: it cannot be read, or holds no such network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ...models.small_lm.generation import metadata

    about = metadata(weights)
    tokenizer = Tokenizer(json.loads(about["words"]))
    network = Network(SmallLMConfig.from_mapping(json.loads(about["network"])), len(tokenizer))
    try:
        state = load_file(str(weights))
        network.load_state_dict({k.removeprefix("network."): v.float() for k, v in state.items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise InputError(f"{weights}: holds no weights of the reasoner ({str(error).splitlines()[0]})") from None
    return network, tokenizer, about
