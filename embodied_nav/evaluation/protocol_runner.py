"""Runs one episode of a Habitat data set by its protocol: discrete actions, Habitat's measures. Knows no files."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..drivers import Driver
from ..errors import InputError
from ..frames import Action
from ..sim.habitat.datasets import DatasetEpisode
from ..sim.habitat.measures import HabitatMeasures
from ..sim.habitat.protocols import Protocol
from ..sim.habitat.simulator import WorldSimulator
from .discrete import DiscreteActions
from .localization import Localization, create_localization
from .oracle import Oracle
from .runner import show

#: What a driver that did not understand the sentence, and an episode whose goal has no way to it, score.
_NOTHING = {"success": False, "spl": 0.0, "soft_spl": 0.0, "oracle_success": False, "sdtw": 0.0}


def run_protocol_episode(
    simulator: WorldSimulator,
    driver: Driver,
    episode: DatasetEpisode,
    *,
    protocol: Protocol,
    localization: str = "truth",
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Drives one episode until STOP or the protocol's number of actions; STOP is one of them.

    Velocities of a driver become the action nearest to them (:mod:`.discrete`).

    Args:
        simulator, driver: reset here.
        protocol: the episode's.
        localization: ``truth`` (Habitat's GPS and compass), ``odom`` or ``slam``.
        seed: of random drivers, and of noise where it is on.
        parameters: of SLAM, by dotted name.

    Returns:
        A row of the results file, as of :func:`~.runner.run_episode`, with ndtw, sdtw and ndtw_exact (None without a
        reference), ``ndtw_reference`` (gt, reference_path or None), and where it was so ``refused`` (why the driver
        did not take the sentence) or ``unreachable`` (there is no way from the start to the goal): failures,
        both; ``world``: what computed it.

    Raises:
        InputError: unknown localization, or the simulator cannot run the episode.
    """
    started = time.perf_counter()
    observation = simulator.reset(episode, seed)
    truth = simulator.privileged()
    reference = np.array(episode.reference) if episode.reference else None
    measures = HabitatMeasures(truth.position(), truth.geodesic, protocol.radius, reference)
    where = create_localization(localization, simulator, parameters)
    refused = _start(driver, episode, simulator, seed)
    stopped, reachable = False, math.isfinite(measures.d0)
    if not refused and reachable:
        actions = DiscreteActions(simulator.robot, simulator.config.forward_step, simulator.config.turn_angle)
        stamp, T_odom_base = observation.stamp, observation.T_odom_base
        while measures.steps < protocol.steps:
            if driver.needs_camera:
                show(driver, where, observation, simulator.camera())
            # While tracking is lost the robot looks around: Habitat has no time that passes by itself.
            lost = where.tracking.lost and driver.status == "running"
            action: Action = "left" if lost else _next_action(driver, actions, stamp, T_odom_base)
            result = simulator.step_action(action)
            measures.update(truth.position(), result.collided)
            stopped = action == "stop"
            if stopped:
                break
            stamp, T_odom_base = result.stamp, result.T_odom_base
            if driver.needs_camera:
                observation = simulator.observe()
    # A driver that has given up ends by STOP in Habitat's terms, but without believing that it arrived.
    found = measures.result(stopped and driver.status != "failed")
    row = _row(episode, found, refused, reachable, time.perf_counter() - started)
    return row | {"world": simulator.world.name} | _counts(driver, where)


def _start(driver: Driver, episode: DatasetEpisode, simulator: WorldSimulator, seed: int) -> str:
    """Gives the driver the sentence; "" or why it does not take it."""
    try:
        driver.reset(episode.instruction, seed=f"{seed}/{episode.id}")
    except InputError as error:
        return str(error)
    if isinstance(driver, Oracle):
        driver.tell(simulator.privileged())
    return driver.reason if driver.status == "failed" else ""


def _next_action(driver: Driver, actions: DiscreteActions, stamp: int, T_odom_base: np.ndarray) -> Action:
    """What the driver does next; STOP where it has ended already."""
    return actions.choose(driver, stamp, T_odom_base) if driver.status == "running" else "stop"


def _row(
    episode: DatasetEpisode, found: Mapping[str, Any], refused: str, reachable: bool, seconds: float
) -> dict[str, Any]:
    row = {"id": episode.id, "scene": episode.scene, "kind": episode.kind, **found}
    if refused or not reachable:
        row |= _NOTHING
    if refused:
        row["refused"] = refused
    if not reachable:
        row["unreachable"] = True
    if not math.isfinite(row["distance_to_goal"]):
        row["distance_to_goal"] = None
    named = None
    if episode.reference:
        named = "gt" if episode.exact_reference else "reference_path"
    for name in ("ndtw", "sdtw", "ndtw_exact"):
        row[name] = None if named is None or not math.isfinite(row[name]) else row[name]
    row["soft_spl"] = row["soft_spl"] if math.isfinite(row["soft_spl"]) else 0.0
    return row | {
        "ndtw_reference": named, "wall_s": seconds, "in_view": None, "picture_share": None, "view_share": None,
        "success_0_5": None,
    }  # fmt: skip


def _counts(driver: Driver, where: Localization) -> dict[str, Any]:
    counts = {"slam_lost_s": where.lost_s}
    counts |= {name: getattr(driver, name, None) for name in ("stale_keyframes", "decisions_without_answer")}
    return {name: value for name, value in counts.items() if value is not None}
