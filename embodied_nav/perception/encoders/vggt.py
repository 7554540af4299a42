"""``vggt``: VGGT's tokens as features, and its depth and poses in metres by the sensor's depth. Knows no transformers.

VGGT is no package: it is imported from a folder with its code. Any model with the same interface will do, see
:class:`VggtModel`; what it says of lengths is right up to one factor, which comes from the depth that was measured.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...config import Config, param
from ...errors import InputError
from ...frames import RGBDFrame
from ...geometry import Camera, invert
from ..backend import PerceptionError
from .depth_scale import DepthScale, depth_scale
from .encoder import TextTower, color_of, unit
from .images import grid_shape, normalised
from .loading import device_of, need

if TYPE_CHECKING:
    import torch

#: Pixels along the side of a patch, and components of a token of the published model.
PATCH, EMBED_DIM = 14, 1024


class Prediction(NamedTuple):
    """What a model says of S pictures, in units of its own.

    Attributes:
        tokens: S x N x D, the patches row by row; tokens that are no patches may stand before them.
        depth: S x H x W. extrinsics: S x 3 x 4 or S x 4 x 4, camera from world.
    """

    tokens: np.ndarray
    depth: np.ndarray
    extrinsics: np.ndarray


#: 1 x S x 3 x H x W float32 pictures, 0 to 1, sides multiples of 14 -> what the model says of them.
VggtModel = Callable[[np.ndarray], Prediction]


@dataclass(frozen=True, eq=False)
class MetricViews:
    """S views in metres.

    Attributes:
        features: S x h x w x D float32, of unit length, over the whole images.
        depth: S x H x W float32 m, in the model's size. camera: its intrinsics (the first frame's, at that size).
        T_map_camera: S x 4 x 4; the first is the frame's own, the others follow from the model.
        scale: of the model's units, and how well they fit the measured depth.
    """

    features: np.ndarray
    depth: np.ndarray
    camera: Camera
    T_map_camera: np.ndarray
    scale: DepthScale

    def points(self) -> np.ndarray:
        """S x H x W x 3 float64 m, in map, of every pixel; NaN where there is no depth."""
        rays = self.camera.unproject(np.ones(self.depth.shape[1:], np.float32)).astype(np.float64)
        depth = np.where(self.depth > 0, self.depth, np.nan)[..., None]
        R, t = self.T_map_camera[:, :3, :3], self.T_map_camera[:, :3, 3]
        return np.einsum("sij,shwj->shwi", R, rays[None] * depth) + t[:, None, None]


@dataclass(frozen=True)
class VggtConfig(Config):
    """Settings of ``vggt``."""

    code: str = param("", "folder of VGGT's code, the one that holds the package vggt")
    model: str = param("", "folder of its weights: config.json and model.safetensors")
    device: str = param("auto", "where it runs; auto: a GPU where there is one", choices=("auto", "cuda", "cpu"))
    image_size: int = param(294, "longer side of the picture that it gets", unit="px", low=28, high=1022)


class VggtEncoder:
    """Features of one frame at a time, or metric views of several.

    Attributes:
        name, dim: see :class:`~.encoder.Encoder`.
    """

    knows_words = False

    def __init__(
        self, settings: VggtConfig | None = None, model: VggtModel | None = None, dim: int = 2 * EMBED_DIM
    ) -> None:
        """
        Args:
            model: one of yours instead of the one that the settings name, with tokens of ``dim`` components.

        Raises:
            InputError: without one: no code or model is named or there, or torch is missing.
        """
        self._settings = settings or VggtConfig()
        self._model = model
        self.dim = dim if model is not None else _dim_of(self._settings)
        self.name = f"vggt:{self._settings.model or 'given'}"

    def load(self) -> None:
        """Loads code and weights."""
        if self._model is None:
            self._model = _load(self._settings)

    def text_tower(self) -> TextTower | None:
        """None: VGGT knows no words."""
        return None

    def encode(self, frame: RGBDFrame) -> np.ndarray:
        """(h, w, dim) float32 over the whole image, each of unit length; see :class:`~.encoder.Encoder`."""
        rows, columns, _ = self._size([frame])
        return self._features(self._ask([frame]), rows, columns)[0]

    def metric_views(self, frames: Sequence[RGBDFrame]) -> MetricViews:
        """Features, depth and poses of S frames of one camera, in metres: one scale for all, by their depth.

        Raises:
            PerceptionError: a frame has no colour, none has depth, sizes differ, or no scale fits.
        """
        rows, columns, color = self._size(frames)
        said = self._ask(frames)
        height, width = rows * PATCH, columns * PATCH
        depth = np.asarray(said.depth, np.float32).reshape(len(frames), height, width)
        measured = np.stack([_sampled(f, height, width) for f in frames])
        found = depth_scale(depth, measured)
        camera = _resized(frames[0].camera, color.shape[1], color.shape[0], width, height)
        poses = _poses(said.extrinsics, len(frames), found.scale, frames[0].T_map_camera)
        return MetricViews(
            self._features(said, rows, columns), (found.scale * depth).astype(np.float32), camera, poses, found
        )

    def _size(self, frames: Sequence[RGBDFrame]) -> tuple[int, int, np.ndarray]:
        """(rows, columns) of patches, the first frame's colour."""
        if not frames:
            raise PerceptionError("no frames to look at")
        colors = [color_of(f) for f in frames]
        if len({c.shape for c in colors}) > 1:
            raise PerceptionError("the frames' images are of different sizes; give frames of one camera")
        height, width = colors[0].shape[:2]
        return (*grid_shape(width, height, PATCH, self._settings.image_size), colors[0])

    def _ask(self, frames: Sequence[RGBDFrame]) -> Prediction:
        self.load()
        assert self._model is not None
        rows, columns, _ = self._size(frames)
        nothing, one = np.zeros(3, np.float32), np.ones(3, np.float32)
        images = np.stack([normalised(color_of(f), rows, columns, PATCH, nothing, one) for f in frames])
        try:
            said = Prediction(*(np.asarray(part) for part in self._model(np.clip(images, 0, 1)[None])))
        except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError, too
            raise PerceptionError(f"encoder {self.name}: {' '.join(str(error).split())[:200]}") from None
        wanted = (len(frames), rows * PATCH, columns * PATCH)
        fits = said.tokens.ndim == 3 and said.tokens.shape[::2] == (len(frames), self.dim)
        if not fits or said.tokens.shape[1] < rows * columns or said.depth.size != np.prod(wanted):
            raise PerceptionError(
                f"encoder {self.name}: gave tokens {said.tokens.shape} and depth {said.depth.shape}; expected "
                f"({len(frames)}, {rows * columns} or more, {self.dim}) and {wanted}"
            )
        return said

    def _features(self, said: Prediction, rows: int, columns: int) -> np.ndarray:
        patches = np.asarray(said.tokens, np.float32)[:, -rows * columns :]
        return unit(patches.reshape(len(patches), rows, columns, self.dim))


