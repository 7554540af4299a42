"""Views for a training: made by processes, kept on the device that trains, each used several times.

Making a view takes longer than a step of training on it. So the latest views are kept and drawn from at random: of a
step's batch one part is new, the rest was seen before. Knows nothing of networks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from .views import View, ViewConfig, Views

#: A batch: inputs Bx8xHxW float16, labels Bxhxw uint8, centers Bx3xhxw float16, real B bool (see views.View).
Batch = tuple[torch.Tensor, ...]


class Pool:
    """The latest views.

    Args:
        capacity: views that are kept.
        device: where they are kept.
        seed: of the draws.
    """

    def __init__(self, capacity: int, device: torch.device, seed: int) -> None:
        self._capacity, self._device, self._seed = capacity, device, seed
        self._kept: Batch | None = None
        self.size = 0

    def add(self, batch: Batch, first: int) -> None:
        """Adds views; the oldest are dropped where it is full.

        Args:
            first: number of the batch's first view in the whole series.
        """
        if self._kept is None:
            self._kept = tuple(
                torch.empty((self._capacity, *part.shape[1:]), dtype=part.dtype, device=self._device) for part in batch
            )
        end = first + len(batch[0])
        places = (torch.arange(first, end) % self._capacity).to(self._device)
        for kept, part in zip(self._kept, batch, strict=True):
            kept[places] = part.to(self._device, non_blocking=True)
        self.size = min(end, self._capacity)

    def draw(self, count: int, step: int, among: torch.Tensor | None = None) -> Batch:
        """Views drawn at random; the draw depends on seed and step alone.

        Args:
            among: indices of the views to draw from; None: all.
        """
        assert self._kept is not None
        rng = np.random.default_rng([self._seed, 3, step])
        indices = torch.from_numpy(rng.integers(self.size if among is None else len(among), size=count))
        indices = indices.to(self._device)
        if among is not None:
            indices = among[indices]
        return tuple(kept[indices] for kept in self._kept)

    def where_real(self, real: bool) -> torch.Tensor:
        """Indices of the views of apartments with real furniture models, or of those without."""
        assert self._kept is not None
        return torch.nonzero(self._kept[3][: self.size] == real)[:, 0]


class _Series(torch.utils.data.IterableDataset):
    """Batches from ``first`` on without end; of several workers each makes every n-th batch."""

    def __init__(self, views: Views, first: int, batch: int) -> None:
        self._views, self._first, self._batch = views, first, batch

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        torch.set_num_threads(1)
        batch = self._first + number
        while True:
            yield stack([self._views[k] for k in range(batch * self._batch, (batch + 1) * self._batch)])
            batch += count


def fresh_views(config: ViewConfig, first: int, batch: int, workers: int) -> Iterator[Batch]:
    """Batches of new views in the order of their indices, from batch ``first`` on."""
    more = {"multiprocessing_context": "spawn", "prefetch_factor": 4} if workers else {}
    return iter(torch.utils.data.DataLoader(_Series(Views(config), first, batch), None, num_workers=workers, **more))


def stack(views: list[View]) -> Batch:
    """Views as a batch."""
    parts = (np.stack([getattr(view, name) for view in views]) for name in ("inputs", "labels", "centers", "real"))
    return tuple(torch.from_numpy(part) for part in parts)
