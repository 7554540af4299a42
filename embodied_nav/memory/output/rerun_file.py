"""A memory as a recording of Rerun (.rrd): voxels, objects, rooms, and the keyframes along time. Knows no viewer.

Needs the SDK (extra ``rerun``); nothing is started and nothing is sent anywhere: it writes one file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InputError
from ...frames import MemoryObject
from ...resources import how_to_install
from ...rooms import Rooms
from ..config import MemoryConfig
from ..records import KeyframeRecord, VoxelView


class Recorded(Protocol):
    """What is written, such as a ``SpatialMemory``."""

    @property
    def uuid(self) -> str: ...

    @property
    def config(self) -> MemoryConfig: ...

    @property
    def keyframes(self) -> Mapping[int, KeyframeRecord]: ...

    def voxels(self) -> VoxelView: ...

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]: ...

    def rooms(self) -> Rooms: ...

    def room_names(self) -> dict[int, str]: ...


_GONE, _PRESENT = (140, 140, 140), (255, 190, 40)
#: Name of the timeline: the keyframes' stamps.
TIMELINE = "stamp"


def rerun() -> Any:
    """The SDK.

    Raises:
        InputError: it is not installed, or what it needs is not.
    """
    try:
        import rerun as library
    except ImportError as error:
        what = "rerun-sdk" if (getattr(error, "name", "") or "rerun").startswith("rerun") else error
        raise InputError(f"a .rrd file needs {what}, which is not installed; {how_to_install('rerun')}") from None
    return library


def write_rrd(path: str | Path, memory: Recorded) -> int:
    """Writes the recording, whole or not at all; returns how many voxels it shows.

    Entities: ``map/voxels``, ``map/objects`` (boxes with names, gone ones grey), ``map/rooms`` and ``map/way`` for all
    times; ``map/camera`` (pose) and ``map/camera/image`` (picture) at each keyframe's stamp.

    Raises:
        InputError: the SDK is missing, or the place cannot be written.
    """
    library, path = rerun(), Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    voxels = memory.voxels()
    try:
        temporary.touch()
        recording = library.RecordingStream("embodied_nav", recording_id=memory.uuid or None)
        recording.save(temporary)
        _log_map(library, recording, memory, voxels)
        _log_keyframes(library, recording, [memory.keyframes[i] for i in sorted(memory.keyframes)])
        recording.flush()
        recording.disconnect()
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a writable place with room") from None
    finally:
        temporary.unlink(missing_ok=True)
    return len(voxels)


def _log_map(library: Any, recording: Any, memory: Recorded, voxels: VoxelView) -> None:
    """What holds for all times."""
    recording.log("map", library.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    half = memory.config.voxel_size / 2
    recording.log("map/voxels", library.Points3D(voxels.positions, colors=voxels.colors, radii=half), static=True)
    objects = memory.objects(include_gone=True)
    if objects:
        boxes = library.Boxes3D(
            centers=[o.position for o in objects],
            half_sizes=[np.maximum(o.extent, 0.02) / 2 for o in objects],
            labels=[o.name + (" (gone)" if o.status == "gone" else "") for o in objects],
            colors=[_GONE if o.status == "gone" else _PRESENT for o in objects],
        )
        recording.log("map/objects", boxes, static=True)
    rooms, names = memory.rooms().rooms, memory.room_names()
    if rooms:
        places = [(*room.middle, 0.1) for room in rooms]
        labels = [names.get(room.id) or f"room {room.id}" for room in rooms]
        recording.log("map/rooms", library.Points3D(places, labels=labels, radii=0.1), static=True)


def _log_keyframes(library: Any, recording: Any, keyframes: list[KeyframeRecord]) -> None:
    """Poses and pictures along time, and the way through all of them."""
    if not keyframes:
        return
    way = np.array([k.T_map_camera[:3, 3] for k in keyframes])
    recording.log("map/way", library.LineStrips3D([way]), static=True)
    for keyframe in keyframes:
        recording.set_time(TIMELINE, timestamp=np.datetime64(keyframe.stamp, "ns"))
        T = keyframe.T_map_camera
        recording.log("map/camera", library.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
        if len(keyframe.thumbnail):
            image = library.EncodedImage(contents=bytes(keyframe.thumbnail), media_type="image/jpeg")
            recording.log("map/camera/image", image)
