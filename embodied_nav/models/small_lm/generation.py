"""Runs the exported network in onnxruntime: a prompt in, words out, one after the other. Imports no torch.

The ONNX graph reads its weights from the safetensors file beside it. Keys and values stay in onnxruntime's memory from
word to word.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from .config import SmallLMConfig
from .tokenizer import PAD_NUMBER, Tokenizer


@dataclass(frozen=True)
class Generation:
    """Words after a prompt, and the logarithm of the probability of each."""

    ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]


class SmallLM:
    """The network with its tokenizer.

    Args:
        path: the ONNX file; NAME.safetensors lies beside it.

    Attributes:
        tokenizer, config: of the weights.
        about: the weights' metadata (text by name): what they were trained on.

    Raises:
        InputError: a file is missing, or is none of this network.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        path = Path(path)
        self.about = metadata(path.with_suffix(".safetensors"))
        self.tokenizer = Tokenizer(json.loads(self.about["words"]))
        self.config = SmallLMConfig.from_mapping(json.loads(self.about["network"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes of errors are not exported
            raise InputError(f"{path}: onnxruntime cannot read it: {' '.join(str(error).split())[:160]}") from None
        self._make = onnxruntime.OrtValue.ortvalue_from_numpy

    def start(self, ids: Sequence[int]) -> State:
        """Reads a prompt.

        Raises:
            InputError: it is empty, or longer than the network's context.
        """
        if not 0 < len(ids) <= self.config.context:
            raise InputError(f"a prompt of {len(ids)} words: 1 to {self.config.context} are possible")
        past = np.zeros((self.config.kept, 2, 1, 0, self.config.head), dtype=np.float32)
        return State(self, self._make(past)).after(ids)

    def generate(
        self, state: State, limit: int, *, allowed: Collection[int] | None = None, stop: int | None = None
    ) -> tuple[Generation, State]:
        """The likeliest words, one by one, until ``stop`` or END or the limit.

        Args:
            state: after the prompt.
            limit: most words.
            allowed: only these words may come; None: all.
            stop: the word that ends it (included).
        """
        ids: list[int] = []
        logs: list[float] = []
        while len(ids) < limit and state.room > 0:
            scores = state.log_probabilities
            chosen = max(allowed, key=lambda k: float(scores[k])) if allowed is not None else int(scores.argmax())
            ids.append(chosen)
            logs.append(float(scores[chosen]))
            state = state.after([chosen])
            if chosen in (stop, self.tokenizer.end):
                break
        return Generation(tuple(ids), tuple(logs)), state

    def _run(self, ids: Sequence[int], past, recent: Sequence[int]) -> tuple[np.ndarray, object]:
        words = {"ids": self._make(np.asarray([ids], np.int64)), "recent": self._make(np.asarray([recent], np.int64))}
        logits, kept = self._session.run_with_ort_values(None, {**words, "past": past})
        return logits.numpy()[0], kept


class State:
    """What the network has read so far.

    Attributes:
        logits: (words,) float32 of the next word.
        length: words read.
    """

    def __init__(
        self, model: SmallLM, past, length: int = 0, logits: np.ndarray | None = None, recent: Sequence[int] = ()
    ) -> None:
        self._model, self._past, self.length = model, past, length
        self._recent = recent or (PAD_NUMBER,) * model.config.before
        self.logits = np.zeros(len(model.tokenizer), dtype=np.float32) if logits is None else logits

    def after(self, ids: Sequence[int]) -> State:
        """The state after further words; this one stays as it is."""
        logits, past = self._model._run(ids, self._past, self._recent)
        recent = (*self._recent, *ids)[len(ids) :]
        return State(self._model, past, self.length + len(ids), logits, recent)

    @property
    def room(self) -> int:
        """Words that still fit."""
        return self._model.config.context - self.length

    @property
    def log_probabilities(self) -> np.ndarray:
        """(words,) float32, of the next word."""
        shifted = self.logits - self.logits.max()
        return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def shipped_weights() -> Path | None:
    """The ONNX file of the package's own reasoner, its safetensors file beside it; None where it ships none."""
    path = Path(__file__).parent / "weights" / "reasoner.onnx"
    return path if path.is_file() else None


def metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file, read without its library.

    Raises:
        InputError: it is missing, or is no such file with words and network.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            about = json.loads(file.read(min(length, 10_000_000)))["__metadata__"]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; the weights lie beside the ONNX file") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: no safetensors file of a small language model") from None
    if not {"words", "network"} <= about.keys():
        raise InputError(f"{path}: no safetensors file of a small language model (it names no words)")
    return {str(name): str(text) for name, text in about.items()}
