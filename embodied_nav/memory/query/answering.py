"""Answers a query with objects: by words with relations, box, view, time, nearness, feature. Knows no voxels.

Text is matched on labels, colours, everyday synonyms and relations. Where its words name nothing that is there, objects
are compared with it by their looks (image features and a text encoder of the same space), and else a
sentence-embedding model guesses which category is meant: such answers say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import InputError
from ...frames import MemoryObject, OccupancyGrid
from ...geometry import Camera, invert
from ...language import Question, color_fit, describes, known_room, match_text, take_apart, understood, wording
from ...language.meaning import LEAST, LEAST_OF_ROOM
from ...language.vocabulary import ROOM_WORDS
from ...rooms import Rooms
from ..records import Event, KeyframeRecord
from .relations import DIRECTED, between, floor_gap, holds, relations_of, viewpoint

#: What a picture is compared with beside a text, since a cosine of an image with a text has no scale of its own; and
#: how steeply a text's share grows with its lead over them. LERF (Kerr et al. 2023) has these four and this factor.
NEUTRAL = ("object", "things", "stuff", "texture")
_STEEPNESS = 10.0
#: Of an answer's score, so much is how sure the memory is of the object.
CONFIDENCE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Frustum:
    """What a camera would see: intrinsics, 4x4 map from optical frame, range in m."""

    camera: Camera
    T_map_camera: np.ndarray
    far: float = 5.0


@dataclass(frozen=True, eq=False)
class Query:
    """A question; every field that is given narrows the answer.

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
        by_meaning: no word of the question names it, or its room: a guess by looks or by meaning, as ``why`` says.
    """

    object: MemoryObject
    score: float
    age: float
    keyframe_id: int
    T_map_camera: np.ndarray | None
    why: str = ""
    room: int = -1
    by_meaning: bool = False


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Everything that answers are computed from.

    Attributes:
        objects: gone ones too. keyframes: by id. stamp: ns, now.
        seen_in: object id -> ids of the keyframes that show it, oldest first.
        grid, rooms, room_names: the map from above, its rooms, what they are called (id -> "kitchen"); or nothing.
        encoder: text -> (D,) embedding in the space of the objects' features, or None.
        neutral: texts that say nothing: an object must look more like what is asked for than like any of them; without
            them any object that looks like it at all will do.
        meaning: text, N labels -> N cosines of their meanings (``language.meaning``), or None.
        events: what came, went and moved, oldest first.
    """

    objects: Sequence[MemoryObject]
    keyframes: Mapping[int, KeyframeRecord] = field(default_factory=dict)
    stamp: int = 0
    seen_in: Callable[[int], list[int]] = lambda _: []
    grid: OccupancyGrid | None = None
    rooms: Rooms | None = None
    room_names: Mapping[int, str] = field(default_factory=dict)
    encoder: Callable[[str], np.ndarray] | None = None
    neutral: tuple[str, ...] = NEUTRAL
    meaning: Callable[[str, Sequence[str]], np.ndarray] | None = None
    events: Sequence[Event] = ()


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An object with how well it fits, the keyframe to look at, and the reasons."""

    object: MemoryObject
    fit: float
    keyframe: int
    reasons: tuple[str, ...] = ()
    by_meaning: bool = False


#: An object that fits, but not its relation, keeps this share of its score.
UNRELATED = 0.25


def ask(query: Query, known: Knowledge) -> list[Answer]:
    """Objects that fit, best first; among equals the nearest to ``near``, then by id.

    Objects that words name are the answer where there are any; else those that look like it; else those that are near
    in meaning.

    Raises:
        InputError: a box that is none, a sentence that names too little.
    """
    if query.box is not None and not (np.asarray(query.box[0]) <= np.asarray(query.box[1])).all():
        raise InputError("the box is none: give its lower corner first, and finite numbers")
    question, taken = rooms_by_name(take_apart(query.text), known)
    window = _window(query, question, known.stamp)
    seen = ((o, _fitting_keyframe(o, query, question, window, known)) for o in known.objects)
    there = [(o, keyframe) for o, keyframe in seen if keyframe is not None]
    out = (
        _by_words(there, query, question, known, taken)
        or _by_looks(there, query, question, known)
        or _by_meaning(there, query, question, known)
    )
    near = query.near if query.near is not None else query.viewer if question.nearest else None
    out.sort(key=lambda c: _order(c.object, c.fit, near, question.nearest))
    return [_answer(c, known) for c in out[: query.max_results]]


def _by_words(there, query: Query, question: Question, known: Knowledge, taken: Mapping[str, str]) -> list[_Candidate]:
    """Of objects with their keyframes those that words name, or all where there are none, by the feature asked for;
    guesses where a room was only described."""
    guessed = tuple(f"'{words}' by meaning" for words in taken)
    out = []
    for o, keyframe in there:
        fit = match_text(question.subject, o.label, o.color) if question.subject else 1.0
        reasons: tuple[str, ...] = ()
        if fit:
            share, reasons = _standing(o, question.relations, query, known)
            fit *= share
        fit = _by_feature(o, fit, query.feature)
        if fit > 0:
            out.append(_Candidate(o, fit, keyframe, (*reasons, *guessed), by_meaning=bool(guessed)))
    return out


def _by_looks(there, query: Query, question: Question, known: Knowledge) -> list[_Candidate]:
    """Of objects with their keyframes those whose image features are near a text's embedding."""
    if known.encoder is None or not question.subject:
        return []
    relations = _places(question, sorted({o.label for o in known.objects}), known)
    embedding = known.encoder(wording(query.text) if relations is None else question.subject)
    neutral = [known.encoder(text) for text in known.neutral]
    out = []
    for o, keyframe in there:
        if o.feature is None:
            continue
        cosine = _cosine(embedding, o.feature)
        share, reasons = _standing(o, relations or (), query, known)
        fit = _by_feature(o, _lead(cosine, o.feature, neutral) * share, query.feature)
        out.append(_Candidate(o, fit, keyframe, (f"by its looks ({cosine:.2f})", *reasons), by_meaning=True))
    return [c for c in out if c.fit > 0]