def _sampled(frame: RGBDFrame, height: int, width: int) -> np.ndarray:
    """Height x width float32 m of a frame's depth, each pixel that of the nearest one; NaN where there is none.

    Not a mean: between two surfaces that lies on neither.
    """
    if frame.depth is None:
        return np.full((height, width), np.nan, np.float32)
    h, w = frame.depth.shape
    rows = np.minimum(((np.arange(height) + 0.5) * h / height).astype(np.int64), h - 1)
    columns = np.minimum(((np.arange(width) + 0.5) * w / width).astype(np.int64), w - 1)
    return frame.depth[rows[:, None], columns]


def _resized(camera: Camera, width: int, height: int, new_width: int, new_height: int) -> Camera:
    """A camera whose images are brought to another size; pixel (0, 0) has its middle there."""
    x, y = new_width / width, new_height / height
    return Camera(
        new_width, new_height, camera.fx * x, camera.fy * y, (camera.cx + 0.5) * x - 0.5, (camera.cy + 0.5) * y - 0.5
    )


def _poses(extrinsics: np.ndarray, count: int, scale: float, T_map_first: np.ndarray) -> np.ndarray:
    """S x 4 x 4 map from camera: the first as given, the others as the model places them from it.

    Raises:
        PerceptionError: extrinsics that are no finite poses.
    """
    E = np.asarray(extrinsics, np.float64)
    if E.shape[0] != count or E.shape[1:] not in ((3, 4), (4, 4)) or not np.isfinite(E).all():
        raise PerceptionError(f"the model gave extrinsics {E.shape}, expected ({count}, 3, 4), finite")
    full = np.tile(np.eye(4), (count, 1, 1))
    full[:, :3] = E[:, :3]
    full[:, :3, 3] *= scale
    return np.stack([np.asarray(T_map_first, np.float64) @ full[0] @ invert(T) for T in full])


