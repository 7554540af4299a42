"""The memory node: frames, keyframes, semantic deltas in; map, objects, answers out. Knows not how they are kept.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static, keyframes,
semantic_delta; slam/path (nav_msgs/Path, corrected poses of base_link in the past: keyframes move with it); scan
(LaserScan, by parameter) for the grid; in lock-step also progress. Publishes memory/object_list
(embodied_nav/ObjectArray), memory/occupancy, memory/voxels (whole map), memory/voxels_by_label (the same, coloured by
label), memory/voxel_changes (changed blocks), memory/corrections (std_msgs/UInt32, how often keyframes were moved),
memory/objects and memory/rooms (markers), progress, /diagnostics. Serves memory/query, memory/save, memory/load,
memory/clear.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from nav_msgs.msg import Path as PathMsg
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import LaserScan, PointCloud2
from std_msgs.msg import UInt32
from visualization_msgs.msg import MarkerArray

from embodied_nav.msg import Keyframe as KeyframeMsg
from embodied_nav.msg import ObjectArray, Progress
from embodied_nav.msg import SemanticDelta as DeltaMsg
from embodied_nav.srv import ClearMemory, LoadMemory, QueryMemory, SaveMemory

from ..config import Config, param
from ..errors import InputError
from ..frames import Keyframe, RGBDFrame, SemanticDelta
from ..geometry import invert, is_rigid
from ..memory import MemoryConfig, SpatialMemory
from ..memory.correction import Correction
from ..memory.query import Frustum, Query
from ..memory.writer import MemoryWriter
from ..planning.scan_layer import ScanLayer, ScanLayerConfig
from ..reasoner.room_names import room_names
from . import markers, params, qos, warm_up
from .camera_input import CameraInput
from .conversions import (
    BadMessage,
    camera_from_msg,
    cloud_msg,
    delta_from_msg,
    grid_msg,
    header,
    keyframe_from_msg,
    matrix_from_pose,
    object_msg,
    objects_msg,
    pose_msg,
    scan_beams,
    stamp_ns,
    xyz,
)
from .lifecycle import AgentNode, run
from .lockstep import FusionOrder
from .slam_path import moved_keyframes, path_poses
from .transforms import Transforms
from .worker import Worker

#: A file that was written so short a time ago, and not closed, is of this run (s).
_SAME_RUN = 60.0


@dataclass(frozen=True)
class MemoryNodeConfig(Config):
    """Settings of the memory node."""

    file: str = param("", "file that the memory lives in: loaded at start, written all the time; empty: none")
    save_period: float = param(0.3, "what came is written so often", unit="s", low=0.1, high=60.0)
    new_map: bool = param(
        False, "begin a new map in the file: for a robot that does not know where it is in the one that is there"
    )
    map_rate: float = param(5.0, "occupancy and object list, at most", unit="Hz", low=0.1, high=30.0)
    voxel_rate: float = param(2.0, "changed voxels, at most", unit="Hz", low=0.1, high=30.0)
    scan: bool = param(False, "lay what a laser scan on 'scan' says over the occupancy")
    rooms_period: float = param(2.0, "rooms as markers, while anybody looks", unit="s", low=0.2, high=600.0)
    whole_map_period: float = param(
        5.0, "whole map for late viewers, at most this often", unit="s", low=0.5, high=600.0
    )


class MemoryNode(AgentNode):
    """Owns the spatial memory. A worker thread fuses; one lock keeps services and publishers apart from it."""

    def __init__(self) -> None:
        super().__init__("memory")

    def configure(self) -> None:
        """Makes the memory (from its file where there is one) and the topics."""
        self._config = params.declare(self, MemoryNodeConfig)
        self._memory_config = params.declare(self, MemoryConfig, "memory")
        self._try(SpatialMemory(self._memory_config))
        self._lock = threading.Lock()
        self._memory, self._writer = self._open()
        scan_layer = params.declare(self, ScanLayerConfig, "scan_layer")
        self._scan_layer = ScanLayer(self._memory_config.voxel_size, scan_layer)
        self._ids = KeyframeIds()
        self._stamp = 0
        self._told = ""
        self._order = FusionOrder(self._fuse_in_order) if self.settings.lockstep else None
        self._make_publishers()
        self._make_inputs()
        self._make_services()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if not self.settings.lockstep:
            self.create_timer(1.0 / self._config.map_rate, self._publish_map, clock=steady)
        self.create_timer(1.0 / self._config.voxel_rate, self._publish_changes, clock=steady)
        self.create_timer(0.5, self._publish_whole, clock=steady)
        self.create_timer(0.2, self._write, clock=steady)
        self.create_timer(self._config.rooms_period, self._publish_rooms, clock=steady)

    def activate(self) -> None:
        """Tells late listeners what is remembered already."""
        if len(self._memory):
            self._published_map = -1
            self._publish_map()

    def cleanup(self) -> None:
        """Ends the workers, then writes the rest."""
        self._camera.worker.drain(0.5)
        self._camera.close()
        self._worker.drain(0.5)
        self._worker.close()
        self._corrector.drain(5.0)
        self._corrector.close()
        with self._lock:
            if self._writer is not None:
                self._writer.close()

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _try(self, memory: SpatialMemory) -> None:
        """Takes frames of nowhere into a memory that is then forgotten."""
        for keyframe in warm_up.keyframes(self.robot):
            memory.integrate(keyframe.frame)
            memory.add_keyframe(keyframe)
            memory.add_delta(warm_up.delta(keyframe))
            memory.objects()
            memory.occupancy(robot_height=self.robot.height)

    def _open(self) -> tuple[SpatialMemory, MemoryWriter | None]:
        """The memory of the file, or a new one that is in the file from now on."""
        path = self._config.file
        found = bool(path) and Path(path).exists()
        memory = SpatialMemory.load(path, self._memory_config) if found else SpatialMemory(self._memory_config)
        if not path:
            return memory, None
        writer = MemoryWriter(memory, path, self._config.save_period)
        # A node that was killed a moment ago goes on in the map in which it was.
        if self._config.new_map and memory.keyframes and memory.interrupted > _SAME_RUN:
            memory.begin_map()
        return memory, writer

    def _write(self) -> None:
        """What came since is written although no frame comes; says what is wrong with the file."""
        if self._writer is None:
            return
        with self._lock:
            self._writer.tick()
            trouble = self._writer.trouble
        self.diagnostics.facts["memory file"] = trouble or self._config.file
        if trouble and trouble != self._told:
            self.get_logger().error(trouble)
        elif self._told and not trouble:
            self.get_logger().info(f"{self._config.file}: is written again")
        self._told = trouble

    def _make_publishers(self) -> None:
        make = self.create_lifecycle_publisher
        self._objects = make(ObjectArray, "memory/object_list", qos.latched())
        self._occupancy = make(OccupancyGridMsg, "memory/occupancy", qos.latched())
        self._markers = make(MarkerArray, "memory/objects", qos.latched())
        self._rooms = make(MarkerArray, "memory/rooms", qos.latched())
        self._voxels = make(PointCloud2, "memory/voxels", qos.latched())
        self._labels = make(PointCloud2, "memory/voxels_by_label", qos.latched())
        self._changes = make(PointCloud2, "memory/voxel_changes", qos.reliable(5))
        self._corrections = make(UInt32, "memory/corrections", qos.latched())
        self._published_map = 0
        self._published_whole = {self._voxels: (0, 0.0, 0), self._labels: (0, 0.0, 0)}
        self._change_token = 0
        self._fused = 0

    def _make_inputs(self) -> None:
        self._transforms = Transforms(self)
        self._camera = CameraInput(self, self._transforms, self._frame, self._refused)
        self._worker = Worker(self._work, 1000, self.handle_error, name="semantics")
        self._corrector = Worker(self._correct, 1, self.handle_error, name="correction")
        self._mounts: dict[int, np.ndarray] = {}
        self._mount: np.ndarray | None = None
        self._newest_path = (np.zeros(0, np.int64), np.zeros((0, 4, 4)), 0)
        self.diagnostics.counts["corrections"] += 0
        self.create_subscription(PathMsg, "slam/path", self._take, qos.latched())
        self.create_subscription(KeyframeMsg, "keyframes", self._take, self.handover())
        self.create_subscription(DeltaMsg, "semantic_delta", self._take, self.handover())
        if self._config.scan:
            self.create_subscription(
                LaserScan, "scan", self._take, qos.sensor(), qos_overriding_options=qos.overridable()
            )
        if self._order is not None:
            self.create_subscription(Progress, "progress", self._take, self.handover(100))

    def _make_services(self) -> None:
        self.create_service(QueryMemory, "memory/query", self._query)
        self.create_service(SaveMemory, "memory/save", self._save)
        self.create_service(LoadMemory, "memory/load", self._load)
        self.create_service(ClearMemory, "memory/clear", self._clear)

    # -- fusing (worker threads) ---------------------------------------------------------------------------------------

    def _take(self, message: KeyframeMsg | DeltaMsg | LaserScan | PathMsg | Progress) -> None:
        if self.active:
            self._worker.put(message)

    def _frame(self, frame: RGBDFrame) -> None:
        if self._order is not None:
            self._order.frame(frame)
        else:
            self._fuse(frame, None, None)

    def _refused(self, stamp: int) -> None:
        if self._order is not None:
            self._order.refused(stamp)
        self.report_progress("frame", stamp, False)

    def _work(self, message: KeyframeMsg | DeltaMsg | LaserScan | PathMsg | Progress) -> None:
        try:
            if isinstance(message, Progress):
                self._order.progress(message.node, message.stage, stamp_ns(message.header.stamp), message.taken)
            elif isinstance(message, LaserScan):
                self._scan(message)
            elif isinstance(message, PathMsg):
                self._path(message)
            elif isinstance(message, KeyframeMsg):
                self._note_mount(message)
                keyframe = self._ids.renumbered(keyframe_from_msg(message), self._memory)
                if self._order is not None:
                    self._order.keyframe(keyframe)
                else:
                    self._fuse(None, keyframe, None)
                    self._follow_path(keyframe.frame.stamp)
            else:
                delta = delta_from_msg(message)
                if self._order is not None:
                    self._order.delta(delta)  # it may come ahead of its keyframe: they are matched when both are there
                else:
                    self._fuse(None, None, self._ids.matched(delta))
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
        except InputError as error:
            self.diagnostics.refuse("semantics", str(error))

    def _scan(self, message: LaserScan) -> None:
        stamp, wait = stamp_ns(message.header.stamp), self.settings.tf_timeout
        T = self._transforms.at(self.robot.map_frame, message.header.frame_id, stamp, wait)
        if not np.isfinite(T).all():
            raise BadMessage("nan_pose", "the laser's pose is not finite")
        ranges, angles = scan_beams(message)
        with self._lock:
            self._scan_layer.add(ranges, angles, T)

    def _note_mount(self, message: KeyframeMsg) -> None:
        """Remembers how the camera sat on the base when a keyframe was taken: TF forgets that."""
        stamp, robot = stamp_ns(message.header.stamp), self.robot
        try:
            T_map_base = self._transforms.at(robot.map_frame, robot.base_frame, stamp, self.settings.tf_timeout)
        except BadMessage:
            return
        T_base_camera = invert(T_map_base) @ matrix_from_pose(message.pose)
        if is_rigid(T_base_camera):
            self._mounts[stamp] = self._mount = T_base_camera

    def _path(self, message: PathMsg) -> None:
        """Begins to move the keyframes that SLAM has moved; frames go on meanwhile."""
        self._newest_path = (*path_poses(message, self.robot.map_frame), stamp_ns(message.header.stamp))
        self._follow_path(None)

    def _follow_path(self, stamp: int | None) -> None:
        """Moves keyframes as the newest path says: the one of a stamp, which the path has overtaken, or all."""
        stamps, poses, since = self._newest_path
        with self._lock:
            memory = self._memory
            known = {i: (k.stamp, memory.expected_pose(i)) for i, k in memory.keyframes.items()
                     if stamp in (None, k.stamp)}  # fmt: skip
            if self._mount is None or not known:
                return
            moved, unknown = moved_keyframes(stamps, poses, known, self._mounts, self._mount)
            if stamp is None:
                self.diagnostics.facts["keyframes unknown to slam/path"] = unknown
            if not moved:
                return
            correction = memory.begin_correction(moved, since)
        if self._order is not None:
            self._correct((memory, correction))
        else:
            self._corrector.put((memory, correction))

    def _correct(self, item: tuple[SpatialMemory, Correction]) -> None:
        """Makes the corrected map beside the present one, then exchanges them."""
        memory, correction = item
        start = time.monotonic()
        correction.run()
        with self._lock:
            # Meanwhile another map may have been loaded, or SLAM has moved more: that correction follows.
            if memory is not self._memory or not memory.is_pending(correction):
                return
            memory.apply(correction)
            count = memory.corrections
            self._fused += 1
        self.diagnostics.counts["corrections"] += 1
        self.diagnostics.latency("correction").add(time.monotonic() - start)
        self._corrections.publish(UInt32(data=count))
        self.get_logger().info(f"{len(correction.poses)} keyframes moved")

    def _fuse_in_order(self, frame: RGBDFrame, keyframe: Keyframe | None, delta: SemanticDelta | None) -> None:
        """In lock-step; says in any case that it is through with the frame."""
        try:
            self._fuse(frame, keyframe, None if delta is None else self._ids.matched(delta))
        except Exception:
            self._refused(frame.stamp)
            raise

    def _fuse(self, frame: RGBDFrame | None, keyframe: Keyframe | None, delta: SemanticDelta | None) -> None:
        """Takes in what is given, in this order: frame, keyframe, delta."""
        start = time.monotonic()
        with self._lock:
            if frame is not None:
                self._memory.integrate(frame)
            if keyframe is not None:
                self._memory.add_keyframe(keyframe)
            if delta is not None:
                self._memory.add_delta(delta)
            self._stamp = max(self._stamp, *(x.stamp for x in (frame, delta) if x is not None), 0)
            self._fused += 1
        if frame is not None:
            self.diagnostics.latency("fusion").add(time.monotonic() - start)
            if self._order is not None:
                self._publish_map()
            self.report_progress("frame", frame.stamp, True)
        if delta is not None:
            self.report_progress("delta", delta.stamp, True)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def _publish_map(self) -> None:
        """Object list, then the occupancy that the reasoner waits for, both stamped with the newest frame."""
        if self._published_map == self._fused and not self.settings.lockstep:
            return
        start = time.monotonic()
        with self._lock:
            stamp, self._published_map, map_id = self._stamp, self._fused, self._memory.uuid
            objects, remembered = self._memory.objects(), self._memory.objects(include_gone=True)
            grid = self._scan_layer.over(self._memory.occupancy(robot_height=self.robot.height))
            self.diagnostics.facts.update(voxels=len(self._memory), objects=len(objects))
        head = header(stamp, self.robot.map_frame)
        self._objects.publish(objects_msg(objects, head, map_id))
        self._occupancy.publish(grid_msg(grid, stamp, self.robot.map_frame))
        if self.count_subscribers(self._markers.topic_name):
            self._markers.publish(markers.objects(remembered, head))
        self.diagnostics.latency("map").add(time.monotonic() - start)

    def _publish_changes(self) -> None:
        """Changed blocks, while anybody looks."""
        if not self._changes.get_subscription_count():
            self._change_token = 0
            return
        with self._lock:
            changed = self._memory.changed_blocks(self._change_token)
            stamp, self._change_token = self._stamp, changed.token
        if len(changed.voxels):
            self._changes.publish(self._cloud(changed.voxels, stamp))

    def _publish_whole(self) -> None:
        """The whole map, latched: for a new viewer at once, for those who look on every few seconds."""
        for publisher, by_label in ((self._voxels, False), (self._labels, True)):
            seen, at, fused = self._published_whole[publisher]
            viewers = publisher.get_subscription_count()
            due = time.monotonic() - at > self._config.whole_map_period and fused != self._fused
            self._published_whole[publisher] = (viewers, at, fused)
            if viewers and (viewers > seen or due):
                with self._lock:
                    voxels, stamp, fused = self._memory.voxels(), self._stamp, self._fused
                self._published_whole[publisher] = (viewers, time.monotonic(), fused)
                publisher.publish(self._cloud(voxels, stamp, by_label))

    def _publish_rooms(self) -> None:
        """The rooms, while anybody looks."""
        if not self._rooms.get_subscription_count():
            return
        with self._lock:
            rooms, objects, stamp = self._memory.rooms(), self._memory.objects(), self._stamp
        names = room_names(rooms, objects)
        self._rooms.publish(markers.rooms(rooms, names, header(stamp, self.robot.map_frame)))

    def _cloud(self, voxels, stamp: int, by_label: bool = False) -> PointCloud2:
        colors = markers.label_colors(voxels.labels, voxels.class_names) if by_label else voxels.colors
        return cloud_msg(voxels.positions, colors, voxels.labels, voxels.weights, header(stamp, self.robot.map_frame))

    # -- services ------------------------------------------------------------------------------------------------------

    def _asked(self, request: QueryMemory.Request) -> Query:
        """The question of a request."""
        frustum = None
        if request.use_frustum:
            T = matrix_from_pose(request.camera_pose)
            if not is_rigid(T):
                raise InputError("the camera's pose is not a finite rigid transform")
            frustum = Frustum(camera_from_msg(request.camera), T, request.camera_range)
        return Query(
            text=request.text,
            box=(xyz(request.box_min), xyz(request.box_max)) if request.use_box else None,
            frustum=frustum,
            feature=np.array(request.feature, dtype=np.float32) if len(request.feature) else None,
            since=self._stamp - int(request.last_seconds * 1e9) if request.last_seconds > 0 else None,
            near=xyz(request.near) if request.use_near else None,
            viewer=xyz(request.viewer) if request.use_viewer else None,
            include_gone=request.include_gone,
            max_results=request.max_results or 10,
        )

    def _query(self, request: QueryMemory.Request, response: QueryMemory.Response) -> QueryMemory.Response:
        try:
            query = self._asked(request)
            with self._lock:
                memory, stamp, map_id = self._memory, self._stamp, self._memory.uuid
                names = room_names(memory.rooms(), memory.objects())
                found = memory.ask(query, names)
                voxels = memory.voxels(query.box) if request.include_voxels else None
        except (InputError, BadMessage) as error:
            response.success, response.message = False, str(error)
            return response
        response.header, response.map_id = header(stamp, self.robot.map_frame), map_id
        response.objects = [object_msg(a.object) for a in found]
        response.scores = [float(a.score) for a in found]
        response.ages, response.reasons = [a.age for a in found], [a.why for a in found]
        response.rooms = [names.get(a.room, f"room {a.room}" if a.room > 0 else "") for a in found]
        response.views = [pose_msg(np.eye(4) if a.T_map_camera is None else a.T_map_camera) for a in found]
        if voxels is not None:
            response.voxels = self._cloud(voxels, stamp)
        response.success, response.message = True, f"{len(found)} objects"
        return response

    def _save(self, request: SaveMemory.Request, response: SaveMemory.Response) -> SaveMemory.Response:
        path = request.file_name or self._config.file
        try:
            if not path:
                raise InputError("no file name given, and the parameter 'file' is empty")
            with self._lock:
                if self._writer is not None and Path(path).resolve() == self._writer.path.resolve():
                    self._writer.flush()
                else:
                    self._memory.save(path)
        except (InputError, OSError) as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, f"saved to {path}"
        response.map_id = self._memory.uuid
        response.voxels, response.objects = len(self._memory), len(self._memory.objects())
        return response

    def _load(self, request: LoadMemory.Request, response: LoadMemory.Response) -> LoadMemory.Response:
        path = request.file_name or self._config.file
        try:
            if not path:
                raise InputError("no file name given, and the parameter 'file' is empty")
            loaded = SpatialMemory.load(path, self._memory_config)
            self._replace(loaded)
        except (InputError, OSError) as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message, response.map_id = True, f"loaded {path}", loaded.uuid
        response.voxels, response.objects = len(loaded), len(loaded.objects())
        return response

    def _clear(self, request: ClearMemory.Request, response: ClearMemory.Response) -> ClearMemory.Response:
        with self._lock:
            self._memory.clear()
            self._begin_anew()
        response.success, response.message = True, "cleared"
        return response

    def _replace(self, memory: SpatialMemory) -> None:
        """Another memory instead of this one, in the node's file too."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                memory.save(self._config.file)
                self._writer = MemoryWriter(memory, self._config.file, self._config.save_period)
            self._memory = memory
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._ids = KeyframeIds()
        self._scan_layer = ScanLayer(self._memory_config.voxel_size, self._scan_layer.config)
        self._fused += 1
        self._change_token = 0


