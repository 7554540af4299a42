"""What a policy's answers are worth on problems whose options' returns are known. Knows no training."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from ...models.small_lm import Tokenizer
from ...models.small_lm.network import Network
from ...reasoner import AnswerError, parse_answer, rewards, thought
from .batches import Prompts, sample
from .problems import Problem, options_of
from .reader import Reader

#: Problems that are asked at once.
_AT_ONCE = 50
#: Most words that follow the premises of a reasoning: what follows from them, and the answer.
_ENDING = 32


@torch.no_grad()
def measure(
    network: Network, tokenizer: Tokenizer, problems: Sequence[Problem], limit: int, readers: Sequence[Reader] = ()
) -> dict[str, float]:
    """Scores of the likeliest answers.

    Args:
        limit: most words of an answer.
        readers: each judges consistency.

    Returns:
        ``form``: share of well-formed answers; ``rules``: that agree with the rules; ``true``: reasonings whose facts
        are all true; ``follows``: answers that follow from their reasoning, by its words; ``changed``: of the
        premises with exchanged facts, those after which the answer is what follows then; ``consistent``: answers that
        the first reader picks by content from the reasoning alone, right or not (``consistent_2`` ... by the others);
        ``regret``: mean of the best return less the chosen option's, no answer counting as the rules', and
        ``regret_rules`` of the rules' choice; ``words``: mean length. Those without a case are left out.
    """
    counts: dict[str, list[float]] = {}
    for begin in range(0, len(problems), _AT_ONCE):
        some = problems[begin : begin + _AT_ONCE]
        prompts = Prompts.of(tokenizer, [p.prompt for p in some], network.embedding.weight.device)
        answers = sample(network, prompts, 1, limit, tokenizer, 0.0)
        texts = [tokenizer.decode(row) for row in answers.tolist()]
        for problem, text in zip(some, texts, strict=True):
            for name, value in _one(problem, text, readers).items():
                counts.setdefault(name, []).append(value)
        counts.setdefault("changed", []).extend(_changed(network, tokenizer, some, texts))
    return {name: sum(values) / len(values) for name, values in counts.items() if values}


def _one(problem: Problem, text: str, readers: Sequence[Reader]) -> dict[str, float]:
    options, names = options_of(problem), problem.matter.names
    scores = {"form": rewards.form(text, options), "words": float(len(text.split()))}
    try:
        chosen, think = parse_answer(text, options)
    except AnswerError:
        chosen, think = problem.rules, ""
        scores |= {"rules": 0.0, "true": 0.0, "follows": 0.0}
    else:
        told = thought.read(think)
        scores |= {
            "rules": float(chosen == problem.rules),
            "true": float(told is not None and thought.is_true(told, problem.matter)),
            "follows": float(told is not None and told.follows and told.conclusion() == names[chosen]),
        }
    if problem.returns:
        scores |= {"regret": problem.regret(chosen), "regret_rules": problem.regret(problem.rules)}
    order = random.Random(problem.id).sample(range(len(names)), len(names))
    retold = rewards.retold(text, options, names, problem.goal, order)
    for number, reader in enumerate(readers, 1):
        name = "consistent" if number == 1 else f"consistent_{number}"
        scores[name] = 0.0 if retold is None else retold.consistency(reader.pick([retold])[0])
    return scores


def _changed(network: Network, tokenizer: Tokenizer, problems: Sequence[Problem], texts: Sequence[str]) -> list[float]:
    """For reasonings whose facts can be exchanged: whether what the model then goes on to say follows from them."""
    asked: list[tuple[Problem, str, str]] = []
    for problem, text in zip(problems, texts, strict=True):
        try:
            told = thought.read(parse_answer(text, options_of(problem))[1])
        except AnswerError:
            continue
        changed = told.changed() if told is not None else None
        if changed is not None and changed.drawn in problem.matter.names:
            asked.append((problem, f"<think>{changed.premises}", changed.drawn))
    if not asked:
        return []
    begun = [text for _, text, _ in asked]
    prompts = Prompts.of(tokenizer, [p.prompt for p, _, _ in asked], network.embedding.weight.device, begun)
    endings = [tokenizer.decode(row) for row in sample(network, prompts, 1, _ENDING, tokenizer, 0.0).tolist()]
    return [
        float(_chosen(problem, text + ending) == turned)
        for (problem, text, turned), ending in zip(asked, endings, strict=True)
    ]


def _chosen(problem: Problem, text: str) -> str:
    """The name of the option that an answer chooses; "" where it is none."""
    try:
        return problem.matter.names[parse_answer(text, options_of(problem))[0]]
    except AnswerError:
        return ""
