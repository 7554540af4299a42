"""Fast marching against Euclid and exact any-angle search, descent, and line of sight."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit

from embodied_nav.planning.geodesic import _visible, descend, fast_marching, line_of_sight

SHAPE = (24, 31)
cells = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
boxes = st.lists(st.tuples(cells, st.integers(1, 12), st.integers(1, 12)), max_size=8)


def grid_with(boxes, *kept):
    free = np.ones(SHAPE, dtype=bool)
    for (row, column), height, width in boxes:
        free[row : row + height, column : column + width] = False
    for cell in kept:
        free[cell] = True
    return free


@njit(nogil=True)
def any_angle(free, row, column):
    """Exact lengths of the shortest ways along straight lines of sight between cells' centres, by Dijkstra's search."""
    height, width = free.shape
    blocked = ~free
    distance, done = np.full((height, width), np.inf), np.zeros((height, width), np.bool_)
    distance[row, column] = 0.0
    while True:
        best, r0, c0 = np.inf, -1, -1
        for r in range(height):
            for c in range(width):
                if not done[r, c] and distance[r, c] < best:
                    best, r0, c0 = distance[r, c], r, c
        if r0 < 0:
            return distance
        done[r0, c0] = True
        # Shortest ways bend beside obstacles only.
        if best > 0.0 and not blocked[max(0, r0 - 1) : r0 + 2, max(0, c0 - 1) : c0 + 2].any():
            continue
        for r in range(height):
            for c in range(width):
                length = best + np.hypot(float(r - r0), float(c - c0))
                if length < distance[r, c] and _visible(blocked, r0, c0, r, c):
                    distance[r, c] = length


def euclid(shape, source):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - source[0], columns - source[1])


@pytest.mark.parametrize("source", [(100, 100), (0, 0), (199, 3)])
def test_open_space_is_within_one_percent_of_euclid(source):
    distance = fast_marching(np.ones((200, 220), dtype=bool), [source], 0.05)
    truth = 0.05 * euclid((200, 220), source)
    assert distance[source] == 0.0
    assert distance.dtype == np.float32
    assert np.abs(distance - truth).max() / truth.max() < 0.01
    away = truth > 0
    assert (np.abs(distance - truth)[away] / truth[away]).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(boxes, cells)
@example([((5, 12), 12, 12), ((19, 12), 1, 12)], (19, 22))  # out of a niche that is one cell wide
def test_agrees_with_exact_ways_in_sight(boxes, source):
    free = grid_with(boxes, source)
    distance = fast_marching(free, [source], 1.0)
    exact = any_angle(free, *source)
    assert np.array_equal(np.isfinite(distance), np.isfinite(exact))
    reached = np.isfinite(exact)
    assert (distance >= 0.99 * exact - 0.35)[reached].all()
    # Behind corners a little more: marching bends at fewer cells than there are.
    assert (distance <= 1.01 * exact + 1.25)[reached].all()
    assert np.isinf(distance[~free]).all()


@settings(max_examples=60, deadline=None)
@given(boxes, cells, cells)
@example([((9, 1), 12, 12), ((23, 1), 1, 12)], (0, 0), (23, 11))  # three bends in a row, one of them into a niche
@example([((0, 29), 6, 8), ((3, 25), 7, 3), ((23, 18), 4, 9), ((0, 9), 5, 8)], (3, 29), (11, 16))
def test_symmetric(boxes, a, b):
    free = grid_with(boxes, a, b)
    from_a, from_b = fast_marching(free, [a], 1.0), fast_marching(free, [b], 1.0)
    there, back = from_a[b], from_b[a]
    assert np.isinf(there) == np.isinf(back)
    if np.isfinite(there):
        bends = max(len(descend(from_a, b)), len(descend(from_b, a))) - 2
        # Each bend lies at a cell's centre, which may be another one from the other side.
        assert abs(there - back) <= 0.01 * back + 0.2 + 0.25 * max(bends, 0)


@settings(max_examples=40, deadline=None)
@given(boxes, boxes, cells)
def test_more_obstacles_never_shorten_a_way(some, more, source):
    distance = fast_marching(grid_with(some, source), [source], 1.0)
    longer = fast_marching(grid_with(some + more, source), [source], 1.0)
    assert (longer >= 0.985 * distance - 0.35)[np.isfinite(longer)].all()
    assert (np.isfinite(longer) <= np.isfinite(distance)).all()


@settings(max_examples=40, deadline=None)
@given(boxes, st.lists(cells, min_size=1, max_size=6))
def test_several_sources_give_the_least_of_each(boxes, sources):
    free = grid_with(boxes, *sources)
    together = fast_marching(free, sources, 1.0)
    alone = np.min([fast_marching(free, [s], 1.0) for s in sources], axis=0)
    assert np.array_equal(np.isfinite(together), np.isfinite(alone))
    reached = np.isfinite(alone)
    np.testing.assert_allclose(together[reached], alone[reached], rtol=0.02, atol=0.35)


def test_around_a_wall_by_hand():
    free = np.ones((41, 41), dtype=bool)
    free[20, :30] = False
    distance = fast_marching(free, [(0, 0)], 0.1)
    # From (40, 0) by the wall's end: corner cell centres (21, 30) and (19, 30).
    by_hand = 0.1 * (math.hypot(19, 30) * 2 + 2)
    assert distance[40, 0] == pytest.approx(by_hand, rel=0.01)


def test_speed_divides_distance():
    free = np.ones((40, 60), dtype=bool)
    whole = fast_marching(free, [(20, 0)], 0.05)
    half = fast_marching(free, [(20, 0)], 0.05, speed=np.full(free.shape, 0.5))
    np.testing.assert_allclose(half, 2 * whole, rtol=1e-5)
    speed = np.ones(free.shape)
    speed[:, 30:] = 0.25
    assert fast_marching(free, [(20, 0)], 0.05, speed)[20, 59] == pytest.approx(0.05 * (29.5 + 4 * 29.5), rel=0.02)


def test_offsets_are_ways_behind_the_sources():
    free = np.ones((20, 60), dtype=bool)
    a, b = (10, 0), (10, 59)
    distance = fast_marching(free, [a, b], 0.1, offsets=np.array([0.0, 4.0]))
    alone = fast_marching(free, [a], 0.1)
    assert distance[a] == 0.0 and distance[b] == pytest.approx(4.0, abs=0.02)
    np.testing.assert_allclose(distance[10, :49], alone[10, :49], atol=0.03)
    # A source that another one reaches on a shorter way counts for nothing.
    far = fast_marching(free, [a, b], 0.1, offsets=np.array([0.0, 50.0]))
    np.testing.assert_allclose(far, fast_marching(free, [a], 0.1, offsets=np.zeros(1)), atol=1e-6)
    with pytest.raises(ValueError, match="offsets"):
        fast_marching(free, [a, b], 0.1, offsets=np.zeros(1))


def test_blocked_and_outside_sources_count_for_nothing():
    free = np.ones((5, 5), dtype=bool)
    free[2, 2] = False
    assert np.isinf(fast_marching(free, [(2, 2), (-1, 0), (5, 5)], 1.0)).all()
    assert np.isinf(fast_marching(free, np.empty((0, 2)), 1.0)).all()
    with pytest.raises(ValueError, match="speed"):
        fast_marching(free, [(0, 0)], 1.0, speed=np.ones((4, 4)))


def test_never_between_two_diagonal_blocks():
    free = np.array([[True, False], [False, True]])
    assert np.isinf(fast_marching(free, [(0, 0)], 1.0)[1, 1])
    assert not line_of_sight(~free, (0, 0), (1, 1))


@settings(max_examples=80, deadline=None)
@given(boxes, cells, cells)
def test_descent_is_a_free_path_of_the_fields_length(boxes, source, start):
    free = grid_with(boxes, source, start)
    distance = fast_marching(free, [source], 1.0)
    path = descend(distance, start)
    if np.isinf(distance[start]):
        assert path.shape == (0, 2)
        return
    assert tuple(path[0]) == start and tuple(path[-1]) == source
    for a, b in itertools.pairwise(path):
        assert line_of_sight(~free, a, b)
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    assert 0.985 * distance[start] - 0.3 <= length <= 1.02 * distance[start] + 0.5


def test_descent_from_outside_is_no_path():
    distance = fast_marching(np.ones((5, 5), dtype=bool), [(0, 0)], 1.0)
    assert descend(distance, (7, 0)).shape == (0, 2)


@settings(max_examples=100, deadline=None)
@given(boxes, cells, cells)
def test_line_of_sight_is_symmetric_and_agrees_with_dense_sampling(boxes, a, b):
    blocked = ~grid_with(boxes)
    seen = line_of_sight(blocked, a, b)
    assert seen == line_of_sight(blocked, b, a)
    s = np.linspace(0.0, 1.0, 4001)[:, None]
    on_line = np.floor(np.array(a) + 0.5 + s * (np.array(b) - np.array(a))).astype(int)
    if blocked[tuple(on_line.T)].any():
        assert not seen
    elif seen is False:
        # Only a touched corner may tell them apart.
        grown = blocked | np.roll(blocked, 1, 0) | np.roll(blocked, 1, 1) | np.roll(blocked, (1, 1), (0, 1))
        grown |= np.roll(blocked, -1, 0) | np.roll(blocked, -1, 1)
        assert grown[tuple(on_line.T)].any()
