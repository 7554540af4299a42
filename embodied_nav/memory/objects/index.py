"""Objects, the voxels of one instance, with ids that last; decides what is present, moved or gone. Knows no images.

Every detection is given to an instance when it comes (``association``), and its voxels vote for that instance, so a
wrong name now and then neither splits a thing nor makes a new one: an instance's label is what most of its sightings
say. Only instances that won or lost voxels are computed again. One whose voxels were carved away, because depth passed
through them, is gone (``_lost``); one whose voxels now vote for another was a wrong sighting and is dropped; an object
that is first seen elsewhere after one like it was gone is that one, moved.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from ...frames import MemoryObject, ObjectObservation
from ..voxels.store import BLOCKS, CLOCK, VoxelStore
from . import association
from .clusters import clusters
from .remnants import Fullest
from .votes import Class, ClassTable

#: Clusters of one instance belong together when their boxes are this near (voxels).
FRAGMENT_GAP = 6.0
#: A cluster apart from the rest is another thing if it has this share of the largest one's voxels.
SPLIT_SHARE = 0.3
#: m around a sighting's box within which what it shows may lie.
SIGHTING_MARGIN = 0.15
#: A lost object's id goes to a new instance of the same label this near, m.
REVIVAL_DISTANCE = 0.5
#: Times that one detection covered two instances until they are one: of the same label, of different ones.
MERGE_SAME, MERGE_OTHER = 1, 2
#: Two objects of one label whose boxes share this part of the smaller one, never seen apart, are one.
MERGE_OVERLAP = 0.5
#: An instance with this share of its voxels in view was looked for.
LOOKED_FOR = 0.3
#: Extents leave out this share of the voxels on either side, where there are enough of them.
TRIM, TRIM_FROM = 0.01, 50


@dataclass(eq=False)
class Sighting:
    """One object as one keyframe showed it: instance, where, how many pixels, what it was taken for, and its own number
    in the index, -1 before it has one."""

    keyframe_id: int
    class_number: int
    position: np.ndarray
    pixels: int
    label: str = ""
    color: str = ""
    confidence: float = 1.0
    extent: np.ndarray = field(default_factory=lambda: np.zeros(3))
    number: int = -1


@dataclass
class _Earlier:
    """What is left of an instance's sightings in dropped keyframes: how many keyframes, and what it was taken for
    (sum of confidences)."""

    keyframes: int = 0
    names: dict[Class, float] = field(default_factory=dict)

    def add(self, keyframes: int, names: dict[Class, float]) -> None:
        self.keyframes += keyframes
        for name, weight in names.items():
            self.names[name] = self.names.get(name, 0.0) + weight


class ObjectIndex:
    """The objects of a voxel store.

    Attributes:
        known: id -> object, gone ones too. classes: id -> number of its instance.
        sightings: of all keyframes. version: counts merges and splits, which change sightings of before.
        looked_through: present ones that the newest keyframe did not find at a place that it saw to be empty.
        made_anew: whether the store was made anew since the last :meth:`refresh`.

    Args:
        min_voxels: smaller clusters are no objects. voxel_size: m.
        relabel: called as ``relabel(keyframe_ids, old, new, rows)`` where votes of some keyframes for instance ``old``
            become votes for ``new``, in the voxels as in what they were made from; only those in ``rows`` unless that
            is None.
    """  # fmt: skip

    def __init__(self, voxel_size: float, min_voxels: int, relabel: Callable[[set[int], int, int, object], None]):
        self._size, self._min_voxels, self._relabel = voxel_size, min_voxels, relabel
        self.reset()

    def reset(self) -> None:
        """Forgets all objects."""
        self.known: dict[int, MemoryObject] = {}
        self.classes: dict[int, int] = {}
        self.sightings: list[Sighting] = []
        self._seen: dict[int, list[Sighting]] = {}
        self._names: dict[int, dict[Class, float]] = {}
        self._earlier: dict[int, _Earlier] = {}
        self._ids: dict[int, int] = {}
        self._fullest = Fullest()
        self._apart: dict[tuple[int, int], int] = {}
        self._dirty: set[int] = set()
        #: Instances with voxels on disk: they stay as they are until these are back and touched.
        self.away: set[int] = set()
        self._next_id = 1
        self._next_sighting = 0
        self._current: tuple[MemoryObject, ...] = ()
        self._clock, self._stale = -1, False
        self.made_anew = False
        self.looked_through: list[int] = []
        self.version = 0

    @property
    def dirty(self) -> frozenset[int]:
        """Classes still to be looked at anew."""
        return frozenset(self._dirty)

    def all(self) -> tuple[MemoryObject, ...]:
        """Every object by id, gone ones too, as of the last :meth:`refresh`."""
        return tuple(sorted(self.known.values(), key=lambda o: o.id))

    def keyframes_of(self, object_id: int) -> list[int]:
        """Keyframes that show an object, oldest first."""
        return sorted({s.keyframe_id for s in self._seen.get(self.classes.get(object_id, 0), ())})

    def sightings_of(self, object_id: int) -> tuple[Sighting, ...]:
        """Sightings of an object, in the order in which they came."""
        return tuple(self._seen.get(self.classes.get(object_id, 0), ()))

    def restore(self, known: list[tuple[MemoryObject, int]], sightings: list[Sighting]) -> None:
        """Takes objects with their classes, and sightings, from a file."""
        self.reset()
        self.known = {o.id: o for o, _ in known}
        self.classes = {o.id: c for o, c in known}
        self._ids = {c: o.id for o, c in known}
        self._fullest = Fullest(o for o, _ in known)
        for s in sightings:
            o = self.known.get(self._ids.get(s.class_number, 0))
            if not s.label and o is not None:
                s.label, s.color = o.label, o.color
            self._record(s)
        for o, number in known:
            self._restore_earlier(o, number)
        self._next_id = max(self.known, default=0) + 1
        self._current = tuple(o for o in self.known.values() if o.status == "present")

    def _restore_earlier(self, o: MemoryObject, number: int) -> None:
        """What an object owes to keyframes that were dropped, from its counts."""
        dropped = o.confirmed - self._keyframes_kept(number)
        if dropped > 0:
            names = {(label, o.color if label == o.label else ""): dropped * n for label, n in o.label_distribution}
            self._earlier[number] = _Earlier(dropped, names)
            self._set_sightings(number, self._seen.get(number, []))

    def _keyframes_kept(self, number: int) -> int:
        return len({s.keyframe_id for s in self._seen.get(number, ())})

    def forget(self, keyframes: Collection[int]) -> None:
        """Drops the sightings of keyframes; names and counts that came from them stay."""
        leaving = [s for s in self.sightings if s.keyframe_id in keyframes]
        self.sightings = [s for s in self.sightings if s.keyframe_id not in keyframes]
        for number in {s.class_number for s in leaving}:
            mine = [s for s in leaving if s.class_number == number]
            self._earlier.setdefault(number, _Earlier()).add(len({s.keyframe_id for s in mine}), _names_of(mine))
            self._seen[number] = [s for s in self._seen[number] if s.keyframe_id not in keyframes]
        for i, o in self.known.items():
            if o.keyframe_id in keyframes:
                low, high = o.position - o.extent / 2, o.position + o.extent / 2
                self.known[i] = dataclasses.replace(o, keyframe_id=self._best_keyframe(self.classes[i], low, high))
                self._stale = True

    # ---- what perception says ----

    def see(
        self,
        store: VoxelStore,
        table: ClassTable,
        keyframe_id: int,
        objects: Sequence[ObjectObservation],
        pixels: np.ndarray,
        rows: np.ndarray,
        detections: np.ndarray,
        empty: Callable[[MemoryObject], bool],
    ) -> np.ndarray:
        """Takes in one keyframe's detections; gives the instance (int16) that each is one of, entry 0 being none.

        Args:
            pixels: of each detection, entry 0 being none. rows: N voxels in view. detections: N, of each, 0 none.
            empty: which boxes ((M, 3) middles, (M, 3) extents) are seen to be empty, M bool.
        """  # fmt: skip
        seen = association.overlap(detections, store.arrays.labels[rows])
        boxes = {self.classes[o.id]: o for o in self._current}
        shares = {t: self._shares(t) for t in seen.visible}
        chosen = association.associate(tuple(objects), seen, shares, boxes, self._size)
        self._weigh(seen, chosen, {t: o.voxels for t, o in boxes.items()})
        self._look_for(seen, set(chosen.values()), empty)
        numbers = np.zeros(len(objects) + 1, np.int16)
        for d, o in enumerate(objects, start=1):
            number = chosen.get(d) or table.new(o.label, o.color)
            numbers[d] = number
            if number:
                place, extent = np.array(o.position, np.float64), np.array(o.extent, np.float64)
                confidence = max(float(o.confidence), 1e-3)
                self._record(Sighting(keyframe_id, number, place, int(pixels[d]), o.label, o.color, confidence, extent))
                table.rename(number, *self._name(number))
        self.touch(numbers)
        return numbers

    def _record(self, s: Sighting) -> None:
        if s.number < 0:
            s.number = self._next_sighting
        self._next_sighting = max(self._next_sighting, s.number + 1)
        self.sightings.append(s)
        self._seen.setdefault(s.class_number, []).append(s)
        names = self._names.setdefault(s.class_number, {})
        names[s.label, s.color] = names.get((s.label, s.color), 0.0) + s.confidence

    def _shares(self, number: int) -> dict[str, float]:
        """Label -> share of an instance's sightings by their confidence, largest first."""
        sums: dict[str, float] = {}
        for (label, _), weight in self._names.get(number, {}).items():
            sums[label] = sums.get(label, 0.0) + weight
        total = sum(sums.values())
        return {k: v / total for k, v in sorted(sums.items(), key=lambda i: (-i[1], i[0]))}

    def _name(self, number: int) -> Class:
        """What most sightings say: their label, and the colour that goes with it best."""
        label = next(iter(self._shares(number)))
        colors: dict[str, float] = {}
        for (name, color), weight in self._names[number].items():
            fits = (1.0 if name == label else 0.5) * (1.0 if color else 0.1)
            colors[color] = colors.get(color, 0.0) + weight * fits
        return label, max(sorted(colors), key=lambda c: colors[c])

    def _weigh(self, seen: association.Overlap, chosen: dict[int, int], sizes: dict[int, int]) -> None:
        """Remembers who was seen apart, and who under one detection."""
        for a, b in itertools.combinations(sorted(chosen.values()), 2):
            if (a, b) in self._apart or self._near(a, b):
                self._apart[a, b] = self._apart.get((a, b), 0) + 1
        for t, f in association.covered(seen, chosen, sizes):
            pair = min(t, f), max(t, f)
            self._apart[pair] = self._apart.get(pair, 0) - 1

    def _near(self, a: int, b: int) -> bool:
        one, two = self.known.get(self._ids.get(a, 0)), self.known.get(self._ids.get(b, 0))
        return one is not None and two is not None and association.box_overlap(one, two, 2 * self._size) > 0

    def _look_for(
        self, seen: association.Overlap, found: set[int], empty: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> None:
        """Counts who was in view, or whose place was, and was not found; remembers whose place is empty."""
        missing, self.looked_through = [o for i, o in self.known.items() if self.classes[i] not in found], []
        if not missing:
            return
        nothing = empty(np.stack([o.position for o in missing]), np.stack([o.extent for o in missing]))
        for o, is_empty in zip(missing, nothing.tolist(), strict=True):
            voxels = seen.visible.get(self.classes[o.id], 0)
            if is_empty and o.status == "present":
                self.looked_through.append(o.id)
            if is_empty or voxels >= max(LOOKED_FOR * o.voxels, association.LEAST_OVERLAP):
                self.known[o.id] = dataclasses.replace(o, missed=o.missed + 1)
                self._stale = True

    # ---- what the voxels say ----

    def touch(self, classes: np.ndarray) -> None:
        """Classes that won or lost voxels."""
        self._dirty.update(int(c) for c in classes if c > 0)

    def touch_all(self, store: VoxelStore) -> None:
        """After the store was made anew."""
        self.touch(np.unique(store.arrays.labels[: len(store.rows)]))
        self._dirty.update(self.classes[i] for i, o in self.known.items() if o.status == "present")
        self.made_anew = True

    def refresh(self, store: VoxelStore, table: ClassTable, stamp: int) -> tuple[MemoryObject, ...]:
        """Present objects by id, with last-seen stamps of now."""
        while self._dirty:  # what is merged or split is looked at once more
            dirty, self._dirty = self._dirty - self.away, set()
            if dirty:
                self._recompute(store, table, stamp, dirty)
        clock = int(store.arrays.counts[CLOCK])
        if clock != self._clock or self._stale:
            newest = _newest(store.arrays, self._clock, np.zeros(self._next_id, np.int64))
            self._clock, self._stale = clock, False
            for o in [o for o in self.known.values() if newest[o.id] > o.last_seen]:
                self.known[o.id] = dataclasses.replace(o, last_seen=int(newest[o.id]))
            present = (o for o in self.known.values() if o.status == "present")
            self._current = tuple(sorted(present, key=lambda o: o.id))
        return self._current

    def _recompute(self, store: VoxelStore, table: ClassTable, stamp: int, dirty: set[int]) -> None:
        bodies = []
        for number, parts in clusters(store, dirty, self._size):
            rows, points = self._body(table, number, parts)
            if len(rows) >= self._min_voxels and not self._fullest.is_remnant(self._ids.get(number, 0), points):
                bodies.append((number, rows, points))
        bodies.sort(key=lambda b: (-len(b[1]), b[0]))
        found = {number for number, _, _ in bodies}
        for i, o in list(self.known.items()):
            if o.status == "present" and self.classes[i] in dirty - found:
                self._lost(store, table, i)
        for number, rows, points in bodies:
            i = self._id_of(table, number, points)
            store.arrays.owner[rows] = i
            self.classes[i], self._ids[number] = number, i
            self._fullest.note(i, points)
            self.known[i] = self._object(i, number, store, table, rows, points, stamp)
        self._merge_doubles(table, found)
        self._find_moved(store, stamp)
        self._stale, self.made_anew = True, False

    def _body(self, table: ClassTable, number: int, parts: list) -> tuple[np.ndarray, np.ndarray]:
        """Rows and positions of the clusters that are this instance; a large one far from it becomes another."""
        rows, points = parts[0]
        if len(parts) == 1:
            return rows, points
        gap, left = FRAGMENT_GAP * self._size, np.arange(1, len(parts))
        lows, highs = np.array([p.min(0) for _, p in parts]), np.array([p.max(0) for _, p in parts])
        middles = np.array([p.mean(0) for _, p in parts])
        sightings = self._seen.get(number, ())
        places = np.array([s.position for s in sightings], np.float64).reshape(-1, 3)
        reaches = np.array([s.extent for s in sightings], np.float64).reshape(-1, 3) / 2 + SIGHTING_MARGIN
        while len(left):
            low, high = points.min(0), points.max(0)
            near = ((lows[left] <= high + gap) & (highs[left] >= low - gap)).all(1)
            # Some sighting shows both the body's middle and the part's: things are seen in pieces behind others.
            whole = (np.abs(points.mean(0) - places) <= reaches).all(1)
            if whole.any():
                shown = np.abs(middles[left][:, None] - places[whole]) <= reaches[whole]
                near |= shown.all(2).any(1)
            if not near.any():
                break
            rows = np.concatenate([rows, *(parts[k][0] for k in left[near])])
            points = np.concatenate([points, *(parts[k][1] for k in left[near])])
            left = left[~near]
        for r, p in (parts[k] for k in left):
            if len(r) >= max(SPLIT_SHARE * len(rows), self._min_voxels):
                self._split(table, number, r, p)
        return rows, points

    def _split(self, table: ClassTable, number: int, rows: np.ndarray, points: np.ndarray) -> None:
        """Clusters that have sightings of their own become another instance; others are strays."""
        self.version += 1
        own = [s for s in self._seen.get(number, []) if _holds(points, s.position, SIGHTING_MARGIN)]
        if not own or len(own) == len(self._seen[number]):
            return
        new = table.new(own[0].label, own[0].color)
        if not new:
            return
        keep = [s for s in self._seen.pop(number) if s not in own]
        self._set_sightings(number, keep)
        self._set_sightings(new, self._renumbered(own, new))
        self._relabel({s.keyframe_id for s in own}, number, new, np.sort(rows))
        for k in (number, new):
            table.rename(k, *self._name(k))
        self._dirty.update((number, new))

    def _renumbered(self, sightings: list[Sighting], number: int) -> list[Sighting]:
        """The same sightings of another instance, new records in the place of the old ones."""
        others = {id(s): dataclasses.replace(s, class_number=number) for s in sightings}
        self.sightings = [others.get(id(s), s) for s in self.sightings]
        return list(others.values())

    def _set_sightings(self, number: int, sightings: list[Sighting]) -> None:
        self._seen[number] = list(sightings)
        earlier = self._earlier.get(number)
        self._names[number] = _names_of(sightings, {} if earlier is None else earlier.names)

    def _hand_over(self, old: int, new: int) -> None:
        """What is left of an instance's dropped sightings becomes another's."""
        if (earlier := self._earlier.pop(old, None)) is not None:
            self._earlier.setdefault(new, _Earlier()).add(earlier.keyframes, earlier.names)

    def _merge(self, table: ClassTable, gone: int, into: int) -> None:
        """Makes two instances one; the older object's id stays."""
        self.version += 1
        moved = self._seen.pop(gone, [])
        self._hand_over(gone, into)
        self._set_sightings(into, self._seen.get(into, []) + self._renumbered(moved, into))
        self._names.pop(gone, None)
        self._relabel({s.keyframe_id for s in moved}, gone, into, None)
        table.merge(gone, into)
        if self._names[into]:
            table.rename(into, *self._name(into))
        self._apart = {pair: n for pair, n in self._apart.items() if gone not in pair}
        one, two = self._ids.pop(gone, 0), self._ids.get(into, 0)
        if one and two and one != two:
            first, second = sorted((one, two))
            kept, other = self.known.get(first), self.known.get(second)
            if kept is not None and other is not None:
                seen = min(kept.first_seen, other.first_seen), max(kept.missed, other.missed)
                self.known[first] = dataclasses.replace(self.known[two], id=first, first_seen=seen[0], missed=seen[1])
            self._fullest.take(first, second)
            self.drop(second)
            self._ids[into], self.classes[first] = first, into
        elif one:
            self._ids[into], self.classes[one] = one, into
        self._dirty.add(into)

    def drop(self, i: int) -> None:
        """Forgets an object as if it had never been."""
        self.known.pop(i, None)
        self._fullest.drop(i)
        number = self.classes.pop(i, 0)
        if self._ids.get(number) == i:
            del self._ids[number]

    def _merge_doubles(self, table: ClassTable, found: set[int]) -> None:
        """Instances that detections took for one, and objects of one label that lie in each other."""
        for (a, b), n in sorted(self._apart.items()):
            i, j = self._ids.get(a, 0), self._ids.get(b, 0)
            if n < 0 and i in self.known and j in self.known:
                same = self.known[i].label == self.known[j].label
                if n <= -(MERGE_SAME if same else MERGE_OTHER):
                    small, large = sorted((a, b), key=lambda c: self.known[self._ids[c]].voxels)
                    self._merge(table, small, large)
        present = [o for o in self.known.values() if o.status == "present"]
        for a in [o for o in present if self.classes.get(o.id) in found]:
            for b in present:
                if a.id == b.id or a.label != b.label or not (a.id in self.known and b.id in self.known):
                    continue
                one, two = self.classes[a.id], self.classes[b.id]
                apart = self._apart.get((min(one, two), max(one, two)), 0)
                if apart <= 0 and association.box_overlap(a, b, self._size) >= MERGE_OVERLAP:
                    self._merge(table, *((one, two) if a.voxels < b.voxels else (two, one)))

    def _lost(self, store: VoxelStore, table: ClassTable, i: int) -> None:
        """An object without voxels: gone if they were seen through; else its votes were wrong, and another has its
        voxels or it never was one."""
        rows = np.flatnonzero(store.arrays.owner[: len(store.rows)] == i)
        labels = store.arrays.labels[rows]
        store.arrays.owner[rows] = 0
        if self.made_anew:
            self.drop(i)
        elif self._fullest.lost_half(i, len(rows)):
            self.known[i] = dataclasses.replace(self.known[i], status="gone")
        else:
            heirs, counts = np.unique(labels[labels > 0], return_counts=True)
            number = self.classes[i]
            heir = int(heirs[counts.argmax()]) if len(heirs) else 0
            if heir and heir != number and 2 * counts.max() >= len(rows):
                self.drop(i)
                self._merge(table, number, heir)
            else:
                self.drop(i)

    def _id_of(self, table: ClassTable, number: int, points: np.ndarray) -> int:
        """The instance's id; where it has none, that of one like it gone nearby, else a new one."""
        if number in self._ids:
            return self._ids[number]
        label, middle = table.names[number][0], (points.min(0) + points.max(0)) / 2
        best, best_distance = 0, REVIVAL_DISTANCE
        for i, o in self.known.items():
            distance = float(np.linalg.norm(o.position - middle))
            if o.label == label and o.status == "gone" and distance < best_distance:
                best, best_distance = i, distance
        if best:
            self._inherit(best, number)
            self._fullest.drop(best)
            return best
        self._next_id += 1
        return self._next_id - 1

    def _inherit(self, i: int, number: int) -> None:
        """A gone object becomes another instance, with its sightings."""
        self.version += 1
        old = self.classes[i]
        earlier = self._seen.pop(old, [])
        self._hand_over(old, number)
        self._set_sightings(number, self._renumbered(earlier, number) + self._seen.get(number, []))
        self._names.pop(old, None)
        self._ids.pop(old, None)
        self._ids[number], self.classes[i] = i, number

    def _find_moved(self, store: VoxelStore, stamp: int) -> None:
        """A gone object and the only one like it that was first seen later are one: it was moved there."""
        present = [o for o in self.known.values() if o.status == "present" and o.moves == 0]
        for gone in [o for o in self.known.values() if o.status == "gone"]:
            fits = [o for o in present if o.id in self.known and association.alike(gone, o) and self._later(o, gone)]
            if len(fits) != 1:
                continue
            new, number = fits[0], self.classes[fits[0].id]
            owner = store.arrays.owner[: len(store.rows)]
            owner[owner == new.id] = gone.id
            self._fullest.drop(gone.id)
            self._fullest.take(gone.id, new.id)
            left, showing = self.classes[gone.id], set(self.keyframes_of(gone.id))
            self.drop(new.id)
            self._inherit(gone.id, number)
            self._relabel(showing, left, 0, None)  # what is left at its old place must not become an object
            self.known[gone.id] = dataclasses.replace(
                new, id=gone.id, first_seen=gone.first_seen, missed=gone.missed, moves=gone.moves + 1,
                confirmed=gone.confirmed + new.confirmed,
            )  # fmt: skip

    def _later(self, new: MemoryObject, gone: MemoryObject) -> bool:
        """Whether one was first found after the other was found last: what is left of that at its foot is seen on."""
        first, last = (self.keyframes_of(o.id) for o in (new, gone))
        return first[0] > last[-1] if first and last else new.first_seen > gone.last_seen

    def _object(self, i, number, store, table, rows, points, stamp) -> MemoryObject:
        low, high = _trimmed_box(points)
        low, high = low - self._size / 2, high + self._size / 2
        won, votes, newest = _support(store.arrays, rows, number)
        support = float(np.clip(won.sum() / max(float(votes.sum()), 1e-9), 0.0, 1.0))
        label, color = table.names[number]
        shares = self._shares(number)
        old = self.known.get(i)
        return MemoryObject(
            id=i,
            label=label,
            color=color,
            position=(low + high) / 2,
            extent=high - low,
            confidence=support * shares.get(label, 1.0),
            voxels=len(rows),
            first_seen=old.first_seen if old else stamp,
            last_seen=newest,
            keyframe_id=self._best_keyframe(number, low, high),
            label_distribution=tuple(shares.items()),
            confirmed=self._keyframes_kept(number) + self._earlier.get(number, _Earlier()).keyframes,
            missed=old.missed if old else 0,
            moves=(old.moves + self._displaced(old, (low + high) / 2)) if old else 0,
        )

    @staticmethod
    def _displaced(old: MemoryObject, position: np.ndarray) -> int:
        """1 where an object that was gone is found elsewhere."""
        return int(old.status == "gone" and float(np.linalg.norm(old.position - position)) > REVIVAL_DISTANCE)

    def _best_keyframe(self, number: int, low: np.ndarray, high: np.ndarray) -> int:
        """The keyframe that showed most pixels with their middle in the box; -1 where none did."""
        best, pixels = -1, 0
        for s in self._seen.get(number, ()):
            if s.pixels > pixels and (s.position >= low - 0.3).all() and (s.position <= high + 0.3).all():
                best, pixels = s.keyframe_id, s.pixels
        return best


def _names_of(sightings: Iterable[Sighting], names: Mapping[Class, float] | None = None) -> dict[Class, float]:
    """Sum of the confidences by what was seen, added to what there was before."""
    out = dict(names or {})
    for s in sightings:
        out[s.label, s.color] = out.get((s.label, s.color), 0.0) + s.confidence
    return out


def _holds(points: np.ndarray, position: np.ndarray, margin: float) -> bool:
    """Whether a position lies in the points' box."""
    return bool((position >= points.min(0) - margin).all() and (position <= points.max(0) + margin).all())


def _trimmed_box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(points)
    k = int(n * TRIM) if n >= TRIM_FROM else 0
    ordered = np.sort(points, axis=0)
    return ordered[k], ordered[n - 1 - k]


@njit(cache=True, nogil=True)
def _newest(store, since, out):
    """Newest last_seen (ns) by object id, in blocks changed after ``since``."""
    for b in range(store.counts[BLOCKS]):
        if store.block_clock[b] <= since or store.block_live[b] == 0:
            continue
        left = store.block_live[b]
        for s in range(store.slot_rows.shape[1]):
            r = np.int64(store.slot_rows[b, s]) - 1
            if r < 0:
                continue
            left -= 1
            i = store.owner[r]
            if i > 0 and store.labels[r] > 0 and i < out.size:
                out[i] = max(out[i], store.rows[r].last_seen)
            if left == 0:
                break
    return out


@njit(cache=True, nogil=True)
def _support(store, rows, number):
    """Of N rows of a class: its votes (N float64), all votes (N float32), the newest last_seen (ns)."""
    won, votes, newest = np.empty(rows.size), np.empty(rows.size, np.float32), np.int64(0)
    for i in range(rows.size):
        row = store.rows[rows[i]]
        won[i] = row.votes_a if row.class_a == number else row.votes_b
        votes[i] = row.votes
        newest = max(newest, row.last_seen)
    return won, votes, newest
