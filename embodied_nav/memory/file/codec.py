"""Records as values of a database and back: arrays, poses, objects, semantic deltas. Knows no SQL."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
import zlib
from typing import Any

import numpy as np

from ...frames import ObjectObservation, SemanticDelta
from ...geometry import is_rigid

#: zlib's levels for what is written again soon and for what stays: higher ones win under 10% on these records.
PASSING, LASTING = 0, 1
#: How far a stored pose may be from rigid: it is a product of up to six that were each accepted within 1e-3 an entry,
#: which is 3e-3 for the worst of rotations.
POSE_TOLERANCE = 2e-2


def pack(array: np.ndarray, level: int = LASTING) -> bytes:
    """An array (its first axis counts the records) as a blob."""
    data = np.ascontiguousarray(array)
    if level != PASSING and len(data):
        data = np.ascontiguousarray(data.reshape(len(data), -1).view(np.uint8).T)
    return bytes([level]) + zlib.compress(data.tobytes(), level)


def unpack(blob: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    """The ``count`` records of a blob; a dtype with a shape gives the array further axes.

    Raises:
        ValueError: it is no such blob, or holds another number of them.
    """
    try:
        data = zlib.decompress(blob[1:])
    except zlib.error as error:
        raise ValueError(f"a record that does not unpack ({error})") from None
    if len(data) != count * dtype.itemsize or blob[0] not in (PASSING, LASTING):
        raise ValueError(f"a record of {len(data)} bytes where {count * dtype.itemsize} belong")
    if not dtype.itemsize:  # cells that hold nothing but their place, as of frames without colour
        return np.empty((count, *dtype.shape), dtype.base)
    if blob[0] != PASSING:
        data = np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(dtype.itemsize, count).T).tobytes()
    return np.frombuffer(data, dtype).reshape(count, *dtype.shape).copy()


def record_type(array: np.ndarray) -> np.dtype:
    """The dtype of an array's records, further axes included."""
    return np.dtype((array.dtype, array.shape[1:])) if array.ndim > 1 else array.dtype


def layout_text(dtype: np.dtype) -> str:
    """A dtype in words that :func:`layout_type` reads."""
    kind = dtype.base
    return json.dumps([kind.descr if kind.names else kind.str, list(dtype.shape)])


def layout_type(text: str) -> np.dtype:
    """The dtype that :func:`layout_text` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        kind, shape = json.loads(text)
        if not isinstance(kind, str):
            kind = [tuple(tuple(v) if isinstance(v, list) else v for v in field) for field in kind]
        return np.dtype((np.dtype(kind), tuple(shape)))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"a layout that is none ({error})") from None


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Records with the fields of another dtype: by name; those that the array lacks are zero."""
    if array.dtype == dtype or not dtype.names:
        return array
    out = np.zeros(len(array), dtype)
    for name in set(dtype.names) & set(array.dtype.names or ()):
        out[name] = array[name]
    return out


def pose_blob(T: np.ndarray) -> bytes:
    """A 4x4 pose as 16 float64."""
    return np.ascontiguousarray(T, "<f8").tobytes()


def pose(blob: bytes) -> np.ndarray:
    """The pose of a blob.

    Raises:
        ValueError: another size than 16 float64, not finite, or no rigid transform within POSE_TOLERANCE.
    """
    T = np.frombuffer(blob, "<f8").reshape(4, 4).astype(np.float64)
    if not np.isfinite(T).all():
        raise ValueError("a pose that is not finite")
    if not is_rigid(T, POSE_TOLERANCE):
        raise ValueError("a pose that is no rigid transform")
    return T


def floats(values: Any) -> list[float]:
    """Plain numbers of an array."""
    return [float(v) for v in values]


# ---- dataclasses as JSON ----


def fields_text(record: Any, without: tuple[str, ...] = ()) -> str:
    """A dataclass of numbers, texts, tuples and small arrays as JSON; arrays become lists."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name not in without}
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written")


def from_fields(kind: type, text: str) -> Any:
    """The dataclass that :func:`fields_text` wrote; fields that it does not know are left out.

    Raises:
        ValueError: a field is missing or of the wrong kind.
    """
    hints = _hints(kind)
    given = json.loads(text)
    try:
        values = {f.name: _typed(given[f.name], hints[f.name]) for f in dataclasses.fields(kind) if f.name in given}
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{kind.__name__} that cannot be read ({error})") from None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(value: Any, hint: Any) -> Any:
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in choices:
        return None
    if np.ndarray in choices:
        return np.array(value, np.float64)
    return _tuples(value) if isinstance(value, list) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def delta_fields(delta: SemanticDelta) -> str:
    """The observations of a delta as JSON."""
    lists = {k: [json.loads(fields_text(o)) for o in getattr(delta, k)] for k in ("objects", "new", "gone", "moved")}
    return json.dumps(lists)


def delta(keyframe, previous, stamp, source, action, relevant, text, stale, fields) -> SemanticDelta:
    """The delta of a row of the table."""
    values: dict[str, Any] = {
        k: tuple(from_fields(ObjectObservation, json.dumps(o)) for o in v) for k, v in json.loads(fields).items()
    }
    return SemanticDelta(
        keyframe, previous, stamp, source, action, relevant=relevant, text=text, stale=bool(stale), **values
    )
