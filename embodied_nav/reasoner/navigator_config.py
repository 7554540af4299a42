"""Settings of the navigator: when to decide, when to replan, when a place is reached. Knows no algorithm."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, param


@dataclass(frozen=True)
class NavigatorConfig(Config):
    """When to decide, when to replan, when a place counts as reached."""

    stop_gap: float = param(
        0.80, "gap to the target's surface at which it brakes, faces it and stops", unit="m", low=0.2, high=3.0
    )
    last_gap: float = param(1.10, "gap that will do where it cannot get nearer", unit="m", low=0.2, high=3.0)
    pass_gap: float = param(
        0.45, "gap to a way point's surface at which it counts as passed", unit="m", low=0.3, high=5.0
    )
    point_gap: float = param(
        0.50, "gap at which it stops at the end of a route, whose point may lie beside any end", unit="m",
        low=0.2, high=3.0,
    )  # fmt: skip
    reached: float = param(0.08, "distance to a place at which it counts as reached", unit="m", low=0.05, high=1.0)
    frontier_reached: float = param(
        0.35, "distance to a frontier at which it counts as reached", unit="m", low=0.05, high=2.0
    )
    decide_every: float = param(
        6.0, "longest time between decisions on the way to a frontier", unit="s", low=0.5, high=120.0
    )
    replan_every: float = param(1.0, "longest time between new paths to the same place", unit="s", low=0.1, high=60.0)
    patience: float = param(
        12.0, "time without coming nearer after which a place is given up", unit="s", low=2.0, high=300.0
    )
    way_patience: float = param(
        30.0, "a known target to which no way is free is waited for so long in all, looking around", unit="s",
        low=0.0, high=600.0,
    )  # fmt: skip
    confirm_age: float = param(
        1.0, "how recently the target must have been seen where it stops", unit="s", low=0.2, high=60.0
    )
    facing: float = param(0.2, "error of heading at which it faces the target", unit="rad", low=0.05, high=1.5)
    facing_time: float = param(
        6.0, "longest time spent on turning to the target before it stops", unit="s", low=0.5, high=60.0
    )
    look_radius: float = param(
        3.5, "unseen openings within this distance ask for a look around", unit="m", low=0.5, high=10.0
    )
    look_again: float = param(1.5, "distance driven before another look around", unit="m", low=0.2, high=20.0)
    rooms_every: float = param(1.0, "least time between two splits of the map into rooms", unit="s", low=0.0, high=60.0)
    field_of_view: float = param(1.5, "what the camera sees at once", unit="rad", low=0.3, high=6.3)
    think_limit: float = param(
        20.0, "a policy that thinks beside driving is waited for so long; then the rules decide", unit="s",
        low=0.5, high=600.0,
    )  # fmt: skip
