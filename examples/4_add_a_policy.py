"""Adds a policy of your own under a name, and lets it drive.

python examples/4_add_a_policy.py [SECONDS]
"""

import sys
from dataclasses import dataclass

from apartment import enter

from embodied_nav.config import Config, param
from embodied_nav.drivers.agent_parameters import make_agent
from embodied_nav.evaluation.runner import run_episode
from embodied_nav.reasoner import POLICIES, Context, format_answer
from embodied_nav.registry import Entry
from embodied_nav.robot import RobotProfile

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0  # simulated


# 1. Its settings: the same class serves files, --set and ROS parameters.
@dataclass(frozen=True)
class GreedyConfig(Config):
    """Settings of the greedy policy."""

    match: float = param(0.5, "an object that fits so well is driven to", low=0.0, high=1.0)


# 2. The policy: a context in, an answer in text out. It only ever chooses among the options that it is given.
class GreedyPolicy:
    """To what looks most like the target, else to where most unknown floor lies; never mind the way."""

    name = "greedy"

    def __init__(self, config: GreedyConfig) -> None:
        self.config = config

    def answer(self, context: Context) -> str:
        facts, kinds = context.facts, [option.kind for option in context.options]
        choices = range(len(kinds))
        stop = next(k for k in choices if kinds[k] == "stop")
        if facts[stop].arrived >= self.config.match:
            return self._choose(context, stop, "I am there.")
        things = [k for k in choices if kinds[k] == "object" and facts[k].match >= self.config.match]
        if things:
            return self._choose(context, max(things, key=lambda k: facts[k].match), "That is it.")
        frontiers = [k for k in choices if kinds[k] == "frontier"]
        if frontiers:
            return self._choose(context, max(frontiers, key=lambda k: facts[k].gain), "Much is unknown there.")
        return self._choose(context, stop, "Nothing is left.")

    @staticmethod
    def _choose(context: Context, k: int, why: str) -> str:
        return format_answer(why, context.options[k].letter)


# 3. A line in the table. In the package it stands in embodied_nav/tables.py; a script may add its own.
POLICIES.add(Entry("greedy", "what looks most like the target, else most unknown floor", GreedyPolicy, GreedyConfig))
print(f"policies: {', '.join(POLICIES)}")

# 4. By its name it drives like any other: the agent's components and settings are found by name, too.
simulator, episode = enter()
agent = make_agent("greedy", "simulator", RobotProfile(), {"greedy.match": 0.6, "memory.voxel_size": 0.05})
row = run_episode(simulator, agent, episode, time_limit=SECONDS)
print(f'"{episode.instruction}": success {row["success"]}, {row["path_length"]:.1f} m, {row["wall_s"]:.1f} s of work')
for decision in agent.decisions[:5]:
    print(f"  {decision.options[decision.chosen].text} ({decision.think})")
