"""The table of models that can be fetched (``config/models.yaml``). Knows nothing of fetching."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..config import Config, param, read_yaml
from ..errors import InputError
from ..resources import share_path

#: Where models come from.
KINDS = ("npm", "pypi", "hub")


@dataclass(frozen=True)
class Source(Config):
    """One model: what it is for, what it needs, where it comes from. The file's head explains the fields.

    Attributes:
        name: by which it is chosen; the key in the file.
        convert: what is made of what came; empty: it is kept as it is.
    """

    name: str = param("", "name by which it is chosen")
    what: str = param("", "what it is")
    use: str = param("", "how it is used; FOLDER stands for where it is kept")
    licence: str = param("", "licence of the weights")
    classes: str = param("", "what it can name")
    size_mb: int = param(0, "size of what is kept", unit="MB", low=1, high=1000000)
    about: bool = param(False, "size_mb is reckoned, not weighed")
    cpu_ms: float = param(0.0, "time on one thread; 0: not measured", unit="ms", low=0.0, high=1e6)
    memory_mb: int = param(0, "memory that running it takes", unit="MB", low=0, high=1000000)
    gpu_mb: int = param(0, "GPU memory without which it is too slow", unit="MB", low=0, high=1000000)
    keeps: str = param("", "the file that is there when it is kept")
    extra: str = param("", "extra of setup.py that running it needs")
    source: str = param("npm", "where it comes from", choices=KINDS)
    package: str = param("", "name of the package or repository there")
    version: str = param("", "version of the package")
    revision: str = param("", "commit or branch of the repository")
    sha256: str = param("", "of the package's file; empty: the first one that comes is trusted")
    download_mb: int = param(0, "size of the download where it differs", unit="MB", low=0, high=1000000)
    member: str = param("", "part of the package that is kept")
    convert: dict[str, Any] = field(default_factory=dict, metadata={"description": "what is made of it"})

    @property
    def origin(self) -> str:
        """Where it comes from, in words: ``npm some-package 1.0.6``."""
        return f"{self.source} {self.package} {self.version or self.revision}"

    @property
    def transfer_mb(self) -> int:
        """Size of the download (MB)."""
        return self.download_mb or self.size_mb


@lru_cache(maxsize=4)
def read_sources(path: str = "") -> dict[str, Source]:
    """All models by name, in the file's order; by default of the shipped file.

    Raises:
        InputError: the file cannot be read, or an entry of it is wrong.
    """
    path = path or str(share_path("config/models.yaml"))
    found = {}
    for name, values in read_yaml(path).items():
        if not isinstance(values, dict):
            raise InputError(f"{path}: {name}: holds no names and values; see the file's head")
        try:
            found[name] = Source.from_mapping({**values, "name": name})
        except InputError as error:
            raise InputError(f"{path}: {name}: {error}") from None
    return found


def source_named(name: str, path: str = "") -> Source:
    """The model with this name.

    Raises:
        InputError: there is none.
    """
    sources = read_sources(path)
    if name not in sources:
        near = difflib.get_close_matches(name, sources, 1, 0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"unknown model '{name}'{hint}; known: {', '.join(sources)}")
    return sources[name]
