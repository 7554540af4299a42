"""Runs one episode: simulator and driver in lock-step, metrics from ground truth. Knows nothing of batches, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..drivers import Driver
from ..errors import InputError
from ..frames import Episode, RGBDFrame, Velocity
from ..geometry import Camera
from ..sim.interface import Observation, Privileged, Simulator
from ..sim.last_metres import last_metres
from ..sim.metrics import EpisodeMetrics
from .localization import Localization, create_localization
from .oracle import Oracle
from .trace import Trace

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
    parameters: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    on_frame: Callable[[Simulator, Driver], None] | None = None,
) -> dict[str, Any]:
    """Drives one episode until STOP or the time limit.

    Args:
        simulator: any; it is reset here.
        driver: any; it is reset here.
        episode: what to do.
        localization: source of the pose in map: ``truth``, ``odom`` or ``slam``. Success is judged on ground truth.
        seed: of sensor noise and of random drivers.
        parameters: of SLAM, by dotted name.
        time_limit: simulated seconds after which it ends; None: :data:`TIME_LIMIT`, as in comparable results.
        on_frame: called after every camera frame, for maps and videos.

    Returns:
        One row of the results file: id, scene, kind, success, spl, soft_spl, distance_to_goal, oracle_success,
        path_length, steps (control steps or discrete actions), collisions (those in which the robot touched
        something), wall_s; task, way and ending (:meth:`~.trace.Trace.result`); in_view, picture_share, view_share
        and success_0_5 (:func:`~..sim.last_metres.last_metres`); with SLAM slam_lost_s, the time without tracking, in
        which nothing was mapped; of an agent that sees stale_keyframes, those that its back end has not described
        (geometry did); of one that reasons decisions_without_answer, those in which the rules decided, since its
        policy gave no answer.

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
    shortest_way = episode.geodesic_distance or shortest
    metrics = EpisodeMetrics(position, shortest, privileged.goal_reached(), shortest=shortest_way)
    where = create_localization(localization, simulator, parameters)
    _start(driver, episode, privileged, seed)
    stamp, T_odom_base = observation.stamp, observation.T_odom_base
    trace = Trace(episode, privileged, shortest_way, stamp)
    end = stamp + int((TIME_LIMIT if time_limit is None else time_limit) * 1e9)
    while stamp < end and driver.status == "running":
        if driver.needs_camera:
            show(driver, where, observation, simulator.camera())
            if on_frame is not None:
                on_frame(simulator, driver)
            if driver.status != "running":
                break
        stamp, T_odom_base = _drive(simulator, driver, where, metrics, trace, stamp, T_odom_base)
        if driver.needs_camera and driver.status == "running":
            observation = simulator.observe()
    stopped = driver.status == "stopped"
    row = _row(episode, metrics, stopped, time.perf_counter() - started) | last_metres(privileged, stopped)
    row |= trace.result(driver.status, getattr(driver, "reason", ""), stamp)
    counts = {"slam_lost_s": where.lost_s}
    counts |= {name: getattr(driver, name, None) for name in ("stale_keyframes", "decisions_without_answer")}
    return row | {name: value for name, value in counts.items() if value is not None}


def _start(driver: Driver, episode: Episode, truth: Privileged, seed: int) -> None:
    """Gives the driver the instruction; the oracle, which is not an agent, also gets the ground truth."""
    driver.reset(episode.instruction, seed=f"{seed}/{episode.id}")
    driver.set_instances({o.instance: (o.category, o.color) for o in truth.objects()})
    if isinstance(driver, Oracle):
        driver.tell(truth)


def _drive(
    simulator: Simulator,
    driver: Driver,
    where: Localization,
    metrics: EpisodeMetrics,
    trace: Trace,
    stamp: int,
    T_odom_base: np.ndarray,
) -> tuple[int, np.ndarray]:
    """Runs control steps, or one discrete action, until the next camera frame; returns stamp (ns) and odometry pose.

    While tracking is lost the robot stands, and the driver is not asked: it would take its answer for carried out.
    """
    truth = simulator.privileged()
    for _ in range(TICKS_PER_FRAME):
        command = Velocity() if where.tracking.lost else driver.control(stamp, T_odom_base)
        if driver.status != "running":
            break
        if isinstance(command, Velocity):
            result = simulator.step(command.linear, command.angular, CONTROL_PERIOD)
        else:
            result = simulator.step_action(command)
        stamp, T_odom_base = result.stamp, result.T_odom_base
        metrics.update(truth.pose()[:2], truth.geodesic(), truth.goal_reached(), result.collided)
        trace.note(stamp)
        if not isinstance(command, Velocity):
            break  # the next action is chosen on a new frame
    return stamp, T_odom_base


def show(driver: Driver, where: Localization, observation: Observation, camera: Camera) -> None:
    """Passes a camera frame through localization to a driver: corrections first; no frame while tracking is lost.

    Args:
        driver: gets the frame. where: the localization, processes it before. camera: of the images.
    """
    correction = where.see(observation)
    if correction is not None:
        if correction.joined is not None:
            driver.join(correction.joined.map_id, correction.joined.joined_map_id, correction.joined.T)
        driver.correct(correction.stamps, correction.poses)
    if not where.tracking.placed:
        return
    T_map_base = where.T_map_odom @ observation.T_odom_base
    frame = RGBDFrame(
        observation.stamp,
        camera,
        T_map_base @ observation.T_base_camera,
        observation.color,
        observation.depth,
        observation.instance_ids,
    )
    driver.observe(frame, T_map_base, observation.T_odom_base, observation.T_base_camera)


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
