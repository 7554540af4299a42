"""Models that others made: the table of where they come from, fetching and converting, the folder that keeps them.

Knows nothing of what a model computes. Fetching and converting are imported where they are used.
"""

from __future__ import annotations

from .sources import Source, read_sources, source_named
from .store import Store, kept

__all__ = ["Source", "Store", "kept", "read_sources", "source_named"]
