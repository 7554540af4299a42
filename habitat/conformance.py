#!/usr/bin/env python3
"""Measures in habitat-sim what this package takes for granted of it, beside the same in our world. Knows no agents.

    python habitat/server.py --scenes-dir SCENES              # in the environment that has habitat-sim
    python habitat/conformance.py SCENES/some/scene.glb       # in this package's environment

prints a table: each fact, what was measured once on habitat-sim 0.3 under software OpenGL, habitat-sim here, ours here.
A number of habitat-sim's that differs from the first column is worth an issue; --server and --token as in habitat/.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np

from embodied_nav.errors import InputError
from embodied_nav.sim.habitat.meshes import MeshWorld
from embodied_nav.sim.habitat.remote import DEFAULT_SERVER, RemoteWorld
from embodied_nav.sim.habitat.world import SceneSetup, World

WIDTH, HEIGHT, HFOV, ABOVE, STEP = 320, 240, math.radians(79.0), 0.88, 0.25
#: Fact -> what was measured once.
KNOWN = {
    "navmesh above the floor, m": "0.10",
    "first step from the floor, m": "0.269",
    "depth of a floor seen from above, spread, m": "0 (planar)",
    "principal point's row less (H - 1) / 2, px": "0",
    "blocked step, m": "up to contact (0.245)",
    "the next one, m": "0",
    "clearance at contact (radius 0.18), m": "0.19 to 0.24",
    "step at 45 degrees to it with sliding, m": "0.177",
    "pictures a second at 320x240, both cameras": "about 40 (CPU)",
}


def setup(scene: str, pitch: float = 0.0, sliding: bool = False) -> SceneSetup:
    """The scene with ObjectNav's agent and a small camera."""
    return SceneSetup(
        scene, WIDTH, HEIGHT, HFOV, ABOVE, 0.0, pitch, 0.18, 0.88, 0.2, math.radians(45.0), STEP, math.radians(30.0),
        sliding, "build",
    )  # fmt: skip


def facing(yaw: float) -> tuple[float, float, float, float]:
    """The rotation of a heading about the vertical."""
    return 0.0, math.sin(0.5 * yaw), 0.0, math.cos(0.5 * yaw)


def open_place(world: World, bounds: np.ndarray, tries: int = 300) -> np.ndarray:
    """The place of some drawn at random around which the way is longest in the worst of four directions."""
    rng, best, found = np.random.default_rng(0), -1.0, None
    for _ in range(tries):
        place = world.snap(rng.uniform(*bounds))
        if place is None:
            continue
        ways = []
        for yaw in np.arange(4) * math.pi / 2:
            world.place(place, facing(yaw))
            ways.append(world.move([(2.0, 0.0)]).moved)
        if min(ways) > best:
            best, found = min(ways), place
    if found is None:
        raise InputError("nowhere in this scene can an agent of radius 0.18 m stand")
    return found


