"""The ``embodied-nav`` command: one module a subcommand, each with ``add_parser(subparsers)`` and ``run(args)``.

Only the standard library is imported before a subcommand runs, so that ``--help`` answers at once.
"""
