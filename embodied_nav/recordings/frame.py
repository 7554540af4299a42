"""A recorded frame, and the calibration of its cameras. Knows no file format of frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import read_yaml
from ..errors import InputError
from ..geometry import Camera, matrix_from_quaternion

_IDENTITY = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


class UnusableFrame(InputError):
    """One frame cannot be read; others of the recording may be fine."""


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One frame as recorded.

    Attributes:
        stamp: ns.
        color: HxWx3 uint8 RGB.
        depth: HxW, uint16 mm (0 invalid) or float32 m (NaN invalid).
        T_map_camera: 4x4 float64, map from the colour camera's optical frame; None if not recorded.
        T_odom_camera: 4x4 float64 by wheel odometry, or None.
    """

    stamp: int
    color: np.ndarray
    depth: np.ndarray
    T_map_camera: np.ndarray | None
    T_odom_camera: np.ndarray | None = None


@dataclass(frozen=True)
class Calibration:
    """The user's calibration, which overrides the recording's.

    Attributes:
        color, depth: fx, fy, cx, cy of the images, or None for the recording's; giving ``depth`` means that depth is
            from a camera of its own and not registered to colour.
        translation, rotation: the depth camera's pose in the colour camera's optical frame (m; quaternion x, y, z, w).

    Raises:
        InputError: invalid numbers.
    """

    color: tuple[float, ...] | None = None
    depth: tuple[float, ...] | None = None
    translation: tuple[float, ...] = _IDENTITY[0]
    rotation: tuple[float, ...] = _IDENTITY[1]

    def __post_init__(self) -> None:
        for name, n in (("color", 4), ("depth", 4), ("translation", 3), ("rotation", 4)):
            values = getattr(self, name)
            if values is not None and (len(values) != n or not np.isfinite(values).all()):
                raise InputError(f"{name}: {values}, expected {n} numbers{' (fx, fy, cx, cy)' * (n == 4)}")
        try:
            matrix_from_quaternion(self.rotation)
        except ValueError as error:
            raise InputError(f"rotation: {error}") from None

    @classmethod
    def read(cls, text: str) -> Calibration:
        """From ``fx,fy,cx,cy`` of registered images, or from a YAML file with the fields' names.

        Raises:
            InputError: neither.
        """
        try:
            return cls(color=tuple(float(v) for v in text.split(",")))
        except InputError as error:
            raise InputError(f"'{text}': {error}") from None
        except ValueError:
            pass
        if not Path(text).is_file():
            raise InputError(f"'{text}': neither fx,fy,cx,cy nor a YAML file with color, depth, translation, rotation")
        values = read_yaml(text)
        unknown = sorted(str(name) for name in values if name not in cls.__dataclass_fields__)
        if unknown or not values:
            raise InputError(
                f"{text}: {', '.join(unknown) or 'empty'}; it may hold color, depth, translation, rotation"
            )
        try:
            return cls(**{name: tuple(float(v) for v in value) for name, value in values.items()})
        except InputError as error:
            raise InputError(f"{text}: {error}") from None
        except (TypeError, ValueError):
            raise InputError(f"{text}: each of {', '.join(values)} must be a list of numbers") from None

    @property
    def T_color_depth(self) -> np.ndarray:
        """4x4 float64."""
        return matrix_from_quaternion(self.rotation, self.translation)

    @property
    def registered(self) -> bool:
        """Whether depth is registered to colour according to this calibration."""
        return self.depth is None and (self.translation, self.rotation) == _IDENTITY

    def color_camera(self, recorded: Camera) -> Camera:
        """The colour camera: ``recorded``, with this calibration's intrinsics if given."""
        return recorded if self.color is None else Camera(recorded.width, recorded.height, *self.color)

    def depth_camera(self, recorded: Camera) -> Camera:
        """The depth camera: ``recorded``, with this calibration's intrinsics if given."""
        return recorded if self.depth is None else Camera(recorded.width, recorded.height, *self.depth)
