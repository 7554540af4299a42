"""The network in torch: for training, for sampling in batches, and for the export to ONNX. Knows no text.

A decoder of pre-normalised blocks with rotary positions, one shared head of keys and values, and gated feed-forward
parts; input and output share the embedding. Prompts that several answers share are computed once: their keys and values
are repeated (:meth:`Network.forward`, ``past``), with gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import SmallLMConfig

#: Keys and values of all layers: (layers, 2, batch, positions, head).
Past = Tensor


class Network(nn.Module):
    """Next-word logits.

    Args:
        config: the shape.
        words: size of the vocabulary.
    """

    def __init__(self, config: SmallLMConfig, words: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(words, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = _Norm(config.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and "embedding" not in name:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5 if residual else 0.02)

    def forward(self, ids: Tensor, past: Past | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """Hidden states and keys and values.

        Args:
            ids: (batch, new) int64.
            past: of the words before, or None.
            lengths: (batch,) int64, how many positions of ``past`` hold words (they are padded at the end); None: all.

        Returns:
            (batch, new, width) hidden states for :meth:`logits`; (layers, 2, batch, past + new, head).
        """
        before = 0 if past is None else past.shape[3]
        if lengths is None:
            lengths = torch.full((ids.shape[0],), before, dtype=torch.int64, device=ids.device)
        new = torch.arange(ids.shape[1], device=ids.device)
        seen = torch.arange(before, device=ids.device)[None] < lengths[:, None]
        visible = [seen[:, None].expand(-1, ids.shape[1], -1), (new <= new[:, None]).expand(ids.shape[0], -1, -1)]
        mask = torch.where(torch.cat(visible, dim=2), 0.0, -1e9)[:, None]
        turn = rotary(lengths[:, None] + new[None], self.config.head)
        x, kept = self.embedding(ids), []
        for k, block in enumerate(self.blocks):
            x, own = block(x, None if past is None else past[k], mask, turn)
            kept.append(own)
        return self.norm(x), torch.stack(kept)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next word from hidden states."""
        return F.linear(hidden, self.embedding.weight)


class _Norm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich 2019); torch's own has no export to ONNX."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6) * self.weight


class _Block(nn.Module):
    def __init__(self, config: SmallLMConfig) -> None:
        super().__init__()
        self.heads, self.head = config.heads, config.head
        self.norm_1, self.norm_2 = _Norm(config.width), _Norm(config.width)
        #: Queries of all heads, then the one key, then the one value.
        self.qkv = nn.Linear(config.width, config.width + 2 * config.head, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.gate = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(
        self, x: Tensor, past: Tensor | None, mask: Tensor, turn: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The block's output, and its keys and values (2, batch, past + new, head)."""
        batch, new, width = x.shape
        # Queries and the key are turned together: (batch, heads + 1, new, head).
        qkv = self.qkv(self.norm_1(x)).view(batch, new, self.heads + 2, self.head).transpose(1, 2)
        turned = _turned(qkv[:, :-1], turn)
        own = torch.stack([turned[:, -1], qkv[:, -1]])
        if past is not None:
            own = torch.cat([past, own], dim=2)
        scores = turned[:, :-1] @ own[0][:, None].transpose(2, 3) * self.head**-0.5
        weights = (scores + mask).softmax(dim=-1)
        x = x + self.out((weights @ own[1][:, None]).transpose(1, 2).reshape(batch, new, width))
        gate, up = self.gate(self.norm_2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up), own


def rotary(positions: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (batch, 1, new, head / 2) of rotary positions (Su et al. 2021)."""
    rates = 10000.0 ** (-torch.arange(0, head, 2, device=positions.device, dtype=torch.float32) / head)
    angles = positions[..., None].float() * rates
    return angles.cos()[:, None], angles.sin()[:, None]


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = turn[0].to(x.dtype), turn[1].to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def repeated(past: Past, times: int) -> Past:
    """Keys and values for ``times`` answers to each prompt."""
    return past.repeat_interleave(times, dim=2)
