"""``--set PARAM=VALUE``: any parameter of docs/parameters.md on the command line. Imports no node until it is used.

Every command names the nodes, or the components in its own process, that it runs; a parameter is set in all of them
that have it.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ..config import Config
from ..errors import InputError


def add_option(parser: argparse.ArgumentParser) -> None:
    """Declares ``--set``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="PARAM=VALUE",
        help="sets a parameter of docs/parameters.md, camera.sync_slop=0.05 say; may be given again",
    )


def parameters_by_node(
    settings: Iterable[str], nodes: Iterable[str], owned: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Parameters by node from ``--set``, checked against their ranges.

    Args:
        settings: PARAM=VALUE each. nodes: names of the nodes that are started.
        owned: parameters that the command sets itself -> the option for it ("--out"), "" if there is none.

    Raises:
        InputError: not of this form, no node has the parameter, a value out of range, or a parameter in ``owned``.
    """
    names = list(nodes)
    settings = list(settings)
    if not settings:
        return {name: {} for name in names}
    from ..bringup.parameter_files import node_settings
    from ..node_table import ALL_NODES

    return assigned(settings, {s.name: node_settings(s) for s in ALL_NODES if s.name in names}, owned)


def assigned(
    settings: Iterable[str],
    known: Mapping[str, list[tuple[type[Config], str]]],
    owned: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Parameters of several nodes or components from ``--set``, see :func:`parameters_by_node`.

    Args:
        known: name -> (settings, prefix) pairs of its parameters.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in known}
    for text in settings:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise InputError(f"--set {text}: give PARAM=VALUE, camera.sync_slop=0.05 say")
        name = name.strip()
        if name in (owned or {}):
            how = (owned or {})[name]
            raise InputError(f"--set {text}: this command sets {name} itself{'; give it ' + how if how else ''}")
        takers = {node: kind for node, kinds in known.items() if (kind := _kind_of(name, kinds))}
        if not takers:
            names = sorted({f"{p}.{f}".lstrip(".") for kinds in known.values() for k, p in kinds for f in _fields(k)})
            near = difflib.get_close_matches(name, names, 3, 0.5)
            mend = f"did you mean {' or '.join(near)}?" if near else "see docs/parameters.md"
            raise InputError(f"--set {text}: no node here has a parameter '{name}'; {mend}")
        for node, kind in takers.items():
            found[node][name] = _value(text, kind, name.rpartition(".")[2], value)
    return found


def given(parameters: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    """The value given for a parameter in any node, or None."""
    return next((values[name] for values in parameters.values() if name in values), None)


def deviating(values: Mapping[str, Any], kinds: list[tuple[type[Config], str]]) -> dict[str, Any]:
    """The values that differ from the defaults; they identify a run. Tuples become lists."""
    found = {}
    for name, value in sorted(values.items()):
        kind = _kind_of(name, kinds)
        if kind is not None and value != getattr(kind(), name.rpartition(".")[2]):
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def told(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All values given by ``--set``, by parameter, for a report."""
    merged = {name: value for values in parameters.values() for name, value in values.items()}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in sorted(merged.items())}


def weights(values: Mapping[str, Any], kinds: list[tuple[type[Config], str]]) -> dict[str, str]:
    """SHA-256 of every file that a parameter of these settings names: the same file name may hold another model.

    Raises:
        InputError: there is no such file.
    """
    found = {}
    for kind, prefix in kinds:
        for field in _fields(kind).values():
            name = f"{prefix}.{field.name}".lstrip(".")
            path = values.get(name, field.default) if field.metadata.get("path") else ""
            if path:
                try:
                    with open(path, "rb") as file:
                        found[name] = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    raise InputError(f"{name} = {path}: cannot be read ({error.strerror}); give a file") from None
    return found


def _kind_of(name: str, kinds: list[tuple[type[Config], str]]) -> type[Config] | None:
    prefix, _, last = name.rpartition(".")
    return next((kind for kind, p in kinds if p == prefix and last in _fields(kind)), None)


def _fields(kind: type[Config]) -> Mapping[str, Any]:
    return kind.__dataclass_fields__


def _value(text: str, kind: type[Config], field: str, value: str) -> Any:
    import yaml

    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--set {text}: '{value}' is no value; put it in quotes") from None
    try:
        return getattr(kind.from_mapping({field: parsed}), field)
    except InputError as error:
        raise InputError(f"--set {text}: {error}") from None
