"""Runs one episode: simulator and driver in lock-step, metrics from the truth. Knows nothing of batches and files."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import Episode
from ..sim.interface import Simulator
from ..sim.metrics import EpisodeMetrics
from .drivers import Driver
from .localization import create_localization

CONTROL_PERIOD = 0.05  # s
TICKS_PER_FRAME = 4
TIME_LIMIT = 180.0  # s


def run_episode(
    simulator: Simulator,
    driver: Driver,
    episode: Episode,
    *,
    localization: str = "truth",
    seed: int = 0,
    on_frame: Callable[[Simulator, Driver], None] | None = None,
) -> dict[str, Any]:
    """Drives one episode until STOP or 180 simulated seconds.

    Args:
        simulator: any; it is reset here.
        driver: any; it is reset here.
        episode: what to do.
        localization: where the pose in map comes from: ``truth``, ``odom`` or ``slam``. Goals are judged on the truth.
        seed: of sensor noise and of drivers that draw.
        on_frame: called after every camera frame, for maps and films.

    Returns:
        One row of the results file: id, scene, kind, success, spl, soft_spl, distance_to_goal, oracle_success,
        path_length, steps (control steps), collisions (control steps in which the robot touched something), wall_s.

    Raises:
        InputError: unknown localization, or an episode whose goal cannot be reached.
    """
    started = time.perf_counter()
    observation = simulator.reset(episode, seed)
    privileged = simulator.privileged()
    shortest = privileged.geodesic()
    if not (np.isfinite(shortest) and shortest > 0):
        raise InputError(f"episode {episode.id}: its goal cannot be reached from its start")
    position = privileged.pose()[:2]
    metrics = EpisodeMetrics(
        position, shortest, privileged.goal_reached(), shortest=episode.geodesic_distance or shortest
    )
    where = create_localization(localization, simulator)
    driver.reset(episode, simulator, seed)
    stamp, T_odom_base = observation.stamp, observation.T_odom_base
    end = stamp + int(TIME_LIMIT * 1e9)
    while stamp < end and not driver.stopped:
        if driver.needs_camera:
            correction = where.see(observation)
            if correction is not None:
                driver.correct(correction)
            driver.see(observation, where.T_map_odom)
            if on_frame is not None:
                on_frame(simulator, driver)
            if driver.stopped:
                break
        for _ in range(TICKS_PER_FRAME):
            velocity = driver.command(stamp, T_odom_base, where.T_map_odom)
            if driver.stopped:
                break
            result = simulator.step(velocity.linear, velocity.angular, CONTROL_PERIOD)
            stamp, T_odom_base = result.stamp, result.T_odom_base
            metrics.update(privileged.pose()[:2], privileged.geodesic(), privileged.goal_reached(), result.collided)
        if driver.needs_camera and not driver.stopped:
            observation = simulator.observe()
    return _row(episode, metrics, driver.stopped, time.perf_counter() - started)


def _row(episode: Episode, metrics: EpisodeMetrics, stopped: bool, seconds: float) -> dict[str, Any]:
    scores = metrics.result(stopped)
    return {
        "id": episode.id,
        "scene": episode.scene,
        "kind": episode.kind,
        "success": bool(scores.success),
        "spl": scores.spl,
        "soft_spl": scores.soft_spl,
        "distance_to_goal": scores.distance_to_goal if np.isfinite(scores.distance_to_goal) else None,
        "oracle_success": bool(scores.oracle_success),
        "path_length": scores.path_length,
        "steps": scores.steps,
        "collisions": scores.collisions,
        "wall_s": seconds,
    }
