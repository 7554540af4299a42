"""The error for bad user input, and what it prints. Knows nothing of the rest of the package.

Raise :class:`InputError` with one line that says what is wrong and how to fix it; the command line prints that
line and exits with 2.
"""


class InputError(ValueError):
    """Bad input (file, argument, parameter); the text is one line: what is wrong and how to fix it.

    Line breaks in quoted text (errors of SQLite and YAML, names in messages) become spaces.
    """

    def __init__(self, text: object) -> None:
        super().__init__(" ".join(str(text).split("\n")))


class AlreadyTold(InputError):
    """Bad input that a child process has already reported on stderr: the parent prints nothing more."""
