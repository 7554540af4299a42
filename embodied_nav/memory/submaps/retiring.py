"""Drops keyframes that newer ones made redundant, with all that belongs to them. Knows no questions and no files.

What a dropped keyframe saw counts on in the map, and in one that is made again: the newer ones that show the same stand
for it (:attr:`LocalCloud.stands_for`), so what they show is as sure as it was. What they do not show any more is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..objects.named_places import fix_to_others
from .local_clouds import STANDS_FOR_MOST, LocalCloud
from .map_state import MapState

#: Keyframes whose patches are made in one go: the new one, and some that a correction moved or a file brought.
_AT_ONCE = 4


def retire(state: MapState) -> list[int]:
    """Drops what the newest closed local cloud made redundant; returns the keyframes' ids.

    Call it when a keyframe's cloud was closed. Those that may still get a semantic delta stay.
    """
    return _retire(state, [c.keyframe_id for c in state.content.clouds[-1:]], _AT_ONCE)


def retire_all(state: MapState) -> list[int]:
    """Drops all that is redundant by now, as if each keyframe were the newest in its turn; returns the ids."""
    return _retire(state, sorted(state.content.keyframes), len(state.content.keyframes))


def _retire(state: MapState, newest: Sequence[int], at_once: int) -> list[int]:
    """Drops what each of some keyframes made redundant; takes in so many at most that are not known as they are."""
    content, redundancy = state.content, state.redundancy
    if redundancy is None or state.correction is not None or not content.keyframes:
        return []
    clouds: dict[int, list[LocalCloud]] = {}
    for cloud in content.clouds:
        if cloud.keyframe_id in content.keyframes:
            clouds.setdefault(cloud.keyframe_id, []).append(cloud)
    stale = [i for i, c in clouds.items() if i not in redundancy or redundancy.moved(i, c[-1].T_map_cloud)]
    for i in stale[-at_once:]:
        redundancy.put(i, clouds[i])
    waiting = sorted(content.keyframes)[-state.config.keyframe_images :]
    gone: dict[int, list[int]] = {}
    for keyframe in newest:
        gone |= redundancy.retire(keyframe, waiting[0])
    for keyframe, heirs in gone.items():
        _hand_over(clouds[keyframe], [c for i in heirs for c in clouds.get(i, ())])
    if gone:
        forget(state, gone)
    return list(gone)


def _hand_over(leaving: list[LocalCloud], heirs: list[LocalCloud]) -> None:
    for cloud in heirs:
        cloud.stands_for = min(cloud.stands_for + max(c.stands_for for c in leaving), STANDS_FOR_MOST)


def forget(state: MapState, keyframes: Collection[int]) -> None:
    """Drops keyframes, their clouds, looks and sightings; what objects are known from them stays known."""
    content = state.content
    fix_to_others(content.places, content.keyframes, keyframes)
    leaving = [c for c in content.clouds if c.keyframe_id in keyframes]
    content.clouds = [c for c in content.clouds if c.keyframe_id not in keyframes]
    for i in keyframes:
        del content.keyframes[i]
        content.looks.pop(i, None)
        state.images.pop(i, None)
        state.featureless.pop(i, None)
    content.forgotten += [(c.keyframe_id, c.number) for c in leaving]
    state.retired.extend(keyframes)
    state.objects.forget(keyframes)
