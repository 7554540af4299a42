"""The replay node: a recorded RGB-D sequence as camera topics, TF and /clock. Knows nothing of who listens.

Publishes camera/color/image_raw (rgb8), camera/depth/image_raw (16UC1, 32FC1), camera/color/camera_info, for depth of a
camera of its own camera/depth/camera_info, camera/pose (exact), odom (where wheels were recorded and poses are not
given), /tf, /tf_static, /clock; all reliably. Subscribes progress: to start when the graph is ready, to wait for it in
lock-step (rate 0), to drain it at the end, and to measure. Ends by itself, writing what it counted to ``result``.
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
from ..recordings import FORMATS, Calibration, RecordedFrame, Recording, Topics, open_recording
from ..robot import RobotProfile
from . import params, qos
from .asking import ask
from .camera_input import COLOR, DEPTH, DEPTH_INFO, INFO, POSE
from .conversions import camera_info_msg, header, image_msg, pose_msg, time_msg, transform_msg
from .ledger import Ledger
from .lifecycle import run
from .watchers import missing_watchers

#: Frames decoded ahead of time, and threads that do it.
_AHEAD, _DECODERS = 8, 2
#: Seconds without any progress after which waiting ends.
_SILENCE = 60.0
#: Seconds that the first frame may take: on a new machine the nodes compile their kernels.
_FIRST = 300.0
#: Frame of a depth camera of its own.
_DEPTH_FRAME = "camera_depth_optical_frame"


@dataclass(frozen=True)
class ReplayConfig(Config):
    """What is replayed and how."""

    folder: str = param("", "folder with the recording")
    format: str = param("", "its format; empty: found by looking", choices=("", *FORMATS))
    calibration: str = param("", "fx,fy,cx,cy of the images, or a YAML file; empty: what the recording says")
    color_topic: str = param("", "of a rosbag2; empty: found by name and type")
    depth_topic: str = param("", "of a rosbag2; empty: found by name and type")
    info_topic: str = param("", "of a rosbag2; empty: found by name and type")
    rate: float = param(1.0, "speed; 0 waits for every frame to be through", low=0.0, high=100.0)
    max_frames: int = param(0, "frames at most; 0 is all", low=0)
    result: str = param("", "JSON file for the counts; empty: none")
    poses: bool = param(True, "publish the recorded poses; else a SLAM has to find them")
    nodes: tuple = param(("keyframe", "memory"), "nodes whose progress on frames is waited for")


class ReplayNode(Node):
    """Publishes the recording from a thread of its own; the executor hears the progress."""

    def __init__(self) -> None:
        super().__init__("replay")
        self._config = params.declare(self, ReplayConfig)
        self._robot = params.declare(self, RobotProfile, "robot")
        self._recording = _opened(self._config)
        self.finished = False
        self.exit_code = 0
        self.error: InputError | None = None
        self._stopping = threading.Event()
        self._ledger = Ledger(self._config.nodes)
        self._color = self.create_publisher(Image, COLOR, qos.reliable(10))
        self._depth = self.create_publisher(Image, DEPTH, qos.reliable(10))
        self._info = self.create_publisher(CameraInfo, INFO, qos.reliable(10))
        self._depth_info = self.create_publisher(CameraInfo, DEPTH_INFO, qos.reliable(10))
        self._odom = self.create_publisher(Odometry, "odom", qos.reliable(10))
        self._pose = self.create_publisher(CameraPose, POSE, qos.reliable(10))
        self._clock = self.create_publisher(Clock, "/clock", qos.reliable(10))
        self._tf = tf2_ros.TransformBroadcaster(self)
        self._static = tf2_ros.StaticTransformBroadcaster(self)
        profile = qos.handover(self._config.rate == 0.0, 1000)
        self.create_subscription(Progress, "progress", self._ledger.progress, profile)
        self._save = self.create_client(SaveMemory, "memory/save")
        self._told = 0.0
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Begins to publish."""
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
        started = time.monotonic()
        prefetch = Prefetch(self._recording)
        try:
            for index, frame in enumerate(prefetch):
                if self._stopping.is_set():
                    return
                self._publish_paced(index, frame, started)
                if index == 0:
                    # The first frame waits for the graph to be warm (compiled kernels, matched topics).
                    self._wait_for_nodes(frame.stamp, _FIRST)
                    started = time.monotonic()
                elif self._config.rate == 0.0:
                    self._wait_for_nodes(frame.stamp, _SILENCE)
                self._tell(index + 1)
        finally:
            prefetch.close()
        self._ledger.wait_all(2.0)
        seconds = self._ledger.last_progress - started
        self._save_memory()
        self._write_result(seconds)

    def _publish_paced(self, index: int, frame: RecordedFrame, started: float) -> None:
        first = self._recording.stamps[0]
        messages = self._messages(frame)
        if index and self._config.rate:
            due = started + (frame.stamp - first) * 1e-9 / self._config.rate
            self._sleep_with_clock(frame.stamp, due)
        self._clock.publish(Clock(clock=time_msg(frame.stamp)))
        self._ledger.published(frame.stamp)
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
        """Wheel odometry of the camera, which is its own base here."""
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
        """Sleeps until ``due`` (steady s); /clock goes on at 100 Hz meanwhile."""
        while (left := due - time.monotonic()) > 0 and not self._stopping.is_set():
            if left > 0.012:
                now = next_stamp - int(left * self._config.rate * 1e9)
                self._clock.publish(Clock(clock=time_msg(max(0, now))))
            time.sleep(min(left, 0.01))

    def _publish_static(self) -> None:
        """The camera at base_link, for a hand-held camera is its own base; with recorded poses also map = odom."""
        robot = self._robot
        self._T_base_camera = np.eye(4)
        transforms = [transform_msg(self._T_base_camera, 0, robot.base_frame, robot.camera_frame)]
        if self._config.poses:
            transforms.append(transform_msg(np.eye(4), 0, robot.map_frame, robot.odom_frame))
        if self._recording.depth_camera is not None:
            transforms.append(transform_msg(self._recording.T_color_depth, 0, robot.camera_frame, _DEPTH_FRAME))
        self._static.sendTransform(transforms)

    def _wait_for_listeners(self) -> bool:
        """Waits until the nodes that are named listen to every topic."""
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
        """A line for the terminal, every 2 s and at the end."""
        if done == len(self._recording) or time.monotonic() - self._told > 2.0:
            self._told = time.monotonic()
            print(f"frame {done} of {len(self._recording)}, {self._ledger.keyframes} keyframes", flush=True)

    def _save_memory(self) -> None:
        """Asks the memory to save where it is configured to, however long that takes."""
        if not self._save.service_is_ready():
            return
        done = threading.Event()
        ask(self, self._save, SaveMemory.Request(), lambda _: done.set(), patience=_SILENCE)
        while not done.wait(0.1) and not self._stopping.is_set():
            pass

    def _wait_for_nodes(self, stamp: int, seconds: float) -> None:
        """Until all are through with a frame."""
        if not self._ledger.wait_frame(stamp, seconds):
            late = ", ".join(self._ledger.waiting_for(stamp))
            self._must(False, f"nothing from {late} for {seconds:.0f} s about the frame of {stamp * 1e-9:.3f} s")

    def _must(self, condition: bool, text: str) -> None:
        if not condition and not self._stopping.is_set():
            raise RuntimeError(text)

    def _write_result(self, seconds: float) -> None:
        if not self._config.result:
            return
        ledger, total = self._ledger, len(self._recording)
        result = {
            "frames": total,
            "keyframes": ledger.keyframes,
            "dropped": total - ledger.frames["keyframe"],
            "dropped_by_memory": total - ledger.frames["memory"],
            "wall_time_s": round(seconds, 3),
            "latency_ms": ledger.latencies_ms(),
        }
        Path(self._config.result).write_text(json.dumps(result), encoding="utf-8")


def _opened(config: ReplayConfig) -> Recording:
    calibration = Calibration.read(config.calibration) if config.calibration else None
    topics = Topics(config.color_topic, config.depth_topic, config.info_topic)
    recording = open_recording(config.folder, config.format, config.max_frames or None, calibration, topics)
    if config.poses and recording.poses is None:
        raise InputError(f"{config.folder}: tells no poses in a map; let a SLAM find them")
    return recording


class Prefetch:
    """The frames of a recording in order, decoded ahead of time by a few threads."""

    def __init__(self, recording) -> None:
        self._recording = recording
        self._pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self._futures: deque[Future] = deque()
        self._next = 0

    def __iter__(self) -> Prefetch:
        return self

    def __next__(self) -> RecordedFrame:
        while self._next < len(self._recording) and len(self._futures) < _AHEAD:
            self._futures.append(self._pool.submit(self._recording.read, self._next))
            self._next += 1
        if not self._futures:
            raise StopIteration
        return self._futures.popleft().result()

    def close(self) -> None:
        """Ends the threads; frames not asked for are forgotten."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(ReplayNode, args)


if __name__ == "__main__":
    sys.exit(main())
