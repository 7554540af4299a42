"""The page beside ``demo`` and ``replay``: live at a terminal, and recorded in the run's folder. Knows no algorithm.

Whatever goes wrong here costs the page and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..resources import why_no_page

if TYPE_CHECKING:
    from ..bringup import Process
    from ..view import EpisodeRecord, MadeDecision

#: The recorded page's name in a run's folder.
FILE = "view.html"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Declares ``--view`` and ``--no-view``."""
    parser.add_argument(
        "--view",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show the run as a page in a browser while it lasts (default: at a terminal)",
    )


def settle(args: argparse.Namespace) -> None:
    """Decides whether there is a live page; says so where it was asked for and cannot be."""
    asked = args.view
    wanted = sys.stdout.isatty() if asked is None else asked
    why = why_no_page() if wanted else ""
    if why and asked:
        print(f"{args.command}: no live page: {why}", flush=True)
    args.view = wanted and not why


def nodes(args: argparse.Namespace) -> tuple[str, ...]:
    """The name of the page's node, where there is to be one; after :func:`settle`."""
    return ("view",) if args.view else ()


def processes(
    args: argparse.Namespace, parameters: Mapping[str, Mapping[str, Any]], why_no_goals: str
) -> list[Process]:
    """The page's process, where there is to be one; the run goes on without it."""
    from ..bringup import Process
    from ..bringup.agent_graph import view_parameters

    if not args.view:
        return []
    own = {"use_sim_time": True, "goals": False, "why_no_goals": why_no_goals}
    given = {**own, **view_parameters(parameters["memory"]), **parameters["view"]}
    return [Process("view", "view", given, respawn=False, optional=True)]


def decisions(made: list[dict]) -> list[MadeDecision]:
    """The decisions that the client of the action wrote down."""
    from ..frames import Decision, Option
    from ..view import MadeDecision

    out = []
    for told in made:
        options = tuple(
            Option(o["letter"], o["kind"], None if o["position"] is None else (o["position"][0], o["position"][1]),
                   o["distance"], o["direction"], o["text"], o["object_id"])
            for o in told["options"]
        )  # fmt: skip
        decision = Decision(told["id"], told["stamp"], options, told["chosen"], told["think"], "", told["reasoner"])
        out.append(MadeDecision(told["stamp"], decision, told["path_length"]))
    return out


def write(command: str, out: Path, record: Callable[[], EpisodeRecord]) -> None:
    """Writes the recorded page; says in one line why where it could not be made."""
    from ..view import write_page

    try:
        write_page(out / FILE, record())
    except Exception as error:  # a picture of the run must not cost its report
        print(f"{command}: no {FILE}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
