"""Puts what a back end saw and what has changed into a semantic delta. Knows nothing of how things are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import Keyframe, ObjectObservation, SemanticDelta
from .words import UP, action_words, describe


@dataclass(frozen=True)
class Changes:
    """What changed in a view."""

    new: tuple[ObjectObservation, ...]
    gone: tuple[ObjectObservation, ...]
    moved: tuple[ObjectObservation, ...]


def make_delta(
    source: str,
    previous: Keyframe | None,
    current: Keyframe,
    instruction: str,
    objects: Sequence[ObjectObservation],
    changes: Changes,
    segments: np.ndarray | None,
    up: np.ndarray = UP,
) -> SemanticDelta:
    """The delta, with the action and all that changed in words.

    Args:
        source: the back end's name.
        previous: None for the first keyframe.
        segments: HxW uint16, k is ``objects[k - 1]``; None without depth.
        up: direction in map.
    """
    T, first = current.frame.T_map_camera, previous is None
    action = "stay" if previous is None else action_words(previous.frame.T_map_camera, T, up)
    new, gone, moved = changes.new, changes.gone, changes.moved
    text, relevant = describe(action, T, objects, new, gone, moved, instruction, first=first, up=up)
    return SemanticDelta(
        keyframe_id=current.id,
        previous_id=-1 if previous is None else previous.id,
        stamp=current.frame.stamp,
        source=source,
        action=action,
        objects=tuple(objects),
        new=new,
        gone=gone,
        moved=moved,
        relevant=relevant,
        text=text,
        segments=segments,
    )
