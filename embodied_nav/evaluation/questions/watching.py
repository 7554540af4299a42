"""Digests of the videos that a benchmark asks about: each part of a video is watched once. Knows no answerers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...drivers.watching import watch_video
from ...reasoner.digest import facts_of_deltas, write
from ...recordings.video import RATE, video_frames
from ...training.questions.choosing import Question
from ...training.questions.dataset import Example
from .videos import VideoQuestion

#: (video, start s, end s) of a part.
_Part = tuple[Path, float, float]


def examples_of(
    questions: Sequence[VideoQuestion], perception: Callable[[], object], rate: float = RATE, max_frames: int = 0
) -> list[Example]:
    """The questions of each part of a video with its digest, in the order of the parts.

    Args:
        perception: makes a back end that names things in colour images. rate: frames a second at most.
        max_frames: of a part at most; 0: all.

    Raises:
        InputError: a video that cannot be read, or a back end that needs depth.
    """
    parts: dict[_Part, list[VideoQuestion]] = {}
    for q in questions:
        parts.setdefault((q.video, q.start, q.end), []).append(q)
    examples = []
    for number, ((video, start, end), asked) in enumerate(parts.items()):
        deltas = watch_video(video_frames(video, rate, start, end, max_frames), perception())
        entries = tuple(
            Question(q.id, number, q.category, q.category, q.text, q.options, q.answer) for q in asked if q.answer
        )
        examples.append(Example(number, write(facts_of_deltas(deltas)), entries))
    return examples
