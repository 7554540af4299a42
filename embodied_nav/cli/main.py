"""The entry of the ``embodied-nav`` command: arguments in, exit code out. Knows no algorithm and imports none.

Exit codes: 0 the job was done, 2 bad arguments or input (one line on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import AlreadyTold, InputError
from ..start_up import INTERRUPTED, can_be_installed, raise_interrupts
from .environment import complete_environment

#: Subcommands in the order of the help; each is the module of the same name (with _ for -) beside this one.
COMMANDS = (
    "demo", "replay", "ask", "eval", "report", "train", "memory", "parse", "models", "up", "go", "stop", "view", "mcp",
    "doctor", "warm-up",
)  # fmt: skip


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = OneLineParser(
        prog="embodied-nav",
        description="Follows a sentence through an unseen building and remembers the building in 3D.",
        epilog="Each command explains itself: embodied-nav demo --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"embodied-nav {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=OneLineParser)
    for name in COMMANDS:
        _module(name).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; errors that the user can fix become an exit code, not an exception."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    complete_environment()
    try:
        code = _module(args.command).run(args)
        sys.stdout.flush()
        return code
    except AlreadyTold:
        return 2
    except InputError as error:
        line = " ".join(str(error).split())
        print(f"embodied-nav {args.command}: error: {line}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if not can_be_installed(error.name or ""):
            raise
        print(
            f"embodied-nav {args.command}: error: needs {error.name}, which is not installed; "
            "'embodied-nav doctor' says how to get it",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed the pipe (as head does). Avoid an error at the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _module(command: str):
    return importlib.import_module(f".{command.replace('-', '_')}", __package__)


def entry() -> None:
    """Runs one command and ends the process with its exit code.

    After an interrupt it exits at once, without Python's finalization, which can take seconds with compiled kernels.
    """
    try:
        raise_interrupts()
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
