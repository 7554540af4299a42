"""The records that a page is fed with, and its settings. Knows nothing of where they come from and how they look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..config import Config, param


@dataclass(frozen=True)
class PageConfig(Config):
    """Settings of a live page."""

    host: str = param("127.0.0.1", "address that is listened on; 0.0.0.0 lets every machine of the network in")
    port: int = param(8080, "port; the next free one where it is taken; 0: any", low=0, high=65535)
    rate: float = param(5.0, "the page is brought up to date so often, at most", unit="Hz", low=0.2, high=5.0)
    max_voxels: int = param(1_500_000, "voxels that are shown, at most", low=1000, high=20_000_000)
    chunk_bytes: int = param(
        8_000_000, "bytes of the map that one update sends, at most; the rest follows", low=100_000, high=10**9
    )


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Wishes:
    """What a visitor can ask for: functions that return at once, called in threads of the page.

    Attributes:
        go: drive to what a sentence names. stop: end every goal. ask: answer a question; the answer goes to
            :meth:`LivePage.answer`. None: there is nobody who does it, and the page shows it greyed out.
        camera: whether there is a live camera. why_not: why goals cannot be given, in words.
    """

    go: Callable[[str], None] | None = None
    stop: Callable[[], None] | None = None
    ask: Callable[[str], None] | None = None
    camera: bool = False
    why_not: str = ""


@dataclass(frozen=True)
class Health:
    """The state of one part of the system.

    Attributes:
        name: of the node. level: 0 fine, 1 warning, 2 error, 3 silent. message: in words.
        latency_ms: stage -> 50% quantile, ms. cpu: share of a core of its process (nodes may share one), or None.
    """

    name: str
    level: int
    message: str
    latency_ms: dict[str, float] = field(default_factory=dict)
    cpu: float | None = None


@dataclass(frozen=True, eq=False)
class RoomFloor:
    """A room's floor. Attributes: name; middle: (x, y) m; color: RGB 0 to 255; tiles: (N, 2) m middles; size: m."""

    name: str
    middle: tuple[float, float]
    color: tuple[int, int, int]
    tiles: np.ndarray
    size: float


@dataclass(frozen=True, eq=False)
class Lines:
    """Line segments. Attributes: points: (N, 2, 3) m in map; color: RGB 0 to 255."""

    points: np.ndarray
    color: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Moment:
    """What was seen at one time: a keyframe.

    Attributes:
        stamp: ns. T_map_camera: 4x4, map from optical frame. picture: JPEG bytes, b"" for none. words: what was told.
    """

    stamp: int
    T_map_camera: np.ndarray
    picture: bytes
    words: str = ""
