"""Apartments as a robot toured them twice, things gone in between: memory, digest and truth. Knows no questions.

What stands in them is varied beyond the apartments' own recipes, so that neither how many there are of a category nor
how large they are follows from its name: some things are taken away, and some are made smaller.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...frames import Keyframe
from ...geometry import Camera
from ...keyframes import KeyframeConfig, KeyframeGate
from ...memory import SpatialMemory
from ...perception import create
from ...perception.backend import KnowsInstances, PerceptionBackend
from ...robot import RobotProfile
from ...sim.embedded import describe
from ...sim.interface import SceneObject
from ...sim.mesh import SceneDescription, SceneMesh
from ...sim.navigable import NavigableMap
from ...sim.tours import frames, tour

#: The tour's camera: small, so that an apartment takes seconds.
CAMERA = Camera.from_hfov(160, 120, math.pi / 2)
#: Fewer keyframes than a robot would take: at each place four views make the full turn.
GATE = KeyframeConfig(min_overlap=0.35, max_rotation=1.6, check_every=0)
#: Pixels within DISTANCE (m) from which a thing was seen well, and from which it appears at all (of 160 x 120).
WELL, APPEARS, DISTANCE = 100, 20, 4.0
#: Things that somebody may carry away, or that come in other sizes.
MOVABLE = frozenset(
    (
        "armchair", "bench", "bookshelf", "chair", "coffee table", "computer", "dresser", "lamp", "laundry basket",
        "microwave", "mirror", "nightstand", "office chair", "ottoman", "picture", "plant", "rug", "stool", "toy box",
        "trash can", "tv",
    )
)  # fmt: skip
_RESIZED = MOVABLE | {"bed", "crib", "desk", "dining table", "piano", "sofa", "tv stand", "wardrobe", "washing machine"}
#: Share of the movable things that an apartment does without, and the smallest factor on a size.
_WITHOUT, _SMALLEST = 0.25, 0.5


@dataclass(eq=False)
class Sightings:
    """What frames showed, counted on the instance images.

    Attributes:
        most: instance -> most of its pixels in one frame, nearer than :data:`DISTANCE`.
        any: instance -> most of its pixels in one frame at any distance.
        first: instance -> number of the frame in which it appeared.
    """

    most: Counter[int] = field(default_factory=Counter)
    any: Counter[int] = field(default_factory=Counter)
    first: dict[int, int] = field(default_factory=dict)

    def add(self, index: int, depth: np.ndarray, ids: np.ndarray) -> None:
        """Counts one frame: HxW depth (m) and instance ids."""
        for counts, mask in ((self.any, ids > 0), (self.most, (ids > 0) & (depth < DISTANCE))):
            values, pixels = np.unique(ids[mask], return_counts=True)
            for i, n in zip(values.tolist(), pixels.tolist(), strict=True):
                counts[i] = max(counts[i], n)
                if counts is self.any and n >= APPEARS:
                    self.first.setdefault(i, index)

    def well(self, instance: int) -> bool:
        """Whether it was seen well once."""
        return self.most[instance] >= WELL

    def never(self, instance: int) -> bool:
        """Whether it was hardly ever in view."""
        return self.any[instance] < APPEARS / 4


@dataclass(frozen=True, eq=False)
class World:
    """A toured apartment.

    Attributes:
        seed: of the apartment. first, second: the scene at each visit. removed: instances gone in between.
        memory: after both visits; map and scene frames are the same.
        seen: on both visits. again: on the second.
        here: (x, y, yaw) where the tour ended.
        keyframes: 4x4 camera poses of the keyframes, in order. poses: (x, y, yaw) of the second visit.
        navigable: of the second scene.
    """

    seed: int
    first: SceneDescription
    second: SceneDescription
    removed: tuple[int, ...]
    memory: SpatialMemory
    seen: Sightings
    again: Sightings
    here: tuple[float, float, float]
    keyframes: Sequence[np.ndarray]
    poses: Sequence[tuple[float, float, float]]
    navigable: NavigableMap


def make_world(seed: int, perception: Callable[[], PerceptionBackend] = lambda: create("simulator")) -> World:
    """Tours the apartment of a seed twice; the same seed gives the same world.

    Args:
        perception: makes the back end; by default ground truth names things, and only memory and geometry err.
    """
    rng = np.random.default_rng([seed, 11])
    first = _varied(describe(str(seed)), rng)
    removed = _taken_away(first, rng)
    second = without(first, removed)
    robot = RobotProfile()
    maps = [NavigableMap(scene, robot) for scene in (first, second)]
    tours = [tour(m, spacing=2.5, rng=rng, looks=8) for m in maps]
    tours[1] = tours[1][: int(len(tours[1]) * rng.uniform(0.75, 1.0))]
    run = _Run(perception(), {o.instance: (o.category, o.color) for o in first.objects})
    again = Sightings()
    for k, (scene, poses) in enumerate(zip((first, second), tours, strict=True)):
        run.drive(scene, poses, robot, seed + k, again if k else None)
    return World(
        seed, first, second, removed, run.memory, run.seen, again, tours[1][-1], run.keyframes, tours[1], maps[1]
    )


class _Run:
    """One memory, fed by two tours."""

    def __init__(self, backend: PerceptionBackend, names: Mapping[int, tuple[str, str]]) -> None:
        self.memory, self.gate, self.backend = SpatialMemory(), KeyframeGate(GATE), backend
        if isinstance(backend, KnowsInstances):
            backend.set_instances(names)
        self.seen, self.keyframes = Sightings(), list[np.ndarray]()
        self._previous: Keyframe | None = None
        self._frames = self._stamp = 0

    def drive(self, scene, poses, robot: RobotProfile, noise: int, more: Sightings | None) -> None:
        for frame in frames(scene, poses, robot, CAMERA, noise, self._stamp + 200_000_000):
            assert frame.depth is not None and frame.instance_ids is not None
            self._stamp = frame.stamp
            for sightings in (self.seen, *((more,) if more else ())):
                sightings.add(self._frames, frame.depth, frame.instance_ids)
            self._frames += 1
            self.memory.integrate(frame)
            keyframe = self.gate.process(frame)
            if keyframe is not None:
                self.memory.add_keyframe(keyframe)
                self.memory.add_delta(self.backend.perceive(self._previous, keyframe, ""))
                self.keyframes.append(frame.T_map_camera)
                self._previous = keyframe


# ---- other things in the same rooms ----


def without(scene: SceneDescription, instances: Collection[int]) -> SceneDescription:
    """The scene without some objects."""
    m = scene.mesh
    keep = ~np.isin(m.instance, list(instances))
    mesh = SceneMesh(
        m.vertices, m.faces[keep], m.uvs[keep], m.texture[keep], m.textures, m.instance[keep], m.tint[keep]
    )
    return replace(scene, mesh=mesh, objects=tuple(o for o in scene.objects if o.instance not in instances))


def resized(scene: SceneDescription, factors: Mapping[int, float]) -> SceneDescription:
    """The scene with objects (instance -> factor of at most 1) made smaller about the middle of their base.

    What hangs (its base above 0.3 m) keeps its middle instead.
    """
    vertices, faces, objects = [scene.mesh.vertices], scene.mesh.faces.copy(), []
    count = len(scene.mesh.vertices)
    for o in scene.objects:
        factor = factors.get(o.instance, 1.0)
        if factor == 1.0:
            objects.append(o)
            continue
        base = o.center[2] - o.extent[2] / 2
        fixed = np.array([*o.center[:2], o.center[2] if base > 0.3 else base])
        own = np.flatnonzero(scene.mesh.instance == o.instance)
        used, index = np.unique(scene.mesh.faces[own], return_inverse=True)
        vertices.append(((scene.mesh.vertices[used] - fixed) * factor + fixed).astype(np.float32))
        faces[own] = index.reshape(-1, 3) + count
        count += len(used)
        x, y, z = ((np.array(o.center) - fixed) * factor + fixed).tolist()
        w, d, h = (np.array(o.extent) * factor).tolist()
        objects.append(replace(o, center=(x, y, z), extent=(w, d, h)))
    m = scene.mesh
    mesh = SceneMesh(np.concatenate(vertices), faces, m.uvs, m.texture, m.textures, m.instance, m.tint)
    return replace(scene, mesh=mesh, objects=tuple(objects))


def bears(o: SceneObject, objects: Sequence[SceneObject]) -> bool:
    """Whether something stands on it."""
    top, reach = o.center[2] + o.extent[2] / 2, np.array(o.extent[:2]).max() / 2
    for other in objects:
        bottom = other.center[2] - other.extent[2] / 2
        away = np.abs(np.array(other.center[:2]) - np.array(o.center[:2]))
        if other is not o and bottom > 0.2 and bottom > top - 0.6 and bottom < top + 0.1 and (away <= reach).all():
            return True
    return False


def _varied(scene: SceneDescription, rng: np.random.Generator) -> SceneDescription:
    free = [o for o in scene.objects if not bears(o, scene.objects)]
    fewer = without(scene, [o.instance for o in free if o.category in MOVABLE and rng.random() < _WITHOUT])
    left = {o.instance for o in fewer.objects}
    factors = {
        o.instance: float(rng.uniform(_SMALLEST, 1.0)) for o in free if o.instance in left and o.category in _RESIZED
    }
    return resized(fewer, factors)


def _taken_away(scene: SceneDescription, rng: np.random.Generator) -> tuple[int, ...]:
    """Instances that go between the visits: two to five of what can be carried, and is large enough to be missed."""
    free = [
        o.instance
        for o in scene.objects
        if o.category in MOVABLE - {"rug", "mirror", "picture"} and not bears(o, scene.objects)
    ]
    count = min(int(rng.integers(2, 6)), len(free))
    return tuple(sorted(rng.choice(free, size=count, replace=False).tolist()))
