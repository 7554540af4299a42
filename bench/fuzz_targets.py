"""What is fed by fuzz_inputs.py, and how a reader is told to be wrong. Knows no reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class Wrong(AssertionError):
    """A reader took what it should not have."""


@dataclass
class Target:
    """Something that reads.

    Attributes:
        name: of the row. kind: "messages" or "files".
        prepare: called once in each process; gives ``try_one``: that tries the item of a random generator and returns
            normally where it was taken, raises InputError or BadMessage where it was refused.
        share: of the messages that one of the quick functions gets; a whole node takes longer for each.
    """

    name: str
    kind: str
    prepare: Callable[[], Callable[[np.random.Generator], None]]
    share: float = 1.0
