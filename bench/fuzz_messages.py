"""Who reads messages: functions, and whole nodes fed in-process."""

from __future__ import annotations

import gc
import inspect
import math
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from fuzz_samples import Samples, mutate
from fuzz_targets import Target, Wrong

from embodied_nav.errors import InputError


def _check_image(pixels: np.ndarray, message: object, depth: bool) -> None:
    shape = (message.height, message.width) if hasattr(message, "height") else pixels.shape[:2]
    if pixels.shape[:2] != shape or pixels.size == 0:
        raise Wrong(f"{pixels.shape} of a message that says {shape}")
    if depth:
        valid = pixels[~np.isnan(pixels)]
        if pixels.dtype != np.float32 or pixels.ndim != 2 or not (valid > 0).all() or np.isinf(valid).any():
            raise Wrong(
                f"depth {pixels.dtype}, {pixels.ndim} axes, from {valid.min(initial=1)} to {valid.max(initial=0)}"
            )
    elif pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise Wrong(f"colour {pixels.dtype} {pixels.shape}")


def _color(message: object) -> None:
    from embodied_nav.nodes.ros.optics import color_pixels

    _check_image(color_pixels(message), message, False)


def _depth(message: object) -> None:
    from embodied_nav.nodes.ros.optics import depth_metres

    _check_image(depth_metres(message), message, True)


def _info(message: object) -> None:
    from embodied_nav.nodes.ros.conversions import camera_from_msg

    _check_camera(camera_from_msg(message))


def _check_camera(camera) -> None:
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not np.isfinite(numbers).all() or camera.fx <= 0 or camera.fy <= 0 or camera.width < 1 or camera.height < 1:
        raise Wrong(f"a camera of {camera}")


def _pose(message: object) -> None:
    from embodied_nav.geometry import is_rigid
    from embodied_nav.nodes.ros.conversions import matrix_from_pose

    T = matrix_from_pose(message.pose.pose)
    if np.isfinite(T).all() and not is_rigid(T):
        raise Wrong("a finite pose that is not rigid")


def _transforms(message: object) -> None:
    from embodied_nav.geometry import is_rigid
    from embodied_nav.nodes.ros.conversions import matrix_from_transform

    for one in message.transforms:
        T = matrix_from_transform(one.transform)
        if np.isfinite(T).all() and not is_rigid(T):
            raise Wrong("a finite transform that is not rigid")


def _slam_path(message: object) -> None:
    from embodied_nav.nodes.ros.slam_path import path_poses

    stamps, poses = path_poses(message, "map")
    if len(stamps) != len(poses) or not np.isfinite(poses).all():
        raise Wrong("poses without numbers")


def _scan(message: object) -> None:
    from embodied_nav.nodes.ros.conversions import scan_beams
    from embodied_nav.planning.scan_layer import ScanLayer

    ranges, angles = scan_beams(message)
    if ranges.shape != angles.shape or (ranges < 0).any():
        raise Wrong(f"{ranges.shape} ranges, {angles.shape} angles, least {np.nanmin(ranges, initial=0)}")
    ScanLayer(0.05).add(ranges, angles, np.eye(4))


def _twist(message: object) -> None:
    from embodied_nav.nodes.ros.conversions import velocity_from_twist

    velocity = velocity_from_twist(message)
    if not (math.isfinite(velocity.linear) and math.isfinite(velocity.angular)):
        raise Wrong(f"a velocity of {velocity}")


def _keyframe(message: object) -> None:
    from embodied_nav.nodes.ros.conversions import keyframe_from_msg

    frame = keyframe_from_msg(message).frame
    _check_camera(frame.camera)
    if frame.depth is not None:
        _check_image(frame.depth, message.depth, True)
    if frame.color is not None:
        _check_image(frame.color, message.color, False)


def _reader(name: str) -> Callable[[object], None]:
    def read(message: object) -> None:
        from embodied_nav.nodes.ros import conversions

        getattr(conversions, name)(message)

    return read


def _identity(message: object) -> None:
    from embodied_nav.nodes.ros.map_identity import identity_from_msg

    identity_from_msg(message)


