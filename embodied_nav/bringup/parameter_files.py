"""Checks ROS parameter files against the nodes' settings, and resolves them for one node. Imports no ROS.

rcl silently ignores sections whose name matches no node: ``control:`` does not match the node /robot1/control. So nodes
get the parameters resolved here instead: a name without a namespace means the node of that name in any namespace, later
files win, and within a file a full name wins over wildcards.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config import Config, read_yaml
from ..errors import InputError
from ..node_table import ALL_NODES, NodeSpec
from ..registry import Registry
from ..robot import SHARED_SETTINGS, RobotProfile

_WILDCARDS = ("*", "**")
#: Parameters that rclpy declares in every node.
_BUILT_IN = ("use_sim_time", "start_type_description_service")


def check_params_file(path: str | Path, specs: Iterable[NodeSpec] = ALL_NODES) -> None:
    """Checks a ROS parameter file against the settings of the nodes, before any node is started.

    Raises:
        InputError: no such file, no such node, no such parameter, or a value out of range.
    """
    by_name = {spec.name: spec for spec in specs}
    for key, values in _sections(path):
        name = key.rsplit("/", 1)[-1]
        if name in _WILDCARDS:
            settings = [pair for spec in by_name.values() for pair in node_settings(spec)]
        elif name in by_name:
            settings = node_settings(by_name[name])
        else:
            raise InputError(f"{path}: no node is called '{key}'; known: {', '.join(by_name)}")
        for parameter, value in values.items():
            if not _is_built_in(parameter) and not _checked(path, key, parameter, value, settings):
                known = dict.fromkeys(sorted(f"{p}.{f}".lstrip(".") for k, p in settings for f in _fields(k)))
                raise InputError(f"{path}: {key} has no parameter '{parameter}'; known: {', '.join(known)}")


def resolve(spec: NodeSpec, namespace: str, files: Iterable[str | Path]) -> dict[str, Any]:
    """A node's parameters by dotted name, from checked files (later ones win); lists for tuples.

    Raises:
        InputError: a value out of range.
    """
    settings = node_settings(spec)
    found: dict[str, Any] = {}
    for path in files:
        matching = [(key, values) for key, values in _sections(path) if matches(key, namespace, spec.name)]
        for key, values in sorted(matching, key=lambda section: "*" not in section[0]):  # stable: wildcards first
            for parameter, value in values.items():
                if _is_built_in(parameter):
                    found[parameter] = value
                elif checked := _checked(path, key, parameter, value, settings):
                    found[parameter] = checked[0]
    return found


def foreign_sections(namespace: str, files: Iterable[str | Path]) -> list[str]:
    """One line for each section of a file that belongs to another namespace, and so is not used in this one."""
    return [
        f"{path}: '{key}' is for another namespace than '/{namespace.strip('/')}' and is not used"
        for path in files
        for key, _ in _sections(path)
        if not matches(key, namespace, key.rsplit("/", 1)[-1])
    ]


def matches(key: str, namespace: str, name: str) -> bool:
    """Whether a file's node name (``control``, ``/**``, ``/robot1/control``) matches the node ``name`` in a namespace.

    ``*`` stands for one name, ``**`` for any number; a key without a namespace matches in any.
    """
    tokens = key.strip("/").split("/")
    if len(tokens) == 1:
        return tokens[0] in (*_WILDCARDS, name)
    pattern = "".join({"**": r"(/[^/]+)*", "*": r"/[^/]+"}.get(token, f"/{re.escape(token)}") for token in tokens)
    return re.fullmatch(pattern, "/".join(("", *filter(None, (namespace.strip("/"), name))))) is not None


def robot_profile(files: Iterable[str | Path], namespace: str = "") -> RobotProfile:
    """The robot profile from ROS parameter files; later ones win.

    Raises:
        InputError: no such file, or a value out of range.
    """
    values = resolve(NodeSpec("robot", "", lifecycle=False), namespace, files)
    prefix = "robot."
    return RobotProfile.from_mapping({k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)})


def node_settings(spec: NodeSpec) -> list[tuple[type[Config], str]]:
    """(settings, prefix) of a node's parameters; imports the components."""
    found = [(getattr(importlib.import_module(f"embodied_nav.{m}"), c), prefix) for m, c, prefix in spec.settings]
    found += [pair for table in node_tables(spec) for pair in table.settings()]
    if spec.lifecycle:
        found.append((importlib.import_module("embodied_nav.nodes.ros.lifecycle").NodeConfig, ""))
    return [*found, *SHARED_SETTINGS]


def node_tables(spec: NodeSpec) -> list[Registry[Any]]:
    """The tables from which a node chooses components by name; imports the components."""
    return [getattr(importlib.import_module(f"embodied_nav.{module}"), table) for module, table in spec.tables]


def _checked(
    path: str | Path, key: str, parameter: str, value: Any, settings: Iterable[tuple[type[Config], str]]
) -> list[Any]:
    """A list of the value as converted by the settings; an empty list if no settings have the parameter."""
    prefix, _, last = parameter.rpartition(".")
    kinds = [kind for kind, p in settings if p == prefix and last in _fields(kind)]
    if not kinds:
        return []
    try:
        return [kinds[0].from_mapping({last: value}).to_mapping()[last]]
    except InputError as error:
        raise InputError(f"{path}: {key}: {prefix + '.' if prefix else ''}{error}") from None


def _fields(kind: type[Config]) -> Iterable[str]:
    return kind.__dataclass_fields__


def _is_built_in(parameter: str) -> bool:
    return parameter in _BUILT_IN or parameter.startswith("qos_overrides.")


def _sections(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(node name, its parameters by dotted name) of a file; namespaces may be nested, as rcl allows."""

    def below(name: str, content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        if not isinstance(content, dict) or not content:
            raise InputError(f"{path}: '{name}' lacks 'ros__parameters:' with names and values below it")
        for inner, values in content.items():
            if inner != "ros__parameters":
                yield from below(f"{name.rstrip('/')}/{str(inner).lstrip('/')}", values)
            elif isinstance(values, dict):
                yield name, _flat(values)
            else:
                raise InputError(f"{path}: 'ros__parameters:' of '{name}' holds no names and values")

    for key, content in read_yaml(path).items():
        yield from below(str(key), content)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
