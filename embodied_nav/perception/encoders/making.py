"""Makes the chosen encoder, and memory settings that fit it. Knows the table of encoders, and none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...config import Config
from ...errors import InputError
from ...memory import MemoryConfig
from ...tables import ENCODERS
from .encoder import Encoder, EncoderChoice, TextTower


def encoder_components() -> list[tuple[type[Config], str]]:
    """(settings class, prefix) of the choice and of all encoders."""
    return [(EncoderChoice, "perception"), *ENCODERS.settings()]


def make_encoder(parameters: Mapping[str, Any]) -> Encoder | None:
    """The encoder that ``perception.encoder`` names, its weights not loaded yet; None for none.

    Args:
        parameters: by dotted name; those that are missing keep their defaults.

    Raises:
        InputError: a value out of range, or an encoder that cannot be made. Nothing stands in for it: whoever names one
            wants its features.
    """
    name = EncoderChoice.from_parameters(parameters, "perception").encoder
    return None if name == "none" else ENCODERS.create(name, settings=ENCODERS[name].settings_from(parameters))


def tower_of(source: str, model: str = "") -> TextTower | None:
    """The text tower of what made a memory file's features; None where that has none.

    Args:
        source: :attr:`Encoder.name` as the file has it. model: folder or id, where it is not that of ``source``.

    Raises:
        InputError: it cannot be made.
    """
    name, _, named = source.partition(":")
    if name not in ENCODERS or not getattr(ENCODERS[name].load(), "knows_words", False):
        return None
    entry = ENCODERS[name]
    settings = entry.settings_from({f"{entry.parameter_prefix}.model": model or named})
    encoder: Encoder = ENCODERS.create(name, settings=settings)
    return encoder.text_tower()


def with_features(memory: MemoryConfig, encoder: Encoder | None) -> MemoryConfig:
    """Memory settings with room for an encoder's features.

    Raises:
        InputError: ``memory.feature_dim`` or ``memory.feature_source`` is set to something else.
    """
    if encoder is None:
        return memory
    if memory.feature_dim not in (0, encoder.dim):
        raise InputError(
            f"memory.feature_dim = {memory.feature_dim}: the features of {encoder.name} have {encoder.dim} components; "
            "leave it out"
        )
    if memory.feature_source not in ("", encoder.name):
        raise InputError(f"memory.feature_source = {memory.feature_source}: {encoder.name} is set; leave it out")
    return replace(memory, feature_dim=encoder.dim, feature_source=encoder.name)
