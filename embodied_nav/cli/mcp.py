"""``embodied-nav mcp``: tools for an assistant, over stdin and stdout. Knows no algorithm."""

from __future__ import annotations

import argparse

from .ros import require_ros


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "mcp",
        help="tools for an assistant: goals by sentence, stop, questions",
        description="Serves the Model Context Protocol on stdin and stdout: an assistant (a language model in another "
        "program) gives goals as sentences, stops the robot and asks what it knows. It never drives: no tool takes a "
        "velocity, a topic or a path. The agent must be running (embodied-nav up, ros2 launch). docs/assistants.md",
    )
    parser.add_argument("--namespace", default="", metavar="N", help="of the agent")
    parser.add_argument(
        "--remap", action="append", default=[], metavar="FROM:=TO", help="a topic's other name, as often as needed"
    )
    parser.add_argument("--wait", type=float, default=10.0, metavar="S", help="for the agent to be found (default: 10)")
    parser.add_argument(
        "--patience", type=float, default=45.0, metavar="S", help="that navigate waits for the goal's end (default: 45)"
    )
    parser.add_argument("--calls", type=int, default=30, metavar="N", help="calls a minute, stop apart (default: 30)")
    parser.add_argument("--goals", type=int, default=6, metavar="N", help="goals a minute (default: 6)")
    parser.add_argument(
        "--log", metavar="F", help="JSON lines, one a call and an answer (default: ~/.local/state/embodied_nav/)"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until the assistant goes."""
    from ..assistants.server import require_mcp
    from ..bringup.agent_graph import check_namespace, remapping
    from ..errors import InputError

    check_namespace("--namespace ", args.namespace)
    remappings = dict(remapping(text) for text in args.remap)
    for option in ("wait", "patience"):
        if not 0.0 < getattr(args, option) < 3600.0:
            raise InputError(f"--{option} {getattr(args, option):g}: give seconds between 0 and 3600")
    require_ros()
    require_mcp()
    from ..assistants import CallLog, Limits, Tools, default_log
    from ..assistants.server import serve

    limits, log = Limits(args.calls, args.goals), CallLog(args.log or default_log())
    from ..nodes.assistant_link import AssistantLink

    link = AssistantLink(args.namespace, remappings, args.wait)
    log.write("begin", namespace=args.namespace)
    return serve(Tools(link, limits, log, args.patience), link.close)
