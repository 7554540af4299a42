"""``embodied-nav go``: sends a sentence to a running agent and shows what it decides. Knows no algorithm."""

from __future__ import annotations

import argparse

from .ros import require_ros


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "go",
        help="send a sentence to the agent that is running",
        description="Sends a goal to the agent that is running (embodied-nav up, ros2 launch) and prints its decisions "
        "until it ends; Ctrl-C cancels it. Exit code 0 when the robot stopped at what it was sent to, 1 when not.",
    )
    parser.add_argument("text", metavar="TEXT", help='such as "find the red sofa"')
    add_agent(parser)


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Declares which agent is meant."""
    parser.add_argument("--namespace", default="", metavar="N", help="of the agent")
    parser.add_argument("--wait", type=float, default=10.0, metavar="S", help="for the agent to be found (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Sends the goal and waits for its end."""
    from ..bringup.agent_graph import check_namespace

    check_namespace("--namespace ", args.namespace)
    require_ros()
    from ..nodes.terminal import go

    return 0 if go(args.text, args.namespace, args.wait) else 1
