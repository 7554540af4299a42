"""The prompts of vision-language back ends: versioned text files that the user can replace. Knows nothing of models.

A prompt ``pair`` is the file ``pair.v1.txt``; of several versions in one folder the highest counts. ``system`` is the
fixed part, ``first`` goes with the first keyframe, ``pair`` with each later one. ``$name`` stands for a value.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

#: Prompt -> the values that its text may use; those it must use.
PLACEHOLDERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "system": (frozenset({"units", "most"}), frozenset({"units"})),
    "first": (frozenset({"instruction"}), frozenset({"instruction"})),
    "pair": (frozenset({"instruction", "motion", "skipped"}), frozenset({"instruction", "motion"})),
}
_SHIPPED = Path(__file__).parent / "prompts"
_NAME = re.compile(r"(?P<prompt>[a-z]+)\.v(?P<version>\d+)\.txt")
#: Longest instruction (characters) that is put into a prompt.
_LONGEST = 500


@dataclass(frozen=True)
class Prompts:
    """The texts in use.

    Attributes:
        texts: prompt -> text with ``$name`` for values.
        versions: prompt -> version, ``v1``; of a user's file with its folder's name, ``mine/v3``.
    """

    texts: Mapping[str, str]
    versions: Mapping[str, str]

    def fill(self, prompt: str, **values: str) -> str:
        """A prompt with its values put in; an instruction is shortened and quoted."""
        if "instruction" in values:
            values["instruction"] = f'"{" ".join(values["instruction"].split())[:_LONGEST]}"'
        return string.Template(self.texts[prompt]).substitute(values).strip()


def load_prompts(folder: str = "") -> Prompts:
    """The shipped prompts, with those of a user's folder in their place.

    Args:
        folder: with files such as ``pair.v2.txt``; a prompt that it lacks is the shipped one. Empty: all shipped.

    Raises:
        InputError: there is no such folder, it holds no prompt, or a text uses an unknown value or lacks a needed one.
    """
    texts, versions = _read(_SHIPPED, "")
    if folder:
        path = Path(folder).expanduser()
        own, names = _read(path, f"{path.name}/")
        if not own:
            raise InputError(f"prompts = {folder}: no file such as pair.v1.txt is there; give a folder with prompts")
        texts, versions = {**texts, **own}, {**versions, **names}
    return Prompts(texts, versions)


def _read(folder: Path, prefix: str) -> tuple[dict[str, str], dict[str, str]]:
    """Texts and versions of the newest file of each prompt in a folder."""
    try:
        files = [(match, path) for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))]
        newest = {m["prompt"]: (m, path) for m, path in sorted(files, key=lambda f: int(f[0]["version"]))}
        texts = {name: path.read_text(encoding="utf-8") for name, (_, path) in newest.items()}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"prompts = {folder}: cannot be read ({reason}); give a folder with prompts") from None
    for name, (_, path) in newest.items():
        _check(name, texts[name], path)
    return texts, {name: f"{prefix}v{match['version']}" for name, (match, _) in newest.items()}


def _check(name: str, text: str, path: Path) -> None:
    if name not in PLACEHOLDERS:
        raise InputError(f"{path}: there is no prompt '{name}'; name the file after one of {', '.join(PLACEHOLDERS)}")
    allowed, needed = PLACEHOLDERS[name]
    template = string.Template(text)
    if not template.is_valid():
        raise InputError(f"{path}: a lone $ stands in it; write $$ for a dollar sign")
    used = set(template.get_identifiers())
    if used - allowed:
        known = ", ".join(f"${n}" for n in sorted(allowed))
        raise InputError(f"{path}: unknown value ${min(used - allowed)}; known: {known} ($$ is a dollar sign)")
    if needed - used:
        raise InputError(f"{path}: ${min(needed - used)} does not stand in it; say where it goes")