def _lead(cosine: float, feature: np.ndarray, neutral: Sequence[np.ndarray]) -> float:
    """How well a text fits a feature by their cosine, 0 to 1: 0 where a neutral text fits as well, above 0.5 else."""
    if not neutral:
        return cosine
    ahead = cosine - max(_cosine(n, feature) for n in neutral)
    return float(1 / (1 + np.exp(-_STEEPNESS * ahead))) if ahead > 0 else 0.0


def _by_meaning(there, query: Query, question: Question, known: Knowledge) -> list[_Candidate]:
    """Of objects with their keyframes those whose categories are near in meaning to a description."""
    labels = sorted({o.label for o in known.objects})
    description = description_in(query.text, labels)
    if known.meaning is None or not description:
        return []
    relations = _places(question, labels, known)
    if relations is not None:
        description = question.subject
    cosines = dict(zip(labels, known.meaning(description, labels), strict=True))
    out = []
    for o, keyframe in there:
        cosine = float(cosines[o.label])
        if cosine >= LEAST:
            share, reasons = _standing(o, relations or (), query, known)
            fit = _by_feature(o, cosine * share * color_fit(description, o.color), query.feature)
            out.append(_Candidate(o, fit, keyframe, (f"by meaning ({cosine:.2f})", *reasons), by_meaning=True))
    return [c for c in out if c.fit > 0]


def description_in(text: str, labels: Collection[str]) -> str:
    """The words of a text by whose meaning things can be looked for; "" where it only gives names.

    Args:
        labels: categories known in addition to the vocabulary.
    """
    subject = take_apart(text).subject
    return wording(text) if subject and describes(subject, labels) else ""


def texts_by_meaning(text: str, labels: Collection[str]) -> tuple[list[str], list[str]]:
    """(texts, kinds of rooms) of which :func:`ask` may need the meaning; none where the text only gives names."""
    question, description = take_apart(text), description_in(text, labels)
    rooms = [landmarks[0] for kind, landmarks in question.relations if kind == "in"]
    rooms = [*([question.subject] if is_room_described(question.subject) else []), *rooms]
    rooms = [words for words in rooms if description or is_room_described(words)]
    return [*([description, question.subject] if description else []), *rooms], list(ROOM_WORDS) if rooms else []


def texts_by_looks(text: str) -> list[str]:
    """Texts of which :func:`ask` may need an embedding for looks; none where the text names nothing to look for.

    Raises:
        InputError: "between" without two things.
    """
    subject = take_apart(text).subject
    return list(dict.fromkeys((wording(text), subject, *NEUTRAL))) if subject else []


def _places(question: Question, labels: Collection[str], known: Knowledge) -> tuple | None:
    """A question's relations, a room that is described ("in the room where we cook") by its name.

    None where what follows a relation's word is no place: "to put on at night" is all part of the description.
    """
    out = []
    for kind, landmarks in question.relations:
        if kind == "in":
            landmarks = tuple(filter(None, (room_meant(landmarks[0], known),)))
        elif not all(understood(words, labels)[0] for words in landmarks):
            landmarks = ()
        if not landmarks:
            return None
        out.append((kind, landmarks))
    return tuple(out)


