"""The map in chunks: what a page has after all changes is what the map is, and a change sends only its chunk."""

import numpy as np
import pytest
from pages import floor

from embodied_nav.view.chunks import ChunkedCloud

SIDE = 0.4


def drain(cloud, shown, most=10**9):
    """Applies the changes to what is shown; returns how many chunks they were."""
    count = 0
    for number, middle, positions, colors in cloud.changes(most):
        shown[number] = (positions + middle, colors)
        count += 1
    return count


def picture(shown):
    """All points with colours that are shown, sorted."""
    points = [np.hstack([np.round(p, 3), c]) for p, c in shown.values() if len(p)]
    return np.array(sorted(map(tuple, np.vstack(points)))) if points else np.zeros((0, 6))


def as_picture(positions, colors):
    return np.array(sorted(map(tuple, np.hstack([np.round(positions.astype(np.float64), 3), colors]))))


def test_after_random_changes_of_blocks_the_page_shows_the_map():
    """Against a dictionary of blocks, which is all that the memory promises."""
    random, cloud, shown, truth = np.random.default_rng(3), ChunkedCloud(SIDE, 10**6), {}, {}
    for _ in range(40):
        blocks = random.integers(-9, 9, (random.integers(1, 12), 3))
        parts = []
        for block in np.unique(blocks, axis=0):
            count = random.integers(1, 6)
            inside = np.round((block + random.uniform(0.05, 0.95, (count, 3))) * SIDE, 3)
            parts.append((inside.astype(np.float32), random.integers(0, 255, (count, 3)).astype(np.uint8)))
            truth[tuple(block)] = parts[-1]
        cloud.update(np.vstack([p for p, _ in parts]), np.vstack([c for _, c in parts]))
        drain(cloud, shown)
        expected = as_picture(np.vstack([p for p, _ in truth.values()]), np.vstack([c for _, c in truth.values()]))
        assert np.allclose(picture(shown), expected, atol=2e-3)
    assert len(cloud) == sum(len(p) for p, _ in truth.values())


def test_the_whole_map_again_sends_nothing_and_what_vanished_goes():
    cloud, shown = ChunkedCloud(SIDE, 10**6), {}
    positions, colors = floor(8.0)
    cloud.replace(positions, colors)
    chunks = drain(cloud, shown)
    assert chunks > 4
    cloud.replace(positions, colors)
    assert drain(cloud, shown) == 0
    left = positions[:, 0] > 4.0
    cloud.replace(positions[left], colors[left])
    assert 0 < drain(cloud, shown) < chunks
    assert np.allclose(picture(shown), as_picture(positions[left], colors[left]), atol=2e-3)


def test_a_change_sends_its_chunk_alone():
    cloud, shown = ChunkedCloud(SIDE, 10**6), {}
    cloud.replace(*floor(16.0))
    drain(cloud, shown)
    cloud.update(np.array([[1.0, 1.0, 0.02]], np.float32), np.array([[255, 0, 0]], np.uint8))
    assert drain(cloud, shown) == 1


def test_bytes_of_an_update_are_bounded_and_the_rest_follows():
    cloud, shown = ChunkedCloud(SIDE, 10**6), {}
    positions, colors = floor(16.0)
    cloud.replace(positions, colors)
    largest = max(9 * n for n in np.unique(np.floor(positions[:, :2] / (8 * SIDE)), axis=0, return_counts=True)[1])
    rounds = 0
    while cloud.waiting:
        before = sum(len(p) for p, _ in shown.values())
        drain(cloud, shown, 50_000)
        assert 9 * (sum(len(p) for p, _ in shown.values()) - before) <= 50_000 + largest
        rounds += 1
    assert rounds > 5 and len(picture(shown)) == len(positions)


def test_more_than_allowed_is_thinned_evenly():
    cloud, shown = ChunkedCloud(SIDE, 2000), {}
    cloud.replace(*floor(8.0))
    drain(cloud, shown)
    assert 0.5 * 2000 < sum(len(p) for p, _ in shown.values()) < 1.1 * 2000


@pytest.mark.parametrize(("up", "axis"), [((0, 0, 1), 2), ((0, -1, 0), 1)])
def test_what_is_too_high_is_left_out(up, axis):
    cloud, shown = ChunkedCloud(SIDE, 10**6), {}
    positions = np.random.default_rng(1).uniform(-3, 3, (500, 3)).astype(np.float32)
    colors = np.zeros((500, 3), np.uint8)
    cloud.replace(positions, colors)
    cloud.cut(np.array(up, float), 1.0)
    drain(cloud, shown)
    height = positions[:, axis] * sum(up)
    assert len(picture(shown)) == (height <= 1.0).sum()
    cloud.cut(np.array(up, float), np.inf)
    drain(cloud, shown)
    assert len(picture(shown)) == 500


def test_the_box_leaves_strays_out():
    cloud = ChunkedCloud(SIDE, 10**6)
    assert cloud.box() is None
    positions, colors = floor(8.0)
    positions = np.vstack([positions, [[90.0, 0.0, 0.0]]]).astype(np.float32)
    cloud.replace(positions, np.vstack([colors, [[0, 0, 0]]]).astype(np.uint8))
    low, high = cloud.box()
    assert high[0] < 8.2 and low[0] > -0.2
