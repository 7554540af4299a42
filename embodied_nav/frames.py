"""The records that flow between components: frozen dataclasses, no algorithms, no ROS.

Units are metres, radians and nanoseconds; positions and poses are in the map frame unless a name says otherwise.
Arrays inside a record are never modified after construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np

from .geometry import Camera


@dataclass(frozen=True, eq=False)
class RGBDFrame:
    """One registered colour and depth image with its pose.

    Attributes:
        stamp: ns, of the exposure.
        camera: intrinsics of both images.
        T_map_camera: 4x4 float64, map from optical frame.
        color: HxWx3 uint8 RGB, or None.
        depth: HxW float32, m along the optical axis, NaN invalid, or None.
        instance_ids: HxW int32 from the simulator, 0 is background; or None. Only ``simulator`` perception reads it.
    """

    stamp: int
    camera: Camera
    T_map_camera: np.ndarray
    color: np.ndarray | None = None
    depth: np.ndarray | None = None
    instance_ids: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame selected by the keyframe gate.

    Attributes:
        id: counts from 0 within a session.
        overlap: share of this view (0 to 1) that the previous keyframe saw; NaN for the first.
        inliers: feature matches that RANSAC kept; 0 where features were not computed.
        reason: why it was taken: ``first``, ``overlap``, ``moved``, ``lost``, ...
    """

    id: int
    frame: RGBDFrame
    overlap: float
    inliers: int
    reason: str


@dataclass(frozen=True, eq=False)
class ObjectObservation:
    """One object as observed in one keyframe.

    Attributes:
        label: category name in singular, lower case ("sofa").
        color: colour name ("red"), or "".
        confidence: 0 to 1.
        position: (3,) float64, centre in map.
        extent: (3,) float64, size along the map's axes.
        box: (u0, v0, u1, v1) pixels, end exclusive, or None.
    """

    label: str
    color: str
    confidence: float
    position: np.ndarray
    extent: np.ndarray
    box: tuple[int, int, int, int] | None = None

    @property
    def name(self) -> str:
        """Colour and label: "red sofa"."""
        return f"{self.color} {self.label}".strip()


@dataclass(frozen=True, eq=False)
class SemanticDelta:
    """Perception's description of a keyframe and of the changes since the one before (Embodied-R, sec. 3.2).

    Attributes:
        keyframe_id, previous_id: the pair; previous_id is -1 for the first.
        stamp: ns, of the keyframe.
        source: the back end's name, as it appears in reports.
        action: the camera's motion in words ("rotate left").
        objects: everything seen now; ``new``, ``gone`` and ``moved`` are what changed.
        relevant: the part that concerns the instruction, in words.
        text: the whole delta in words, for the reasoner.
        stale: the back end failed or was late; this delta comes from the fallback.
        segments: HxW uint16, 0 is background, k is ``objects[k - 1]``; or None.
    """

    keyframe_id: int
    previous_id: int
    stamp: int
    source: str
    action: str
    objects: tuple[ObjectObservation, ...] = ()
    new: tuple[ObjectObservation, ...] = ()
    gone: tuple[ObjectObservation, ...] = ()
    moved: tuple[ObjectObservation, ...] = ()
    relevant: str = ""
    text: str = ""
    stale: bool = False
    segments: np.ndarray | None = None


#: Status of a place that people gave a name, where objects are listed: of this map, and of another one of the file.
NAMED, ELSEWHERE = "place", "elsewhere"


