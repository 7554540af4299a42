"""Checks whether a file can be written at a path. Knows nothing of the file's content."""

from __future__ import annotations

import os
from pathlib import Path


def unwritable(path: str | Path) -> str:
    """Why a file cannot be written, or "" if it can; existing content is not touched.

    Tries it: permission bits alone miss read-only mounts, parents that are not folders, and root.
    """
    path = Path(path)
    folder = path.absolute().parent
    probe = folder / f".{path.name}.{os.getpid()}.probe"
    try:
        if path.exists():
            with path.open("r+b"):
                pass
        # SQLite also writes journal files beside it, so the folder must be writable.
        with probe.open("xb"):
            pass
        probe.unlink()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_dir():
            return f"there is no folder {folder}"
        return f"cannot be written ({error.strerror})"
    return ""
