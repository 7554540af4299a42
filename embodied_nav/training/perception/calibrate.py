"""Finds from held-out views where the network should say that it does not know. Knows nothing of simulators."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from ...models.compact import entropy
from ...models.compact.network import CompactNetwork
from .pool import Batch


@torch.no_grad()
def calibrate(network: CompactNetwork, batches: Iterable[Batch], lost: float = 0.07) -> float:
    """Entropy (nat) of a cell's probabilities from which the cell counts as unknown.

    Args:
        network: in evaluation mode.
        batches: views that it was not trained on.
        lost: share of the rightly named cells of a category that become unknown.
    """
    values = []
    for inputs, labels, *_ in batches:
        for logits, label in zip(network(inputs.float())[0].numpy(), labels.numpy(), strict=True):
            named = (label > 0) & (logits.argmax(axis=0) == label)
            values.append(entropy(logits)[named])
    return float(np.quantile(np.concatenate(values), 1.0 - lost))
