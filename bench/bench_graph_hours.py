"""The whole graph for hours of simulated time, as fast as it keeps up: what each process holds in RAM.

    python bench/bench_graph_hours.py [--hours 2] [--rate 10] [--way composed] [--out graph_hours.jsonl]

The simulated robot of apartment 1000 (5 frames a simulated second, 320x240, drift and noise, our SLAM, the memory kept
in a file) is sent to one thing after another by its name, each process on its own. Simulated time runs up to ``--rate``
times as fast as real time and waits for nodes that are behind. A line for every ten simulated minutes: MB of each
process that it shares with nobody (USS), and of the memory's file; at the end what half an hour, when all is loaded,
has to do with the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from embodied_nav.bringup import Process, Supervisor, composed, local_environment, memory_parameters
from embodied_nav.sim.embedded import describe

NODES = ("sim", "slam", "keyframe", "perception", "memory", "reasoner", "control")
#: Simulated seconds between two lines, and from when on growth counts.
_EVERY, _LOADED = 600.0, 1800.0
#: Wall seconds for the graph to begin, and for a goal.
_START, _GOAL = 300.0, 120.0


def processes(scene: int, rate: float, memory: Path) -> list[Process]:
    """The graph of the demo, without an end."""
    common = {"use_sim_time": True, "tf_timeout": 0.2 * max(rate, 1.0)}  # it is in simulated seconds
    kept = memory_parameters(str(memory), True)
    own = {
        "sim": {
            "scene": scene, "localization": "slam", "frame_rate": 5.0, "steps_per_frame": 4, "rate": rate,
            "wait_for": "slam,keyframe,memory,control",
        },
        "slam": kept["slam"], "perception": {"backend": "simulator"}, "memory": kept["memory"],
        "reasoner": {"policy": "rules"},
    }  # fmt: skip
    return [Process(n, n, {**(common if n != "sim" else {}), **own.get(n, {})}, respawn=n != "sim") for n in NODES]


class Sender:
    """A node that sends one goal after another and knows the simulated time."""

    def __init__(self, scene: int, domain: int) -> None:
        import rclpy
        from embodied_nav.action import Navigate
        from rclpy.action import ActionClient
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rosgraph_msgs.msg import Clock

        from embodied_nav.nodes.ros import qos

        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("bench_goals", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._kind, self._client = Navigate, ActionClient(self._node, Navigate, "navigate")
        self._node.create_subscription(Clock, "/clock", self._tick, qos.reliable(10))
        self._names, self._rng = _names(scene), np.random.default_rng(0)
        self._sent, self._handle, self._began = None, None, 0.0
        self.now, self._zero = 0.0, None
        self.reached, self.ended = 0, 0

    def _tick(self, message) -> None:
        seconds = message.clock.sec + message.clock.nanosec * 1e-9
        self._zero = seconds if self._zero is None else self._zero
        self.now = seconds - self._zero

    def spin(self) -> None:
        """Hears what has come and sends the next goal where none is under way."""
        self._executor.spin_once(timeout_sec=0.05)
        if self._sent is None and self._client.server_is_ready():
            name = self._names[int(self._rng.integers(len(self._names)))]
            self._sent = self._client.send_goal_async(self._kind.Goal(instruction=f"find the {name}"))
            self._sent.add_done_callback(self._answered)
            self._began = time.monotonic()
        elif self._sent is not None and time.monotonic() - self._began > _GOAL:
            if self._handle is not None:
                self._handle.cancel_goal_async()
            self._sent = self._handle = None
            self.ended += 1

    def _answered(self, future) -> None:
        handle = future.result()
        if future is self._sent and not handle.accepted:
            self._sent = None
        elif future is self._sent:
            self._handle = handle
            handle.get_result_async().add_done_callback(lambda result: self._over(future, result))

    def _over(self, sent, result) -> None:
        if sent is self._sent:
            self.reached += bool(result.result().result.success)
            self.ended += 1
            self._sent = self._handle = None

    def close(self) -> None:
        """Ends the node."""
        import rclpy

        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


def _names(scene: int) -> list[str]:
    """Colour and category of things that are the only ones of their name."""
    names = [f"{o.color} {o.category}" for o in describe(str(scene)).objects]
    return [name for name in names if names.count(name) == 1]


def measured(scene: int, hours: float, rate: float, together: bool) -> Iterator[dict]:
    """Simulated seconds, wall seconds, MB of each process and of the file, goals; a mapping every ten minutes.

    Raises:
        SystemExit: a process ended, or simulated time does not begin.
    """
    environment = local_environment()
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        os.environ[name] = environment[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory.db"
        wanted = processes(scene, rate, file)
        wanted = composed(wanted) if together else wanted
        sender, told, began = Sender(scene, int(environment["ROS_DOMAIN_ID"])), 0.0, time.monotonic()
        with Supervisor(wanted, environment) as supervisor:
            while sender.now < 3600.0 * hours:
                if ended := supervisor.poll():
                    raise SystemExit(f"{', '.join(ended)} ended, see above")
                sender.spin()
                if not sender.now and time.monotonic() - began > _START:
                    raise SystemExit(f"simulated time has not begun after {_START:g} s")
                if sender.now >= told + _EVERY:
                    told = _EVERY * (sender.now // _EVERY)
                    held = {p.name: psutil.Process(supervisor.pid(p.name)).memory_full_info().uss for p in wanted}
                    yield {
                        "sim_s": round(sender.now), "wall_s": round(time.monotonic() - began),
                        "mb": {name: round(of / 1e6, 1) for name, of in held.items()},
                        "file_mb": round(sum(f.stat().st_size for f in file.parent.glob("memory.db*")) / 1e6, 1),
                        "goals": sender.ended, "reached": sender.reached,
                        "restarts": {name: n for name, n in supervisor.restarts.items() if n},
                    }  # fmt: skip
            supervisor.stop()
        sender.close()


def main() -> None:
    """Prints a line every ten simulated minutes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0, help="simulated hours (default: 2)")
    parser.add_argument("--rate", type=float, default=10.0, help="simulated seconds a second, at most (default: 10)")
    parser.add_argument("--scene", type=int, default=1000, help="apartment (default: 1000)")
    parser.add_argument("--way", choices=("separate", "composed"), default="separate", help="processes or one process")
    parser.add_argument("--out", type=Path, help="file for a line of JSON every ten minutes")
    args = parser.parse_args()
    lines: list[dict] = []
    for told in measured(args.scene, args.hours, args.rate, args.way == "composed"):
        if not lines:
            print("minutes  wall s " + "".join(f"{name:>11}" for name in told["mb"]) + "       file  goals", flush=True)
        lines.append(told)
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(told) + "\n")
        mb = "".join(f"{of:11.1f}" for of in told["mb"].values())
        print(f"{told['sim_s'] / 60:7.0f} {told['wall_s']:7d} {mb}{told['file_mb']:11.1f}  {told['reached']} of "
              f"{told['goals']} {told['restarts'] or ''}", flush=True)  # fmt: skip
    loaded = next((line for line in lines if line["sim_s"] >= _LOADED), None)
    if loaded is not None:
        grown = {name: of / loaded["mb"][name] for name, of in lines[-1]["mb"].items()}
        print("since half an hour: " + ", ".join(f"{name} x{of:.3f}" for name, of in grown.items()))


if __name__ == "__main__":
    main()
