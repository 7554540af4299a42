"""Numbers that are shipped with the weights: when a cell is unknown, how near two things of a category stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch

from ...models.compact import entropy
from ...models.compact.network import CompactNetwork
from ...sim.apartments import generate
from .pool import Batch
from .views import NAMES

#: Spacing (m) of a category of which two are hardly ever in one apartment, and the largest.
_WIDEST = 2.0
#: Pairs from which a spacing is believed.
_PAIRS = 10


@torch.no_grad()
def unknown_from(network: CompactNetwork, batches: Iterable[Batch], lost: float = 0.07) -> float:
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


def spacing(first_scene: int, scenes: int) -> dict[str, float]:
    """Category -> distance (m) of the centres of two of it that stand as close as the closest 2% do."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(first_scene, first_scene + scenes):
        places = defaultdict(list)
        for thing in generate(seed).objects:
            places[thing.category].append(thing.center)
        for category, centers in places.items():
            apart = np.linalg.norm(np.array(centers)[:, None] - np.array(centers)[None], axis=2)
            found[category] += (apart + np.diag(np.full(len(centers), np.inf))).min(axis=1).tolist()
    closest = {}
    for category in NAMES:
        pairs = np.array([value for value in found[category] if np.isfinite(value)])
        closest[category] = min(round(float(np.quantile(pairs, 0.02)), 2), _WIDEST) if len(pairs) >= _PAIRS else _WIDEST
    return closest
