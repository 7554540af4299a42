"""Texts to padded tensors, and answers sampled for many prompts at once. Knows no rewards.

A prompt is read once for all of its answers; each answer's keys and values begin after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.small_lm import Tokenizer
from ...models.small_lm.network import Network


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts as a tensor.

    Attributes:
        ids: (prompts, longest) int64, padded at the end.
        lengths: (prompts,) int64.
    """

    ids: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Sequence[str], device: torch.device, begun: Sequence[str] = ()) -> Prompts:
        """Prompts of texts; each ends with a line's end, and what an answer has begun with where that is given."""
        rows = [tokenizer.encode(text + "\n") for text in texts]
        rows = [row + tokenizer.encode(more) for row, more in zip(rows, begun, strict=True)] if begun else rows
        return cls(padded(rows, tokenizer.pad, device), torch.tensor([len(r) for r in rows], device=device))

    def recent(self, count: int) -> Tensor:
        """(prompts, count) int64, the last words of each; prompts are longer than that."""
        return self.ids.gather(1, self.lengths[:, None] - torch.arange(count, 0, -1, device=self.ids.device))


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Rows of numbers as a tensor, padded at the end."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], dtype=torch.int64, device=device)


def answer_log_probabilities(
    network: Network, prompts: Prompts, answers: Tensor, read: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Log probability of every word of answers, (answers, words).

    Args:
        network: with gradients where they are on.
        prompts: each shared by answers / prompts answers that follow each other.
        answers: (answers, words) int64, padded at the end.
        read: what the network gave for the prompts, where they were read already.
    """
    hidden, past = network(prompts.ids) if read is None else read
    last = prompts.lengths - 1
    first = hidden[torch.arange(len(last), device=last.device), last]
    first = first.repeat_interleave(answers.shape[0] // len(last), dim=0)[:, None]
    # The prompt's last word predicts the answer's first; the answer's own words predict the rest.
    recent = prompts.recent(network.config.before).repeat_interleave(answers.shape[0] // len(last), dim=0)
    rest, _ = network(answers[:, :-1], None, past, prompts.lengths, recent)
    logits = network.logits(torch.cat([first, rest], dim=1)).float()
    return logits.log_softmax(dim=-1).gather(2, answers[..., None])[..., 0]


@torch.no_grad()
def sample(
    network: Network, prompts: Prompts, times: int, limit: int, tokenizer: Tokenizer, temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Answers drawn from the network, (prompts * times, words) int64, padded after END.

    Args:
        times: answers to each prompt; they follow each other.
        limit: most words.
        temperature: 0 takes the likeliest words.
    """
    hidden, shared = network(prompts.ids)
    last = hidden[torch.arange(len(prompts.lengths)), prompts.lengths - 1]
    logits = network.logits(last).float().repeat_interleave(times, dim=0)
    words: list[Tensor] = []
    recent = prompts.recent(network.config.before).repeat_interleave(times, dim=0)
    past, ended = None, torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    for k in range(limit):
        if temperature > 0.0:
            drawn = torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)[:, 0]
        else:
            drawn = logits.argmax(dim=-1)
        words.append(drawn.masked_fill(ended, tokenizer.pad))
        ended = ended | (drawn == tokenizer.end)
        if bool(ended.all()) or k == limit - 1:
            break
        state, past = network(words[-1][:, None], past, shared, prompts.lengths, recent)
        recent = torch.cat([recent, words[-1][:, None]], dim=1)[:, 1:]
        logits = network.logits(state[:, -1]).float()
    return torch.stack(words, dim=1)
