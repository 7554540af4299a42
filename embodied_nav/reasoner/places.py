"""Places with a name, which come among the objects: taken out of them, refused where they are not. Knows no paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import InputError
from ..frames import ELSEWHERE, NAMED, MemoryObject
from ..language import Instruction, Target, is_plain, with_places

Places = Mapping[str, tuple[float, float]]


def in_places(instruction: Instruction, objects: Sequence[MemoryObject]) -> Instruction:
    """The instruction with the places that it names.

    Args:
        objects: things and places.

    Raises:
        InputError: it gives a place a name, which asks for no way, or it names one of another map.
    """
    if instruction.names:
        raise InputError(f"'{instruction.text}' gives a place a name, which the memory keeps: it asks for no way")
    here = {o.label for o in objects if o.status == NAMED}
    elsewhere = {o.label for o in objects if o.status == ELSEWHERE} - here
    for stage in instruction.stages:
        if stage.label in elsewhere and is_plain(stage):
            raise InputError(_refusal(stage.label))
    return with_places(instruction, here)


def without_places(objects: Sequence[MemoryObject]) -> tuple[tuple[MemoryObject, ...], Places]:
    """The things, and (x, y) m in map of the places by name."""
    things = tuple(o for o in objects if o.status not in (NAMED, ELSEWHERE))
    return things, {o.label: (float(o.position[0]), float(o.position[1])) for o in objects if o.status == NAMED}


def not_here(target: Target, places: Places) -> str:
    """Why a named place cannot be gone to, "" where it can, or the target is none."""
    return _refusal(target.label) if target.named and target.label not in places else ""


def _refusal(name: str) -> str:
    return (
        f"'{name}' was named in another map than the one the robot is in: its place is not known here; go there and "
        f"say 'this is the {name}', or let the robot find its way into that map first"
    )
