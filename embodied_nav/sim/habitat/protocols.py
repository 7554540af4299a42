"""How an evaluation on Habitat's data sets is done: radius, actions, steps, camera. Knows nothing of simulators.

The numbers are those of the published configurations (habitat-lab's objectnav_hm3d, VLN-CE's vlnce_task and
rxr_vlnce_english_task). What differs between papers under one name stands in :attr:`Protocol.traps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError


@dataclass(frozen=True)
class Protocol:
    """One published way of evaluating.

    Attributes:
        name: as given to ``--protocol``.
        description: in one line.
        radius: m; STOP strictly nearer than this to a target is a success.
        view_points: whether the targets are the goals' view points, else their positions.
        steps: most actions, STOP included.
        turn: rad a turn. sliding: along obstacles.
        width, height, hfov: of the camera (px, px, rad). camera_above: m above the agent's position.
        min_depth, max_depth: m; nothing is known of what is nearer or farther.
        agent_radius, agent_height: m, of the navmesh.
        navmesh: as :data:`~.world.NAVMESH`.
        languages: beginnings of the languages of instructions that are taken; () takes all.
        traps: what other numbers under this name were done differently in.
    """

    name: str
    description: str
    radius: float
    view_points: bool
    steps: int
    turn: float
    sliding: bool
    width: int
    height: int
    hfov: float
    camera_above: float
    min_depth: float
    max_depth: float
    agent_radius: float
    agent_height: float
    navmesh: str
    languages: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()

    def parameters(self) -> dict[str, Any]:
        """Parameters by dotted name that it sets, where they are not given."""
        return {
            "habitat.width": self.width,
            "habitat.height": self.height,
            "habitat.hfov": self.hfov,
            "habitat.min_depth": self.min_depth,
            "habitat.max_depth": self.max_depth,
            "habitat.turn_angle": self.turn,
            "habitat.sliding": self.sliding,
            "habitat.navmesh": self.navmesh,
            "robot.camera_height": self.camera_above,
            "robot.camera_forward": 0.0,
            "robot.camera_pitch": 0.0,
            "robot.footprint_radius": self.agent_radius,
            "robot.height": self.agent_height,
        }


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "objectnav-hm3d",
            "STOP within 0.1 m of a view point, 500 steps, 30 degrees, no sliding",
            radius=0.1,
            view_points=True,
            steps=500,
            turn=math.radians(30.0),
            sliding=False,
            width=640,
            height=480,
            hfov=math.radians(79.0),
            camera_above=0.88,
            min_depth=0.5,
            max_depth=5.0,
            agent_radius=0.18,
            agent_height=0.88,
            navmesh="auto",
            traps=(
                "1.0 m to the object instead of 0.1 m to a view point",
                "an episode that ends where the goal is reached, without STOP",
                "HM3D v0.1 (2000 episodes) or v0.2 (1000 episodes)",
            ),
        ),
        Protocol(
            "vlnce-r2r",
            "STOP within 3 m, 500 steps, 15 degrees, sliding",
            radius=3.0,
            view_points=False,
            steps=500,
            turn=math.radians(15.0),
            sliding=True,
            width=256,
            height=256,
            hfov=math.radians(90.0),
            camera_above=1.25,
            min_depth=0.0,
            max_depth=10.0,
            agent_radius=0.1,
            agent_height=1.5,
            navmesh="shipped",
            traps=(
                "headings at the start of R2R_VLNCE v1-3 (about +1 SR)",
                "habitat-lab's own vln_r2r task: success at 0.2 m, turns of 10 degrees",
                "nDTW against reference_path instead of the _gt file's locations",
                "colour is 224x224 there and 256x256 here, of the same view",
            ),
        ),
        Protocol(
            "vlnce-rxr",
            "STOP within 3 m, 500 steps, 30 degrees, no sliding, English",
            radius=3.0,
            view_points=False,
            steps=500,
            turn=math.radians(30.0),
            sliding=False,
            width=640,
            height=480,
            hfov=math.radians(79.0),
            camera_above=0.88,
            min_depth=0.5,
            max_depth=5.0,
            agent_radius=0.18,
            agent_height=0.88,
            navmesh="shipped",
            languages=("en",),
            traps=(
                "a sample of 1,517 episodes instead of the 3,669 English ones of val-unseen",
                "all languages instead of English",
                "turns of 15 degrees and sliding, as in R2R",
            ),
        ),
    )
}


def protocol_of(name: str, layout: str, spoken: bool = False) -> Protocol:
    """A protocol by name; "auto" takes the one of the file's layout.

    Args:
        layout: ``objectnav`` or ``vln``. spoken: whether its instructions have a language (RxR).

    Raises:
        InputError: an unknown name, or one of another layout.
    """
    if name == "auto":
        name = "objectnav-hm3d" if layout == "objectnav" else "vlnce-rxr" if spoken else "vlnce-r2r"
    check(name)
    protocol = PROTOCOLS[name]
    if protocol.view_points != (layout == "objectnav"):
        other = "an ObjectNav" if layout == "objectnav" else "a VLN-CE"
        raise InputError(f"--protocol {name}: the data set is {other} one; leave --protocol out to have its own")
    return protocol


def check(name: str) -> None:
    """Raises InputError where there is no such protocol, nor ``auto``."""
    if name != "auto" and name not in PROTOCOLS:
        raise InputError(f"--protocol {name}: unknown; give one of auto, {', '.join(PROTOCOLS)}")
