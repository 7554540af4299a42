"""Varies batches of views on the device that trains: light, noise, mirror images, missing depth. Knows no simulator."""

from __future__ import annotations

import torch
import torch.nn.functional as F

#: Channels of the inputs (models/compact/inputs): colour, geometry, and the normal's component to the right.
_COLOR, _GEOMETRY, _RIGHT = slice(0, 3), slice(3, 8), 5


def augment(
    inputs: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor, chance: torch.Generator, *, light: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Half of the views mirrored, a share of them in another light.

    Args:
        inputs: Bx8xHxW float32. labels: Bxhxw. centers: Bx3xhxw, m.
        chance: on the inputs' device.
        light: share of views with another exposure, tone, gamma, contrast, blur and noise.

    Returns:
        The three, new tensors.
    """
    mirrored = _uniform(inputs, chance, 0.0, 1.0) < 0.5
    inputs, centers = inputs.clone(), centers.clone()
    for tensor in (inputs, centers):
        tensor[mirrored[:, 0, 0, 0]] = tensor[mirrored[:, 0, 0, 0]].flip(-1)
    labels = torch.where(mirrored[:, 0], labels.flip(-1), labels)
    sign = torch.where(mirrored[:, 0], -1.0, 1.0)
    inputs[:, _RIGHT] *= sign
    centers[:, 0] *= sign
    other = _uniform(inputs, chance, 0.0, 1.0) < light
    color = inputs[:, _COLOR]
    inputs[:, _COLOR] = torch.where(other, other_light(color * 0.5 + 0.5, chance) * 2.0 - 1.0, color)
    return inputs, labels, centers


def other_light(image: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Images (Bx3xHxW, 0 to 1) with another exposure, tone, gradient of light, gamma, contrast, blur and noise."""

    def draw(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return _uniform(image, chance, low, high, channels)

    image = image * draw(0.55, 1.35) * draw(0.85, 1.15, 3)
    ramp = torch.linspace(-1.0, 1.0, image.shape[3], device=image.device)
    image = (image * (1.0 + draw(-0.2, 0.2) * ramp)).clamp(1e-4, 1.0) ** draw(0.7, 1.4)
    gray = image.mean(dim=1, keepdim=True)
    image = gray + (image - gray) * draw(0.5, 1.3)
    image = (image - 0.5) * draw(0.75, 1.2) + 0.5
    blurred = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    image = torch.lerp(image, blurred, (draw(-1.5, 1.0)).clamp(min=0.0))  # three in five stay sharp
    noise = torch.empty_like(image).normal_(generator=chance)
    return (image + noise * draw(0.0, 0.03)).clamp(0.0, 1.0)


def _uniform(like: torch.Tensor, chance: torch.Generator, low: float, high: float, channels: int = 1) -> torch.Tensor:
    """Bxchannelsx1x1, a number of its own for each view."""
    value = torch.empty(len(like), channels, 1, 1, device=like.device)
    return value.uniform_(low, high, generator=chance)