def measure(world: World, scene: str, place: np.ndarray) -> dict[str, str]:
    """All facts of a world, at a place with room around it."""
    found = {}
    world.load(setup(scene, math.pi / 2))
    world.place(place, facing(0.0))
    patch = world.observe()[1][HEIGHT // 2 - 20 : HEIGHT // 2 + 20, WIDTH // 2 - 20 : WIDTH // 2 + 20]
    above = float(np.median(patch)) - ABOVE
    found["navmesh above the floor, m"] = f"{above:.3f}"
    found["depth of a floor seen from above, spread, m"] = f"{float(np.ptp(patch)):.4f}"
    on_floor = place - np.array([0.0, above, 0.0])
    before = world.place(on_floor, facing(0.0)).position.astype(np.float64)
    found["first step from the floor, m"] = f"{np.linalg.norm(world.act('forward').position - before):.4f}"
    found["principal point's row less (H - 1) / 2, px"] = f"{principal_row(world, scene, place, above):.2f}"
    found |= blocked(world, scene, place)
    started, count = time.perf_counter(), 20
    for _ in range(count):
        world.observe()
    found["pictures a second at 320x240, both cameras"] = f"{count / (time.perf_counter() - started):.0f}"
    return found


def principal_row(world: World, scene: str, place: np.ndarray, above: float) -> float:
    """How far the principal point lies below (H - 1) / 2, from the floor that a camera sees which looks down by half.

    Along the rows v of a picture of a plane, 1 / z is linear: (sin p + (v - cy) / f cos p) / height.
    """
    world.load(setup(scene, math.pi / 4))
    world.place(place, facing(0.0))
    depth = world.observe()[1][:, WIDTH // 2 - 2 : WIDTH // 2 + 2].mean(axis=1).astype(np.float64)
    rows = np.arange(HEIGHT)[-HEIGHT // 3 :]  # the floor near the feet
    slope, offset = np.polyfit(rows, 1.0 / depth[rows], 1)
    at_axis = math.sin(math.pi / 4) / (ABOVE + above)
    return float((at_axis - offset) / slope - (HEIGHT - 1) / 2)


def blocked(world: World, scene: str, place: np.ndarray) -> dict[str, str]:
    """What steps against an obstacle do: ahead until it holds the agent up, then with sliding at 45 degrees to it."""
    world.load(setup(scene))
    placed = world.place(place, facing(0.0))
    length, following = math.nan, math.nan
    for _ in range(200):
        before, placed = placed.position, world.act("forward")
        if placed.collided:
            length = float(np.linalg.norm(placed.position - before))
            following = float(np.linalg.norm(world.act("forward").position - placed.position))
            break
    ahead = float(np.median(world.observe()[1][HEIGHT // 2 - 3 : HEIGHT // 2 + 3, WIDTH // 2 - 3 : WIDTH // 2 + 3]))
    world.load(setup(scene, sliding=True))
    placed = world.place(placed.position, facing(math.pi / 4))
    slid = float(np.linalg.norm(world.act("forward").position - placed.position))
    return {
        "blocked step, m": f"{length:.3f}",
        "the next one, m": f"{following:.3f}",
        "clearance at contact (radius 0.18), m": f"{ahead:.3f}",
        "step at 45 degrees to it with sliding, m": f"{slid:.4f}",
    }


def distances(theirs: World, ours: World, scene: str, bounds: np.ndarray, place: np.ndarray, count: int = 40) -> str:
    """How much longer our geodesic distances are, over places drawn at random."""
    rng, found, unlike = np.random.default_rng(1), [], 0
    for world in (theirs, ours):
        world.load(setup(scene))
        world.set_goals(place[None])
    for _ in range(count):
        start = theirs.snap(rng.uniform(*bounds))
        if start is None:
            continue
        a, b = theirs.distance(start), ours.distance(start)
        unlike += math.isfinite(a) != math.isfinite(b)
        if math.isfinite(a) and math.isfinite(b) and a > 0.5:
            found.append(b / a - 1.0)
    if not found:
        return "no place that both reach"
    low, middle, high = (100.0 * q for q in np.quantile(found, [0.05, 0.5, 0.95]))
    return f"{middle:+.1f}% (5 to 95%: {low:+.1f} to {high:+.1f}), reachable for one only: {unlike} of {count}"


def table(columns: dict[str, dict[str, str]]) -> str:
    """The facts as a Markdown table."""
    lines = [f"| fact | measured once | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for fact, once in KNOWN.items():
        lines.append(f"| {fact} | {once} | {' | '.join(found.get(fact, '-') for found in columns.values())} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="what is taken for granted of habitat-sim, measured")
    parser.add_argument("scene", help="a scene's .glb")
    parser.add_argument("--server", default=DEFAULT_SERVER, help=f"HOST:PORT (default: {DEFAULT_SERVER})")
    parser.add_argument("--token", default="", help="the server's token file")
    given = parser.parse_args(arguments)
    try:
        theirs, ours = RemoteWorld(given.server, given.token), MeshWorld()
        theirs.load(setup(given.scene))
        bounds = np.array(theirs.facts["bounds"], dtype=np.float64)
        place = open_place(theirs, bounds)
        ours.load(setup(given.scene))
        columns = {world.name: measure(world, given.scene, place) for world in (theirs, ours)}
        say(table(columns))
        say(f"geodesic distances, ours to theirs: {distances(theirs, ours, given.scene, bounds, place)}")
    except InputError as error:
        print(f"conformance.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
