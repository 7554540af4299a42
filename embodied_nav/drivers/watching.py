"""Watches a recording or a video without driving: keyframes, perception, memory, as the agent does. Knows no ROS.

memory = watch_recording(open_recording("kitchen/"), create("detector", ...))
deltas = watch_video(video_frames("walk.mp4"), create("detector", ...))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import InputError
from ..frames import Keyframe, RGBDFrame, SemanticDelta
from ..geometry.registration import registered_depth
from ..keyframes import KeyframeConfig, KeyframeGate
from ..memory import SpatialMemory
from ..perception import PerceptionBackend, PerceptionError
from ..perception.color_only import ColorOnlyPerception
from ..recordings import Recording, UnusableFrame
from ..recordings.sequence import metres

Progress = Callable[[int, int], object]


def watch_recording(recording: Recording, perception: PerceptionBackend, told: Progress | None = None) -> SpatialMemory:
    """The memory of a recorded RGB-D sequence with poses; a keyframe that perception cannot process is passed over.

    Args:
        told: called with (frames done, frames in all).

    Raises:
        InputError: a recording without poses, or none of whose keyframes perception could process.
    """
    if recording.poses is None:
        raise InputError(
            f"{recording.folder}: {recording.why_no_poses}; find them by 'embodied-nav replay --slam own', then ask "
            "its memory.db"
        )
    memory, eyes = SpatialMemory(), _Eyes(perception)
    for index in range(len(recording)):
        frame = _frame(recording, index)
        if frame is not None:
            memory.integrate(frame)
            keyframe = eyes.look(frame)
            if keyframe is not None:
                memory.add_keyframe(keyframe)
                if (delta := eyes.describe(keyframe)) is not None:
                    memory.add_delta(delta)
        if told is not None:
            told(index + 1, len(recording))
    eyes.check()
    return memory


def watch_video(frames: Iterable[RGBDFrame], perception: object, told: Progress | None = None) -> list[SemanticDelta]:
    """What perception says of the keyframes of a video; ORB alone chooses them, since there is no depth and no pose.

    Args:
        frames: without depth, their poses NaN. told: called with (frames done, 0).

    Raises:
        InputError: perception needs depth, or could process no keyframe.
    """
    eyes = _Eyes(ColorOnlyPerception(perception))
    deltas = []
    for index, frame in enumerate(frames):
        keyframe = eyes.look(frame)
        if keyframe is not None and (delta := eyes.describe(keyframe)) is not None:
            deltas.append(delta)
        if told is not None:
            told(index + 1, 0)
    eyes.check()
    return deltas


class _Eyes:
    """Keyframe gate and perception; the reasons of what failed are kept."""

    def __init__(self, perception: PerceptionBackend) -> None:
        self._gate, self._perception = KeyframeGate(KeyframeConfig()), perception
        self._previous: Keyframe | None = None
        self._described, self._failed = 0, ""

    def look(self, frame: RGBDFrame) -> Keyframe | None:
        """The frame as a keyframe, if it is one."""
        return self._gate.process(frame)

    def describe(self, keyframe: Keyframe) -> SemanticDelta | None:
        """What perception says; None where it fails."""
        try:
            delta = self._perception.perceive(self._previous, keyframe, "")
        except PerceptionError as error:
            self._failed = str(error)
            return None
        self._previous = keyframe
        self._described += 1
        return delta

    def check(self) -> None:
        """Raises InputError where no keyframe could be described."""
        if not self._described:
            why = f": {self._failed}" if self._failed else ""
            raise InputError(f"perception '{self._perception.name}' could describe none of the keyframes{why}")


def _frame(recording: Recording, index: int) -> RGBDFrame | None:
    """A frame with depth at colour's pixels; None for one that cannot be read."""
    try:
        read = recording.read(index)
    except UnusableFrame as error:
        recording.losses.damaged("damaged images", str(error))
        recording.losses.check(len(recording) + recording.skipped)
        return None
    assert read.T_map_camera is not None
    depth = metres(read.depth)
    if recording.depth_camera is not None:
        depth = registered_depth(depth, recording.depth_camera, recording.camera, recording.T_color_depth)
    return RGBDFrame(read.stamp, recording.camera, read.T_map_camera, read.color, depth)
