"""The entry of the ``embodied-nav`` command: arguments in, exit code out. Knows no algorithm and imports none.

Exit codes: 0 the job was done, 2 bad arguments or input (one line on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import AlreadyTold, InputError
from .environment import complete_environment

#: Subcommands in the order of the help; each is the module of the same name beside this one.
COMMANDS = ("demo", "replay", "eval", "memory", "up", "doctor")
INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one line, without the usage text."""

    def error(self, message: str) -> None:
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
        importlib.import_module(f".{name}", __package__).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; never raises for what the user can mend."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    complete_environment()
    try:
        code = importlib.import_module(f".{args.command}", __package__).run(args)
        sys.stdout.flush()
        return code
    except AlreadyTold:
        return 2
    except InputError as error:
        line = " ".join(str(error).split())
        print(f"embodied-nav {args.command}: error: {line}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if not _can_be_installed(error.name or ""):
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
        # The reader of our output (head, say) has seen enough. Keep the interpreter's last flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def entry() -> None:
    """Runs one command and ends the process with its exit code.

    An interrupted one ends at once: taking the interpreter apart with compiled kernels in it can take seconds.
    """
    code = main()
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _can_be_installed(module: str) -> bool:
    """Whether a missing module is a library or one of our generated interfaces, not a defect of this package."""
    top, _, rest = module.partition(".")
    return bool(top) and (top != "embodied_nav" or rest.split(".")[0] in ("msg", "srv", "action"))
