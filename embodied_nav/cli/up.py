"""``embodied-nav up``: the agent's nodes on this machine, without launch_ros. Knows no algorithm."""

from __future__ import annotations

import argparse
import os
import re
import time

from ..errors import InputError

LOG_LEVELS = ("debug", "info", "warn", "error")


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
    parser.add_argument("--reasoner", metavar="R", help="rules, frontier or random (default: as the file says)")
    parser.add_argument("--perception", metavar="P", help="geometric or simulator (default: as the file says)")
    parser.add_argument(
        "--slam",
        default="external",
        choices=("own", "external"),
        help="who publishes map->odom: this package's slam node, or yours (default: external)",
    )
    parser.add_argument("--memory-file", metavar="F", help="where the memory is loaded from and kept")
    parser.add_argument("--namespace", default="", metavar="N", help="of all nodes and topics")
    parser.add_argument("--use-sim-time", action="store_true", help="take time from /clock")
    parser.add_argument("--log-level", default="info", choices=LOG_LEVELS, help="default: info")


def run(args: argparse.Namespace) -> int:
    """Runs the nodes until Ctrl-C."""
    from .. import bringup
    from ..resources import share_path

    _check(args)
    files = [str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent")]
    if args.config:
        bringup.check_params_file(args.config)
        files.append(os.path.abspath(args.config))
    environment = {**os.environ, "EMBODIED_NAV_LOG_LEVEL": args.log_level}
    given = {"reasoner": {"policy": args.reasoner}, "perception": {"backend": args.perception}}
    if args.memory_file:
        given |= bringup.memory_parameters(os.path.abspath(args.memory_file), args.slam == "own")
    processes = []
    own = (bringup.SLAM_NODE,) if args.slam == "own" else ()
    for spec in (*bringup.AGENT_NODES, *own):
        parameters = {"use_sim_time": True} if args.use_sim_time else {}
        parameters |= {name: value for name, value in given.get(spec.name, {}).items() if value}
        processes.append(bringup.Process(spec.name, spec.name, parameters, tuple(files), namespace=args.namespace))
    with bringup.Supervisor(processes, environment) as supervisor:
        print(f"up: {', '.join(p.name for p in processes)}; Ctrl-C ends them", flush=True)
        try:
            while True:
                supervisor.poll()
                time.sleep(0.1)
        except KeyboardInterrupt:
            print("up: ending the nodes", flush=True)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses here, in one line, what every node would refuse on its own."""
    from .. import perception, reasoner
    from . import run_folder

    if not re.fullmatch(r"(/?[A-Za-z_][A-Za-z0-9_]*)(/[A-Za-z_][A-Za-z0-9_]*)*/?|", args.namespace):
        raise InputError(f"--namespace '{args.namespace}': give letters, digits and _, with / between names")
    if args.reasoner is not None and args.reasoner not in reasoner.NAMES:
        raise InputError(f"--reasoner {args.reasoner}: unknown; give one of {', '.join(reasoner.NAMES)}")
    if args.perception is not None and args.perception not in perception.BACKENDS:
        raise InputError(f"--perception {args.perception}: unknown; give one of {', '.join(perception.BACKENDS)}")
    if args.memory_file:
        run_folder.check_memory_file("--memory-file", os.path.abspath(args.memory_file))
