"""The results file F and the journal that makes a run resumable. Knows nothing of how episodes are run.

F is one JSON with settings, rows and summary. During a run, finished episodes are kept in ``F.partial``: a line of
settings, then one JSON line per episode; at the end F is written atomically and the journal removed.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .statistics import summarize

#: Columns of a row, in this order.
COLUMNS = (
    "id", "scene", "kind", "success", "spl", "soft_spl", "distance_to_goal", "oracle_success", "path_length", "steps",
    "collisions", "wall_s", "in_view", "picture_share", "view_share", "success_0_5",
)  # fmt: skip


#: Columns without which a row says nothing; those of the last metres are missing in older files.
_NEEDED = {"id", "kind", "success", "spl", "path_length", "collisions", "wall_s"}
#: Values of settings missing in older files, which were written before these could be chosen.
UNSAID: Mapping[str, Any] = {"simulator": "embedded", "suite": "plain", "set": {}, "weights": {}}


class Journal:
    """Finished episodes of a run, each written to disk at once.

    Args:
        path: of the results file to be written.
        settings: everything that the rows depend on, as JSON values; a file with other settings is not touched. A
            setting missing in a file of an earlier version has the value of :data:`UNSAID`.

    Raises:
        InputError: the path is not writable, or holds results of other settings.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = Path(path), dict(settings)
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a folder; give --out a file name")
        self._read_finished()
        self._read_partial()
        self._open()

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends one finished episode."""
        with self._lock:
            self.rows[row["id"]] = dict(row)
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def finish(self, order: Sequence[str]) -> dict[str, Any]:
        """Writes the results file (rows in the order of ids given) and removes the journal; returns its content."""
        rows = [self.rows[i] for i in order]
        content = {**self.settings, "episodes": rows, "summary": summarize(rows)}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(_text(_jsonable(content)), encoding="utf-8")
        os.replace(temporary, self.path)
        self.close()
        self.partial.unlink(missing_ok=True)
        return content

    def close(self) -> None:
        """Closes the journal; its content is kept for the next run."""
        self._file.close()

    def _read_finished(self) -> None:
        if not self.path.exists():
            return
        content = load_results(self.path)
        self._same(content, self.path)
        self.rows.update({row["id"]: row for row in content["episodes"]})

    def _read_partial(self) -> None:
        if not self.partial.exists():
            return
        lines = self.partial.read_text(encoding="utf-8").splitlines()
        try:
            head = json.loads(lines[0]) if lines else {}
        except json.JSONDecodeError:
            raise InputError(
                f"{self.partial}: is no journal of an evaluation; remove it or choose another --out"
            ) from None
        if lines:
            if not isinstance(head, dict):
                raise InputError(f"{self.partial}: is no journal of an evaluation; remove it or choose another --out")
            self._same(head, self.partial)
        for line in lines[1:]:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break  # the incomplete last line of a killed run
            self.rows[row["id"]] = row

    def _same(self, found: Mapping[str, Any], where: Path) -> None:
        other = differences(found, self.settings)
        if other:
            raise InputError(
                f"{where}: holds results of other settings: {', '.join(other)}; choose another --out or remove it"
            )

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.partial, "w", encoding="utf-8")  # noqa: SIM115 (open as long as the run)
        except OSError as error:
            raise InputError(f"--out {self.path}: cannot be written ({error.strerror}); give another file") from None
        self._file.write(json.dumps(self.settings) + "\n")
        for row in self.rows.values():
            self._file.write(json.dumps(row) + "\n")
        self._file.flush()


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Every setting that differs, as "agent frontier (now rules)"; ``set`` and ``weights`` are compared by name."""
    told: list[str] = []
    for name, now in wanted.items():
        before = found.get(name, UNSAID.get(name))
        if isinstance(now, Mapping) and isinstance(before, Mapping):
            told += [
                f"{name} {k} {before.get(k, 'by default')} (now {now.get(k, 'by default')})"
                for k in sorted({*before, *now})
                if before.get(k) != now.get(k)
            ]
        elif before != now:
            told.append(f"{name} {before} (now {now})")
    return told


def load_results(path: str | Path) -> dict[str, Any]:
    """A results file.

    Raises:
        InputError: missing, no JSON, or without episodes.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path}: is no JSON; give a results file of 'embodied-nav eval'") from None
    rows = content.get("episodes") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and set(r) >= _NEEDED for r in rows):
        raise InputError(f"{path}: holds no evaluation results")
    return content


def _text(content: Mapping[str, Any]) -> str:
    """The results file's JSON; an episode is one line, since its way would be hundreds."""
    parts = []
    for name, value in content.items():
        text = json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")
        if name == "episodes":
            text = "[\n  " + ",\n  ".join(json.dumps(row, allow_nan=False) for row in value) + "\n ]"
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _jsonable(value: Any) -> Any:
    """The value with infinite and NaN numbers as null: JSON cannot represent them."""
    if isinstance(value, dict):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
