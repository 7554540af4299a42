"""How much faster than real time the in-process agent runs, and where the milliseconds go.

    python bench/bench_agent.py [--scene 100] [--episodes 4] [--agent rules]

One core, 320x240, five frames and twenty control steps a simulated second, `simulator` perception, simulation and
metrics included. CPU time of this process, so that a busy machine does not matter.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2  # noqa: E402

from embodied_nav.drivers import Agent  # noqa: E402
from embodied_nav.evaluation.drivers import create_driver  # noqa: E402
from embodied_nav.evaluation.runner import CONTROL_PERIOD, run_episode  # noqa: E402
from embodied_nav.robot import RobotProfile  # noqa: E402
from embodied_nav.sim.embedded import EmbeddedSimulator  # noqa: E402
from embodied_nav.sim.episodes import make_episode  # noqa: E402


class Timed:
    """Adds the CPU seconds of a method to a table."""

    def __init__(self, owner: object, method: str, table: dict[str, float], key: str) -> None:
        self._call, self._table, self._key = getattr(owner, method), table, key
        setattr(owner, method, self)

    def __call__(self, *args, **kwargs):
        started = time.process_time()
        try:
            return self._call(*args, **kwargs)
        finally:
            self._table[self._key] += time.process_time() - started


def main() -> None:
    """Runs the episodes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scene", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--agent", default="rules")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    robot = RobotProfile()
    simulator = EmbeddedSimulator(robot=robot)
    driver = create_driver(args.agent, "simulator", robot)
    run_episode(simulator, driver, make_episode(args.scene, "object", 9))  # compiles and warms
    episodes = [make_episode(args.scene + k, ("object", "room")[k % 2], 0) for k in range(args.episodes)]
    table: dict[str, float] = defaultdict(float)
    Timed(simulator, "observe", table, "simulator: render")
    Timed(simulator, "step", table, "simulator: motion")
    if isinstance(driver, Agent):
        watch(driver, table)
    total = simulated = 0.0
    for episode in episodes:
        simulator.reset(episode)  # scenes are made outside of the measured time
        started = time.process_time()
        row = run_episode(simulator, driver, episode)
        total += time.process_time() - started
        simulated += row["steps"] * CONTROL_PERIOD
    report(table, total, simulated)


def watch(agent, table: dict[str, float]) -> None:
    """Measures the agent's stages."""
    Timed(agent.follower.guard, "observe_depth", table, "guard: depth")
    Timed(agent.memory, "integrate", table, "memory: integrate")
    Timed(agent.memory, "add_delta", table, "memory: votes")
    Timed(agent.memory, "objects", table, "memory: objects")
    Timed(agent.memory, "occupancy", table, "memory: occupancy")
    Timed(agent.gate, "process", table, "keyframe gate")
    Timed(agent.perception, "perceive", table, "perception")
    Timed(agent.navigator, "update", table, "navigator")
    Timed(agent.follower, "command", table, "control, guard (4 a frame)")


def report(table: dict[str, float], total: float, simulated: float) -> None:
    """Prints ms a frame and the factor against real time."""
    frames = simulated * 5.0
    for name, seconds in sorted(table.items(), key=lambda item: -item[1]):
        print(f"{name:<30}{1e3 * seconds / frames:>8.2f} ms a frame")
    print(f"{'rest (metrics, wiring)':<30}{1e3 * (total - sum(table.values())) / frames:>8.2f} ms a frame")
    print(f"{'all':<30}{1e3 * total / frames:>8.2f} ms a frame")
    print(f"{simulated:.0f} s simulated in {total:.1f} s of CPU: {simulated / total:.1f} times real time")


if __name__ == "__main__":
    main()
