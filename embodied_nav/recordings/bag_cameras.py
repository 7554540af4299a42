"""Matches a bag's CameraInfo to its images: from when it applies, and their camera. Knows no messages, no poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InputError
from ..geometry import Camera
from ..geometry.lens import Lens, Uncalibrated, View, named_rectified
from .bag_images import Entry
from .frame import Calibration
from .topics import Topics

#: A camera info also applies to images written up to this long (ns) before it.
_LATE = 20_000_000


@dataclass(frozen=True)
class Info:
    """A CameraInfo: its topic, the time it was recorded (ns), frame and calibration."""

    topic: str
    logged: int
    frame: str
    lens: Lens


class BagCameras:
    """The cameras of a bag's colour and depth images.

    Args:
        where: the bag's name, for errors. infos: each camera's, one per change. calibration: the user's, which takes
            precedence; images whose intrinsics the user gives are not undistorted.
    """

    def __init__(self, where: str, topics: Topics, infos: list[Info], calibration: Calibration) -> None:
        self._where, self._topics, self._calibration = where, topics, calibration
        self._infos = [info for info in infos if info.topic == topics.info]
        self._own_infos = [info for info in infos if info.topic == topics.depth_info]
        self._color = next((info for info in self._infos if info.lens.calibrated), None)

    def fitting(self, color: list[Entry]) -> tuple[list[Entry], list[Entry]]:
        """The colour images with the first calibration, and those with another one, with their faults.

        Images from before it, of a driver that sent zeros first, are in neither list.
        """
        first = self._color
        if self._calibration.color or first is None:
            return color, []
        zeros = any(info.logged < first.logged for info in self._infos)
        good, bad = [], []
        for entry in color:
            if zeros and entry.logged < first.logged - _LATE:
                continue
            now = next((i for i in reversed(self._infos) if i.logged <= entry.logged + _LATE), first)
            if now.lens.calibrated and not first.lens.alike(now.lens):
                text = f"{self._topics.info} changed from focal length {first.lens.K[0]:g} to {now.lens.K[0]:g} px"
                bad.append(replace(entry, fault=f"{text}; split the bag there, or give --calibration"))
            else:
                good.append(entry)
        if not good:
            raise InputError(f"{self._where}: {self._topics.info} is zero until the last image; give --calibration")
        return good, bad

    def color(self, entry: Entry) -> View:
        """The pinhole view of colour images like this one.

        Raises:
            InputError: no calibration, or one for other images.
        """
        if self._calibration.color:
            return View(Camera(*entry.size, *self._calibration.color))
        if not self._infos:
            what = f"{self._topics.info} is empty and" if self._topics.info else "no CameraInfo"
            raise InputError(f"{self._where}: {what} tells nothing of the colour camera; give --calibration")
        info = self._color or self._infos[0]
        return self._view(info.topic, info.lens, entry.size, self._rectified)

    @property
    def _rectified(self) -> bool:
        return named_rectified(self._topics.color)

    def depth(self, entry: Entry, color: View) -> tuple[View, bool]:
        """The pinhole view of depth images like this one, and whether it is from depth's own CameraInfo."""
        given = self._calibration
        own = self._own(entry)
        if given.depth:
            return View(Camera(*entry.size, *given.depth)), own is not None
        if own is not None:
            alike = self._color is not None and own.lens.alike(self._color.lens)
            rectified = self._rectified if alike else named_rectified(self._topics.depth)
            return self._view(own.topic, own.lens, entry.size, rectified), True
        if entry.size == (color.camera.width, color.camera.height):
            return color, False
        return View(color.camera.resized(*entry.size)), False

    def _own(self, entry: Entry) -> Info | None:
        """Depth's own CameraInfo, in the image's frame: drivers that align depth still send the raw camera's."""
        for info in self._own_infos:
            if info.lens.calibrated and not (info.frame and entry.frame and info.frame != entry.frame):
                return info
        return None

    def _view(self, topic: str, lens: Lens, size: tuple[int, int], rectified: bool) -> View:
        try:
            return lens.view(size, rectified)
        except Uncalibrated as error:
            raise Uncalibrated(f"{self._where}: {topic}: {error}") from None
        except InputError as error:
            raise InputError(f"{self._where}: {topic}: {error}") from None
