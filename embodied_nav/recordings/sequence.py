"""Base class of all readers: options of reading, and assembly of frames. Knows no format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .frame import Calibration, RecordedFrame, UnusableFrame
from .losses import Losses

#: Frames per second of sequences that number their frames instead of stamping them.
NUMBERED_RATE = 30
#: Largest difference (s) of the stamps of colour and depth in a frame: the default of the live input.
SYNC_SLOP = 0.02


@dataclass(frozen=True)
class Reading:
    """Options of reading a recording.

    Attributes:
        sync_slop: largest difference (s) of the stamps of colour and depth in a frame.
        depth_scale: factor on depth; None: 1, and implausible depth is rejected.
        map_frame, odom_frame: frames of TF in bags; empty: found by name.
    """

    sync_slop: float = SYNC_SLOP
    depth_scale: float | None = None
    map_frame: str = ""
    odom_frame: str = ""

    @property
    def slop_ns(self) -> int:
        """``sync_slop`` in ns."""
        return round(self.sync_slop * 1e9)


class Sequence(ABC):
    """A recording; ``read`` may be called from several threads at once. Readers set the attributes declared here.

    Attributes:
        stamps: of the frames, ns, ascending, each once.
        poses: 4x4 float64 each, map from the colour camera's optical frame; None if the recording has none.
        odometry: the same by wheel odometry, in odom; None if there is none.
        camera: of the colour images.
        depth_camera: None if depth is registered to colour.
        T_color_depth: 4x4, the depth camera in the colour camera's optical frame.
        losses: dropped frames by reason.
        notes: what was assumed or is suspicious, one line each, for the terminal and the report.
        origin: 3 float64 m, origin of the frames' map in the recorded map.
    """

    stamps: list[int]
    poses: list[np.ndarray] | None = None
    odometry: list[np.ndarray] | None = None
    camera: Camera
    depth_camera: Camera | None = None
    T_color_depth: np.ndarray

    def __init__(
        self, folder: str | Path, calibration: Calibration | None, reading: Reading | None, losses: Losses | None = None
    ) -> None:
        self.folder = Path(folder)
        self.calibration, self.reading = calibration or Calibration(), reading or Reading()
        self.losses = losses or Losses(str(folder))
        self.notes: list[str] = []
        self.origin = np.zeros(3)

    @property
    def skipped(self) -> int:
        """Number of depth images that make no frame."""
        return self.losses.total

    @property
    def why_no_poses(self) -> str:
        """Why there are no poses in a map, if there are none."""
        return "tells no poses in a map"

    def __len__(self) -> int:
        return len(self.stamps)

    def read(self, index: int) -> RecordedFrame:
        """Decodes one frame.

        Raises:
            UnusableFrame: an image cannot be decoded.
        """
        try:
            color, depth = self._images(index)
        except InputError as error:
            raise UnusableFrame(str(error)) from None
        poses = (None if given is None else given[index] for given in (self.poses, self.odometry))
        return RecordedFrame(self.stamps[index], color, scaled(depth, self.reading.depth_scale), *poses)

    @abstractmethod
    def _images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Colour (HxWx3 uint8 RGB) and depth (HxW, uint16 mm or float32 m); each format has its own."""


def scaled(depth: np.ndarray, factor: float | None) -> np.ndarray:
    """Depth times a factor: unchanged if the factor is None or 1, else float32 m, NaN invalid."""
    if factor in (None, 1.0):
        return depth
    return metres(depth) * np.float32(factor)


def metres(depth: np.ndarray) -> np.ndarray:
    """Depth in uint16 mm (0 invalid) or float32 m as float32 m, NaN invalid."""
    if depth.dtype != np.uint16:
        return depth
    found = depth.astype(np.float32) * np.float32(0.001)
    found[depth == 0] = np.nan
    return found
