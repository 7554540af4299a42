"""Success with a vision-language server that is slow, fails and talks nonsense, against the same eyes without faults.

The server is a real one on this machine that answers with the simulator's truth (test/perception/chat_stub.py). Its
delay is simulated time: until it has passed no other keyframe is asked about, and the agent has stale geometry.

    .venv/bin/python bench/bench_slow_eyes.py --scenes 1000-1004 --delay 5 --failing 0.2 --nonsense 0.2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "perception")]

from chat_stub import ChatStub, truth  # noqa: E402

from embodied_nav.cli.eval import parse_scenes  # noqa: E402
from embodied_nav.drivers import Agent  # noqa: E402
from embodied_nav.evaluation.runner import run_episode  # noqa: E402
from embodied_nav.perception import ResilienceConfig, ResilientPerception, create  # noqa: E402
from embodied_nav.perception.chat_server import ServerConfig  # noqa: E402
from embodied_nav.reasoner import create as create_policy  # noqa: E402
from embodied_nav.robot import RobotProfile  # noqa: E402
from embodied_nav.sim.embedded import EmbeddedSimulator  # noqa: E402
from embodied_nav.sim.episodes import make_episode  # noqa: E402

ROBOT = RobotProfile()


class SlowEyes:
    """The back end ``server`` as ``BackgroundPerception`` asks it, in simulated time."""

    name = "server"

    def __init__(self, stub: ChatStub, delay: float) -> None:
        eyes = create("server", ServerConfig(url=stub.url, model="truth", timeout=60.0, retries=0))
        self.asked = ResilientPerception(eyes, 60.0, config=ResilienceConfig(), clock=lambda: self.now)
        self.stub, self.delay, self.now, self.busy_until = stub, delay, 0.0, 0.0
        self.names, self.out = {}, deque()

    def set_instances(self, instances) -> None:
        """The simulator's names, from which the server answers."""
        self.names = dict(instances)

    def perceive(self, previous, current, instruction):
        """Stale geometry; the server's delta comes by :meth:`hand_out`."""
        self.now = current.frame.stamp * 1e-9
        if previous is None:
            self.out.clear()
            self.busy_until = 0.0
        if self.now < self.busy_until:
            self.asked.skip(current)
        else:
            seen = truth(current, self.names)
            self.stub.answer = {**seen, "objects": seen["objects"][:24]}
            delta = self.asked.ask(previous, current, instruction)
            self.busy_until = self.now + self.delay
            if delta is not None:
                self.out.append((self.busy_until, delta))
        return dataclasses.replace(self.asked.fallback.perceive(previous, current, instruction), stale=True)

    def hand_out(self, simulator, driver: Agent) -> None:
        """Gives the agent what has arrived by now; after each frame."""
        now = driver.memory.stamp * 1e-9
        while self.out and self.out[0][0] <= now:
            driver.add_delta(self.out.popleft()[1])


def run(scenes, episodes: int, delay: float, failing: float, nonsense: float) -> list[dict]:
    """Rows of all episodes with these faults."""
    simulator, rows = EmbeddedSimulator(robot=ROBOT), []
    for k in range(episodes):
        with ChatStub(failing=failing, nonsense=nonsense, seed=k) as stub:
            eyes = SlowEyes(stub, delay)
            agent = Agent(ROBOT, eyes, create_policy("rules"))
            kind = ("object", "relation", "room", "route")[k % 4]
            episode = make_episode(scenes[k % len(scenes)], kind, k // 4)
            row = run_episode(simulator, agent, episode, on_frame=eyes.hand_out)
        rows.append({**row, "asked": dict(eyes.asked.counts), "keyframes": agent.keyframes})
        print(
            json.dumps({n: rows[-1][n] for n in ("id", "success", "spl", "asked", "keyframes", "wall_s")}), flush=True
        )
    return rows


def main() -> None:
    """Runs both and prints the difference."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", default="1000-1003")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--delay", type=float, default=5.0, help="s of simulated time")
    parser.add_argument("--failing", type=float, default=0.2)
    parser.add_argument("--nonsense", type=float, default=0.2)
    args = parser.parse_args()
    scenes = parse_scenes(args.scenes)
    means = []
    for faults in ((0.0, 0.0, 0.0), (args.delay, args.failing, args.nonsense)):
        rows = run(scenes, args.episodes, *faults)
        means.append(sum(row["success"] for row in rows) / len(rows))
        print("delay {:g} s, failing {:g}, nonsense {:g}:".format(*faults), f"success {means[-1]:.3f}", flush=True)
    print(f"difference {means[1] - means[0]:+.3f}")


if __name__ == "__main__":
    main()
