"""The network in torch: for training, for sampling in batches, and for the export to ONNX. Knows no text.

A decoder of pre-normalised blocks with rotary positions, one shared head of keys and values, and gated feed-forward
parts; input and output share the embedding. A word's embedding takes in the few words before it: what is told apart by
several words ("explore 3.5 m ahead left") is found again by one look, which is learned many times sooner. What follows
there is made likelier to follow again (:class:`_Copying`): a fact of the prompt is repeated, not remembered. A prompt
that several answers share is computed once, with gradients, and its keys and values are not repeated for each
(:meth:`Network.forward`, ``prompt``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import COPIED_AFTER, SmallLMConfig
from .tokenizer import PAD_NUMBER

#: Added to the scores of what must not be seen.
_HIDDEN = -1e9


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
        self.local = nn.ModuleList(nn.Linear(config.width, config.width, bias=False) for _ in range(config.local))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = _Norm(config.width)
        self.copying = _Copying(config) if config.copies else None
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.startswith("copying"):
                continue
            if name.startswith("local"):
                nn.init.normal_(parameter, std=config.width**-0.5)
            elif parameter.ndim == 2 and "embedding" not in name:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5 if residual else 0.02)

    def forward(
        self,
        ids: Tensor,
        past: Tensor | None = None,
        prompt: Tensor | None = None,
        lengths: Tensor | None = None,
        recent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states, and keys and values of the words after the prompt.

        Args:
            ids: (batch, new) int64.
            past: (kept, 2, batch, before, head) keys and values of the words between prompt and ``ids``, or None;
                kept is the configuration's.
            prompt: (kept, 2, prompts, longest, head), the same of prompts, each shared by batch / prompts answers
                that follow each other in the batch; or None.
            lengths: (prompts,) int64, how many positions of each prompt hold words (they are padded at the end).
            recent: (batch, before) int64, the words just before ``ids``, PAD where there is none; None: they are the
                first of their text.

        Returns:
            (batch, new, width) hidden states for :meth:`logits`; (kept, 2, batch, past + new, head).
        """
        before = 0 if past is None else past.shape[3]
        new = torch.arange(ids.shape[1], device=ids.device)
        old = torch.arange(before + ids.shape[1], device=ids.device)
        own_mask = torch.where(old <= new[:, None] + before, 0.0, _HIDDEN)[None, None]
        positions, prompt_mask = (new + before)[None], None
        if prompt is not None:
            assert lengths is not None
            place = torch.arange(prompt.shape[3], device=ids.device)
            prompt_mask = torch.where(place < lengths[:, None], 0.0, _HIDDEN)[:, None]
            positions = positions + lengths.repeat_interleave(ids.shape[0] // len(lengths))[:, None]
        turn = rotary(positions, self.config.head)
        words = self._words(ids, recent)
        found = self.embedding(words) * (words != PAD_NUMBER)[..., None]
        x, kept = self._embedded(found), []
        for k, block in enumerate(self.blocks):
            mine = None if past is None else past[k]
            shared = None if prompt is None else prompt[k]
            x, own = block(x, mine, own_mask, turn, shared, prompt_mask)
            kept.append(own)
        x = self.norm(x)
        if self.copying is None:
            return x, torch.stack(kept)
        first = self.config.layers
        x, own = self.copying(
            x, found, None if past is None else past[first:], own_mask, None if prompt is None else prompt[first:],
            prompt_mask,
        )  # fmt: skip
        return x, torch.cat([torch.stack(kept), own.to(kept[0].dtype)])

    def _words(self, ids: Tensor, recent: Tensor | None) -> Tensor:
        """(batch, before + new)."""
        if recent is None:
            recent = ids.new_full((ids.shape[0], self.config.before), PAD_NUMBER)
        return torch.cat([recent, ids], dim=1)

    def _embedded(self, found: Tensor) -> Tensor:
        """(batch, new, width) of (batch, before + new, width) embeddings."""
        count = self.config.before
        x = found[:, count:]
        for k, part in enumerate(self.local, 1):
            x = x + part(found[:, count - k : found.shape[1] - k])
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next word from hidden states."""
        return F.linear(hidden, self.embedding.weight)


class _Copying(nn.Module):
    """Makes the words likelier that followed the same few words before: copying that need not be learned.

    A place in the text is found by the few words before it, coded by a turn of each word's embedding; what stands
    there is added to the hidden state, so that its logit grows (a pointer: Vinyals et al. 2015, See et al. 2017). How
    much, and which of several such places, the hidden state says.
    """

    def __init__(self, config: SmallLMConfig) -> None:
        super().__init__()
        self.heads, self.width, self.before = config.heads, config.width, config.before
        self.turns = nn.Parameter(torch.stack([_random_turn(config.width) for _ in range(COPIED_AFTER)]))
        self.choice = nn.Linear(config.width, config.width, bias=False)
        self.amount = nn.Linear(config.width, 1)
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        nn.init.zeros_(self.choice.weight)
        nn.init.zeros_(self.amount.weight)
        nn.init.constant_(self.amount.bias, 4.0)

    def forward(
        self, x: Tensor, found: Tensor, past: Tensor | None, mask: Tensor, prompt: Tensor | None,
        prompt_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Hidden states with what is copied, and the codes and words of the new positions (heads, 2, batch, new, head)
        after those of the past.

        Args:
            x: (batch, new, width). found: (batch, before + new, width) embeddings. The rest as in
                :meth:`Network.forward`, this part's own layers.
        """
        unit = found / (found.square().sum(dim=-1, keepdim=True) + 1e-8).sqrt()
        words = found[:, self.before :]
        value = words / (words.square().sum(dim=-1, keepdim=True) + 1e-6)
        codes = self._codes(unit)
        query = self.sharpness * codes[:, 1:] + self.choice(x)
        own = self._split(torch.stack([codes[:, :-1], value.to(codes.dtype)]))
        if past is not None:
            own = torch.cat([past.to(own.dtype), own], dim=3)
        keys, values = self._joined(own)
        scores = query @ keys.transpose(1, 2) + mask[:, 0]
        if prompt is None or prompt_mask is None:
            read = scores.softmax(dim=-1) @ values
        else:
            groups, new = prompt.shape[2], query.shape[1]
            there, told = self._joined(prompt.to(query.dtype))
            shared = (query.reshape(groups, -1, self.width) @ there.transpose(1, 2)).view(*query.shape[:2], -1)
            hidden = prompt_mask.repeat_interleave(query.shape[0] // groups, dim=0)
            weights = torch.cat([shared + hidden, scores], dim=-1).softmax(dim=-1)
            length = there.shape[1]
            read = (weights[..., :length].reshape(groups, -1, length) @ told).view(-1, new, self.width)
            read = read + weights[..., length:] @ values
        return x + nn.functional.softplus(self.amount(x)) * read, own

    def _codes(self, unit: Tensor) -> Tensor:
        """(batch, 1 + new, width), of the few words up to the one before each new word, and up to the last one."""
        first = self.before - COPIED_AFTER
        length = unit.shape[1] - first - COPIED_AFTER + 1
        parts = [
            unit[:, first + COPIED_AFTER - 1 - k : first + COPIED_AFTER - 1 - k + length] @ self.turns[k]
            for k in range(COPIED_AFTER)
        ]
        return torch.stack(parts).sum(dim=0)

    def _split(self, x: Tensor) -> Tensor:
        """(2, batch, new, width) as (heads, 2, batch, new, head): kept like keys and values of blocks."""
        return x.unflatten(-1, (self.heads, -1)).permute(3, 0, 1, 2, 4)

    def _joined(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and words, (batch, positions, width) each, of (heads, 2, batch, positions, head)."""
        both = kept.permute(1, 2, 3, 0, 4).flatten(3)
        return both[0], both[1]


def _random_turn(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width))[0]


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
        self,
        x: Tensor,
        past: Tensor | None,
        mask: Tensor,
        turn: tuple[Tensor, Tensor],
        prompt: Tensor | None,
        prompt_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The block's output, and its keys and values (2, batch, past + new, head)."""
        batch, new, width = x.shape
        # Queries and the key are turned together: (batch, heads + 1, new, head).
        qkv = self.qkv(self.norm_1(x)).view(batch, new, self.heads + 2, self.head).transpose(1, 2)
        turned = _turned(qkv[:, :-1], turn)
        own = torch.stack([turned[:, -1], qkv[:, -1]])
        if past is not None:
            own = torch.cat([past, own], dim=2)
        if past is None and prompt is None:
            # A whole text: torch's own attention is faster. Under autocast the turned keys are wider than the values.
            key, value = (part[:, None].expand(-1, self.heads, -1, -1) for part in own)
            read = F.scaled_dot_product_attention(turned[:, :-1], key, value.to(key.dtype), is_causal=True)
        else:
            query = turned[:, :-1] * self.head**-0.5
            scores = query @ own[0][:, None].transpose(2, 3) + mask
            if prompt is None or prompt_mask is None:
                read = scores.softmax(dim=-1) @ own[1][:, None]
            else:
                read = self._with_prompt(query, scores, own[1], prompt, prompt_mask)
        x = x + self.out(read.transpose(1, 2).reshape(batch, new, width))
        gate, up = self.gate(self.norm_2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up), own

    def _with_prompt(self, query: Tensor, scores: Tensor, value: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        """What all heads read from a prompt's words and their own, (batch, heads, new, head).

        The answers to a prompt are one matrix product with its keys: the prompt is not repeated for each.
        """
        groups, (batch, heads, new, head) = prompt.shape[1], query.shape
        rows = query.reshape(groups, -1, head)
        shared = (rows @ prompt[0].transpose(1, 2) + mask).view(batch, heads, new, -1)
        weights = torch.cat([shared, scores], dim=-1).softmax(dim=-1)
        length = prompt.shape[2]
        told = weights[..., :length].reshape(groups, -1, length) @ prompt[1]
        return told.view(batch, heads, new, head) + weights[..., length:] @ value[:, None]


def rotary(positions: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (batch, 1, new, head / 2) of rotary positions (Su et al. 2021)."""
    rates = 10000.0 ** (-torch.arange(0, head, 2, device=positions.device, dtype=torch.float32) / head)
    angles = positions[..., None].float() * rates
    return angles.cos()[:, None], angles.sin()[:, None]


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = turn[0].to(x.dtype), turn[1].to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
