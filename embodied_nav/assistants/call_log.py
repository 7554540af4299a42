"""A file with a line of JSON for every call and every answer. Knows nothing of the tools.

{"time": "2026-05-04T10:11:12.345+00:00", "event": "call", "id": 3, "tool": "navigate", "arguments": {...}}
{"time": ..., "event": "answer", "id": 3, "tool": "navigate", "ok": true, "seconds": 12.3, "answer": {...}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..places import unwritable

#: A file larger than this (bytes) becomes FILE.1 (replacing the one before), and a new one is begun.
LARGEST = 10_000_000
#: Longest text (characters) of one value in a line.
_LONGEST = 600


def default_log() -> Path:
    """Where calls are logged unless the command says otherwise: below ``XDG_STATE_HOME``, else ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    state = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".local", "state")
    return state / "embodied_nav" / "assistant.jsonl"


class CallLog:
    """Appends lines; each is in the file before the call goes on. Only this user can read it.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder: give a file for the log of calls")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path.parent}: {error.strerror}; give another file for the log of calls") from None
        if trouble := unwritable(self.path):
            raise InputError(f"{self.path}: {trouble}; give another file for the log of calls")
        self._count = 0

    def call(self, tool: str, arguments: Mapping[str, Any]) -> int:
        """Logs a call; its number.

        Raises:
            OSError: it could not be written.
        """
        self._count += 1
        self.write("call", id=self._count, tool=tool, arguments=_bounded(arguments))
        return self._count

    def answer(self, number: int, tool: str, ok: bool, seconds: float, answer: Mapping[str, Any]) -> None:
        """Logs the answer to a call; raises OSError where it could not be written."""
        self.write("answer", id=number, tool=tool, ok=ok, seconds=round(seconds, 3), answer=_bounded(answer))

    def write(self, event: str, **fields: Any) -> None:
        """Appends one line; raises OSError where it could not be written."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **fields}) + "\n"
        if self.path.exists() and self.path.stat().st_size > LARGEST:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def _bounded(value: Any, depth: int = 4) -> Any:
    """A value that JSON can hold, with texts and lists cut: what an assistant sends has any size."""
    if isinstance(value, Mapping) and depth:
        return {str(k)[:60]: _bounded(v, depth - 1) for k, v in list(value.items())[:40]}
    if isinstance(value, (list, tuple)) and depth:
        return [_bounded(v, depth - 1) for v in value[:40]]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)[:_LONGEST]
