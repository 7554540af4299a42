"""``embodied-nav up``: the agent's nodes on this machine, without launch_ros. Knows no algorithm."""

from __future__ import annotations

import argparse
import os
import time

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
    parser.add_argument("--memory-file", metavar="F", help="load the memory from here and save it at the end")
    parser.add_argument("--namespace", default="", metavar="N", help="of all nodes and topics")
    parser.add_argument("--use-sim-time", action="store_true", help="take time from /clock")
    parser.add_argument("--log-level", default="info", choices=LOG_LEVELS, help="default: info")


def run(args: argparse.Namespace) -> int:
    """Runs the nodes until Ctrl-C."""
    from .. import bringup
    from ..resources import share_path

    files = [str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent")]
    if args.config:
        bringup.check_params_file(args.config)
        files.append(os.path.abspath(args.config))
    environment = {**os.environ, "EMBODIED_NAV_LOG_LEVEL": args.log_level}
    given = {
        "reasoner": ("policy", args.reasoner),
        "perception": ("backend", args.perception),
        "memory": ("file", args.memory_file and os.path.abspath(args.memory_file)),
    }
    processes = []
    for spec in bringup.AGENT_NODES:
        parameters = {"use_sim_time": True} if args.use_sim_time else {}
        name, value = given.get(spec.name, ("", None))
        if value:
            parameters[name] = value
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
