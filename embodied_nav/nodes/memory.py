"""The memory node: frames, keyframes, semantic deltas in; map, objects, answers out. Knows nothing of their storage.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static, keyframes,
semantic_delta; slam/path (nav_msgs/Path, corrected poses of base_link in the past: keyframes move with it); slam/map
(embodied_nav/MapIdentity, which map of the file all poses are of from now on); scan (LaserScan, by parameter) for the
grid; keyframe_features (Image 32FC<D>); in lock-step also progress. Publishes memory/object_list
(embodied_nav/ObjectArray), memory/occupancy, memory/voxels (whole map), memory/voxels_by_label (the same, coloured by
label), memory/voxel_changes (changed blocks), memory/corrections (std_msgs/UInt32, how often keyframes were moved),
memory/objects and memory/rooms (markers), progress, /diagnostics. Serves memory/query, memory/save, memory/load,
memory/clear, and ask (embodied_nav/Ask: a question in words, an answer in a sentence; "this is the charger" is kept).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from nav_msgs.msg import Path as PathMsg
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import UInt32
from visualization_msgs.msg import MarkerArray

from embodied_nav.msg import Keyframe as KeyframeMsg
from embodied_nav.msg import MapIdentity, ObjectArray, Progress
from embodied_nav.msg import SemanticDelta as DeltaMsg
from embodied_nav.srv import Ask, ClearMemory, LoadMemory, QueryMemory, SaveMemory

from .. import trial
from ..config import Config, param
from ..errors import InputError
from ..frames import Keyframe, RGBDFrame, SemanticDelta
from ..language import meaning
from ..memory import SpatialMemory, warm_up
from ..memory.file.writer import MemoryWriter
from ..memory.submaps.correction import Correction
from ..places import unwritable
from ..planning.scan_layer import ScanLayer, ScanLayerConfig
from ..slam.looks import look_of
from ..start_up import RESTARTS
from .lockstep.fusion_order import FusionOrder
from .ros import features, map_identity, markers, params, qos, query_messages, robot_pose
from .ros.camera_input import CameraInput
from .ros.conversions import (
    BadMessage,
    cloud_msg,
    delta_from_msg,
    grid_msg,
    header,
    keyframe_from_msg,
    objects_msg,
    scan_beams,
    stamp_ns,
)
from .ros.keyframe_ids import KeyframeIds, first_of_run
from .ros.lifecycle import AgentNode, run
from .ros.map_identity import Identity, identity_from_msg
from .ros.mounts import Mounts
from .ros.slam_path import moved_keyframes, path_poses
from .ros.slam_tracking import TrackingWatch
from .ros.tf_lookup import CLOCK_BACK, Transforms
from .ros.worker import Worker

#: A file not closed properly whose last write is at most this old (s) belongs to this run (the node was restarted).
_SAME_RUN = 60.0
#: Longest time (s) that frames wait while two maps are merged, and how often a failed merge is retried. A SLAM start up
#: to _JUST_NOW (ns) before the memory's last frame still counts as a start now.
_JOINING, _TRIES, _JUST_NOW = 30.0, 3, 2_000_000_000


@dataclass(frozen=True)
class MemoryNodeConfig(Config):
    """Settings of the memory node."""

    file: str = param(
        "", "file that the memory lives in: loaded at start, written all the time; empty: none", path=True
    )
    save_period: float = param(0.3, "what came is written so often", unit="s", low=0.1, high=60.0)
    new_map: bool = param(
        False, "begin a new map in the file: for a robot that does not know where it is in the one that is there"
    )
    map: str = param("", "UUID of the map of the file to go on in; empty: the one that was written last")
    looks: bool = param(True, "keep what keyframes look like, by which SLAM finds itself in a later session")
    language_model: str = param(
        "auto", "finds things by meaning: auto (the extra 'language', if installed), none, or its folder", path=True
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
        self._memory_config, retention, self._features = features.declared_memory(self)
        self._settings: dict = {"config": self._memory_config, "retention": retention}
        if self._config.file and (trouble := unwritable(self._config.file)):
            raise InputError(f"file = {self._config.file}: {trouble}; give another place")
        self._meaning = meaning.choose(self._config.language_model)
        warm_up(self._memory_config)
        self._try(SpatialMemory(**self._settings))
        self._lock = threading.Lock()
        #: Stamps of the newest frame, and of the first one in the running map; the first keyframe of a crashed run.
        self._stamp, self._first_stamp, self._resumed = 0, None, None
        self._memory, self._writer = self._open()
        #: Number of map merges still pending; frames wait until it is 0.
        self._joins, self._settled = 0, threading.Condition()
        scan_layer = params.declare(self, ScanLayerConfig, "scan_layer")
        self._scan_layer = ScanLayer(self._memory_config.voxel_size, scan_layer)
        self._ids = KeyframeIds()
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
        """Publishes what is already remembered."""
        if len(self._memory):
            self._published_map = -1
            self._publish_map()

    def cleanup(self) -> None:
        """Ends the workers, then writes what is not yet in the file."""
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
        """JIT warm-up: fuses synthetic frames into a memory that is then discarded."""
        for keyframe in trial.keyframes(self.robot):
            memory.integrate(keyframe.frame)
            memory.add_keyframe(keyframe)
            memory.add_delta(trial.delta(keyframe))
            memory.objects()
            memory.occupancy(robot_height=self.robot.height)

    def _open(self) -> tuple[SpatialMemory, MemoryWriter | None]:
        """Loads the memory from the file, or makes a new one that is saved to the file from now on."""
        path = self._config.file
        found = bool(path) and Path(path).exists()
        memory = SpatialMemory.load(path, **self._settings) if found else SpatialMemory(**self._settings)
        if not path:
            return memory, None
        if found and self._config.map not in ("", memory.uuid):
            memory = SpatialMemory.load(path, map=self._config.map, **self._settings)
        elif memory.keyframes and memory.interrupted <= _SAME_RUN and os.environ.get(RESTARTS) != "0":
            # Restarted shortly after it was killed: continue in the same map.
            self._stamp = self._first_stamp = memory.stamp
            self._resumed = first_of_run(memory)
        writer = MemoryWriter(memory, path, self._config.save_period)
        if self._config.new_map and memory.keyframes and self._resumed is None:
            memory.begin_map()
        return memory, writer

    def _write(self) -> None:
        """Writes pending changes even if no frame arrives; reports errors of the file and of the disk."""
        with self._lock:
            if self._writer is not None:
                self._writer.tick()
            trouble = (self._writer is not None and self._writer.trouble) or self._memory.trouble
        if trouble or self._writer is not None:
            self.diagnostics.facts["memory file"] = trouble or self._config.file
        if trouble and trouble != self._told:
            self.get_logger().error(trouble)
        elif self._told and not trouble:
            self.get_logger().info(f"{self._config.file or 'the disk'}: is written again")
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
        self._tracking = TrackingWatch(self)
        self._camera = CameraInput(self, self._transforms, self._frame, self._refused, self._tracking)
        self._worker = Worker(self._work, 1000, self.handle_error, name="semantics")
        self._corrector = Worker(self._correct, 1, self.handle_error, name="correction")
        self._mounts = Mounts(self._transforms, self.robot, self.settings.tf_timeout)
        self._newest_path = (np.zeros(0, np.int64), np.zeros((0, 4, 4)), 0)
        self.diagnostics.counts["corrections"] += 0
        self.create_subscription(PathMsg, "slam/path", self._take, qos.latched())
        identified = self.shared.listen(map_identity.TOPIC, self, self._take_identity)
        self.create_subscription(MapIdentity, map_identity.TOPIC, identified, map_identity.profile())
        self.create_subscription(KeyframeMsg, "keyframes", self._take, self.handover())
        self.create_subscription(DeltaMsg, "semantic_delta", self._take, self.handover())
        self.create_subscription(Image, features.TOPIC, self._worker.put, qos.latched(10))
        if self._config.scan:
            self.create_subscription(LaserScan, "scan", self._take, qos.sensor())
        if self._order is not None:
            self.create_subscription(Progress, "progress", self._take, self.handover(100))

    def _make_services(self) -> None:
        self.create_service(QueryMemory, "memory/query", self._query)
        self.create_service(Ask, "ask", self._ask)
        self.create_service(SaveMemory, "memory/save", self._save)
        self.create_service(LoadMemory, "memory/load", self._load)
        self.create_service(ClearMemory, "memory/clear", self._clear)

    # -- fusing (worker threads) ---------------------------------------------------------------------------------------

    def _take(self, message: KeyframeMsg | DeltaMsg | Image | LaserScan | PathMsg | Progress) -> None:
        if self.active:
            self._worker.put(message)

    def _take_identity(self, message: MapIdentity) -> None:
        """Also taken while inactive, since it is published only once. Frames wait until the maps are merged."""
        with self._settled:
            self._joins += message.joined
        self._worker.put(message)

    def _frame(self, frame: RGBDFrame) -> None:
        with self._settled:
            self._settled.wait_for(lambda: not self._joins, _JOINING)
        if self._order is not None:
            self._order.frame(frame)
        else:
            self._fuse(frame, None, None)

    def _refused(self, stamp: int) -> None:
        if self._order is not None:
            self._order.refused(stamp)
        elif self._tracking.by_wheels(stamp):
            # It drives on by its wheels, for which the reasoner needs the map: before a bare wall it would else stand.
            with self._lock:
                self._stamp, self._fused = max(self._stamp, stamp), self._fused + 1
        self.report_progress("frame", stamp, False)

    def _work(self, message: KeyframeMsg | DeltaMsg | Image | LaserScan | PathMsg | Progress) -> None:
        try:
            if isinstance(message, Progress):
                self._order.progress(message.node, message.stage, stamp_ns(message.header.stamp), message.taken)
            elif isinstance(message, LaserScan):
                self._scan(message)
            elif isinstance(message, Image):
                self._features.take(message, self._memory, self._lock)
            elif isinstance(message, PathMsg):
                self._path(message)
            elif isinstance(message, MapIdentity):
                self._identify(message)
            elif isinstance(message, KeyframeMsg):
                if self._ids.newest == stamp_ns(message.header.stamp):
                    return  # a repetition for another, new subscriber
                self._mounts.note(message)
                keyframe = self._ids.renumbered(keyframe_from_msg(message), self._memory)
                if self._order is not None:
                    self._order.keyframe(keyframe)
                else:
                    self._fuse(None, keyframe, None)
                    self._follow_path(keyframe.frame.stamp)
            else:
                delta = delta_from_msg(message)
                if self._order is not None:
                    self._order.delta(delta)  # it may arrive before its keyframe; they are matched once both are here
                else:
                    self._fuse(None, None, self._ids.matched(delta))
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
        except InputError as error:
            self.diagnostics.refuse("semantics", str(error))

    def _scan(self, message: LaserScan) -> None:
        T = self._transforms.in_map(message.header.frame_id, stamp_ns(message.header.stamp))
        if not np.isfinite(T).all():
            raise BadMessage("nan_pose", "the laser's pose is not finite")
        ranges, angles = scan_beams(message)
        with self._lock:
            self._scan_layer.add(ranges, angles, T)

    def _identify(self, message: MapIdentity) -> None:
        """Continues in the map that SLAM is localised in: begins a new map, or merges two."""
        try:
            identity = identity_from_msg(message)
            if identity.T is not None:
                self._join(identity)
            elif not identity.map_id:
                self._begin_map(identity.stamp)
            elif identity.map_id != self._memory.uuid:
                raise InputError(f"SLAM stands in map {identity.map_id}, the memory in {self._memory.uuid}")
            self.diagnostics.errors.pop("map", None)
        except InputError as error:
            self.diagnostics.errors["map"] = str(error)
            self.get_logger().error(str(error))
        finally:
            with self._settled:
                self._joins -= message.joined
                self._settled.notify_all()

    def _begin_map(self, stamp: int) -> None:
        """Begins a new map: SLAM started at this stamp (ns) without being localised in a known map."""
        with self._lock:
            memory = self._memory
            first = self._first_stamp
            of_its_own = first is not None and (stamp <= first or stamp <= self._stamp - _JUST_NOW)
            if of_its_own or self._writer is None or not memory.keyframes:
                return
            memory.begin_map()
            self._begin_anew()
            self._first_stamp = None
        self.get_logger().warning("SLAM does not know where it is: the memory begins a new map")

    def _join(self, identity: Identity) -> None:
        """Merges the running map with one from the file, beside the present memory, which keeps answering meanwhile."""
        memory, uuid = self._memory, identity.map_id if identity.moves else identity.joined_map_id
        if memory.uuid == identity.map_id and (identity.moves or uuid not in memory.unmerged):
            return  # already merged before a restart
        if memory.uuid != identity.map_id and not identity.moves:
            raise InputError(f"SLAM stands in map {identity.map_id}, the memory in {memory.uuid}")
        if memory.file is None:
            raise InputError(f"SLAM stands in map {uuid} of a file, the memory in none: set its parameter 'file', too")
        self._corrector.drain(_JOINING)
        start, other = time.monotonic(), SpatialMemory.load(memory.file, map=uuid, **self._settings)
        # A memory that started late holds only frames whose poses are in the joint map already.
        there = identity.moves and self._first_stamp is not None and self._first_stamp >= identity.stamp
        T = np.eye(4) if there else identity.T
        for left in reversed(range(_TRIES)):
            with self._lock:
                joining = memory.begin_join(other, T, into=identity.moves)
            joining.run()
            try:
                with self._lock:
                    memory.finish_join(joining, identity.stamp)
                    self._moved_house(identity)
                break
            except InputError:
                if not left:
                    raise
        self.diagnostics.latency("join").add(time.monotonic() - start)
        self.get_logger().info(f"map {uuid} and the running one are one: {len(memory.keyframes)} keyframes")

    def _moved_house(self, identity: Identity) -> None:
        """Resets whatever else depends on the map's coordinates."""
        self._fused += 1
        if identity.moves:
            self._newest_path = (np.zeros(0, np.int64), np.zeros((0, 4, 4)), 0)
            self._scan_layer = ScanLayer(self._memory_config.voxel_size, self._scan_layer.config)
            self._ids.forget()
        self._change_token = 0

    def _path(self, message: PathMsg) -> None:
        """Starts correcting the keyframes that SLAM has moved; frames are fused meanwhile."""
        self._newest_path = (*path_poses(message, self.robot.map_frame), stamp_ns(message.header.stamp))
        self._follow_path(None)

    def _follow_path(self, stamp: int | None) -> None:
        """Corrects keyframes by the newest path: the one of a stamp, if it arrived after the path, or all (None)."""
        stamps, poses, since = self._newest_path
        self._mounts.ask_again()
        with self._lock:
            memory = self._memory
            first = memory.sessions[-1]["first_keyframe"] if self._resumed is None else self._resumed
            # Other sessions may have equal stamps, since simulated time restarts at 0; only this session's keyframes.
            known = {i: (k.stamp, memory.expected_pose(i)) for i, k in memory.keyframes.items()
                     if i >= first and stamp in (None, k.stamp)}  # fmt: skip
            if self._mounts.newest is None or not known:
                return
            moved, unknown = moved_keyframes(stamps, poses, known, self._mounts.by_stamp, self._mounts.newest)
            if stamp is None:
                self.diagnostics.facts["keyframes unknown to slam/path"] = unknown
            if not moved:
                return
            correction = memory.follow(moved, since)
        if correction is not None:
            (self._corrector.put if self._order is None else self._correct)((memory, correction))

    def _correct(self, item: tuple[SpatialMemory, Correction]) -> None:
        """Builds the corrected map beside the present one, then swaps them."""
        memory, correction = item
        start = time.monotonic()
        correction.run()
        with self._lock:
            if memory is not self._memory or not memory.is_pending(correction):
                return  # meanwhile another map was loaded
            memory.apply(correction)
            count = memory.corrections
            self._fused += 1
            if (waiting := memory.next_correction()) is not None:
                self._corrector.put((memory, waiting))
        self.diagnostics.counts["corrections"] += 1
        self.diagnostics.latency("correction").add(time.monotonic() - start)
        self._corrections.publish(UInt32(data=count))
        self.get_logger().info(f"{len(correction.poses)} keyframes moved")

    def _fuse_in_order(self, frame: RGBDFrame, keyframe: Keyframe | None, delta: SemanticDelta | None) -> None:
        """As :meth:`_fuse`, in lock-step: always reports the frame as done, even after an error."""
        try:
            self._fuse(frame, keyframe, None if delta is None else self._ids.matched(delta))
        except Exception:
            self._refused(frame.stamp)
            raise

    def _fuse(self, frame: RGBDFrame | None, keyframe: Keyframe | None, delta: SemanticDelta | None) -> None:
        """Fuses what is given, in this order: frame, keyframe, delta."""
        look = look_of(keyframe.frame) if keyframe is not None and self._config.looks else {}
        start = time.monotonic()
        with self._lock:
            if frame is not None:
                self._memory.integrate(frame)
            if keyframe is not None:
                number = self._memory.add_keyframe(keyframe)
                if look:
                    self._memory.add_look(number, **look)
                self._features.keyframe(keyframe, self._memory)
            if delta is not None:
                self._memory.add_delta(delta)
            if self._first_stamp is None and (frame is not None or keyframe is not None):
                self._first_stamp = (frame or keyframe.frame).stamp
            if frame is not None and frame.stamp < self._stamp - CLOCK_BACK:
                self._stamp = frame.stamp  # the clock was set back: there is no TF at the later, old stamps
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
        """Publishes the object list, then the occupancy that the reasoner waits for; both carry the newest stamp."""
        if self._published_map == self._fused and not self.settings.lockstep:
            return
        start = time.monotonic()
        with self._lock:
            stamp, self._published_map, map_id = self._stamp, self._fused, self._memory.uuid
            objects, remembered = self._memory.objects(), self._memory.objects(include_gone=True)
            places = self._memory.place_objects()
            grid = self._scan_layer.over(self._memory.occupancy(robot_height=self.robot.height))
            self.diagnostics.facts.update(voxels=len(self._memory), objects=len(objects))
        head = header(stamp, self.robot.map_frame)
        self._objects.publish(objects_msg((*objects, *places), head, map_id))
        self._occupancy.publish(grid_msg(grid, stamp, self.robot.map_frame))
        if self.count_subscribers(self._markers.topic_name):
            self._markers.publish(markers.objects(remembered, head))
        self.diagnostics.latency("map").add(time.monotonic() - start)

    def _publish_changes(self) -> None:
        """Publishes changed blocks, while there are subscribers."""
        if not self._changes.get_subscription_count():
            self._change_token = 0
            return
        with self._lock:
            changed = self._memory.changed_blocks(self._change_token)
            stamp, self._change_token = self._stamp, changed.token
        if len(changed.voxels):
            self._changes.publish(self._cloud(changed.voxels, stamp))

    def _publish_whole(self) -> None:
        """Publishes the whole map, latched: at once for a new subscriber, every few seconds for the others."""
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
        """Publishes the rooms, while there are subscribers."""
        if not self._rooms.get_subscription_count():
            return
        with self._lock:
            rooms, names, stamp = self._memory.rooms(), self._memory.room_names(), self._stamp
        self._rooms.publish(markers.rooms(rooms, names, header(stamp, self.robot.map_frame)))

    def _cloud(self, voxels, stamp: int, by_label: bool = False) -> PointCloud2:
        colors = markers.label_colors(voxels.labels, voxels.class_names) if by_label else voxels.colors
        return cloud_msg(voxels.positions, colors, voxels.labels, voxels.weights, header(stamp, self.robot.map_frame))

    # -- services ------------------------------------------------------------------------------------------------------

    def _query(self, request: QueryMemory.Request, response: QueryMemory.Response) -> QueryMemory.Response:
        query_messages.prepare(self._meaning, request.text, self._memory, self._lock, self._features.tower)
        with self._lock:
            response.header = header(stamp := self._stamp, self.robot.map_frame)
            box = query_messages.find(self._memory, request, stamp, response)
            voxels = self._memory.voxels(box) if response.success and request.include_voxels else None
        if voxels is not None:
            response.voxels = self._cloud(voxels, stamp)
        return response

    def _ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        query_messages.prepare(self._meaning, request.text, self._memory, self._lock, self._features.tower)
        with self._lock:
            response.header = header(self._memory.stamp, self.robot.map_frame)
            where = (self, self._transforms, self._stamp)
            return query_messages.answer(self._memory, request, response, lambda: robot_pose.now(*where))

    def _save(self, request: SaveMemory.Request, response: SaveMemory.Response) -> SaveMemory.Response:
        path = os.path.expanduser(request.file_name) or self._config.file
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
        path = os.path.expanduser(request.file_name) or self._config.file
        try:
            if not path:
                raise InputError("no file name given, and the parameter 'file' is empty")
            self._replace(loaded := SpatialMemory.load(path, **self._settings))
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
        """Replaces the memory by another one, in the node's file too."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                memory.save(self._config.file)
                self._writer = MemoryWriter(memory, self._config.file, self._config.save_period)
            self._memory = memory
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._ids, self._resumed = KeyframeIds(), None
        self._scan_layer = ScanLayer(self._memory_config.voxel_size, self._scan_layer.config)
        self._fused += 1
        self._change_token = 0


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(MemoryNode, args)


if __name__ == "__main__":
    sys.exit(main())
