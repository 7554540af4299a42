"""Writes a recorded page: one HTML file that plays an episode from the disk, offline. Knows the record, no memory.

Everything is inside: the data as gzipped, base64 text, pictures among it, and a program of some hundred lines that
draws it (``recorded.html``). A content security policy in it forbids the browser to ask any machine for anything.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..frames import MemoryObject
from ..memory.output.export import write_whole
from .episode import EpisodeRecord, MadeDecision, Way
from .records import Moment

#: Bytes of a page, at most; pictures take at most so many of them.
LARGEST, _PICTURES = 9_500_000, 3_500_000
#: Voxels, poses of the way and objects, at most.
_VOXELS, _POSES, _OBJECTS = 400_000, 3000, 200
#: m over the floor: what is higher is left out at first.
_ROOM = 2.2
#: m around the middle of a room: what is seen there makes it known.
_NEAR = 0.6
_TEMPLATE = Path(__file__).with_name("recorded.html")


def write_page(path: str | Path, record: EpisodeRecord) -> int:
    """Writes the page, whole or not at all; with fewer voxels where it would become too large.

    Returns:
        Its size, bytes.

    Raises:
        InputError: the place cannot be written.
    """
    most = _VOXELS
    while True:
        text = page(record, most).encode()
        if len(text) <= LARGEST or most < 1000:
            break
        most //= 2
    write_whole(Path(path), text)
    return len(text)


def page(record: EpisodeRecord, voxels: int = _VOXELS) -> str:
    """The page's text, with so many voxels at most."""
    template = _TEMPLATE.read_text(encoding="utf-8")
    # A "<" in a string could end the script element; base64 and these escapes hold none.
    head = json.dumps(_head(record), ensure_ascii=True).replace("<", "\\u003c")
    points, kept = _points(record, voxels)
    return (
        template.replace("@TITLE@", html.escape(record.title))
        .replace("@POINTS@", points)
        .replace("@COUNT@", str(kept))
        .replace("@DATA@", head)
    )


def _points(record: EpisodeRecord, most: int) -> tuple[str, int]:
    """Voxels as gzipped base64: positions (int16 steps from the middle), births, colours, labels, each as a whole."""
    keep = slice(None, None, max(1, -(-len(record.positions) // most)))
    order = np.argsort(record.births[keep], kind="stable")
    positions = record.positions[keep][order].astype(np.float64)
    steps = np.round((positions - _middle(record)) / _step(record)).astype("<i2")
    labels = np.minimum(record.labels[keep][order], 255).astype(np.uint8)
    births = record.births[keep][order].astype("<u2")
    whole = steps.tobytes() + births.tobytes() + record.colors[keep][order].tobytes() + labels.tobytes()
    return base64.b64encode(gzip.compress(whole, 6)).decode(), len(positions)


def _middle(record: EpisodeRecord) -> np.ndarray:
    if not len(record.positions):
        return np.zeros(3)
    return (record.positions.min(axis=0).astype(np.float64) + record.positions.max(axis=0)) / 2


def _step(record: EpisodeRecord) -> float:
    """m of one step of the positions; 1 mm, more where the map is wider than 60 m."""
    reach = float(np.abs(record.positions - _middle(record)).max()) if len(record.positions) else 0.0
    return max(0.001, reach / 32000)


def _cut(record: EpisodeRecord) -> float:
    """m: the height above which the map hides what is under it, at first; over a floor that few voxels are below."""
    return round(float(np.percentile(record.positions[:, 2], 2)) + _ROOM, 2) if len(record.positions) else _ROOM


def _head(record: EpisodeRecord) -> dict:
    return {
        "title": record.title,
        "subtitle": record.subtitle,
        "seconds": _seconds(record, record.ended),
        "voxel": record.voxel_size,
        "middle": _numbers(_middle(record)),
        "look": _look(record),
        "turn": [_numbers(row) for row in record.turn],
        "step": _step(record),
        "cut": _cut(record),
        "palette": [list(c) for c in record.label_colors[:256]],
        "moments": _moments(record),
        "way": _way(record, record.way),
        "objects": [_object(record, o) for o in sorted(record.objects, key=lambda o: -o.voxels)[:_OBJECTS]],
        "rooms": [[name, *_numbers(np.array(at)), _known_from(record, at)] for name, at in record.rooms],
        "decisions": [_decision(record, d) for d in record.decisions],
        "goal": None if record.goal is None else _numbers(np.array(record.goal)),
    }


def _look(record: EpisodeRecord) -> list[float]:
    """Where to look at first, x, y, z, and how far the map reaches from there (m); voxels that stray do not count."""
    if not len(record.positions):
        return [0.0, 0.0, 0.0, 3.0]
    low, high = np.percentile(record.positions, [1, 99], axis=0)
    return [*_numbers((low + high) / 2), round(float(np.linalg.norm((high - low)[:2])) / 2, 3)]


def _known_from(record: EpisodeRecord, place: tuple[float, float]) -> float:
    """s, from when on something near a place (x, y) was seen."""
    near = np.linalg.norm(record.positions[:, :2] - np.array(place), axis=1) < _NEAR
    if not near.any() or not record.moments:
        return 0.0
    return _seconds(record, record.moments[int(record.births[near].min())].stamp)


def _moments(record: EpisodeRecord) -> list[dict]:
    """Keyframes; where their pictures would be too many bytes, only every n-th has one."""
    total = sum(len(m.picture) for m in record.moments)
    every = max(1, -(-total // _PICTURES))
    return [_moment(record, m, i % every == 0) for i, m in enumerate(record.moments)]


def _moment(record: EpisodeRecord, m: Moment, with_picture: bool) -> dict:
    picture = base64.b64encode(m.picture).decode() if with_picture else ""
    T = [_numbers(row) for row in m.T_map_camera[:3]]
    return {"t": _seconds(record, m.stamp), "T": T, "jpg": picture, "words": m.words[:300]}


def _way(record: EpisodeRecord, way: Way | None) -> list[list[float | None]]:
    """[t, x, y, z, heading] each; NaN is null where there is no heading."""
    if way is None:
        return []
    keep = slice(None, None, max(1, -(-len(way.stamps) // _POSES)))
    headings: Sequence[float | None] = [None] * len(way.stamps)
    if way.headings is not None:
        headings = [round(float(h), 3) for h in way.headings]
    rows = zip(way.stamps[keep].tolist(), way.positions[keep], headings[keep], strict=True)
    return [[_seconds(record, stamp), *_numbers(p), h] for stamp, p, h in rows]


def _object(record: EpisodeRecord, o: MemoryObject) -> dict:
    return {
        "name": o.name,
        "at": _numbers(o.position),
        "size": _numbers(np.maximum(o.extent, 0.05)),
        "gone": o.status != "present",
        "t": _seconds(record, o.first_seen),
    }


def _decision(record: EpisodeRecord, d: MadeDecision) -> dict:
    options = [
        [o.letter, o.kind, o.text[:200], None if o.position is None else _numbers(np.array(o.position))]
        for o in d.made.options
    ]
    return {
        "t": _seconds(record, d.stamp),
        "chosen": d.made.chosen,
        "options": options,
        "think": d.made.think[:800],
        "by": d.made.reasoner,
        "driven": round(d.path_length, 1),
    }


def _seconds(record: EpisodeRecord, stamp: int) -> float:
    return round((stamp - record.began) * 1e-9, 3)


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]
