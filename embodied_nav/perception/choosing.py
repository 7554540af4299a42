"""What ``perception: auto`` means here: the best back end that needs no further set-up. Knows no back end itself.

A detector where one was fetched (``embodied-nav models get detector``) or is given; else our own network in
simulation, whose categories it knows, where its weights are; else geometry, which names nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model_store import kept
from ..models.compact import shipped_weights

#: The name that is not one of a back end.
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A back end's name; where it was ``auto`` that chose it, why, in one line."""

    name: str
    why: str = ""


def choose(name: str, *, simulated: bool, detector: str = "", compact: str = "") -> Choice:
    """The back end that a name stands for; a name other than ``auto`` stands for itself.

    Args:
        simulated: whether the camera is the embedded simulator's.
        detector, compact: files that the settings name; "" for none.
    """
    if name != AUTO:
        return Choice(name)
    if detector:
        return _chosen("detector", f"with {detector}")
    if fetched := kept("detector"):
        return _chosen("detector", f"with {fetched}")
    if simulated and (compact or shipped_weights()):
        return _chosen("compact", "our own network, in simulation")
    mend = "'embodied-nav models get detector' brings one that does"
    return _chosen("geometric", f"it sees no categories and finds nothing by its name; {mend}")


def _chosen(name: str, why: str) -> Choice:
    return Choice(name, f"perception {AUTO} is {name}: {why}")
