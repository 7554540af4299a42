"""Camera poses from a bag's TF and odometry, whatever the frame names. Knows no bags and no images."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..geometry import matrix_from_quaternion
from .motion import FrameTree, Track
from .stamps import are_told, on_one_clock

#: No interpolation between transforms farther apart (ns): tf2's buffer length.
_LONGEST_GAP = 10_000_000_000
#: Names of the map frame in TF, the first that exists; a namespace may precede them.
_MAP_FRAMES = ("map", "world")
_ODOM = "odom"


@dataclass
class Motion:
    """Motion of frames in a bag. Fields: (topic, received ns, message) of TF and Odometry, in order of arrival.

    Attributes:
        notes: what was left out or assumed, one line each.
    """

    tf: list[tuple[str, int, Any]]
    odometry: list[tuple[str, int, Any]]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = self._tree()
        self._wheels = self._wheels_alone()

    def tracks(self, frame: str, stamps: list[int], map_frame: str = "", odom_frame: str = "") -> list:
        """[poses in map, poses in odom] of a frame at some stamps (ns): 4x4 or None each; None if most are missing.

        Args:
            map_frame, odom_frame: frame names; empty: the usual ones, or else the root of the camera's frames.
        """
        chain = self.tree.ancestors(frame)
        world = map_frame or self._named(chain, _MAP_FRAMES) or self._root(chain)
        odom = odom_frame or self._named(chain, (_ODOM,)) or _ODOM
        tracks = [
            _most([self.tree.at(world, frame, stamp) for stamp in stamps] if world else []),
            _most([self.tree.at(odom, frame, stamp) for stamp in stamps]),
        ]
        if tracks[1] is None and self._wheels is not None:
            tracks[1] = _most([self._through(frame, stamp) for stamp in stamps])
        if tracks[0] is not None and world not in _MAP_FRAMES and not map_frame:
            self.notes.append(f"poses are those in TF's frame {world}")
        return tracks

    def broken_at(self, frame: str, stamp: int) -> bool:
        """Whether a transform between a frame and its root is invalid at a stamp: not finite, or a zero quaternion."""
        return self.tree.broken_at(frame, stamp)

    def why_none(self, frame: str, map_frame: str = "") -> str:
        """Why TF does not give a frame's pose in a map."""
        if not self.tree.described():
            return "the bag holds no TF"
        chain = self.tree.ancestors(frame)
        chains = self.tree.described()
        wanted = map_frame or "map"
        if map_frame and not self.tree.has(map_frame):
            return f"TF has no frame {map_frame}; it has {chains}"
        if len(chain) == 1:
            text = f"TF does not say where {frame} is: no transform leads to it (was /tf_static recorded?)"
            return f"{text}; TF has {chains}"
        top = chain[-1]
        return f"TF leads from {frame} up to {top} and no further, not to a frame {wanted}; TF has {chains}"

    # -- names ---------------------------------------------------------------------------------------------------------

    def _named(self, chain: list[str], names: tuple[str, ...]) -> str:
        """The connected frame with one of these names: the exact name, or an ancestor with a namespace or prefix."""
        for name in names:
            for frame in (name, *chain):
                meant = frame == name or frame.endswith(("/" + name, "_" + name))
                if meant and self.tree.has(frame) and self.tree.connected(frame, chain[0]):
                    return frame
        return ""

    def _root(self, chain: list[str]) -> str:
        """The root of the camera's frames, if the camera moves in it and it is not odometry's; else ""."""
        root = chain[-1]
        return root if len(chain) > 1 and _ODOM not in root.lower() and self.tree.moves(chain[0]) else ""

    # -- messages ------------------------------------------------------------------------------------------------------

    def _tree(self) -> FrameTree:
        """TF of the whole bag, with Odometry for frames that TF does not contain."""
        moving: dict[tuple[str, str], list[tuple]] = defaultdict(list)
        tree = FrameTree()
        for topic, logged, message in self.tf:
            for t in message.transforms:
                edge = (t.header.frame_id, t.child_frame_id)
                pose = _pose(t.transform.translation, t.transform.rotation)
                if topic.endswith("tf_static"):
                    self._add_static(tree, topic, edge, pose)
                else:
                    moving[edge].append((_ns(t.header.stamp), logged, *pose))
        known = {child for _, child in moving}
        for _, logged, message in self.odometry:
            edge, pose = (message.header.frame_id, message.child_frame_id), message.pose.pose
            if all(edge) and edge[1] not in known and tree.parent(edge[1]) is None:
                moving[edge].append((_ns(message.header.stamp), logged, *_pose(pose.position, pose.orientation)))
        for edge, found in moving.items():
            tree.add(*edge, _track([v[:2] for v in found], [v[2:] for v in found]))
        return tree

    def _add_static(self, tree: FrameTree, topic: str, edge: tuple[str, str], pose: tuple[float, ...]) -> None:
        try:
            if not np.isfinite(pose).all():
                raise ValueError
            tree.add(*edge, matrix_from_quaternion(pose[3:], pose[:3]))
        except ValueError:
            note = f"{topic}: {edge[0]} -> {edge[1]} is no transform (not finite, or a quaternion of zeros): left out"
            if note not in self.notes:
                self.notes.append(note)

    def _wheels_alone(self) -> tuple[str, Track] | None:
        """Moving frame and track of one Odometry topic. Needed if TF holds ground truth: that frame already has a
        parent there, so wheel odometry cannot be in the tree."""
        topics = {topic for topic, _, message in self.odometry if message.child_frame_id}
        if not topics:
            return None
        chosen = min(topics, key=lambda topic: (not topic.endswith("/odom"), "wheel" not in topic, len(topic), topic))
        found = [(logged, m) for topic, logged, m in self.odometry if topic == chosen and m.child_frame_id]
        poses = [_pose(m.pose.pose.position, m.pose.pose.orientation) for _, m in found]
        return found[0][1].child_frame_id, _track([(_ns(m.header.stamp), logged) for logged, m in found], poses)

    def _through(self, frame: str, stamp: int) -> np.ndarray | None:
        """Pose in odometry of a frame that is connected to the frame of the Odometry topic."""
        assert self._wheels is not None
        moving, track = self._wheels
        T, T_moving_frame = track.at(stamp), self.tree.at(moving, frame, stamp)
        return None if T is None or T_moving_frame is None else T @ T_moving_frame


def _track(times: list[tuple[int, int]], poses: list[tuple[float, ...]]) -> Track:
    """Poses by stamp, or by time of reception if stamps were left empty."""
    stamps, logged = np.array(times, np.int64).T
    values = np.array(poses)
    stamps = on_one_clock(stamps, logged) if are_told(stamps) else logged
    return Track(stamps, values[:, :3], values[:, 3:], _LONGEST_GAP)


def _most(track: list[np.ndarray | None]) -> list[np.ndarray | None] | None:
    """The track if it has a pose for most frames, else None."""
    return track if sum(T is not None for T in track) > len(track) / 2 else None


def _pose(p, q) -> tuple[float, ...]:
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w)


def _ns(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec
