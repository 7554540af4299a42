"""Finding objects: by words with relations, by box or view, by time, by nearness, by feature. Knows no voxels.

Text is matched on labels, colours, everyday synonyms and relations; with an encoder and features, by embedding too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..frames import MemoryObject, OccupancyGrid
from ..geometry import Camera, invert
from .question import Question, take_apart
from .records import KeyframeRecord
from .relations import DIRECTED, between, floor_gap, holds, relations_of, viewpoint
from .rooms import Rooms

#: Word or phrase -> the label that perception uses.
SYNONYMS = {
    "couch": "sofa", "settee": "sofa", "loveseat": "sofa", "fridge": "refrigerator", "freezer": "refrigerator",
    "television": "tv", "telly": "tv", "tv set": "tv", "tv monitor": "tv", "stove": "oven", "cooker": "oven",
    "bookcase": "bookshelf", "book shelf": "bookshelf", "shelves": "bookshelf", "potted plant": "plant",
    "flower": "plant", "houseplant": "plant", "light": "lamp", "floor lamp": "lamp", "closet": "wardrobe",
    "cupboard": "cabinet", "basin": "sink", "washbasin": "sink", "wc": "toilet", "lavatory": "toilet",
    "bath": "bathtub", "tub": "bathtub", "stool": "chair", "carpet": "rug", "writing desk": "desk",
    "trash can": "bin", "waste bin": "bin", "garbage can": "bin", "washer": "washing machine",
}  # fmt: skip
COLOR_SYNONYMS = {
    "grey": "gray", "violet": "purple", "crimson": "red", "scarlet": "red", "azure": "blue", "navy": "blue",
    "beige": "brown", "tan": "brown", "teal": "turquoise", "cyan": "turquoise", "golden": "yellow",
}  # fmt: skip
COLORS = frozenset(
    ("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "gray", "turquoise")
)
LABEL_SHARE, COLOR_SHARE, CONFIDENCE_SHARE = 0.6, 0.3, 0.1


def match_text(text: str, label: str, color: str) -> float:
    """How well a (label, colour) fits a text, 0 to 1; 0 where the text names another label, or none and no colour."""
    words = _singular(text)
    known = " " + " ".join(words) + " "
    colors = {COLOR_SYNONYMS.get(w, w) for w in words} & COLORS
    names = {label} | {phrase for phrase, meaning in SYNONYMS.items() if meaning == label}
    named = any(f" {' '.join(_singular(n))} " in known for n in names)
    if not named:
        # "table" finds the "dining table", but "dining table" does not find the "coffee table".
        named = bool(words) and _singular(label)[-1:] == words[-1:] and not _qualified(words, colors)
    only_color = bool(colors) and set(words) - _FILLERS <= COLORS | set(COLOR_SYNONYMS)
    if not named and not only_color:
        return 0.0
    if not colors:
        return 1.0
    color_fits = 1.0 if color in colors else 0.0
    if only_color:
        return color_fits
    return (LABEL_SHARE + COLOR_SHARE * color_fits) / (LABEL_SHARE + COLOR_SHARE)


@dataclass(frozen=True, eq=False)
class Frustum:
    """What a camera would see: intrinsics, 4x4 map from optical frame, range in m."""

    camera: Camera
    T_map_camera: np.ndarray
    far: float = 5.0


@dataclass(frozen=True, eq=False)
class Query:
    """A question; what is given narrows the answer.

    Attributes:
        text: a sentence or its words: "red chair near the window", "what did you see in the last minute".
        box: (low, high), m; objects that reach into it. frustum: objects with their middle in view.
        feature: (D,), compared with the objects' features.
        since, until: ns; objects seen in between. near: (3,) m; nearer ones first among equals.
        viewer: (x, y, ...) m, from where left, right, before and behind are meant; by default from where a thing is
            used or was seen best.
        include_gone: objects that are gone too. max_results: at most so many.
    """

    text: str = ""
    box: tuple[np.ndarray, np.ndarray] | None = None
    frustum: Frustum | None = None
    feature: np.ndarray | None = None
    since: int | None = None
    until: int | None = None
    near: np.ndarray | None = None
    viewer: np.ndarray | None = None
    include_gone: bool = False
    max_results: int = 10


@dataclass(frozen=True, eq=False)
class Answer:
    """One object that fits.

    Attributes:
        object: as remembered. score: 0 to 1. age: s since it was last seen.
        keyframe_id: the keyframe to look at, -1 for none. T_map_camera: its 4x4 pose, or None.
        why: what of the question holds, in words. room: id of its room, -1 unknown.
    """

    object: MemoryObject
    score: float
    age: float
    keyframe_id: int
    T_map_camera: np.ndarray | None
    why: str = ""
    room: int = -1


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What answers come from.

    Attributes:
        objects: gone ones too. keyframes: by id. stamp: ns, now.
        seen_in: object id -> ids of the keyframes that show it, oldest first.
        grid, rooms, room_names: the map from above, its rooms, what they are called (id -> "kitchen"); or nothing.
        encoder: text -> (D,) embedding in the space of the objects' features, or None.
    """

    objects: Sequence[MemoryObject]
    keyframes: Mapping[int, KeyframeRecord] = field(default_factory=dict)
    stamp: int = 0
    seen_in: Callable[[int], list[int]] = lambda _: []
    grid: OccupancyGrid | None = None
    rooms: Rooms | None = None
    room_names: Mapping[int, str] = field(default_factory=dict)
    encoder: Callable[[str], np.ndarray] | None = None


#: An object that fits, but not its relation, keeps this share of its score.
UNRELATED = 0.25


def ask(query: Query, known: Knowledge) -> list[Answer]:
    """Objects that fit, best first; among equals the nearest to ``near``, then by id.

    Raises:
        InputError: a box that is none, a sentence that names too little.
    """
    if query.box is not None and not (np.asarray(query.box[0]) <= np.asarray(query.box[1])).all():
        raise InputError("the box is none: give its lower corner first, and finite numbers")
    question = take_apart(query.text)
    window = _window(query, question, known.stamp)
    embedding = known.encoder(query.text) if known.encoder is not None and query.text.strip() else None
    out = []
    for o in known.objects:
        keyframe = _fitting_keyframe(o, query, question, window, known)
        if keyframe is None:
            continue
        fit = match_text(question.subject, o.label, o.color) if question.subject else 1.0
        reasons: list[str] = []
        if fit:
            for kind, landmarks in question.relations:
                factor, why = _related(o, kind, landmarks, query.viewer, known)
                fit *= max(factor, UNRELATED)
                reasons += [why] if why else []
        fit = _by_feature(o, fit, query.feature, embedding)
        if fit > 0:
            out.append((o, fit, keyframe, "; ".join(reasons)))
    near = query.near if query.near is not None else query.viewer if question.nearest else None
    out.sort(key=lambda r: _order(r[0], r[1], near, question.nearest))
    return [_answer(*found, known) for found in out[: query.max_results]]


def _order(o: MemoryObject, fit: float, near: np.ndarray | None, nearest: bool) -> tuple:
    if near is None:
        return (-_score(o, fit), 0.0, o.id)
    k = min(len(near), 3)
    distance = float(np.linalg.norm(o.position[:k] - np.asarray(near)[:k]))
    return (-round(fit, 1 if nearest else 6), distance, o.id)


def _score(o: MemoryObject, fit: float) -> float:
    return (1 - CONFIDENCE_SHARE) * fit + CONFIDENCE_SHARE * o.confidence * fit


def _answer(o: MemoryObject, fit: float, keyframe: int, why: str, known: Knowledge) -> Answer:
    record = known.keyframes.get(keyframe)
    room = known.rooms.of_object(o) if known.rooms is not None else None
    age = max(0.0, (known.stamp - o.last_seen) * 1e-9)
    T = None if record is None else record.T_map_camera
    return Answer(o, _score(o, fit), age, keyframe, T, why, -1 if room is None else room.id)


def _window(query: Query, question: Question, now: int) -> tuple[int, int] | None:
    since = query.since
    if question.seconds is not None:
        since = max(now - int(question.seconds * 1e9), since or 0)
    if since is None and query.until is None:
        return None
    return since or 0, now if query.until is None else query.until


def _fitting_keyframe(o, query: Query, question: Question, window, known: Knowledge) -> int | None:
    """The keyframe to look at for an object that passes all filters; None for one that does not."""
    gone = o.status == "gone"
    if (gone and not (query.include_gone or question.gone)) or (question.gone and not gone):
        return None
    if question.moved and not o.moves:
        return None
    if query.box is not None and not _boxes_meet(o, *query.box):
        return None
    if query.frustum is not None and not _in_frustum(o, query.frustum):
        return None
    if window is None:
        return o.keyframe_id
    shown = [k for k in known.seen_in(o.id) if k in known.keyframes]
    inside = [k for k in shown if window[0] <= known.keyframes[k].stamp <= window[1]]
    if inside:
        return inside[-1]
    return o.keyframe_id if window[0] <= o.last_seen <= window[1] else None


