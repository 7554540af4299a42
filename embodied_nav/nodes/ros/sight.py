"""Messages of perception/sight: which categories perception can name. Knows nothing of back ends and of sentences.

A diagnostic_msgs/DiagnosticStatus, latched, once perception is active. The name is the back end's, the message
``anything`` or ``categories``; then each value has the key ``category``: none where nothing can be named.
"""

from __future__ import annotations

from collections.abc import Collection

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

TOPIC = "perception/sight"
_ANYTHING, _CATEGORIES = "anything", "categories"


def sight_msg(backend: str, categories: Collection[str] | None) -> DiagnosticStatus:
    """What a back end can name, as a message; None: anything."""
    status = DiagnosticStatus(level=DiagnosticStatus.OK, name=backend)
    status.message = _ANYTHING if categories is None else _CATEGORIES
    status.values = [KeyValue(key="category", value=name) for name in sorted(categories or ())]
    return status


def sight_of(status: DiagnosticStatus) -> tuple[str, frozenset[str] | None]:
    """Name of the back end, and what it can name, from a message; None: anything, as where it is not understood."""
    if status.message != _CATEGORIES:
        return status.name, None
    return status.name, frozenset(pair.value for pair in status.values if pair.key == "category")
