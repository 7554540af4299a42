"""Declares a component's settings as ROS parameters, with descriptors and ranges. Knows nothing of the components."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from ...config import Config
from ...errors import InputError
from ...registry import Registry

C = TypeVar("C", bound=Config)

#: Parameters that rclpy and rcl declare or read by themselves.
_BUILT_IN = ("use_sim_time", "qos_overrides.", "start_type_description_service")


def declare(node: Node, kind: type[C], prefix: str = "") -> C:
    """Declares every field of ``kind`` as a read-only parameter and returns the settings with overrides applied.

    Args:
        prefix: put before the names, with a dot: ``robot`` makes ``robot.footprint_radius``.

    Raises:
        InputError: a value of the wrong type or out of range, with the parameter's name, the value and the range.
    """
    overrides = node._parameter_overrides  # rclpy has no public accessor for them
    values = {}
    for field in dataclasses.fields(kind):
        name = f"{prefix}.{field.name}" if prefix else field.name
        if name in overrides:
            values[field.name] = overrides[name].value
    try:
        settings = kind.from_mapping(values)
    except InputError as error:
        raise InputError(f"{node.get_name()}: {prefix + '.' if prefix else ''}{error}") from None
    for field in dataclasses.fields(kind):
        name = f"{prefix}.{field.name}" if prefix else field.name
        value = getattr(settings, field.name)
        value = list(value) if isinstance(value, tuple) else value
        if node.has_parameter(name):  # configured again by a lifecycle manager; the overrides are the same
            continue
        node.declare_parameter(name, value, _descriptor(field, value), ignore_override=True)
    return settings


def declare_table(node: Node, table: Registry) -> dict[str, Config]:
    """Declares the settings of every entry of a table, chosen or not: a parameter file may contain them all.

    Returns:
        The settings by the name of their entry; nothing for an entry that has none.

    Raises:
        InputError: as :func:`declare`.
    """
    kinds = {entry.name: (entry.settings_class(), entry.parameter_prefix) for entry in table.entries}
    return {name: declare(node, kind, prefix) for name, (kind, prefix) in kinds.items() if kind is not None}


def refuse_unknown(node: Node, shared: Iterable[tuple[type[Config], str]] = ()) -> None:
    """Raises if an override names a parameter that this node does not have.

    Args:
        shared: (settings, prefix) pairs that a parameter file gives to all nodes: accepted though not declared.

    Raises:
        InputError: naming the parameter and those that there are.
    """
    allowed = {f"{prefix}.{f.name}" for kind, prefix in shared for f in dataclasses.fields(kind)}
    for name in node._parameter_overrides:
        if node.has_parameter(name) or name in allowed or name.startswith(_BUILT_IN):
            continue
        known = sorted(n for n in node._parameters if not n.startswith(_BUILT_IN))
        raise InputError(f"{node.get_name()}: unknown parameter '{name}'; known: {', '.join(known)}")


def _descriptor(field: dataclasses.Field, value: object) -> ParameterDescriptor:
    meta = field.metadata
    unit = f" [{meta['unit']}]" if meta["unit"] else ""
    descriptor = ParameterDescriptor(description=meta["description"] + unit, read_only=True)
    if meta["choices"]:
        descriptor.additional_constraints = "one of " + ", ".join(meta["choices"])
    low, high = meta["low"], meta["high"]
    if isinstance(value, bool) or (low is None and high is None):
        return descriptor
    if isinstance(value, int):
        bounds = IntegerRange(from_value=int(-(2**62) if low is None else low), step=1)
        bounds.to_value = int(2**62 if high is None else high)
        descriptor.integer_range = [bounds]
    elif isinstance(value, float):
        bounds = FloatingPointRange(from_value=float(-1e300 if low is None else low))
        bounds.to_value = float(1e300 if high is None else high)
        descriptor.floating_point_range = [bounds]
    return descriptor
