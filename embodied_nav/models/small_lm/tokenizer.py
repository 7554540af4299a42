"""Words of a closed vocabulary to numbers and back. Knows nothing of what the text says. Imports no torch.

A number with its unit is one word ("3.5 m", "40%"), so are a tag, an option's letter and a line's end. Words that the
vocabulary lacks become :data:`UNKNOWN`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from ...errors import InputError

PAD, END, UNKNOWN = "<pad>", "<end>", "<unknown>"
_SPECIAL = (PAD, END, UNKNOWN)
#: PAD is the first word of every vocabulary.
PAD_NUMBER = 0
_WORD = re.compile(
    r"</?think>|</?answer>|<pad>|<end>|<unknown>|\n|\d+(?:\.\d+)? (?:m2|m)\b|\d+(?:\.\d+)?%"
    r"|[A-Z](?![A-Za-z])|[a-z]+(?:'[a-z]+)*|\d+|[^\s\w]"
)
#: Written without a space before them, and without one after them.
_TIGHT = frozenset(".,:;?!)%") | {"\n"}
_OPEN = frozenset("(\n")


class Tokenizer:
    """A closed vocabulary.

    Args:
        words: in the order of their numbers; the special ones first.

    Raises:
        InputError: the words are not distinct, or the special ones are not the first.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._number = {word: k for k, word in enumerate(self.words)}
        if self.words[: len(_SPECIAL)] != _SPECIAL or len(self._number) != len(self.words):
            raise InputError("a tokenizer's words are distinct, and begin with " + ", ".join(_SPECIAL))
        self.pad, self.end, self.unknown = range(3)

    @classmethod
    def of(cls, texts: Iterable[str], words: Iterable[str] = ()) -> Tokenizer:
        """The tokenizer of all words in some texts, and of further words."""
        found = {word for text in texts for word in split(text)} | set(words)
        return cls((*_SPECIAL, *sorted(found.difference(_SPECIAL))))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._number

    @property
    def version(self) -> str:
        """Short hash of the words."""
        return hashlib.sha256("\0".join(self.words).encode()).hexdigest()[:12]

    def number(self, word: str) -> int:
        """The number of a word.

        Raises:
            KeyError: it is not in the vocabulary.
        """
        return self._number[word]

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's words."""
        return [self._number.get(word, self.unknown) for word in split(text)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some numbers, up to the first END; PAD is left out."""
        text, tight = "", True
        for number in numbers:
            word = self.words[number]
            if word == END:
                break
            if word == PAD:
                continue
            tag = word.startswith(("<", "</")) and word != UNKNOWN
            text += word if tight or tag or word in _TIGHT else " " + word
            tight = tag or word in _OPEN
        return text


def split(text: str) -> list[str]:
    """Words of a text; upper case only where a letter stands alone (an option's)."""
    return _WORD.findall(re.sub(r"[A-Z][A-Za-z]+", lambda word: word[0].lower(), text))