@dataclass(frozen=True, eq=False)
class MemoryObject:
    """One object as stored in the memory.

    Attributes:
        id: stable within a memory.
        label, color: category and colour name.
        position, extent: (3,) float64, centre and size along the map's axes.
        confidence: 0 to 1, the label's share of the votes.
        voxels: how many voxels it has.
        first_seen, last_seen: ns.
        keyframe_id: the keyframe that shows it best.
        status: ``present`` or ``gone``; of a place with a name :data:`NAMED` or :data:`ELSEWHERE`.
        label_distribution: (label, share of its sightings), most frequent first.
        confirmed: keyframes in which perception found it.
        missed: keyframes in which it, or its empty place, was in view and perception did not find it.
        moves: how often it was found at a different place.
        feature: (D,) float32, unit length, mean of its voxels' features; or None.
    """

    id: int
    label: str
    color: str
    position: np.ndarray
    extent: np.ndarray
    confidence: float
    voxels: int
    first_seen: int
    last_seen: int
    keyframe_id: int
    status: str = "present"
    label_distribution: tuple[tuple[str, float], ...] = ()
    confirmed: int = 0
    missed: int = 0
    moves: int = 0
    feature: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Colour and label: "red sofa"."""
        return f"{self.color} {self.label}".strip()


#: Values of :attr:`OccupancyGrid.data`, as in nav_msgs/OccupancyGrid.
UNKNOWN, FREE, OCCUPIED = -1, 0, 100


@dataclass(frozen=True, eq=False)
class OccupancyGrid:
    """A 2D occupancy map, seen from above.

    Attributes:
        data: HxW int8, rows along y, columns along x: -1 unknown, 0 free, 100 occupied.
        resolution: m per cell.
        origin: (x, y) of the lower left corner of cell [0, 0], m.
        stamp: ns.
    """

    data: np.ndarray
    resolution: float
    origin: tuple[float, float]
    stamp: int = 0

    def cells(self, xy: np.ndarray) -> np.ndarray:
        """(row, column) int64 (...x2) of positions (...x2, m); may lie outside the grid."""
        xy = np.asarray(xy, dtype=np.float64)
        return np.floor((xy - np.asarray(self.origin)) / self.resolution).astype(np.int64)[..., ::-1]

    def centers(self, cells: np.ndarray) -> np.ndarray:
        """(x, y) centres (...x2, m) of (row, column) cells (...x2)."""
        return (np.asarray(cells, dtype=np.float64)[..., ::-1] + 0.5) * self.resolution + np.asarray(self.origin)

    def inside(self, cells: np.ndarray) -> np.ndarray:
        """Whether (row, column) cells (...x2) lie in the grid."""
        cells = np.asarray(cells)
        return np.asarray(((cells >= 0) & (cells < np.asarray(self.data.shape))).all(axis=-1))


@dataclass(frozen=True, eq=False)
class Option:
    """One candidate for the robot's next step; the reasoner only ever chooses among these.

    Attributes:
        letter: "A", "B", ...
        kind: ``frontier``, ``object``, ``look_around`` or ``stop``.
        position: (x, y) in map where the robot would stand, or None.
        distance: m along the path; 0 where the robot stays in place.
        direction: rad, bearing from the robot's heading, left positive.
        text: the line that the reasoner reads.
        object_id: id of the remembered object, or -1 (a room as a whole, a frontier).
        size: frontier length in m, else 0.
    """

    letter: str
    kind: str
    position: tuple[float, float] | None
    distance: float
    direction: float
    text: str
    object_id: int = -1
    size: float = 0.0


@dataclass(frozen=True, eq=False)
class Decision:
    """An answer of the reasoner.

    Attributes:
        id: counts from 0 within an episode.
        stamp: ns.
        options: the candidates.
        chosen: index into options.
        think: its reasoning in words.
        answer: the raw answer, ``<think>...</think><answer>B</answer>``.
        reasoner: the policy's name.
    """

    id: int
    stamp: int
    options: tuple[Option, ...]
    chosen: int
    think: str
    answer: str
    reasoner: str

    @property
    def option(self) -> Option:
        """The chosen option."""
        return self.options[self.chosen]


@dataclass(frozen=True)
class Velocity:
    """A differential-drive command: m/s forward, rad/s to the left."""

    linear: float = 0.0
    angular: float = 0.0


#: Habitat's discrete actions: STOP, 0.25 m forward, a turn on the spot.
Action = Literal["stop", "forward", "left", "right"]
ACTIONS: tuple[str, ...] = get_args(Action)


@dataclass(frozen=True)
class Goal:
    """One acceptable goal, in ground truth that only the simulator knows.

    Attributes:
        kind: ``object``, ``room`` or ``point``.
        instance: instance id of the object, else 0.
        room: room id, else -1.
        position: (x, y, z) of the object's centre, the room's middle or the point, m.
    """

    kind: str
    position: tuple[float, float, float]
    instance: int = 0
    room: int = -1


@dataclass(frozen=True)
class Episode:
    """One task in one scene; saved in Habitat's JSON format by ``sim.episodes``.

    Attributes:
        id: the same for every agent that runs this episode.
        scene: apartment seed, or a file's path.
        kind: ``object``, ``relation``, ``room`` or ``route``.
        instruction: the sentence that the robot gets.
        start: (x, y, yaw) in the scene's frame, m and rad.
        goals: any one of them fulfils the instruction.
        geodesic_distance: d0, m.
        waypoints: (x, y, z) to be passed in order, for ``route``.
        stages: goals to be reached in order before ``goals`` ("the lamp, then the bed"): any one of each stage.
    """

    id: str
    scene: str
    kind: str
    instruction: str
    start: tuple[float, float, float]
    goals: tuple[Goal, ...]
    geodesic_distance: float
    waypoints: tuple[tuple[float, float, float], ...] = field(default=())
    stages: tuple[tuple[Goal, ...], ...] = field(default=())


@dataclass(frozen=True)
class Tracking:
    """Whether SLAM knows where the camera is, after one frame.

    Attributes:
        state: ``tracking``: the image constrains the pose. ``wheels``: it does not; the pose is extrapolated by
            wheel odometry and still usable. ``lost``: the pose must not be used for driving. Frames are mapped only
            while ``tracking``.
        since: ns, stamp of the first frame of this state; without tracking, of the first frame without it.
        seconds: how long that has lasted; 0 while tracking.
        reason: why the image does not constrain the pose, in words and numbers; "" while tracking.
    """

    STATES: ClassVar[tuple[str, ...]] = ("tracking", "wheels", "lost")
    state: str = "tracking"
    since: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def placed(self) -> bool:
        """Whether the frame's pose is trusted and its pixels may be mapped."""
        return self.state == "tracking"

    @property
    def by_wheels(self) -> bool:
        """Whether wheel odometry alone carries the pose."""
        return self.state == "wheels"

    @property
    def lost(self) -> bool:
        """Whether the pose must not be used for driving."""
        return self.state == "lost"

    def __str__(self) -> str:
        if self.placed:
            return self.state
        words = f"lost for {self.seconds:.1f} s" if self.lost else f"by wheels alone for {self.seconds:.1f} s"
        return words + (f": {self.reason}" if self.reason else "")
