"""Runs scenarios by hand: ``python -m kinematic_rig [--jobs N] [--domains A-B] [NAME ...]``; without names, all."""

import argparse
import sys

from embodied_nav.cli.environment import complete_environment

parser = argparse.ArgumentParser(prog="kinematic_rig")
parser.add_argument("names", nargs="*")
parser.add_argument("--jobs", type=int, default=4)
parser.add_argument("--domains", default="", help="A-B: ROS domains that may be used")
arguments = parser.parse_args()
complete_environment()

from . import SCENARIOS  # noqa: E402
from .running import main  # noqa: E402

unknown = set(arguments.names) - set(SCENARIOS)
if unknown:
    sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}")
first, last = (int(d) for d in arguments.domains.split("-")) if arguments.domains else (0, -1)
main([SCENARIOS[n] for n in arguments.names or SCENARIOS], arguments.jobs, range(first, last + 1))
