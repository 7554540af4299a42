"""A running graph beside the test: nodes in processes of their own, and a node of the test's that listens and talks."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable

from embodied_nav.bringup import Process, Supervisor, local_environment


class Graph:
    """Processes under supervision and a listening node; :meth:`until` looks after both.

    Attributes:
        node: the test's own rclpy node.
        heard: topic -> messages, of the topics asked for with :meth:`listen`.
        said: what the supervisor said (crashes, restarts).
        environment: of the processes.
    """

    def __init__(self, processes: list[Process]) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor

        self.environment = environment = local_environment()
        for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            os.environ[name] = environment[name]
        self.said: list[str] = []
        self.supervisor = Supervisor(processes, environment, self.said.append)
        self.context = Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list] = defaultdict(list)

    def __enter__(self) -> Graph:
        self.supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """The test's own node goes first: over shared memory Fast DDS waits for ever, holding the interpreter's lock,
        where a process was killed while it held the lock of a port."""
        import rclpy

        try:
            self.executor.shutdown()
            self.node.destroy_node()
            rclpy.shutdown(context=self.context)
        finally:
            self.supervisor.__exit__(None, None, None)

    def listen(self, kind: type, topic: str, profile) -> list:
        """Messages of a topic, as they come."""
        messages = self.heard[topic]
        self.node.create_subscription(kind, topic, messages.append, profile)
        return messages

    def spin(self, seconds: float) -> None:
        """Lets time pass."""
        self.until(lambda: False, seconds)

    def until(self, done: Callable[[], object], timeout: float) -> bool:
        """Waits for something; False where it did not come."""
        end = time.monotonic() + timeout
        polled = 0.0
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
            if time.monotonic() - polled > 0.1:
                polled = time.monotonic()
                self.supervisor.poll()
            if done():
                return True
        return bool(done())

    def show_a_room_with_a_sofa(self) -> None:
        """Publishes what a reasoner wants, five times a second: a map, the robot in it, and a red sofa."""
        import numpy as np
        from embodied_nav.msg import ObjectArray
        from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
        from nav_msgs.msg import Odometry
        from tf2_ros import StaticTransformBroadcaster

        from embodied_nav.frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid
        from embodied_nav.geometry import pose2d
        from embodied_nav.nodes.ros import qos
        from embodied_nav.nodes.ros.conversions import grid_msg, header, objects_msg, transform_msg

        node, data = self.node, np.full((80, 120), FREE, np.int8)
        data[[0, -1]], data[:, [0, -1]] = OCCUPIED, OCCUPIED
        data[34:46, 100:106] = OCCUPIED
        self.static = StaticTransformBroadcaster(node)
        self.static.sendTransform(
            [transform_msg(np.eye(4), 0, "map", "odom"), transform_msg(pose2d(1.0, 2.0, 0.0), 0, "odom", "base_link")]
        )
        objects = node.create_publisher(ObjectArray, "memory/object_list", qos.latched())
        maps = node.create_publisher(OccupancyGridMsg, "memory/occupancy", qos.latched())
        odometry = node.create_publisher(Odometry, "odom", qos.sensor())
        where, size = np.array([5.15, 2.0, 0.4]), np.array([0.3, 0.6, 0.8])

        def show() -> None:
            now = node.get_clock().now().nanoseconds
            sofa = MemoryObject(1, "sofa", "red", where, size, 1.0, 9, 1, now, 0)
            objects.publish(objects_msg([sofa], header(now, "map"), ""))
            maps.publish(grid_msg(OccupancyGrid(data, 0.05, (0.0, 0.0)), now, "map"))
            odometry.publish(Odometry(header=header(now, "odom")))

        node.create_timer(0.2, show)

    def ask(self, client, request, timeout: float = 30.0, again: float = 3.0):
        """The answer of a service whose request may come twice; None where none came."""
        from embodied_nav.nodes.ros.service_calls import ask

        answers: list = []
        ask(self.node, client, request, answers.append, again, timeout)
        self.until(lambda: answers, timeout + 1.0)
        return answers[0] if answers else None

    def send_goal(self, client, goal, timeout: float = 60.0, again: float = 5.0):
        """The handle of an accepted goal, sent again where no answer came; the newer replaces the older.

        A server may answer before it has discovered that the client listens: then the answer is lost, as a killed
        server's is.
        """
        assert self.until(client.server_is_ready, timeout), f"no action server: {self.said}"
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            sent = client.send_goal_async(goal)
            if self.until(sent.done, again):
                assert sent.result().accepted
                return sent.result()
        raise AssertionError(f"no answer to a goal: {self.said}")

    def diagnostics(self) -> Callable[[str], dict[str, str]]:
        """A reader of the newest diagnostics of a node: values by key, with "message" and "level"."""
        from diagnostic_msgs.msg import DiagnosticArray

        from embodied_nav.nodes.ros import qos

        newest: dict[str, dict[str, str]] = {}

        def take(message: DiagnosticArray) -> None:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                newest[status.name] = {**values, "message": status.message, "level": str(ord(status.level))}

        self.node.create_subscription(DiagnosticArray, "/diagnostics", take, qos.reliable(50))
        return lambda name: newest.get(name, {})
