"""What the tools can ask of a robot: a sentence, a stop, questions. Knows nothing of who asks and of ROS.

The narrow end of the way from an assistant to the robot: nothing here takes a velocity, a pose, a topic or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Goal:
    """What became of a sentence.

    Attributes:
        sentence: as it was given; "" where none was given yet.
        state: ``none``, ``asked`` (not answered yet), ``driving`` or ``ended``.
        success: whether the robot stopped believing that it arrived; None before the end.
        reason: why it ended.
        option, think: the newest decision in words, and the reasoning behind it.
        left, driven: m of the present plan, and m driven so far.
        decisions: how many were made.
    """

    sentence: str = ""
    state: str = "none"
    success: bool | None = None
    reason: str = ""
    option: str = ""
    think: str = ""
    left: float = 0.0
    driven: float = 0.0
    decisions: int = 0


@dataclass(frozen=True)
class Found:
    """One remembered thing that fits a description.

    Attributes:
        name: colour and category. position: (x, y, z) m in map. room: its kind, "" where unknown.
        score: 0 to 1, how well it fits. age: s since it was last seen. distance: m from the robot, None where unknown.
        status: ``present`` or ``gone``. why: what of the description holds, in words.
    """

    name: str
    position: tuple[float, float, float]
    room: str
    score: float
    age: float
    distance: float | None
    status: str
    why: str


@dataclass(frozen=True)
class Reply:
    """An answer of the memory. ``answered``: whether it is one; else ``text`` says why not."""

    answered: bool
    text: str
    kind: str = ""
    found: int = 0


@dataclass(frozen=True)
class Picture:
    """What the colour camera shows: a JPEG file, its size in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Health:
    """How the robot is.

    Attributes:
        agent: whether somebody takes goals.
        pose: (x m, y m, heading rad) in map, None where unknown.
        standing: why it is stopped or slowed, "" where it is neither.
        nodes: name of each node that reports -> (``ok``, ``warn`` or ``error``, what it says).
        memory: what is remembered, in numbers.
    """

    agent: bool
    pose: tuple[float, float, float] | None
    standing: str
    nodes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)


class Robot(Protocol):
    """A robot that follows sentences. All methods return at once and may be called from any thread.

    A future ends with an InputError where nobody answers.
    """

    def navigate(self, sentence: str) -> Future[Goal]:
        """Sends a goal; done when it has ended. It replaces the one in hand."""

    def goal(self) -> Goal:
        """The newest goal, as it stands."""

    def stop(self) -> Future[int]:
        """Ends all goals, whoever gave them; how many there were, done once none is left."""

    def find(self, description: str) -> Future[tuple[str, tuple[Found, ...]]]:
        """How a description was understood, and the things that fit it, best first."""

    def ask(self, question: str) -> Future[Reply]:
        """An answer in words."""

    def health(self) -> Health:
        """How the robot is."""

    def picture(self) -> Future[Picture]:
        """What its camera shows now."""
