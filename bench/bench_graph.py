"""The whole graph beside a camera, each node in its own process and composed: CPU a frame, frames lost, latency.

    python bench/bench_graph.py [--seconds 20] [--only 640x480@30] [--way composed]

A camera of frames rendered beforehand (apartment 1000, driven to and fro, drifting wheels) is published in real time;
slam, keyframe, perception, memory, reasoner and control listen, all with the defaults of docs/parameters.md: no file of
config/ is read, and the memory keeps no file. CPU is user and system time of their processes for a published frame, and
for one that the memory took in; the camera's own is apart. Latency is from before the first of a frame's messages is
published until a node says that it is through. On a shared machine CPU can be trusted, latency only with the load that
is printed.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from embodied_nav.bringup import Process, Supervisor, composed, local_environment
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
from embodied_nav.sim.episodes import make_episode

#: Width, height and rate of the camera.
CAMERAS = ((640, 480, 30.0), (320, 240, 15.0))
NODES = ("slam", "keyframe", "perception", "memory", "reasoner", "control")
#: Nodes that are through with every frame, and the stage at which they say so.
THROUGH = ("slam", "keyframe", "memory", "control")
#: Frames rendered beforehand (s), and how long the graph runs before it is measured (s).
_RENDERED, _RUN_IN = 6.0, 5.0
#: Longest time (s) until all nodes have found the camera: they may have kernels to compile.
_START = 300.0


def render(width: int, height: int, rate: float) -> tuple[list[tuple], object]:
    """(colour, depth in mm as uint16, T_odom_base) of a drive, and the camera."""
    simulator = EmbeddedSimulator(config=SimulatorConfig(width=width, height=height))
    frames, simulator_rate = [], 60.0
    seen = simulator.reset(make_episode(1000, "room", 0), 0)
    for i in range(int(_RENDERED * rate)):
        depth = np.nan_to_num(seen.depth * 1000.0, nan=0.0).astype(np.uint16)
        frames.append((seen.color, depth, seen.T_odom_base))
        for _ in range(round(simulator_rate / rate)):
            simulator.step(0.25, 0.6 * np.sin(2.0 * np.pi * i / (rate * _RENDERED)), 1.0 / simulator_rate)
        seen = simulator.observe()
    return frames, simulator.camera()


class CameraSource:
    """Publishes the frames to and fro, with odometry and TF, and hears who is through with them."""

    def __init__(self, frames: list[tuple], camera: object, rate: float, domain: int) -> None:
        import rclpy
        import tf2_ros
        from embodied_nav.msg import Progress
        from nav_msgs.msg import Odometry
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import CameraInfo, Image

        from embodied_nav.nodes.lockstep.frames_in_flight import FramesInFlight
        from embodied_nav.nodes.ros import qos
        from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg
        from embodied_nav.nodes.ros.optics import COLOR, DEPTH, INFO

        self._frames, self._rate, self._robot = frames, rate, RobotProfile()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        node = self.node = rclpy.create_node("bench_camera", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        head = header(0, self._robot.camera_frame)
        self._messages = [(image_msg(c, "rgb8", head), image_msg(d, "16UC1", head)) for c, d, _ in frames]
        self._info_message = camera_info_msg(camera, head)
        self._color, self._depth, self._info, self._odom = (
            node.create_publisher(kind, topic, qos.reliable(5))
            for kind, topic in ((Image, COLOR), (Image, DEPTH), (CameraInfo, INFO), (Odometry, "odom"))
        )
        self._tf, self._static = tf2_ros.TransformBroadcaster(node), tf2_ros.StaticTransformBroadcaster(node)
        self.in_flight = FramesInFlight(THROUGH)
        node.create_subscription(Progress, "progress", self.in_flight.progress, qos.reliable(200))
        self.published = 0
        self._stopping = threading.Event()

    def listening(self) -> bool:
        """Whether all nodes have found the camera."""
        from embodied_nav.nodes.ros.optics import DEPTH
        from embodied_nav.nodes.ros.watchers import missing_watchers

        self._executor.spin_once(timeout_sec=0.02)
        return not missing_watchers(self.node, {DEPTH: THROUGH, "/tf": (*THROUGH, "reasoner"), "odom": ("control",)})

    def run(self) -> None:
        """Publishes in a thread of its own, and hears in another."""
        from embodied_nav.nodes.ros.conversions import transform_msg

        robot = self._robot
        self._static.sendTransform([transform_msg(robot.T_base_camera(), 0, robot.base_frame, robot.camera_frame)])
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._publish, self._hear)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends both."""
        import rclpy

        self._stopping.set()
        for thread in self._threads:
            thread.join(2.0)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _hear(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _publish(self) -> None:
        due, count, n = time.monotonic(), 0, len(self._frames)
        while not self._stopping.is_set():
            i = count % (2 * n - 2)
            self._publish_frame(i if i < n else 2 * n - 2 - i)
            count += 1
            due += 1.0 / self._rate
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def _publish_frame(self, index: int) -> None:
        from nav_msgs.msg import Odometry

        from embodied_nav.nodes.ros.conversions import header, pose_msg, time_msg, transform_msg

        robot, (_, _, T_odom_base) = self._robot, self._frames[index]
        color, depth = self._messages[index]
        ns = time.time_ns()
        stamp = time_msg(ns)
        for message in (color, depth, self._info_message):
            message.header.stamp = stamp
        self.in_flight.published(ns)
        self.published += 1
        self._tf.sendTransform([transform_msg(T_odom_base, ns, robot.odom_frame, robot.base_frame)])
        odom = Odometry(header=header(ns, robot.odom_frame), child_frame_id=robot.base_frame)
        odom.pose.pose = pose_msg(T_odom_base)
        self._odom.publish(odom)
        self._info.publish(self._info_message)
        self._depth.publish(depth)
        self._color.publish(color)


def camera_of(text: str) -> tuple[int, int, float]:
    """Width, height and rate of ``WxH@HZ``."""
    size, _, rate = text.partition("@")
    width, _, height = size.partition("x")
    return int(width), int(height), float(rate)


def processes() -> list[Process]:
    """The agent with its own SLAM; every parameter has its default."""
    return [Process(name, name, {}, respawn=False) for name in NODES]


def measure(frames: list[tuple], camera: object, rate: float, together: bool, seconds: float) -> dict[str, float]:
    """Runs the graph for so long; what it took."""
    environment = local_environment()
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        os.environ[name] = environment[name]
    wanted = composed(processes()) if together else processes()
    source = CameraSource(frames, camera, rate, int(environment["ROS_DOMAIN_ID"]))
    began = time.monotonic()
    with Supervisor(wanted, environment) as supervisor:
        wait_for_listeners(source, supervisor)
        started = time.monotonic() - began
        source.run()
        _wait(supervisor, _RUN_IN)
        before, cpu, own, loads = _counted(source), _cpu(supervisor, wanted), time.process_time(), []
        _wait(supervisor, seconds, loads)
        after, used, own = _counted(source), _cpu(supervisor, wanted), time.process_time() - own
        latencies = {name: source.in_flight.latencies[name][before[name] :] for name in THROUGH}
        supervisor.stop()
    source.close()
    count = after["published"] - before["published"]
    found = {"frames": count, "start s": started, "load": float(np.mean(loads)), "camera CPU ms": own / count * 1e3}
    found["CPU ms a frame"] = sum(used[name] - cpu[name] for name in used) / count * 1e3
    # Frames that are lost cost little: a graph that drops most of them must not look cheap.
    found["CPU ms a frame in memory"] = found["CPU ms a frame"] * count / max(after["memory"] - before["memory"], 1)
    for name in used:
        found[f"  {name} CPU ms"] = (used[name] - cpu[name]) / count * 1e3
    for name in THROUGH:
        found[f"{name} dropped %"] = 100.0 * (1.0 - (after[name] - before[name]) / count)
        if latencies[name]:
            p50, p95 = np.percentile(latencies[name], (50, 95)) * 1e3
            found[f"image to {name} p50 ms"], found[f"image to {name} p95 ms"] = float(p50), float(p95)
    return found


def wait_for_listeners(source: CameraSource, supervisor: Supervisor, longest: float = _START) -> None:
    """Waits until all nodes have found the camera.

    Raises:
        SystemExit: a node has ended, or not all have found it within so many seconds.
    """
    end = time.monotonic() + longest
    while not source.listening():
        _poll(supervisor)
        if time.monotonic() > end:
            raise SystemExit(f"not all nodes have found the camera within {longest:g} s")


def _poll(supervisor: Supervisor) -> None:
    ended = supervisor.poll()
    if ended:
        raise SystemExit(f"{', '.join(ended)} ended, see above")


def _wait(supervisor: Supervisor, seconds: float, loads: list[float] | None = None) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _poll(supervisor)
        if loads is not None:
            loads.append(os.getloadavg()[0])
        time.sleep(0.25)


def _counted(source: CameraSource) -> dict[str, int]:
    return {"published": source.published, **{name: source.in_flight.frames[name] for name in THROUGH}}


def _cpu(supervisor: Supervisor, wanted: list[Process]) -> dict[str, float]:
    """CPU seconds of each process so far."""
    times = {p.name: psutil.Process(supervisor.pid(p.name)).cpu_times() for p in wanted}
    return {name: t.user + t.system for name, t in times.items()}


def show(title: str, columns: dict[str, dict[str, float]]) -> None:
    """Prints both ways side by side."""
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    print(f"\n{title}\n{'':28}" + "".join(f"{name:>12}" for name in columns))
    for row in rows:
        cells = (f"{column[row]:12.1f}" if row in column else f"{'':12}" for column in columns.values())
        print(f"{row:28}{''.join(cells)}", flush=True)


def main() -> None:
    """Measures each camera both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, after 5 s of running in")
    parser.add_argument("--only", metavar="WxH@HZ", type=camera_of, help="one camera, such as 640x480@30")
    parser.add_argument("--way", choices=("separate", "composed"), help="one way only")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {Path('/proc/version').read_text().split()[2]}; load is of the last minute")
    for width, height, rate in [args.only] if args.only else CAMERAS:
        frames, camera = render(width, height, rate)
        ways = [way for way in ("separate", "composed") if args.way in (None, way)]
        columns = {way: measure(frames, camera, rate, way == "composed", args.seconds) for way in ways}
        show(f"{width}x{height} at {rate:g} Hz with SLAM", columns)


if __name__ == "__main__":
    main()
