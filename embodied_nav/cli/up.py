"""``embodied-nav up``: the agent's nodes on this machine, without launch_ros. Knows no algorithm."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from ..start_up import end_quietly
from . import names, settings
from .ros import require_ros

if TYPE_CHECKING:
    from ..bringup import agent_graph

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
#: Parameters that this command sets itself, and the option that sets each.
OWNED = {
    "policy": "by --agent",
    "backend": "by --perception",
    "file": "by --memory-file",
    "memory_file": "by --memory-file",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "up",
        help="start the agent's nodes (where there is no ros2 launch)",
        description="Starts the agent's nodes and starts again what dies, until Ctrl-C. Discovery and DDS settings "
        "are the shell's: ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE, FASTRTPS_DEFAULT_PROFILES_FILE.",
    )
    parser.add_argument(
        "--config", metavar="F", help="ROS parameter file, over config/robot.yaml and config/agent.yaml"
    )
    names.add_agent(parser, None)
    names.add_perception(parser, None)
    names.add_detector(parser)
    settings.add_option(parser)
    parser.add_argument(
        "--slam",
        default="external",
        choices=("own", "external"),
        help="who publishes map->odom: this package's slam node, or yours (default: external)",
    )
    parser.add_argument("--memory-file", metavar="F", help="where the memory is loaded from and kept")
    parser.add_argument("--namespace", default="", metavar="N", help="of all nodes and topics")
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="FROM:=TO",
        help="a topic's other name for all nodes, as often as needed: /tf:=tf brings TF below the namespace",
    )
    parser.add_argument(
        "--composed",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="slam, keyframe, perception and memory in one process: less work a frame (default: each in its own)",
    )
    parser.add_argument("--view", action="store_true", help="show what the agent knows as a page in a browser")
    parser.add_argument("--use-sim-time", action="store_true", help="take time from /clock")
    parser.add_argument("--log-level", default="info", choices=LOG_LEVELS, help="default: info")


def run(args: argparse.Namespace) -> int:
    """Runs the nodes until Ctrl-C."""
    end_quietly()  # before the first node starts there is nothing to clean up
    from ..bringup import Supervisor, agent_graph, composed, parameter_files

    options = _options(args)
    require_ros()
    processes = agent_graph.agent_processes(options)
    processes = composed(processes) if args.composed else processes
    for hint in parameter_files.foreign_sections(options.namespace, options.params_files):
        print(f"up: {hint}", file=sys.stderr, flush=True)
    environment = {**os.environ, "EMBODIED_NAV_LOG_LEVEL": args.log_level}
    with Supervisor(processes, environment) as supervisor:
        names = ", ".join(node.name for process in processes for node in process.nodes or (process,))
        print(f"up: {names}; Ctrl-C ends them", flush=True)
        if why := agent_graph.perception_of(options).why:
            print(f"up: {why}", flush=True)
        try:
            while True:
                supervisor.poll()
                time.sleep(0.1)
        except KeyboardInterrupt:
            print("up: ending the nodes", flush=True)
    return 0


def _options(args: argparse.Namespace) -> agent_graph.AgentOptions:
    from ..bringup import agent_graph
    from ..bringup.agent_graph import AgentOptions, remapping
    from ..resources import share_path

    files = [str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent")]
    if args.config:
        files.append(os.path.abspath(os.path.expanduser(args.config)))
    # Our SLAM finds itself in the memory's file: until then the memory must fill a new map.
    owned = OWNED | ({"new_map": ""} if args.slam == "own" and args.memory_file else {})
    return AgentOptions(
        params_files=tuple(files),
        namespace=args.namespace,
        use_sim_time=args.use_sim_time,
        reasoner=args.agent or "",
        perception=args.perception or "",
        slam=args.slam,
        memory_file=args.memory_file or "",
        view=args.view,
        remappings=dict(remapping(text) for text in args.remap),
        parameters=settings.parameters_by_node(
            names.with_detector(args.settings, args.detector, args.perception),
            agent_graph.nodes(args.slam, args.view),
            owned,
        ),
        say=lambda name: f"--{'agent' if name == 'reasoner' else name.replace('_', '-')} ",
    )
