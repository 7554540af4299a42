"""The compact network: a small U-Net in torch, and its loss. Knows nothing of images' sources and of training.

An encoder of residual blocks (He et al., CVPR 2016) at 1/2 to 1/16 of the input with a global average added at its
end, a decoder that adds each finer level (Lin et al., "Feature Pyramid Networks", CVPR 2017), two heads at 1/2:
category, and the vector to the object's centre (as Cheng et al., "Panoptic-DeepLab", CVPR 2020, but in 3D, in m).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import CompactConfig
from .inputs import CHANNELS


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class CompactNetwork(nn.Module):
    """See the module's docstring.

    Args:
        config: its shape; the number of categories is its list's length.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        self.stem = _conv(CHANNELS, a, 5, 2)
        self.down4 = nn.Sequential(_conv(a, b, 3, 2), _Residual(b))
        self.down8 = nn.Sequential(_conv(b, c, 3, 2), *(_Residual(c) for _ in range(3)))
        self.down16 = nn.Sequential(_conv(c, d, 3, 2), *(_Residual(d) for _ in range(3)))
        self.context = nn.Linear(d, d)
        self.lateral8, self.lateral4, self.lateral2 = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)
        self.up8, self.up4, self.up2 = _Residual(c), _Residual(b), _Residual(a)
        self.category, self.offset = nn.Conv2d(a, len(config.categories) + 1, 1), nn.Conv2d(a, 3, 1)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Categories and offsets.

        Args:
            inputs: Bx8xHxW float32 (:func:`~.inputs.make_inputs`).

        Returns:
            Bx(1+C)xhxw logits, and Bx3xhxw vectors (m) from the surface to the object's centre in the level frame
            (right, forward, up); h and w are half of H and W.
        """
        x2 = self.stem(inputs)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x = self.down16(x8)
        x = x + self.context(x.mean(dim=(2, 3)))[:, :, None, None]
        x = self.up8(x8 + _enlarged(self.lateral8(x), x8))
        x = self.up4(x4 + _enlarged(self.lateral4(x), x4))
        x = self.up2(x2 + _enlarged(self.lateral2(x), x2))
        return self.category(x), self.offset(x)


def _enlarged(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def loss(
    logits: torch.Tensor,
    offsets: torch.Tensor,
    labels: torch.Tensor,
    centers: torch.Tensor,
    class_weights: torch.Tensor,
    overlap_weight: float,
    offset_weight: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of the categories and of the offsets.

    Args:
        logits, offsets: of :class:`CompactNetwork`.
        labels: Bxhxw int64, 0 to C; below 0 is ignored.
        centers: Bx3xhxw float32, m, NaN is ignored.
        class_weights: (1+C,).
        overlap_weight: of the loss of overlap beside cross-entropy.
        offset_weight: of the offsets' loss.

    Returns:
        The weighted sum, and its three parts (3,) without gradient: cross-entropy, overlap, offset (m).
    """
    category = F.cross_entropy(logits, labels, class_weights, ignore_index=-1)
    overlap = overlap_loss(logits, labels)
    known = torch.isfinite(centers)
    difference = F.smooth_l1_loss(offsets, torch.where(known, centers, offsets.detach()), reduction="sum", beta=0.1)
    offset = difference / known.sum().clamp(min=1)
    parts = torch.stack([category, overlap, offset])
    return category + overlap_weight * overlap + offset_weight * offset, parts.detach()


def overlap_loss(logits: torch.Tensor, labels: torch.Tensor, stride: int = 3) -> torch.Tensor:
    """Smooth bound of 1 - IoU, mean over the categories that are there (Lovasz-softmax, Berman et al., CVPR 2018).

    Cross-entropy alone gives a category as much weight as it has pixels; mean IoU gives each category the same.

    Args:
        logits, labels: as :func:`loss` takes them.
        stride: every n-th pixel is taken, for speed.
    """
    probability = logits.float().softmax(dim=1).movedim(1, -1).reshape(-1, logits.shape[1])[::stride]
    label = labels.reshape(-1)[::stride]
    kept = label >= 0
    probability, label = probability[kept], label[kept]
    truth = F.one_hot(label, logits.shape[1]).to(probability.dtype)
    error, order = (truth - probability).abs().sort(dim=0, descending=True)
    hit = truth.gather(0, order)
    count = hit.sum(dim=0)
    left = count - hit.cumsum(dim=0)
    jaccard = 1.0 - left / (count + (1.0 - hit).cumsum(dim=0))
    gain = torch.diff(jaccard, dim=0, prepend=jaccard.new_zeros(1, jaccard.shape[1]))
    there = (count > 0).to(probability.dtype)
    return ((error * gain).sum(dim=0) * there).sum() / there.sum().clamp(min=1)
