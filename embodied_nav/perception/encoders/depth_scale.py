"""The scale between a depth that a network made up to scale and the one that a sensor measured. Knows no network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backend import PerceptionError

#: Measured depths that are used (m), how far from the scale (as a factor) a pixel may lie to say something about it,
#: and how many pixels it takes.
NEAR, FAR, BAND, LEAST = 0.1, 8.0, 0.25, 50
_ROUNDS = 10


class DepthScale(NamedTuple):
    """What a network's depth is multiplied with for metres.

    Attributes:
        scale: the factor. error: median of |scaled - measured| / measured over all pixels with both.
        pixels: with both. agreeing: the share of them within :data:`BAND` of the scale.
    """

    scale: float
    error: float
    pixels: int
    agreeing: float


def depth_scale(predicted: np.ndarray, measured: np.ndarray) -> DepthScale:
    """The one scale of one or several depth images.

    The median of the ratios, then least squares over the pixels that agree with it, until these stay the same. Errors
    grow with depth in both, so that squares are of relative errors.

    Args:
        predicted: float, any unit; not above 0 or not finite: none. measured: the same shape, m, NaN invalid.

    Raises:
        PerceptionError: too few pixels have both, or too few of them agree on any scale.
    """
    p, m = np.asarray(predicted, np.float64).ravel(), np.asarray(measured, np.float64).ravel()
    with np.errstate(invalid="ignore"):
        both = np.isfinite(p) & (p > 0) & (m >= NEAR) & (m <= FAR)
    ratio = m[both] / p[both]
    if len(ratio) < LEAST:
        raise PerceptionError(f"only {len(ratio)} pixels have a measured and a predicted depth, {LEAST} are needed")
    scale, agree = float(np.median(ratio)), np.zeros(len(ratio), np.bool_)
    for _ in range(_ROUNDS):
        now = np.abs(np.log(ratio / scale)) < np.log1p(BAND)
        if now.sum() < LEAST:
            raise PerceptionError(
                f"only {int(now.sum())} of {len(ratio)} pixels agree on a scale of the predicted depth"
            )
        if (now == agree).all():
            break
        # min sum (s p / m - 1)^2
        agree, inverse = now, 1 / ratio[now]
        scale = float(inverse.sum() / (inverse**2).sum())
    return DepthScale(scale, float(np.median(np.abs(scale / ratio - 1))), len(ratio), float(agree.mean()))
