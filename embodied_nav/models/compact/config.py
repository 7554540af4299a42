"""Settings of the compact network. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...config import Config, param


@dataclass(frozen=True)
class CompactConfig(Config):
    """Shape of the compact network.

    Attributes:
        categories: their names in the order of the output's channels; channel 0 is none of them (walls, floors ...).
    """

    categories: tuple[str, ...] = param((), "names of the categories")
    width: int = param(160, "width of the images it gets", unit="px", low=32, high=1024)
    width_2: int = param(32, "channels at 1/2 of its images' width", low=4, high=512)
    width_4: int = param(64, "channels at 1/4", low=4, high=512)
    width_8: int = param(128, "channels at 1/8", low=4, high=512)
    width_16: int = param(192, "channels at 1/16", low=4, high=512)

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels from fine to coarse."""
        return self.width_2, self.width_4, self.width_8, self.width_16


def shipped_weights() -> Path | None:
    """The ONNX file of the package's own weights, its safetensors file beside it; None where it ships none."""
    path = Path(__file__).parent / "weights" / "compact.onnx"
    return path if path.is_file() else None
