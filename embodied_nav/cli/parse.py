"""``embodied-nav parse``: shows what a sentence is understood as. Knows nothing of maps and of robots."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "parse",
        help="show what a sentence is understood as, or why it is refused",
        description="Shows the goals that a sentence is read as, in order, and what they must not be; or why the robot "
        "would refuse it. Exit code 0 either way: the sentence was parsed.",
    )
    parser.add_argument("text", metavar="TEXT", help='the sentence, such as "find a chair that isn\'t red"')
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Parses and prints."""
    from ..language import as_json, parse_instruction, refused_json

    try:
        form = as_json(parse_instruction(args.text))
    except InputError as error:
        form = refused_json(str(error))
    print(json.dumps(form, ensure_ascii=False, indent=2) if args.json else _block(form))
    return 0


def _block(form: dict[str, Any]) -> str:
    """The form for people to read."""
    if form["refused"]:
        return f"refused: {form['refused']}"
    lines = [f"{k}. {_line(goal)}" for k, goal in enumerate(form["goals"], start=1)]
    return "\n".join([*lines, *(f"note: {note}" for note in form["notes"])])


def _line(goal: dict[str, Any]) -> str:
    which = goal["ordinal"]
    rank = which if isinstance(which, str) else ""
    name = " ".join(word for word in (rank, goal["color"], goal["label"], goal["relation"]) if word)
    parts = [f"{'pass' if goal['passing'] else 'go to'} {name} ({goal['kind']})"]
    if which and not rank:
        parts.append(f"number {which}")
    if goal["room"]:
        parts.append(f"in the {goal['room']}")
    if goal["side"]:
        parts.append(f"side: {goal['side']}")
    parts += [f"not: {excluded}" for excluded in goal["exclude"]]
    if goal["unless"]:
        parts.append(f"skipped if a {goal['unless']} is there")
    return "; ".join(parts)