def _in_frustum(o: MemoryObject, frustum: Frustum) -> bool:
    R, c = invert(np.asarray(frustum.T_map_camera, np.float64)), frustum.camera
    x, y, z = R[:3, :3] @ o.position + R[:3, 3]
    if not 0.0 < z <= frustum.far:
        return False
    u, v = c.fx * x / z + c.cx, c.fy * y / z + c.cy
    return bool(-0.5 <= u < c.width - 0.5 and -0.5 <= v < c.height - 0.5)


def _by_feature(o: MemoryObject, fit: float, feature: np.ndarray | None, embedding: np.ndarray | None) -> float:
    """The fit by words, or by the text's embedding where that is better, times that of the feature asked for."""
    if embedding is not None and o.feature is not None:
        fit = max(fit, _cosine(embedding, o.feature))
    if feature is not None and np.size(feature):
        fit *= 0.0 if o.feature is None else _cosine(feature, o.feature)
    return fit


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    if a.shape != b.shape:
        raise InputError(f"the feature has {a.size} components, the memory's have {b.size}")
    return max(0.0, float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _related(o, kind: str, landmarks: tuple[str, ...], viewer, known: Knowledge) -> tuple[float, str]:
    """How well an object stands in a relation (0 to 1), and to what, in words and metres."""
    if kind == "in":
        return _in_room(o, landmarks[0], known)
    present = [b for b in known.objects if b.status == "present" and b.id != o.id]
    found = [[(b, f) for b in present if (f := match_text(words, b.label, b.color))] for words in landmarks]
    for words, some in zip(landmarks, found, strict=True):
        if not some:
            return 0.0, f"no {words} known"
    if kind == "between":
        best = max(
            ((between(o, b, c) * f * g, f"between the {b.name} and the {c.name}") for b, f in found[0]
             for c, g in found[1] if b.id != c.id),
            default=(0.0, ""),
        )  # fmt: skip
        return best if best[0] > 0 else (0.0, "")
    out = []
    for b, f in found[0]:
        eye = viewer
        if eye is None and kind in DIRECTED:
            record = known.keyframes.get(b.keyframe_id)
            eye = viewpoint(b, known.grid, None if record is None else record.T_map_camera)
        out.append((holds(kind, o, b, eye) * f, -floor_gap(o, b), f"{kind} the {b.name} ({floor_gap(o, b):.1f} m)"))
    score, _, why = max(out)
    return (score, why) if score > 0 else (0.0, "")


def _in_room(o: MemoryObject, words: str, known: Knowledge) -> tuple[float, str]:
    room = known.rooms.of_object(o) if known.rooms is not None else None
    if room is None:
        return 0.0, ""
    name = known.room_names.get(room.id, "")
    here = words in (name, f"room {room.id}") or (bool(name) and match_text(words, name, "") > 0)
    return (1.0, f"in the {name}" if name else f"in room {room.id}") if here else (0.0, "")


def describe(answer: Answer, known: Knowledge) -> str:
    """What holds of an answer's object, in words: "on the brown desk, in room 2, beside the lamp (0.3 m)"."""
    told = relations_of(answer.object, known.objects, known.rooms)
    texts = [r.text if r.kind != "in" else _room_text(r.object, known) for r in told if r.kind != "near"][:4]
    return ", ".join(texts)


def _room_text(room: int, known: Knowledge) -> str:
    return f"in the {known.room_names[room]}" if room in known.room_names else f"in room {room}"


_FILLERS = frozenset(
    ("a", "an", "the", "any", "some", "find", "me", "where", "is", "are", "thing", "object", "something")
)


def _boxes_meet(o: MemoryObject, low: np.ndarray, high: np.ndarray) -> bool:
    half = np.asarray(o.extent) / 2
    return bool((o.position - half <= np.asarray(high)).all() and (o.position + half >= np.asarray(low)).all())


def _singular(text: str) -> list[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return [_irregular(w) for w in words]


def _irregular(word: str) -> str:
    if word in ("shelves", "bookshelves"):
        return word[:-3] + "f"
    if word in ("glass", "dress", "is", "gas", "chess") or len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word if word.endswith("ss") else word[:-1]


def _qualified(words: list[str], colors: set[str]) -> bool:
    """Whether the last word has a qualifier that is no colour and no filler: "dining table"."""
    return any(w not in _FILLERS and COLOR_SYNONYMS.get(w, w) not in colors for w in words[:-1])