#: (row, sample, reader).
_FUNCTIONS = (
    ("Image, colour", "color_image", _color), ("Image, depth 32FC1", "depth_image", _depth),
    ("Image, depth 16UC1", "millimetre_image", _depth), ("CompressedImage, colour", "color_compressed", _color),
    ("CompressedImage, depth", "depth_compressed", _depth), ("CameraInfo", "info", _info),
    ("Odometry", "odometry", _pose), ("TFMessage", "tf", _transforms), ("Path, slam", "slam_path", _slam_path),
    ("LaserScan", "scan", _scan), ("Twist", "twist", _twist), ("Keyframe", "keyframe", _keyframe),
    ("SemanticDelta", "delta", _reader("delta_from_msg")), ("ObjectArray", "objects", _reader("objects_from_msg")),
    ("OccupancyGrid", "grid", _reader("grid_from_msg")), ("GridCells", "cells", _reader("cells_array")),
    ("MapIdentity", "identity", _identity),
)  # fmt: skip


def _of_function(sample: str, read: Callable[[object], None]) -> Callable[[], Callable]:
    def prepare():
        samples = Samples()
        read(getattr(samples, sample)())
        return lambda rng: read(mutate(getattr(samples, sample)(), rng))

    return prepare


def _frames() -> Callable[[np.random.Generator], None]:
    """Whole frames, as the nodes make them, through the checker into a map: nothing may get in that is no frame."""
    from embodied_nav.frame_checks import FrameChecker
    from embodied_nav.frames import RGBDFrame
    from embodied_nav.geometry import is_rigid
    from embodied_nav.memory import MemoryConfig, SpatialMemory
    from embodied_nav.nodes.ros.conversions import camera_from_msg, matrix_from_pose
    from embodied_nav.nodes.ros.optics import color_pixels, depth_metres

    samples = Samples()

    def try_one(rng: np.random.Generator) -> None:
        odometry, checker, memory = samples.odometry(), FrameChecker(), SpatialMemory(MemoryConfig())
        messages = [samples.color_image(), samples.depth_image(), samples.info(), odometry]
        which = int(rng.integers(len(messages)))
        messages[which] = mutate(messages[which], rng)
        color, depth, info, odometry = messages
        T = matrix_from_pose(odometry.pose.pose)
        frame = RGBDFrame(samples.stamp, camera_from_msg(info), T, color_pixels(color), depth_metres(depth))
        fault = checker.check(frame)
        if fault:
            raise InputError(fault)
        if not is_rigid(frame.T_map_camera) or frame.depth.shape != frame.color.shape[:2]:
            raise Wrong(f"a frame of {frame.depth.shape} at {frame.T_map_camera.tolist()}")
        memory.integrate(frame)
        if len(memory) > 4 * frame.depth.size:
            raise Wrong(f"{len(memory)} voxels from {frame.depth.size} pixels")
        del memory
        gc.collect()  # it reserves much address space

    return try_one


def _queries() -> Callable[[np.random.Generator], None]:
    """Questions to a memory that holds something."""
    from embodied_nav.frames import RGBDFrame
    from embodied_nav.memory import MemoryConfig, SpatialMemory
    from embodied_nav.nodes.ros.query_messages import query_from_msg

    samples, memory = Samples(), SpatialMemory(MemoryConfig())
    memory.integrate(
        RGBDFrame(samples.stamp, samples.camera, samples.profile.T_base_camera(), samples.color, samples.depth)
    )

    memory.ask(query_from_msg(samples.query(), samples.stamp))

    def try_one(rng: np.random.Generator) -> None:
        answers = memory.ask(query_from_msg(mutate(samples.query(), rng), samples.stamp))
        if any(not math.isfinite(a.score) for a in answers):
            raise Wrong("an answer without a score")

    return try_one


def _of_node(module: str, kind: str, parameters: tuple[str, ...] = ()) -> Callable[[], Callable]:
    """A node in this process: each message goes to the callback of its subscription; nothing may come out of that but
    a count, and nothing on cmd_vel but finite velocities within the limits."""

    def prepare():
        import importlib
        import os

        import rclpy

        from embodied_nav import bringup
        from embodied_nav.nodes.ros import lifecycle, worker

        os.environ.update(bringup.local_environment())
        arguments = [part for p in ("tf_timeout:=0.0", *parameters) for part in ("-p", p)]
        rclpy.init(args=[kind, "--ros-args", "--log-level", "fatal", *arguments])
        seen, told, workers = SimpleNamespace(error=None), [], []
        _spy(lifecycle.AgentNode, worker.Worker, seen, workers)
        node = getattr(importlib.import_module(f"embodied_nav.nodes.{module}"), kind)()
        node.start()
        for publisher in node.publishers:
            if publisher.topic_name == "/cmd_vel":
                publisher.publish = told.append
        samples = Samples()
        entries = [(s, makers) for s in node.subscriptions if (makers := _MAKERS.get(s.topic_name.split("/")[-1]))]
        tf = [s for s in node.subscriptions if s.topic_name in ("/tf", "/tf_static")]
        return lambda rng: _feed(node, entries, tf, samples, seen, told, workers, rng)

    return prepare


