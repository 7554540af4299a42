"""The output folder of demo and replay: replaces only their own earlier files. Knows no ROS.

Earlier files are kept in a hidden folder beside the new ones, and restored if the run fails with an InputError.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..places import unwritable

if TYPE_CHECKING:
    from ..memory import SpatialMemory

REPORT, MEMORY, MAP, CLOUD = "report.json", "memory.db", "map.png", "map.ply"
#: Suffixes of SQLite's files that a killed process leaves beside a memory file.
COMPANIONS = ("-wal", "-shm", "-journal")
_EARLIER = ".embodied_nav-earlier"


@contextmanager
def prepared(folder: str, names: Sequence[str]) -> Iterator[Path]:
    """The folder, ready for outputs of these names; on an InputError the earlier run's files are restored.

    Raises:
        InputError: the folder cannot be created or written, or has a file of these names from another program.
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
    """Writes report.json atomically."""
    new = path / (REPORT + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    new.replace(path / REPORT)


def _is_ours(path: Path) -> bool:
    if path.name == REPORT:
        try:
            return json.loads(path.read_text(encoding="utf-8")).get("program") == "embodied-nav"
        except (OSError, ValueError, AttributeError):
            return False
    from ..memory.file.memory_file import open_file

    try:
        with open_file(path):
            return True
    except InputError:
        return False


def check_memory_file(option: str, path: str) -> None:
    """Checks that a path is a memory file, or a place for one.

    Raises:
        InputError: it is neither; ``option`` is where it was given.
    """
    from ..memory.file.memory_file import open_file

    if os.path.lexists(path):
        with open_file(path):
            pass
    if trouble := unwritable(path):
        raise InputError(f"{option} {path}: {trouble}; give another place")


def stale_keyframes(memory: SpatialMemory) -> int:
    """Keyframes of the run whose memory was loaded of which only what stands in for perception's back end has told."""
    first = memory.sessions[-2:][0]["first_keyframe"]  # loading has begun another session
    told, described = ({d.keyframe_id for d in memory.deltas if d.keyframe_id >= first and d.stale is stale}
                       for stale in (True, False))  # fmt: skip
    return len(told - described)


def slam_lost(path: Path) -> dict:
    """``slam_lost_s`` and ``slam_lost_times`` ([start s, end s, reason] each) from the slam node's file, which is then
    removed; None for both if the node was killed before it wrote them."""
    if not path.exists():
        return {"slam_lost_s": None, "slam_lost_times": None}
    found = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return found
