"""How near a text is in meaning to categories or rooms, by sentence embeddings. Knows no maps and no objects.

    meaning = Meaning()                                    # the model of the extra `language`
    meaning.scores("somewhere to sit", ["sofa", "tv"])     # cosines, the sofa's is higher

A category stands for its names and its gloss. Where the vocabulary knows a word, its answer is the better one: this is
for what it does not know, and what it finds is a guess.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from .embedding import Array, SentenceEncoder, available
from .glosses import GLOSSES, ROOM_GLOSSES
from .vocabulary import OTHER_WORDS, ROOM_WORDS, canonical

#: Cosine from which a category is said to be meant at all.
LEAST = 0.3
#: The same for a room: "the morning" is 0.35 from a bedroom, "the room where we cook" 0.60 from a kitchen.
LEAST_OF_ROOM = 0.45
#: Texts whose embeddings are kept.
_KEPT_TEXTS = 64


class Encoder(Protocol):
    """What makes embeddings of texts."""

    def encode(self, texts: Sequence[str]) -> Array:
        """N x D float32, each of unit length."""


class Meaning:
    """Cosines between texts and categories. The model is loaded at the first question; threads may share one.

    Args:
        load: makes the encoder.
    """

    def __init__(self, load: Callable[[], Encoder] = SentenceEncoder.load) -> None:
        self._load = load
        self._encoder: Encoder | None = None
        self._labels: dict[str, Array] = {}
        self._texts: OrderedDict[str, Array] = OrderedDict()

    def scores(self, text: str, labels: Sequence[str]) -> Array:
        """N float32, the cosine of a text with each of N labels, -1 to 1.

        Raises:
            InputError: the model cannot be loaded.
        """
        for label in labels:
            if label not in self._labels:
                self._labels[label] = self._encode(document(label))
        query = self._embedded(text)
        return np.array([self._labels[label] @ query for label in labels], np.float32)

    def prepare(self, texts: Iterable[str], labels: Sequence[str]) -> None:
        """Computes what :meth:`scores` will need (20 ms a new text or label), for whoever may not wait then.

        Raises:
            InputError: the model cannot be loaded.
        """
        for text in texts:
            self.scores(text, labels)

    def _embedded(self, text: str) -> Array:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = self._encode(text)
            if len(self._texts) > _KEPT_TEXTS:
                self._texts.popitem(last=False)
        return found

    def _encode(self, text: str) -> Array:
        if self._encoder is None:
            self._encoder = self._load()
        return self._encoder.encode([text])[0]


def document(label: str) -> str:
    """What the embedding of a category or a kind of room is made of: its names, what it is and what it is for."""
    if label in ROOM_WORDS:
        return f"{', '.join(ROOM_WORDS[label])}: {ROOM_GLOSSES[label]}"
    label = canonical(label)
    names = ", ".join((label, *OTHER_WORDS.get(label, ())))
    return f"{names}: {GLOSSES[label]}" if label in GLOSSES else names


def choose(model: str) -> Meaning | None:
    """Search by meaning with the model that a setting names; None for none.

    Args:
        model: "auto": that of the extra ``language``, where it is installed; "none"; or a model's folder.

    Raises:
        InputError: the folder holds no such model, or a library is missing.
    """
    if model == "auto":
        return Meaning() if available() else None
    if model == "none":
        return None
    if not model:
        raise InputError("the language model is named ''; give 'auto', 'none' or a model's folder")
    encoder = SentenceEncoder.load(Path(model))
    return Meaning(lambda: encoder)
