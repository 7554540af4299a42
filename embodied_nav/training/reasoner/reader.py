"""A reader who never sees the situation: from goal, reasoning and the options' names to an option. The reference.

Consistency (Embodied-R, sec. 3.3) asks whether a frozen reference, given question and reasoning without the
observations, picks the same answer. A model that was trained with observations is out of its depth without them, so
this one is trained without: on true reasonings for any option, good or bad, and on such with exchanged facts, the
options in any order. Two readers with different seeds are independent judges.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import nn

from ...models.small_lm import SmallLMConfig, Tokenizer
from ...models.small_lm.network import Network
from ...reasoner.rewards import Retold
from .batches import Prompts
from .problems import Problem, counterfactual, explained

#: Shape of the readers.
SHAPE = SmallLMConfig(width=96, layers=3, heads=3, hidden=256, context=384, copies=False)


class Reader:
    """Picks options by a reasoning alone.

    It reads goal, reasoning and then the options; each option is scored where its line ends, so that nothing but what
    the line says and what was read before can speak for it.

    Args:
        tokenizer: of the problems. seed: of its weights and its training. device: where it runs.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.device, self.seed = tokenizer, device, seed
        self.network = nn.ModuleDict({"body": Network(SHAPE, len(tokenizer)), "head": nn.Linear(SHAPE.width, 1)})
        self.network.to(device)

    @torch.no_grad()
    def pick(self, asked: Sequence[Retold]) -> list[int]:
        """Index of the option that each reasoning speaks for."""
        return [int(k) for k in self._scores(asked).argmax(dim=-1)]

    def train(self, problems: Sequence[Problem], steps: int, batch: int = 64, rate: float = 2e-3) -> float:
        """Learns from the problems' reasonings; returns the share it got right over the last tenth of the steps."""
        chance, right, count = random.Random(f"reader/{self.seed}"), 0, 0
        optimizer = torch.optim.AdamW(self.network.parameters(), rate, (0.9, 0.98), weight_decay=0.02)
        for step in range(steps):
            asked = [_example(problems, chance) for _ in range(batch)]
            scores = self._scores(asked)
            wanted = torch.tensor([told.place for told in asked], device=self.device)
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50) * (1.0 - step / (1.05 * steps))
            optimizer.zero_grad()
            nn.functional.cross_entropy(scores, wanted).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            if step >= 0.9 * steps:
                right, count = right + int((scores.argmax(dim=-1) == wanted).sum()), count + batch
        return right / max(1, count)

    def _scores(self, asked: Sequence[Retold]) -> torch.Tensor:
        """(questions, most options) scores; those beyond a question's options are out."""
        texts = [_text(told) for told in asked]
        prompts = Prompts.of(self.tokenizer, texts, self.device)
        ends = [_ends(self.tokenizer, told, text) for told, text in zip(asked, texts, strict=True)]
        most = max(len(row) for row in ends)
        places = torch.tensor([[*row, *[row[-1]] * (most - len(row))] for row in ends], device=self.device)
        hidden, _ = self.network["body"](prompts.ids)
        at = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
        scores = self.network["head"](at)[..., 0].float()
        counts = torch.tensor([len(row) for row in ends], device=self.device)
        return scores.masked_fill(torch.arange(most, device=self.device) >= counts[:, None], -1e9)


def _text(told: Retold) -> str:
    return "\n".join([f"Goal: {told.goal}", f"<think>{told.think}</think>", *told.names])


def _ends(tokenizer: Tokenizer, told: Retold, text: str) -> list[int]:
    """Where each option's line ends, in words; the text is followed by a line's end."""
    newline = tokenizer.number("\n")
    breaks = [k for k, word in enumerate(tokenizer.encode(text + "\n")) if word == newline]
    return breaks[-len(told.names) :]


def _example(problems: Sequence[Problem], chance: random.Random) -> Retold:
    """A reasoning with the place of the option that follows from it."""
    while True:
        problem = chance.choice(problems)
        told = explained(problem, chance.randrange(len(problem.matter.claims)), chance)
        if told is None:
            continue
        if chance.random() < 0.3:
            told = counterfactual(problem, told[0]) or told
        order = chance.sample(range(len(problem.matter.claims)), len(problem.matter.claims))
        names = tuple(problem.matter.names[k] for k in order)
        return Retold(problem.goal, told[0].words, names, order.index(told[1]))