class KeyframeIds:
    """Keeps keyframe ids unique in the memory: the keyframe node counts from 0 again after a restart."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._last = -1
        self._by_stamp: dict[int, int] = {}

    def renumbered(self, keyframe: Keyframe, memory: SpatialMemory) -> Keyframe:
        """The keyframe with an id that the memory has not seen."""
        if self._offset is None:
            first = memory.sessions[-1]["first_keyframe"]  # the memory counts from there by itself
            self._offset = max(max(memory.keyframes, default=-1) + 1 - first, 0)
        elif keyframe.id <= self._last:
            self._offset += self._last + 1
        self._last = keyframe.id
        number = self._offset + keyframe.id
        self._by_stamp[keyframe.frame.stamp] = number
        while len(self._by_stamp) > 1000:
            del self._by_stamp[next(iter(self._by_stamp))]
        return Keyframe(number, keyframe.frame, keyframe.overlap, keyframe.inliers, keyframe.reason)

    def matched(self, delta: SemanticDelta) -> SemanticDelta:
        """The delta with the ids that its keyframes have in the memory.

        Raises:
            BadMessage: ``unknown_keyframe``.
        """
        if delta.stamp not in self._by_stamp:
            raise BadMessage("unknown_keyframe", f"semantic delta of keyframe {delta.keyframe_id}, which never came")
        previous = delta.previous_id + self._offset if delta.previous_id >= 0 else -1
        return replace(delta, keyframe_id=self._by_stamp[delta.stamp], previous_id=previous)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(MemoryNode, args)


if __name__ == "__main__":
    sys.exit(main())