# ---- the published model ----


def _dim_of(settings: VggtConfig) -> int:
    """Components of the tokens of the model that settings name.

    Raises:
        InputError: no code or model is named or there, or torch is missing.
    """
    for name, value, file in (("code", settings.code, "vggt/models/vggt.py"), ("model", settings.model, "config.json")):
        if not value:
            raise InputError(f"vggt.{name} is empty; give the folder that holds {file}")
        if not (Path(value).expanduser() / file).is_file():
            raise InputError(f"vggt.{name} = {value}: there is no {file}; give the folder that holds it")
    need("torch", "encoder 'vggt'")
    try:
        config = json.loads((Path(settings.model).expanduser() / "config.json").read_text(encoding="utf-8"))
        return 2 * int(config.get("embed_dim", EMBED_DIM))
    except (OSError, ValueError, AttributeError, TypeError):
        raise InputError(f"vggt.model = {settings.model}: config.json cannot be read; get the folder again") from None


def _load(settings: VggtConfig) -> VggtModel:
    """The published model from its code and weights.

    Raises:
        InputError: they cannot be loaded.
    """
    code = str(Path(settings.code).expanduser().resolve())
    device = device_of(settings.device, "vggt.device")
    sys.path.insert(0, code)
    try:
        made = importlib.import_module("vggt.models.vggt").VGGT
        network = made.from_pretrained(str(Path(settings.model).expanduser())).eval().to(device)
    except Exception as error:  # foreign code
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"vggt.model = {settings.model}: cannot be loaded ({type(error).__name__}: {reason}); check vggt.code and "
            "the folder"
        ) from None
    finally:
        sys.path.remove(code)
    return lambda images: predict(network, images)


def predict(network: Any, images: np.ndarray) -> Prediction:
    """What the published network says: its aggregator's last tokens, depth head and camera head.

    Args:
        images: 1 x S x 3 x H x W float32, 0 to 1.
    """
    import torch

    some = next(network.parameters())
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(some.device, some.dtype)
        layers, first_patch = network.aggregator(pixels)
        depth, _ = network.depth_head(layers, images=pixels, patch_start_idx=first_patch)
        codes = network.camera_head(layers)[-1]
    return Prediction(_array(layers[-1][0]), _array(depth[0, ..., 0]), extrinsics_of(_array(codes[0])))


def extrinsics_of(codes: np.ndarray) -> np.ndarray:
    """S x 4 x 4 camera from world of VGGT's S x 9 codes: translation, quaternion (x, y, z, w), two fields of view."""
    from ...geometry import matrix_from_quaternion

    out = np.stack([matrix_from_quaternion(code[3:7]) for code in np.asarray(codes, np.float64)])
    out[:, :3, 3] = codes[:, :3]
    return out


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
