"""The option ``--localization`` of demo and eval, and its default. Knows nothing of poses."""

from __future__ import annotations

import argparse
import importlib.util
import sys

from ..errors import InputError
from ..resources import how_to_install


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--localization``."""
    parser.add_argument(
        "--localization",
        metavar="L",
        help="map->odom: slam (this package's own), truth (the simulator's), or odom (it drifts) (default: slam; truth "
        "where GTSAM is not installed)",
    )


def settle(args: argparse.Namespace) -> None:
    """Fills in the default; prints a notice if that is not SLAM.

    Raises:
        InputError: unknown name.
    """
    from ..evaluation.localization import NAMES

    if args.localization not in (None, *NAMES):
        raise InputError(f"--localization {args.localization}: unknown; give one of {', '.join(NAMES)}")
    if args.localization is None:
        args.localization = "slam" if importlib.util.find_spec("gtsam") else "truth"
        if args.localization == "truth":
            print(
                f"embodied-nav {args.command}: goes on with --localization truth, for GTSAM is not installed; "
                + how_to_install("slam"),
                file=sys.stderr,
            )
