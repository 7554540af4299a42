"""The finite-difference twist of tf2's velocity look-up. Knows nothing of the buffer but its look-up function."""

from collections.abc import Callable

from ._rigid import Rigid, compose, inverse, rotate, rotation_vector

Vector = tuple[float, float, float]


def twist(
    lookup: Callable[[str, str, int], tuple[Rigid, int]],
    frames: tuple[str, str, str, str],
    point: Vector,
    stamp: int,
    interval: int,
    latest: int,
) -> tuple[Vector, Vector]:
    """Return (linear m/s, angular rad/s) of the tracking frame around `stamp`.

    Args:
        lookup: (target, source, ns) -> (T_target_source, ns).
        frames: tracking, observation, reference and reference-point frame.
        point: the point in the reference-point frame whose velocity is asked for, m.
        stamp, interval, latest: centre and length of the averaging interval, newest common time; ns.
    """
    tracking, observation, reference, point_frame = frames
    end = min(stamp + interval // 2, latest)
    # 10 us: the start never falls on time 0, which would mean "newest".
    start = max(10_000 + interval, end) - interval
    elapsed = (end - start) * 1e-9
    first, _ = lookup(observation, tracking, start)
    last, _ = lookup(observation, tracking, end)
    turn = rotation_vector(compose(last, inverse(first)))
    angular = tuple(value / elapsed for value in turn)
    linear = tuple((b - a) / elapsed for a, b in zip(first[:3], last[:3], strict=True))

    view, _ = lookup(reference, tracking, stamp)
    angular, linear = rotate(view, angular), rotate(view, linear)
    linear = _sum(linear, _cross(view[:3], angular))
    points, _ = lookup(reference, point_frame, stamp)
    wanted = compose(points, (*point, 0.0, 0.0, 0.0, 1.0))[:3]
    offset = tuple(b - a for a, b in zip(view[:3], wanted, strict=True))
    # Component by component, not a cross product: what tf2 computes for a reference point off the tracking frame.
    return _sum(linear, tuple(w * d for w, d in zip(angular, offset, strict=True))), angular


def _sum(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
