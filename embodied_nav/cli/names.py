"""Options that choose a table entry by name, such as ``--agent``. Imports none of the entries."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..registry import Entry, described
from ..tables import OTHER_DRIVERS, PERCEPTION, REASONERS, REFERENCES, SIMULATORS

#: As ``perception.AUTO``, whose import takes long.
AUTO = "auto"


#: Id of a repository of the hub.
_REPOSITORY = re.compile(r"(?!.*\.onnx$)[\w-][\w.-]*/[\w-][\w.-]*")


def _with_auto() -> str:
    return f"auto (what this machine has: a detector that was fetched, else the best without), {PERCEPTION.describe()}"


def add_perception(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Adds ``--perception``; a default of None leaves it to the parameter files."""
    text = f"back end: {_with_auto()} ({_default(default)})"
    parser.add_argument("--perception", default=default, metavar="P", help=text)


def add_detector(parser: argparse.ArgumentParser) -> None:
    """Adds ``--detector``, the short form of ``--set detector.file=FILE``; see :func:`with_detector`."""
    parser.add_argument(
        "--detector",
        metavar="FILE",
        help="ONNX file, or folder or id of a Hugging Face detector, for --perception detector",
    )


def with_detector(settings: Iterable[str], detector: str | None, perception: str | None) -> list[str]:
    """The values of ``--set``, and that of ``--detector`` as one of them.

    Args:
        perception: the back end; None where the parameter files name it.

    Raises:
        InputError: there is no such file, or the back end is not one that uses it.
    """
    if detector is None:
        return list(settings)
    if perception not in (None, AUTO, "detector"):
        raise InputError(f"--detector {detector}: perception '{perception}' takes none; give --perception detector")
    path = Path(detector).expanduser().resolve()
    if not path.exists():
        if _REPOSITORY.fullmatch(detector):
            return [*settings, f"detector.file={detector}"]
        raise InputError(f"--detector {detector}: there is no such file; give an ONNX file or a folder of a detector")
    return [*settings, f"detector.file={path}"]


def check_perception_name(name: str) -> None:
    """Raises InputError if no back end has this name, and it is not ``auto``."""
    if name != AUTO:
        PERCEPTION.check(name, "--perception")


def settle_perception(args: argparse.Namespace, *, simulated: bool) -> tuple[list[str], str]:
    """Makes ``args.perception`` the name of a back end.

    Returns:
        The values of ``--set`` with the detector's file, so that reports show it; a line for the user that says what
        ``auto`` stood for, "" where it was not given.

    Raises:
        InputError: an unknown back end, or ``--detector`` names no file.
    """
    from ..model_store import kept
    from ..perception.choosing import choose

    check_perception_name(args.perception)
    files = {name: value for name, _, value in (text.partition("=") for text in args.settings)}
    detector, compact = args.detector or files.get("detector.file", ""), files.get("compact.weights", "")
    choice = choose(args.perception, simulated=simulated, detector=detector, compact=compact)
    given = with_detector(args.settings, args.detector, choice.name)
    args.perception = choice.name
    if choice.name == "detector" and not detector and (fetched := kept("detector")):
        given.append(f"detector.file={fetched}")
    return given, choice.why


def check_perception(name: str, parameters: Mapping[str, Any]) -> None:
    """Makes a back end that needs files or a server, and drops it: what cannot be used is said before the start.

    Of a large model all but its weights is looked at; see :func:`must_be_made` for those.

    Args:
        parameters: by dotted name. With ``perception.fallback`` a back end that cannot be made is none of our business.

    Raises:
        InputError: an unknown back end, or one that cannot be made.
    """
    PERCEPTION.check(name, "--perception")
    if must_be_made(parameters)["perception.fallback"] != "none":
        return
    entry = PERCEPTION[name]
    kind, settings = entry.settings_class(), entry.settings_from(parameters)
    needs_files = kind is not None and any(field.metadata.get("path") for field in fields(kind))
    if entry.large:
        entry.load().check(settings)  # type: ignore[attr-defined]
    elif needs_files or entry.slow:
        PERCEPTION.create(name, settings=settings)


def must_be_made(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by which a back end that cannot be made ends the run, unless they say that geometry may replace it.

    Who names a back end in a command wants to see what that one does; a robot that is brought up goes on without.
    """
    return {"perception.fallback": "none", **parameters}


def check_encoder(parameters: Mapping[str, Any]) -> None:
    """Makes the encoder that parameters (by dotted name) choose, without its weights, and drops it.

    Raises:
        InputError: it cannot be made.
    """
    if parameters.get("perception.encoder", "none") != "none":
        from ..perception.encoders import make_encoder

        make_encoder(parameters)


def add_simulator(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds ``--simulator``."""
    text = f"what the robot drives in: {SIMULATORS.describe()} ({_default(default)})"
    parser.add_argument("--simulator", default=default, metavar="S", help=text)


def add_agent(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Adds ``--agent`` (alias ``--reasoner``), the policies; a default of None leaves it to the parameter files."""
    _add_agent(parser, default, REASONERS.entries)


def add_driver(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds ``--agent`` (alias ``--reasoner``), all that can drive an episode of ``eval``."""
    named = {e.name: e for e in (*REASONERS.entries, *OTHER_DRIVERS.entries, *REFERENCES.entries)}
    _add_agent(parser, default, named.values())


def _add_agent(parser: argparse.ArgumentParser, default: str | None, entries: Iterable[Entry]) -> None:
    text = f"who drives: {described(entries)} ({_default(default)})"
    parser.add_argument("--agent", "--reasoner", dest="agent", default=default, metavar="A", help=text)


def _default(name: str | None) -> str:
    return f"default: {name or 'as the parameter file says'}"
