"""The page that shows what the robot knows: live in a browser, or recorded in one file. Knows no ROS, no algorithm.

:class:`LivePage` is fed with records by whoever has them (the node ``view``, a memory file) and calls back when a
visitor wants something. :func:`write_page` makes the recorded page. Nothing here asks any machine for anything.
"""

from .episode import EpisodeRecord, MadeDecision, Way, record_episode
from .live import LivePage
from .memory_page import MemoryPage
from .recorded import write_page
from .records import Health, Lines, Moment, PageConfig, RoomFloor, Wishes

__all__ = [
    "EpisodeRecord",
    "Health",
    "Lines",
    "LivePage",
    "MadeDecision",
    "MemoryPage",
    "Moment",
    "PageConfig",
    "RoomFloor",
    "Way",
    "Wishes",
    "record_episode",
    "write_page",
]
