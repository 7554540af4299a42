"""Registries of plug-ins chosen by name (back ends, policies, drivers, simulators). Knows nothing of the plug-ins.

An entry names its class, describes it in one line and names its settings. Nothing is imported until it is used, so
that ``--help``, the launch arguments and the parameter docs can list a registry cheaply.

    BACKENDS: Registry[PerceptionBackend] = Registry("perception", [
        Entry("geometric", "things that stand out by depth", "embodied_nav.perception.geometric:GeometricPerception"),
    ])
    backend = BACKENDS.create("geometric")
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .config import Config
from .errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One plug-in of a registry.

    Attributes:
        name: the name by which it is chosen.
        description: what it is, in one line without a full stop.
        target: ``module:attribute`` of the class (or factory function), or the class itself.
        settings: ``module:attribute`` of its settings (a :class:`~embodied_nav.config.Config`), or the class itself;
            empty where it has none.
        prefix: of its parameters' names: ``rules`` gives ``rules.persistence``; empty: the entry's name.
        large: whether it holds a model that needs libraries and memory of its own: its node then shares no process, and
            its class has ``check(settings)``, which raises InputError for what can be told without loading the model.
        slow: whether it may take seconds or fail for reasons outside: it is then asked in the background.
    """

    name: str
    description: str
    target: str | Callable[..., Any]
    settings: str | type[Config] = ""
    prefix: str = ""
    large: bool = False
    slow: bool = False

    def load(self) -> Callable[..., Any]:
        """The class or factory function; imports its module."""
        return _resolved(self.target) if isinstance(self.target, str) else self.target

    def settings_class(self) -> type[Config] | None:
        """The class of its settings, None where it has none; imports their module."""
        if isinstance(self.settings, str):
            return _resolved(self.settings) if self.settings else None
        return self.settings

    def settings_from(self, parameters: Mapping[str, Any]) -> Config | None:
        """Its settings from parameters with dotted names (``rules.persistence``); None where it has none."""
        kind = self.settings_class()
        return None if kind is None else kind.from_parameters(parameters, self.parameter_prefix)

    def own_settings(self) -> list[tuple[type[Config], str]]:
        """(settings class, prefix), or nothing where it has none."""
        kind = self.settings_class()
        return [] if kind is None else [(kind, self.parameter_prefix)]

    @property
    def parameter_prefix(self) -> str:
        """The part of its parameters' names before the dot."""
        return self.prefix or self.name


class Registry(Generic[T]):
    """Plug-ins of one kind by name, in display order.

    Args:
        kind: what they are, for messages: ``perception``, ``reasoner``, ``simulator``.
        entries: the initial entries.
    """

    def __init__(self, kind: str, entries: Iterable[Entry]) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Adds an entry, for this process only.

        Raises:
            InputError: the name is taken.
        """
        if entry.name in self._entries:
            raise InputError(f"there is a {self.kind} '{entry.name}' already; give another name")
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Removes an entry.

        Raises:
            InputError: unknown name.
        """
        del self._entries[self[name].name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        """The entry with this name.

        Raises:
            InputError: unknown name.
        """
        if name not in self._entries:
            raise InputError(f"unknown {self.kind} '{name}'{self._nearest(name)}; known: {', '.join(self)}")
        return self._entries[name]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in display order."""
        return tuple(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in display order."""
        return tuple(self._entries.values())

    def check(self, name: str, option: str) -> None:
        """Raises InputError if the name is unknown; ``option`` (e.g. ``--perception``) is named in the error."""
        if name not in self._entries:
            raise InputError(f"{option} {name}: unknown{self._nearest(name)}; give one of {', '.join(self)}")

    def describe(self) -> str:
        """All names with their descriptions in one line of text: "rules (goes where ...), random (...)"."""
        return described(self.entries)

    def settings(self) -> list[tuple[type[Config], str]]:
        """(settings class, prefix) of all entries that have settings; imports them.

        No parameter appears twice: of two related classes with the same prefix only the subclass is returned.
        """
        pairs = ((entry.settings_class(), entry.parameter_prefix) for entry in self.entries)
        found = list(dict.fromkeys((kind, prefix) for kind, prefix in pairs if kind is not None))
        return [
            (kind, prefix)
            for kind, prefix in found
            if not any(p == prefix and k is not kind and issubclass(k, kind) for k, p in found)
        ]

    def create(self, name: str, *args: Any, settings: Config | None = None) -> T:
        """Creates a plug-in by name: ``target(*args)``, with its settings as the last argument where it has any.

        Args:
            settings: an instance of the entry's settings class; None uses the defaults.

        Raises:
            InputError: unknown name, or settings of the wrong class.
        """
        entry = self[name]
        kind = entry.settings_class()
        if settings is not None and (kind is None or not isinstance(settings, kind)):
            wanted = "takes no settings" if kind is None else f"takes {kind.__name__}"
            raise InputError(f"{self.kind} '{name}' {wanted}, got {type(settings).__name__}")
        return entry.load()(*args) if kind is None else entry.load()(*args, settings or kind())

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._entries, 1, 0.6)
        return f" (did you mean {near[0]}?)" if near else ""


def described(entries: Iterable[Entry]) -> str:
    """Names with their descriptions in one line of text."""
    return ", ".join(f"{entry.name} ({entry.description})" for entry in entries)


def _resolved(reference: str) -> Any:
    """Imports the object that ``module:attribute`` names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
