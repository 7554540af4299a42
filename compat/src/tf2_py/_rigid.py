"""Rigid transforms as flat tuples (tx, ty, tz, qx, qy, qz, qw) in metres, unit quaternion.

Plain floats, because one look-up composes two to five of them: on that few numbers
tuples are several times faster than numpy arrays. Knows nothing of frames or time.
"""

import math

Rigid = tuple[float, float, float, float, float, float, float]

IDENTITY: Rigid = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def compose(a: Rigid, b: Rigid) -> Rigid:
    """Return a * b: b's frame seen through a."""
    ax, ay, az, aqx, aqy, aqz, aqw = a
    bx, by, bz, bqx, bqy, bqz, bqw = b
    # Rodrigues: v + 2 w (u x v) + 2 u x (u x v), u and w the vector and scalar part of a's rotation.
    cx = 2.0 * (aqy * bz - aqz * by)
    cy = 2.0 * (aqz * bx - aqx * bz)
    cz = 2.0 * (aqx * by - aqy * bx)
    return (
        ax + bx + aqw * cx + aqy * cz - aqz * cy,
        ay + by + aqw * cy + aqz * cx - aqx * cz,
        az + bz + aqw * cz + aqx * cy - aqy * cx,
        aqw * bqx + aqx * bqw + aqy * bqz - aqz * bqy,
        aqw * bqy - aqx * bqz + aqy * bqw + aqz * bqx,
        aqw * bqz + aqx * bqy - aqy * bqx + aqz * bqw,
        aqw * bqw - aqx * bqx - aqy * bqy - aqz * bqz,
    )


def inverse(a: Rigid) -> Rigid:
    """Return the transform that undoes a."""
    x, y, z, qx, qy, qz, qw = a
    return compose((0.0, 0.0, 0.0, -qx, -qy, -qz, qw), (-x, -y, -z, 0.0, 0.0, 0.0, 1.0))


def interpolate(a: Rigid, b: Rigid, ratio: float) -> Rigid:
    """Return the transform at ratio (0 = a, 1 = b): linear in position, slerp along the shorter arc in rotation."""
    ax, ay, az, aqx, aqy, aqz, aqw = a
    bx, by, bz, bqx, bqy, bqz, bqw = b
    keep = 1.0 - ratio
    dot = aqx * bqx + aqy * bqy + aqz * bqz + aqw * bqw
    sign = -1.0 if dot < 0.0 else 1.0
    angle = math.acos(min(1.0, sign * dot))
    if angle > 1e-9:
        scale = 1.0 / math.sin(angle)
        wa, wb = math.sin(keep * angle) * scale, sign * math.sin(ratio * angle) * scale
    else:
        wa, wb = 1.0, 0.0
    return (
        keep * ax + ratio * bx,
        keep * ay + ratio * by,
        keep * az + ratio * bz,
        wa * aqx + wb * bqx,
        wa * aqy + wb * bqy,
        wa * aqz + wb * bqz,
        wa * aqw + wb * bqw,
    )


def normalised(x: float, y: float, z: float, w: float) -> tuple[float, float, float, float]:
    """Return the unit quaternion along (x, y, z, w); an exact unit quaternion comes back bit for bit."""
    square = x * x + y * y + z * z + w * w
    if square == 1.0:
        return x, y, z, w
    scale = 1.0 / math.sqrt(square)
    return x * scale, y * scale, z * scale, w * scale


def canonical(x: float, y: float, z: float, w: float) -> tuple[float, float, float, float]:
    """Return the unit quaternion of the same rotation with tf2's sign.

    tf2 hands out rotations by way of a matrix, so q and -q come out alike: the scalar part
    is positive where the matrix' trace is, else the largest component of the vector part is.
    """
    x, y, z, w = normalised(x, y, z, w)
    leading = w if 4.0 * w * w > 1.0 else max((x, y, z), key=abs)
    if leading < 0.0:
        return -x, -y, -z, -w
    return x, y, z, w


def rotate(a: Rigid, vector: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the vector turned by a's rotation (a's translation is left out)."""
    return compose((0.0, 0.0, 0.0, *a[3:]), (*vector, 0.0, 0.0, 0.0, 1.0))[:3]


def rotation_vector(a: Rigid) -> tuple[float, float, float]:
    """Return a's rotation as axis * angle, rad, angle in [0, pi]."""
    x, y, z, w = canonical(*a[3:])
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 * math.atan2(sine, w) / sine if sine > 1e-12 else 2.0
    return x * scale, y * scale, z * scale