#: Last part of a topic's name -> sample.
_MAKERS = {
    "image_raw": "image", "camera_info": "info", "odom": "odometry", "tf": "tf", "tf_static": "tf", "plan": "path",
    "cmd_vel_nav": "twist", "enable": "flag", "e_stop": "flag", "scan": "scan", "keyframes": "keyframe",
    "semantic_delta": "delta", "path": "slam_path", "map_identity": "identity", "occupancy": "grid", "touched": "cells",
    "object_list": "objects",
}  # fmt: skip


def _spy(node: type, worker: type, seen: SimpleNamespace, workers: list) -> None:
    handle, begin = node.handle_error, worker.__init__

    def handle_error(self, error: Exception) -> None:
        seen.error = error
        handle(self, error)

    def init(self, *args, **kwargs) -> None:
        begin(self, *args, **kwargs)
        workers.append(self)

    node.handle_error, worker.__init__ = handle_error, init


def _sample(samples: Samples, topic: str, maker: str) -> object:
    if maker == "image":
        return samples.depth_image() if "depth" in topic else samples.color_image()
    return getattr(samples, maker)()


def _hand(subscription, message: object) -> None:
    """As the executor does: with what the middleware knows of the message, to who asks for that."""
    now = time.time_ns()
    about = {"source_timestamp": now, "received_timestamp": now, "publication_sequence_number": None}
    wants = len(inspect.signature(subscription.callback).parameters)
    subscription.callback(*(message, about)[:wants])


def _feed(node, entries, tf, samples, seen, told, workers, rng) -> None:
    from rclpy.serialization import serialize_message

    samples.stamp = time.time_ns()
    seen.error = None
    del told[:]
    which = int(rng.integers(len(entries)))
    for k, (subscription, maker) in enumerate([*((s, "tf") for s in tf), *entries]):
        message = _sample(samples, subscription.topic_name, maker)
        if k - len(tf) == which:
            message = mutate(message, rng)
        try:
            _hand(subscription, serialize_message(message) if subscription.raw else message)
        except Exception as error:
            raise RuntimeError(f"came out of a callback: {type(error).__name__}: {error}") from error
    for one in workers:
        if not one.drain(30.0):
            raise RuntimeError("a worker does not come to an end")
    for timer in list(node.timers):
        timer.callback()
    if seen.error is not None:
        raise seen.error
    limits = node.robot
    for twist in (getattr(t, "twist", t) for t in told):
        values = (twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y, twist.angular.z)
        if not np.isfinite(values).all() or abs(values[0]) > limits.max_linear + 1e-6 or any(values[1:5]):
            raise Wrong(f"commanded {values}")
        if abs(values[5]) > limits.max_angular + 1e-6:
            raise Wrong(f"commanded {values}")
    if any(name.startswith("refused") and n for name, n in node.diagnostics.counts.items()):
        node.diagnostics.counts.clear()
        raise InputError("counted")


def targets() -> list[Target]:
    """All that read messages."""
    # Once, before processes are forked: each would import all of it anew.
    from embodied_nav.nodes import control, keyframe, memory
    from embodied_nav.nodes.ros import camera_input, map_identity, query_messages, slam_path

    del camera_input, control, keyframe, map_identity, memory, query_messages, slam_path
    found = [Target(name, "messages", _of_function(sample, read)) for name, sample, read in _FUNCTIONS]
    found += [
        Target("frames into a map", "messages", _frames, 0.2),
        Target("QueryMemory request", "messages", _queries),
    ]
    found += [
        Target("control node", "messages", _of_node("control", "ControlNode", ("scan:=true",))),
        Target("memory node", "messages", _of_node("memory", "MemoryNode"), 0.1),
        Target("keyframe node", "messages", _of_node("keyframe", "KeyframeNode"), 0.5),
    ]
    assert threading.active_count() == 1, "processes are forked: no threads before"
    return found
