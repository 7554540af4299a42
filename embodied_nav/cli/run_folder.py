"""The folder that demo and replay write into: replaces their own earlier files, never another's. Knows no ROS.

Earlier files wait in a hidden folder beside the new ones and come back where the run fails over its input.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

REPORT, MEMORY, MAP, CLOUD = "report.json", "memory.db", "map.png", "map.ply"
#: What a killed process leaves beside a memory file.
COMPANIONS = ("-wal", "-shm", "-journal")
_EARLIER = ".embodied_nav-earlier"


@contextmanager
def prepared(folder: str, names: Sequence[str]) -> Iterator[Path]:
    """The folder, ready for outputs of these names; what an earlier run wrote is put back on an InputError.

    Raises:
        InputError: the folder cannot be made or written, or holds a file of these names that is not ours.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror}); give another folder") from None
    names = [*names, *(MEMORY + end for end in COMPANIONS if MEMORY in names)]
    there = [path / name for name in names if os.path.lexists(path / name)]
    ours = {p for p in there if p.name in (REPORT, MEMORY) and _is_ours(p)}
    for p in there:
        if p not in ours and (p.name in (REPORT, MEMORY) or not ours):
            raise InputError(
                f"--out {folder}: {p.name} there is not from an earlier run; move it or give another folder"
            )
    earlier = path / _EARLIER
    shutil.rmtree(earlier, ignore_errors=True)  # of a run that was killed
    earlier.mkdir()
    for p in there:
        p.replace(earlier / p.name)
    try:
        yield path
    except InputError:
        for name in names:
            (path / name).unlink(missing_ok=True)
        for p in earlier.iterdir():
            p.replace(path / p.name)
        raise
    finally:
        shutil.rmtree(earlier, ignore_errors=True)


def write_report(path: Path, report: dict) -> None:
    """Writes report.json in one move."""
    new = path / (REPORT + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    new.replace(path / REPORT)


def _is_ours(path: Path) -> bool:
    if path.name == REPORT:
        try:
            return json.loads(path.read_text(encoding="utf-8")).get("program") == "embodied-nav"
        except (OSError, ValueError, AttributeError):
            return False
    from ..memory.persistence import open_file

    try:
        with open_file(path):
            return True
    except InputError:
        return False


def check_memory_file(option: str, path: str) -> None:
    """A memory file, or a place for one.

    Raises:
        InputError: neither; ``option`` gave it.
    """
    from ..memory.persistence import open_file

    if os.path.lexists(path):
        with open_file(path):
            return
    folder = os.path.dirname(path)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise InputError(f"{option} {path}: there is no folder {folder} to write to; make it or give another")
