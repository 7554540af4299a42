"""``embodied-nav stop``: cancels the goals of a running agent. Knows no algorithm."""

from __future__ import annotations

import argparse

from .go import add_agent
from .ros import require_ros


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "stop",
        help="cancel the goal of the agent that is running",
        description="Cancels every goal of the agent that is running: the robot stands. It takes the next goal as "
        "before; an emergency stop, which holds until it is released, is the topic e_stop.",
    )
    add_agent(parser)


def run(args: argparse.Namespace) -> int:
    """Cancels the goals."""
    from ..bringup.agent_graph import check_namespace

    check_namespace("--namespace ", args.namespace)
    require_ros()
    from ..nodes.terminal import stop

    count = stop(args.namespace, args.wait)
    print(f"stop: {'there was no goal' if not count else 'the goal is cancelled'}", flush=True)
    return 0
