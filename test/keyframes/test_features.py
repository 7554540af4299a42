"""Features of an image, whatever its light."""

import numpy as np
import pytest

from embodied_nav.keyframes import extract
from embodied_nav.keyframes.features import match


@pytest.fixture
def wall():
    """A picture of boxes with soft contrasts: HxWx3 uint8, up to 180."""
    rng = np.random.default_rng(3)
    levels = rng.integers(60, 180, (15, 20), dtype=np.uint8)
    return np.repeat(np.kron(levels, np.ones((16, 16), np.uint8))[..., None], 3, axis=2)


@pytest.mark.parametrize("light", [0.7, 0.5, 0.3])
def test_a_dark_room_shows_what_a_light_one_shows(wall, light):
    dark = (wall * light).astype(np.uint8)
    bright, dim = extract(wall), extract(dark)
    assert len(bright) > 100 and len(dim) > 0.8 * len(bright)
    assert match(dim, bright).inliers > 0.6 * len(bright)


def test_the_noise_of_darkness_is_no_feature():
    noise = np.random.default_rng(1).normal(2, 3, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    assert len(extract(noise)) == 0
    assert len(extract(np.zeros((240, 320, 3), np.uint8))) == 0
