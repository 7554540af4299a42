"""Component settings: frozen dataclasses whose fields carry description, unit and range.

The same dataclass is read from YAML and the command line here, and declared as ROS parameters by ``nodes``.
Knows nothing of ROS and of the components.

    @dataclass(frozen=True)
    class MemoryConfig(Config):
        voxel_size: float = param(0.05, "edge of a voxel", unit="m", low=0.005, high=1.0)
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError

C = TypeVar("C", bound="Config")


def param(
    default: Any,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    path: bool = False,
) -> Any:
    """A field of a :class:`Config`: a bool, int, float, str, or a tuple of floats or strings.

    Args:
        path: the string is a path: ``~`` becomes the home folder.
    """
    metadata = {"description": description, "unit": unit, "low": low, "high": high, "choices": tuple(choices)}
    metadata["path"] = path
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of every component's settings; checks types and ranges on construction.

    Raises:
        InputError: naming the parameter, the value and the range.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))

    @classmethod
    def from_mapping(cls: type[C], values: Mapping[str, Any], where: str = "") -> C:
        """Settings from names and values; ``where`` (a file, say) is named in the error of an unknown name."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(
                    f"{where + ': ' if where else ''}unknown parameter '{name}'; known: {', '.join(known)}"
                )
        return cls(**values)

    @classmethod
    def from_parameters(cls: type[C], parameters: Mapping[str, Any], prefix: str = "") -> C:
        """Settings from parameters with dotted names (``memory.voxel_size``); those of other components are ignored.

        Args:
            prefix: the part of this component's names before the dot; empty if they have no dot.
        """
        names = {f"{prefix}.{f.name}".lstrip("."): f.name for f in dataclasses.fields(cls)}
        return cls.from_mapping({names[name]: value for name, value in parameters.items() if name in names})

    @classmethod
    def from_yaml(cls: type[C], path: str | Path) -> C:
        """Settings from a YAML file of names and values."""
        return cls.from_mapping(read_yaml(path), where=str(path))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds one ``--name-with-dashes`` option per field; :meth:`from_arguments` reads them back."""
        for field in dataclasses.fields(cls):
            unit = field.metadata["unit"]
            text = f"{field.metadata['description']}{f' [{unit}]' if unit else ''} (default: {field.default})"
            parser.add_argument(
                "--" + field.name.replace("_", "-"), dest=field.name, default=None, help=text.replace("%", "%%")
            )

    @classmethod
    def from_arguments(cls: type[C], arguments: argparse.Namespace) -> C:
        """Settings from parsed options; those not given keep their defaults."""
        given = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_mapping(self) -> dict[str, Any]:
        """Names and values, tuples as lists, for YAML and reports."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        InputError: the file is missing, is not YAML, or holds something else.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {type(values).__name__}, expected names and values")
    return values


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    try:
        value = _converted(field.default, value)
    except (TypeError, ValueError):
        raise InputError(f"{field.name} = {value!r}: expected {type(field.default).__name__}") from None
    if field.metadata.get("path"):
        value = os.path.expanduser(value)
    low, high, choices = (field.metadata.get(k) for k in ("low", "high", "choices"))
    if choices and value not in choices:
        raise InputError(f"{field.name} = {value!r}: must be one of {', '.join(choices)}")
    for v in value if isinstance(value, tuple) else (value,):
        outside = (
            isinstance(v, (int, float))
            and not isinstance(v, bool)
            and not (math.isfinite(v) and (low is None or v >= low) and (high is None or v <= high))
        )
        if outside:
            bounds = f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"
            raise InputError(f"{field.name} = {v!r}: out of range {bounds} {field.metadata.get('unit', '')}".rstrip())
    return value


def _converted(default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise TypeError
        return value
    if isinstance(default, int):
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise TypeError
        return int(value)
    if isinstance(default, float):
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    if isinstance(default, str):
        if not isinstance(value, str):
            raise TypeError
        return value
    if isinstance(default, tuple):
        if isinstance(value, str):
            value = [v for v in value.replace(",", " ").split() if v]
        kind = type(default[0]) if default else str
        return tuple(kind(v) for v in value)
    return value
