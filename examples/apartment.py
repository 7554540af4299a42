"""Frames for the examples: a robot in a simulated apartment, where its pose is known. No example is about this file."""

from __future__ import annotations

from collections.abc import Iterator

from embodied_nav.frames import Episode, RGBDFrame
from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
from embodied_nav.sim.episodes import make_episode
from embodied_nav.sim.interface import Observation

SEED = 7


def enter(config: SimulatorConfig | None = None) -> tuple[EmbeddedSimulator, Episode]:
    """A simulator with the robot at the start of an episode."""
    simulator, episode = EmbeddedSimulator(config=config), make_episode(SEED, "object", 0)
    simulator.reset(episode)
    return simulator, episode


def frame_of(simulator: EmbeddedSimulator, observation: Observation) -> RGBDFrame:
    """An observation as the frame that everything else takes, with the simulator's true pose."""
    T_map_base = simulator.privileged().T_map_odom() @ observation.T_odom_base
    T_map_camera = T_map_base @ observation.T_base_camera
    color, depth, ids = observation.color, observation.depth, observation.instance_ids
    return RGBDFrame(observation.stamp, simulator.camera(), T_map_camera, color, depth, ids)


def look_around(simulator: EmbeddedSimulator, frames: int = 24) -> Iterator[RGBDFrame]:
    """Frames while the robot turns once on the spot."""
    for _ in range(frames):
        yield frame_of(simulator, simulator.observe())
        simulator.step_action("left")


def names_of_instances(simulator: EmbeddedSimulator) -> dict[int, tuple[str, str]]:
    """What the perception ``simulator`` needs: instance id -> (category, colour)."""
    return {o.instance: (o.category, o.color) for o in simulator.privileged().objects()}
