"""Converts service messages to queries of the memory, and answers back. Knows nothing of how they are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock

import numpy as np

from embodied_nav.msg import Evidence
from embodied_nav.srv import Ask, QueryMemory

from ...errors import InputError
from ...geometry import is_rigid
from ...language import named_place
from ...language.meaning import Meaning
from ...memory import SpatialMemory
from ...memory.query.answering import Answer, Frustum, Knowledge, Query, texts_by_looks, texts_by_meaning
from ...perception.encoders import TextTower
from ...reasoner.asking import answer_from_memory
from .conversions import BadMessage, camera_from_msg, matrix_from_pose, object_msg, pose_msg, time_msg, xyz

#: Upper limit (s) of "seen within", a century.
_LONGEST_AGO = 3.2e9


def query_from_msg(request: QueryMemory.Request, now: int) -> Query:
    """The query of a request; ages are relative to ``now`` (ns).

    Raises:
        InputError, BadMessage: the request is not valid.
    """
    if not 0.0 <= request.last_seconds < _LONGEST_AGO:
        raise InputError(f"last_seconds is {request.last_seconds}: give the seconds up to now, or 0 for whenever")
    frustum = None
    if request.use_frustum:
        T = matrix_from_pose(request.camera_pose)
        if not is_rigid(T):
            raise InputError("the camera's pose is not a finite rigid transform")
        frustum = Frustum(camera_from_msg(request.camera), T, request.camera_range)
    return Query(
        text=request.text,
        box=(xyz(request.box_min), xyz(request.box_max)) if request.use_box else None,
        frustum=frustum,
        feature=np.array(request.feature, dtype=np.float32) if len(request.feature) else None,
        since=now - int(request.last_seconds * 1e9) if request.last_seconds > 0 else None,
        near=xyz(request.near) if request.use_near else None,
        viewer=xyz(request.viewer) if request.use_viewer else None,
        include_gone=request.include_gone,
        max_results=request.max_results or 10,
    )


def prepare(
    meaning: Meaning | None, text: str, memory: SpatialMemory, lock: Lock, tower: TextTower | None = None
) -> None:
    """Lets a memory answer by meaning and by looks, and computes what a text will need before its lock is taken for the
    answer.

    What is wrong with the text or the model is said by the answer.
    """
    memory.text_encoder = tower
    if tower is not None:
        with suppress(InputError):
            tower.prepare(texts_by_looks(text))
    if meaning is None:
        return
    with lock:
        memory.meaning = meaning.scores
        labels = sorted({o.label for o in memory.objects(include_gone=True)})
    with suppress(InputError):
        texts, rooms = texts_by_meaning(text, labels)
        meaning.prepare(texts, [*labels, *rooms])


def fill(response: QueryMemory.Response, found: Sequence[Answer], rooms: Mapping[int, str]) -> None:
    """Puts answers into a response; ``rooms``: names by id."""
    response.objects = [object_msg(a.object) for a in found]
    response.scores = [float(a.score) for a in found]
    response.ages, response.reasons = [a.age for a in found], [a.why for a in found]
    response.rooms = [_room_name(a, rooms) for a in found]
    response.views = [pose_msg(np.eye(4) if a.T_map_camera is None else a.T_map_camera) for a in found]


def find(
    memory: SpatialMemory, request: QueryMemory.Request, now: int, response: QueryMemory.Response
) -> tuple[np.ndarray, np.ndarray] | None:
    """Answers a query; the response's header and voxels are left to the caller.

    Args:
        now: ns; ages are relative to it.

    Returns:
        (low, high) corners of the box in the query, m; None without one.
    """
    try:
        query = query_from_msg(request, now)
        found = memory.ask(query)
    except (InputError, BadMessage) as error:
        response.success, response.message = False, str(error)
        return None
    fill(response, found, memory.room_names())
    guessed = ", by meaning: no word of the text names them, or their room" if any(a.by_meaning for a in found) else ""
    response.success, response.message, response.map_id = True, f"{len(found)} objects{guessed}", memory.uuid
    return query.box


def _name_given(memory: SpatialMemory, text: str, pose: Callable[[], np.ndarray]) -> tuple[bool, str] | None:
    """What became of a sentence that gives a place a name; None for all others."""
    try:
        name = named_place(text)
        if not name:
            return None
        memory.name_place(name, T := pose())
    except InputError as error:
        return False, str(error)
    return True, f"This place, at ({T[0, 3]:.2f}, {T[1, 3]:.2f}) m, is called '{name}' from now on."


def answer(
    memory: SpatialMemory,
    request: Ask.Request,
    response: Ask.Response,
    pose: Callable[[], np.ndarray] | None = None,
) -> Ask.Response:
    """Answers a question in words, or keeps the name of a place; the response's header is left to the caller.

    Args:
        pose: 4x4 of the robot in the map now, or an InputError that says why it is not known; None: no name is kept.
    """
    near = xyz(request.near) if request.use_near else None
    response.map_id = memory.uuid
    if near is not None and not np.isfinite(near).all():
        response.success, response.answer = False, "near is not finite; give a place in the map, or use_near false"
        return response
    if pose is not None and (kept := _name_given(memory, request.text, pose)) is not None:
        response.success, response.answer, response.kind = kept[0], kept[1], "place"
        return response
    known = memory.knowledge(features=memory.text_encoder is not None)
    try:
        told = answer_from_memory(memory, known, request.text, near)
    except InputError as error:
        response.success, response.answer = False, str(error)
        return response
    response.success, response.answer, response.kind = told.answered, told.text, told.kind
    response.found = len(told.evidence)
    response.evidence = [evidence_msg(a, known) for a in told.evidence[: request.max_evidence or 10]]
    return response


def evidence_msg(answer: Answer, known: Knowledge) -> Evidence:
    """One object that an answer rests on, with the keyframes that saw it."""
    message = Evidence(object=object_msg(answer.object), score=float(answer.score), reason=answer.why)
    message.room = _room_name(answer, known.room_names)
    seen = [known.keyframes[i] for i in known.seen_in(answer.object.id) if i in known.keyframes]
    message.keyframe_ids = [keyframe.id for keyframe in seen]
    message.stamps = [time_msg(keyframe.stamp) for keyframe in seen]
    message.views = [pose_msg(keyframe.T_map_camera) for keyframe in seen]
    return message


def _room_name(answer: Answer, rooms: Mapping[int, str]) -> str:
    return rooms.get(answer.room, f"room {answer.room}" if answer.room > 0 else "")