def is_room_described(words: str) -> bool:
    """Whether words can be a room's description, "room where we cook": a word or two that are unknown are a name."""
    return len(words.split()) > 2 and not known_room(words)


def rooms_by_name(question: Question, known: Knowledge) -> tuple[Question, dict[str, str]]:
    """A question with the rooms that it describes by their names, and which descriptions were taken for which names."""
    taken: dict[str, str] = {}
    relations = []
    for kind, landmarks in question.relations:
        words = landmarks[0]
        if kind == "in" and is_room_described(words) and (name := room_meant(words, known)) not in ("", words):
            taken[words], landmarks = name, (name,)
        relations.append((kind, landmarks))
    return replace(question, relations=tuple(relations)), taken


def room_meant(words: str, known: Knowledge) -> str:
    """The room that words name, else the one here that they describe; "" for none."""
    numbers = [f"room {room.id}" for room in (known.rooms.rooms if known.rooms is not None else ())]
    names = sorted(set(known.room_names.values()))
    if known_room(words) or words in (*numbers, *names):
        return words
    if known.meaning is None or not names:
        return ""
    cosines = known.meaning(words, names)
    best = int(np.argmax(cosines))
    return names[best] if cosines[best] >= LEAST_OF_ROOM else ""


def _standing(o: MemoryObject, relations, query: Query, known: Knowledge) -> tuple[float, tuple[str, ...]]:
    """(share of its score that an object keeps for how it stands to what a question names, why)."""
    share, reasons = 1.0, []
    for kind, landmarks in relations:
        factor, why = _related(o, kind, landmarks, query.viewer, known)
        share *= max(factor, UNRELATED)
        reasons += [why] if why else []
    return share, tuple(reasons)


def _order(o: MemoryObject, fit: float, near: np.ndarray | None, nearest: bool) -> tuple:
    if near is None:
        return (-_score(o, fit), 0.0, o.id)
    k = min(len(near), 3)
    distance = float(np.linalg.norm(o.position[:k] - np.asarray(near)[:k]))
    return (-round(fit, 1 if nearest else 6), distance, o.id)


def _score(o: MemoryObject, fit: float) -> float:
    return (1 - CONFIDENCE_SHARE) * fit + CONFIDENCE_SHARE * o.confidence * fit


def _answer(found: _Candidate, known: Knowledge) -> Answer:
    o, record = found.object, known.keyframes.get(found.keyframe)
    room = known.rooms.of_object(o) if known.rooms is not None else None
    age = max(0.0, (known.stamp - o.last_seen) * 1e-9)
    T = None if record is None else record.T_map_camera
    return Answer(
        o, _score(o, found.fit), age, found.keyframe, T, "; ".join(found.reasons), -1 if room is None else room.id,
        found.by_meaning,
    )  # fmt: skip


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


def _by_feature(o: MemoryObject, fit: float, feature: np.ndarray | None) -> float:
    """The fit by the text, times that of the feature asked for."""
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
        return in_room(o, landmarks[0], known)
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


def in_room(o: MemoryObject, words: str, known: Knowledge) -> tuple[float, str]:
    """(1, in which room) where an object is in the room that words name, by any of its names; else (0, "")."""
    room = known.rooms.of_object(o) if known.rooms is not None else None
    if room is None:
        return 0.0, ""
    name = known.room_names.get(room.id, "")
    here = words in (name, f"room {room.id}") or (bool(name) and known_room(words) == name)
    return (1.0, f"in the {name}" if name else f"in room {room.id}") if here else (0.0, "")


def describe(answer: Answer, known: Knowledge) -> str:
    """What holds of an answer's object, in words: "on the brown desk, in room 2, beside the lamp (0.3 m)"."""
    told = relations_of(answer.object, known.objects, known.rooms)
    texts = [r.text if r.kind != "in" else _room_text(r.object, known) for r in told if r.kind != "near"][:4]
    return ", ".join(texts)


def _room_text(room: int, known: Knowledge) -> str:
    return f"in the {known.room_names[room]}" if room in known.room_names else f"in room {room}"


def _boxes_meet(o: MemoryObject, low: np.ndarray, high: np.ndarray) -> bool:
    half = np.asarray(o.extent) / 2
    return bool((o.position - half <= np.asarray(high)).all() and (o.position + half >= np.asarray(low)).all())
