"""The replay node: a recorded RGB-D sequence as camera topics, TF and /clock. Knows nothing of who subscribes.

Publishes camera/color/image_raw (rgb8), camera/depth/image_raw (16UC1, 32FC1), camera/color/camera_info,
camera/depth/camera_info (if depth has a camera of its own), camera/pose (exact), odom (if wheel odometry was recorded
and poses are not given), /tf, /tf_static, /clock; all reliable. Subscribes progress: to start when the graph is ready,
to wait for it in lock-step (rate 0), to drain it at the end, and to measure latency. Exits by itself after writing its
counts to ``result``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf2_ros
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from embodied_nav.msg import CameraPose, Progress
from embodied_nav.srv import SaveMemory

from ..config import Config, param
from ..errors import InputError
from ..recordings import (
    FORMATS,
    Calibration,
    Reading,
    RecordedFrame,
    Recording,
    Topics,
    UnusableFrame,
    open_recording,
)
from ..robot import RobotProfile
from .lockstep.frames_in_flight import FramesInFlight
from .ros import params, qos
from .ros.camera_stream import DEPTH_INFO, POSE
from .ros.conversions import camera_info_msg, header, image_msg, pose_msg, time_msg, transform_msg
from .ros.lifecycle import run
from .ros.optics import COLOR, DEPTH, INFO
from .ros.service_calls import ask
from .ros.watchers import missing_watchers

#: Frames decoded ahead of time, and threads that do it.
_AHEAD, _DECODERS = 8, 2
#: Time-out (s) without any progress message.
_SILENCE = 60.0
#: Time-out (s) of the first frame: on a new machine the nodes still compile their kernels.
_FIRST = 300.0
#: Longer pauses in a recording are shortened to this (s).
_LONGEST_PAUSE = 3.0
#: Time-out (s) without progress after the last frame: longer than a TF look-up waits for a missing transform.
_QUIET = 6.0
#: TF frame of a separate depth camera.
_DEPTH_FRAME = "camera_depth_optical_frame"


@dataclass(frozen=True)
class ReplayConfig(Config):
    """What is replayed and how."""

    folder: str = param("", "folder with the recording", path=True)
    format: str = param("", "its format; empty: found by looking", choices=("", *FORMATS))
    calibration: str = param("", "fx,fy,cx,cy of the images, or a YAML file; empty: what the recording says", path=True)
    color_topic: str = param("", "of a rosbag2; empty: found by name and type")
    depth_topic: str = param("", "of a rosbag2; empty: found by name and type")
    info_topic: str = param("", "of a rosbag2; empty: found by name and type")
    rate: float = param(1.0, "speed; 0 waits for every frame to be through", low=0.0, high=100.0)
    max_frames: int = param(0, "frames at most; 0 is all", low=0)
    result: str = param("", "JSON file for the counts; empty: none", path=True)
    poses: bool = param(True, "publish the recorded poses; else a SLAM has to find them")
    nodes: tuple = param(("keyframe", "memory"), "nodes whose progress on frames is waited for")
    sync_slop: float = param(0.02, "colour and depth this near in time are one frame", unit="s", low=0.0, high=0.5)
    depth_scale: float = param(0.0, "what depth is multiplied with; 0: by 1, if it can be metres", low=0.0, high=1e6)
    map_frame: str = param("", "of a bag's TF; empty: found by name")
    odom_frame: str = param("", "of a bag's TF; empty: found by name")


class ReplayNode(qos.Overridable, Node):
    """Publishes the recording from a thread of its own; the executor takes in progress messages."""

    def __init__(self) -> None:
        super().__init__("replay")
        self._config = params.declare(self, ReplayConfig)
        self._robot = params.declare(self, RobotProfile, "robot")
        self._recording = _opened(self._config)
        self.finished = False
        self.exit_code = 0
        self.error: InputError | None = None
        self._stopping = threading.Event()
        self._in_flight = FramesInFlight(self._config.nodes)
        self._color = self.create_publisher(Image, COLOR, qos.reliable(10))
        self._depth = self.create_publisher(Image, DEPTH, qos.reliable(10))
        self._info = self.create_publisher(CameraInfo, INFO, qos.reliable(10))
        self._depth_info = self.create_publisher(CameraInfo, DEPTH_INFO, qos.reliable(10))
        self._odom = self.create_publisher(Odometry, "odom", qos.reliable(10))
        self._pose = self.create_publisher(CameraPose, POSE, qos.reliable(10))
        self._clock_out = self.create_publisher(Clock, "/clock", qos.reliable(10))
        self._tf = tf2_ros.TransformBroadcaster(self)
        self._static = tf2_ros.StaticTransformBroadcaster(self)
        profile = qos.handover(self._config.rate == 0.0, 1000)
        self.create_subscription(Progress, "progress", self._in_flight.progress, profile)
        self._save = self.create_client(SaveMemory, "memory/save")
        self._told = 0.0
        self._first = self._published = 0
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Starts publishing."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        try:
            self._replay()
        except InputError as error:
            self.error = error
        except Exception as error:
            self.get_logger().fatal(f"replay failed: {type(error).__name__}: {error}")
            self.exit_code = 1
        finally:
            self.finished = True

    def _replay(self) -> None:
        self._publish_static()
        if not self._wait_for_listeners():
            return
        prefetch = Prefetch(self._recording)
        self._origin = time.monotonic()  # the steady time at which the first stamp is due
        last: int | None = None
        try:
            for index, frame in prefetch:
                if self._stopping.is_set():
                    return
                if frame is None:
                    continue
                self._publish_paced(last, frame)
                if last is None:
                    # The first frame waits for the graph to be warm (compiled kernels, matched topics).
                    self._wait_for_nodes(frame.stamp, _FIRST)
                    started = self._origin = time.monotonic()
                    self._first = frame.stamp
                elif self._config.rate == 0.0:
                    self._wait_for_nodes(frame.stamp, _SILENCE)
                last = frame.stamp
                self._published += 1
                self._tell(index + 1)
        finally:
            prefetch.close()
        if last is None:
            return
        self._in_flight.wait_all(_QUIET)
        seconds = self._in_flight.last_progress - started
        self._save_memory()
        self._write_result(seconds)

    def _publish_paced(self, last: int | None, frame: RecordedFrame) -> None:
        messages = self._messages(frame)
        if last is not None and self._config.rate:
            pause = (frame.stamp - last) * 1e-9 - _LONGEST_PAUSE
            if pause > 0:
                print(f"a pause of {pause + _LONGEST_PAUSE:.0f} s in the recording is played as {_LONGEST_PAUSE:.0f} s",
                      flush=True)  # fmt: skip
                self._origin -= pause / self._config.rate
            due = self._origin + (frame.stamp - self._first) * 1e-9 / self._config.rate
            self._sleep_with_clock(frame.stamp, due)
        self._clock_out.publish(Clock(clock=time_msg(frame.stamp)))
        self._in_flight.published(frame.stamp)
        if self._config.poses:
            self._publish_pose(frame)
        elif frame.T_odom_camera is not None:
            self._publish_odometry(frame)
        for publisher, message in messages:
            publisher.publish(message)

    def _messages(self, frame: RecordedFrame) -> tuple:
        recording, head = self._recording, header(frame.stamp, self._robot.camera_frame)
        own = recording.depth_camera is not None
        depth_head = header(frame.stamp, _DEPTH_FRAME) if own else head
        depth = image_msg(frame.depth, "16UC1" if frame.depth.dtype == np.uint16 else "32FC1", depth_head)
        return (
            *([(self._depth_info, camera_info_msg(recording.depth_camera, depth_head))] if own else []),
            (self._info, camera_info_msg(recording.camera, head)),
            (self._depth, depth),
            (self._color, image_msg(frame.color, "rgb8", head)),
        )

    def _publish_odometry(self, frame: RecordedFrame) -> None:
        """Publishes wheel odometry of the camera, which here coincides with base_link."""
        robot, T = self._robot, frame.T_odom_camera
        self._tf.sendTransform(transform_msg(T, frame.stamp, robot.odom_frame, robot.base_frame))
        message = Odometry(header=header(frame.stamp, robot.odom_frame), child_frame_id=robot.base_frame)
        message.pose.pose = pose_msg(T)
        self._odom.publish(message)

    def _publish_pose(self, frame: RecordedFrame) -> None:
        robot = self._robot
        T_odom_base = frame.T_map_camera @ np.linalg.inv(self._T_base_camera)
        self._tf.sendTransform(transform_msg(T_odom_base, frame.stamp, robot.odom_frame, robot.base_frame))
        self._pose.publish(
            CameraPose(
                header=header(frame.stamp, robot.map_frame),
                child_frame_id=robot.camera_frame,
                matrix=frame.T_map_camera.ravel(),
            )
        )

    def _sleep_with_clock(self, next_stamp: int, due: float) -> None:
        """Sleeps until ``due`` (steady s) while publishing /clock at 100 Hz."""
        while (left := due - time.monotonic()) > 0 and not self._stopping.is_set():
            if left > 0.012:
                now = next_stamp - int(left * self._config.rate * 1e9)
                self._clock_out.publish(Clock(clock=time_msg(max(0, now))))
            time.sleep(min(left, 0.01))

    def _publish_static(self) -> None:
        """Publishes base_link = camera (the camera is hand-held); with recorded poses also map = odom."""
        robot = self._robot
        self._T_base_camera = np.eye(4)
        transforms = [transform_msg(self._T_base_camera, 0, robot.base_frame, robot.camera_frame)]
        if self._config.poses:
            transforms.append(transform_msg(np.eye(4), 0, robot.map_frame, robot.odom_frame))
        if self._recording.depth_camera is not None:
            transforms.append(transform_msg(self._recording.T_color_depth, 0, robot.camera_frame, _DEPTH_FRAME))
        self._static.sendTransform(transforms)

    def _wait_for_listeners(self) -> bool:
        """Waits until the named nodes have subscribed to every topic."""
        topics = (COLOR, DEPTH, INFO, DEPTH_INFO, "/tf", *((POSE,) if self._config.poses else ()))
        wanted, told = dict.fromkeys(topics, self._config.nodes), False
        begun = time.monotonic()
        while not self._stopping.is_set():
            missing = missing_watchers(self, wanted)
            if not missing:
                return True
            waited = time.monotonic() - begun
            if not told and waited > 10.0:
                told = True
                print("waiting for the nodes; on a new machine they compile their kernels, once", flush=True)
            self._must(waited < _FIRST, f"waited {_FIRST:.0f} s for {'; '.join(missing)}")
            time.sleep(0.02)
        return False

    def _tell(self, done: int) -> None:
        """Prints a status line every 2 s and at the end."""
        if done == len(self._recording) or time.monotonic() - self._told > 2.0:
            self._told = time.monotonic()
            print(f"frame {done} of {len(self._recording)}, {self._in_flight.keyframes} keyframes", flush=True)

    def _save_memory(self) -> None:
        """Calls memory/save to the configured file and waits, however long it takes."""
        if not self._save.service_is_ready():
            return
        done = threading.Event()
        ask(self, self._save, SaveMemory.Request(), lambda _: done.set(), patience=_SILENCE)
        while not done.wait(0.1) and not self._stopping.is_set():
            pass

    def _wait_for_nodes(self, stamp: int, seconds: float) -> None:
        """Waits until all nodes have finished a frame."""
        if not self._in_flight.wait_frame(stamp, seconds):
            late = ", ".join(self._in_flight.waiting_for(stamp))
            self._must(False, f"nothing from {late} for {seconds:.0f} s about the frame of {stamp * 1e-9:.3f} s")

    def _must(self, condition: bool, text: str) -> None:
        if not condition and not self._stopping.is_set():
            raise RuntimeError(text)

    def _write_result(self, seconds: float) -> None:
        if not self._config.result:
            return
        in_flight, total = self._in_flight, self._published
        result = {
            "frames": total,
            "keyframes": in_flight.keyframes,
            "dropped": total - in_flight.frames["keyframe"],
            "dropped_by_memory": total - in_flight.frames["memory"],
            "left_out": dict(self._recording.losses.counts),
            "wall_time_s": round(seconds, 3),
            "latency_ms": in_flight.latencies_ms(),
        }
        Path(self._config.result).write_text(json.dumps(result), encoding="utf-8")


def _opened(config: ReplayConfig) -> Recording:
    calibration = Calibration.read(config.calibration) if config.calibration else None
    topics = Topics(config.color_topic, config.depth_topic, config.info_topic)
    scale = config.depth_scale or None
    reading = Reading(config.sync_slop, scale, config.map_frame, config.odom_frame)
    recording = open_recording(config.folder, config.format, config.max_frames or None, calibration, topics, reading)
    if config.poses and recording.poses is None:
        raise InputError(f"{config.folder}: {recording.why_no_poses}; let a SLAM find them")
    return recording


class Prefetch:
    """(index, frame) of a recording in order, decoded ahead of time by a few threads; the frame is None where it cannot
    be read, which is counted among the recording's losses.

    Raises:
        InputError: too many frames cannot be read.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._frames = len(recording) + recording.skipped
        self._pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self._futures: deque[Future] = deque()
        self._next = 0

    def __iter__(self) -> Prefetch:
        return self

    def __next__(self) -> tuple[int, RecordedFrame | None]:
        while self._next < len(self._recording) and len(self._futures) < _AHEAD:
            self._futures.append(self._pool.submit(self._recording.read, self._next))
            self._next += 1
        if not self._futures:
            raise StopIteration
        index = self._next - len(self._futures)
        try:
            return index, self._futures.popleft().result()
        except UnusableFrame as error:
            self._recording.losses.damaged("damaged images", str(error))
            self._recording.losses.check(self._frames)
            return index, None

    def close(self) -> None:
        """Ends the threads and drops the frames decoded so far."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(ReplayNode, args)


if __name__ == "__main__":
    sys.exit(main())
