"""The ``embodied-nav`` command: one module per subcommand, with ``add_parser(subparsers)`` and ``run(args)``.

Only the standard library is imported before a subcommand runs, so that ``--help`` answers at once.
"""

from ..start_up import end_quietly


def run_command() -> None:
    """Runs the ``embodied-nav`` command and ends the process with its exit code."""
    end_quietly()
    from .main import entry

    entry()
