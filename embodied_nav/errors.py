"""The one error that a user can mend. Knows nothing of anything else.

Raise :class:`InputError` with one line that says what is wrong and how to mend it; the command line prints that
line and exits with 2.
"""


class InputError(ValueError):
    """Bad input (file, argument, parameter): one line, what and how to mend it."""


class AlreadyTold(InputError):
    """Bad input that a child process has put into its line on stderr already: nothing more is printed."""
