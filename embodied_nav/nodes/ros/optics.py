"""Converts any driver's camera images to RGB and metres of undistorted pinhole cameras. Knows no poses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ...config import Config, param
from ...errors import InputError
from ...geometry import Camera
from ...geometry.lens import Lens, named_rectified
from ...geometry.registration import Registration
from ...recordings import rvl
from .compressed_images import color_from_compressed, depth_from_compressed
from .conversions import BadMessage, color_array, depth_array, view_from_msg

COLOR, DEPTH, INFO = "camera/color/image_raw", "camera/depth/image_raw", "camera/color/camera_info"


@dataclass(frozen=True)
class TransportConfig(Config):
    """Transport of the camera's images, by the names of image_transport."""

    color_transport: str = param(
        "raw", f"{COLOR}, or compressed (JPEG, PNG, TIFF): {COLOR}/compressed", choices=("raw", "compressed")
    )
    depth_transport: str = param(
        "raw",
        f"{DEPTH}, compressedDepth (PNG, RVL): {DEPTH}/compressedDepth, or compressed (PNG of 16 bits): "
        f"{DEPTH}/compressed",
        choices=("raw", "compressedDepth", "compressed"),
    )
    rectified: str = param(
        "auto",
        "whether the images are rectified: camera info's P is theirs, else its K and distortion, which is taken out; "
        "auto: they are where the topic's name, remapped, says so (image_rect)",
        choices=("auto", "true", "false"),
    )
    depth_scale: float = param(
        1.0,
        "what depth is multiplied with: 0.1 where 16UC1 holds tenths of mm, 0.001 where 32FC1 holds mm",
        low=1e-6,
        high=1e6,
    )

    @property
    def color(self) -> tuple[type, str]:
        """Message class and topic of the colour image."""
        return (Image, COLOR) if self.color_transport == "raw" else (CompressedImage, f"{COLOR}/{self.color_transport}")

    @property
    def depth(self) -> tuple[type, str]:
        """Message class and topic of the depth image."""
        return (Image, DEPTH) if self.depth_transport == "raw" else (CompressedImage, f"{DEPTH}/{self.depth_transport}")


def color_pixels(message: Image | CompressedImage) -> np.ndarray:
    """HxWx3 uint8 RGB, whatever the transport.

    Raises:
        BadMessage: it cannot be read.
    """
    return color_array(message) if isinstance(message, Image) else color_from_compressed(message)


def depth_metres(message: Image | CompressedImage) -> np.ndarray:
    """HxW float32 metres, NaN invalid, whatever the transport.

    Raises:
        BadMessage: it cannot be read.
    """
    return depth_array(message) if isinstance(message, Image) else depth_from_compressed(message)


class Optics:
    """Turns messages into images of pinhole cameras: decodes, undistorts, scales calibrations.

    Args:
        node: its remappings tell whether the images are rectified, if the settings do not.
        registration: its intrinsics override those of camera info; such images are used as they are.
        counts: the counter for ``calibration_changed``.
    """

    def __init__(self, node: Node, transport: TransportConfig, registration: Registration, counts: Counter) -> None:
        self._registration, self._counts, self._node = registration, counts, node
        self._depth_scale = np.float32(transport.depth_scale)
        self._rectified = {
            name: named_rectified(node.resolve_topic_name(topic))
            if transport.rectified == "auto"
            else transport.rectified == "true"
            for name, (_, topic) in (("color", transport.color), ("depth", transport.depth))
        }
        self._lenses: dict[str, Lens] = {}
        if transport.depth_transport != "raw":
            rvl.warm_up()

    def color(self, message: Image | CompressedImage, info: CameraInfo) -> tuple[np.ndarray, Camera, Camera]:
        """HxWx3 uint8 RGB, its camera, and the camera according to camera info alone.

        Raises:
            BadMessage: the image or the calibration cannot be used.
        """
        pixels = color_pixels(message)
        height, width = pixels.shape[:2]
        given = _given(self._registration.config.color_intrinsics, width, height)
        self._note("color", info)
        try:
            view = view_from_msg(info, (width, height), self._rectified["color"])
        except BadMessage:
            if given is None:
                raise
            return pixels, given, given
        return (view.color(pixels), view.camera, view.camera) if given is None else (pixels, given, view.camera)

    def depth(
        self, message: Image | CompressedImage, color_info: CameraInfo, own_info: CameraInfo | None
    ) -> tuple[np.ndarray, Camera, bool]:
        """HxW float32 metres, NaN invalid, its camera, and whether that is from its own camera info (None: colour's).

        Raises:
            BadMessage: as above.
        """
        metres = depth_metres(message)
        if self._depth_scale != 1.0:
            metres = metres * self._depth_scale
        height, width = metres.shape
        if own_info is not None and not Lens.of(own_info).calibrated:
            own_info = None
        own = own_info is not None
        config, info = self._registration.config, own_info or color_info
        intrinsics = config.depth_intrinsics if any(config.depth_intrinsics) or own else config.color_intrinsics
        given = _given(intrinsics, width, height)
        if given is not None:
            return metres, given, own
        self._note("depth" if own else "color", info)
        # Depth aligned with colour is undistorted as colour is.
        on_color = not own or Lens.of(own_info).alike(Lens.of(color_info))
        view = view_from_msg(info, (width, height), self._rectified["color" if on_color else "depth"])
        return view.depth(metres), view.camera, own

    def _note(self, name: str, info: CameraInfo) -> None:
        """Logs and counts a changed calibration."""
        lens, last = Lens.of(info), self._lenses.get(name)
        if not lens.calibrated or (last is not None and last.alike(lens)):
            return
        self._lenses[name] = lens
        if last is not None:
            self._counts["calibration_changed"] += 1
            text = f"{name} camera info has changed: focal length {last.K[0]:g}, {lens.K[0]:g} px from now on"
            self._node.get_logger().warning(text, throttle_duration_sec=10.0)


def _given(intrinsics: tuple, width: int, height: int) -> Camera | None:
    """The camera that the settings give, or None."""
    if not any(intrinsics):
        return None
    try:
        return Camera(width, height, *intrinsics)
    except InputError as error:
        raise BadMessage("intrinsics", f"registration.*_intrinsics: {error}") from None
