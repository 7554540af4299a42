"""Small good recordings and files, what may be wrong with them, and who reads them. Needs no ROS."""

from __future__ import annotations

import gc
import gzip
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from fuzz_targets import Target, Wrong

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import Camera, invert, is_rigid, pose2d, quaternion_from_matrix
from embodied_nav.robot import RobotProfile

_CAMERA = Camera.from_hfov(32, 24, 1.2)
_START, _PERIOD = 1_700_000_000_123_456_789, 100_000_000
_FRAMES = 4
_CALIBRATION = ",".join(str(v) for v in (_CAMERA.fx, _CAMERA.fy, _CAMERA.cx, _CAMERA.cy))
_WORDS = ("nan", "-inf", "1e999", "-1.#IND", "", "0", "x", "99999999999999999999", "-1", "1,5", "\u00e4", "null", "[]")
#: Changes that only take something away: what is read then must be what it was.
_TAKES_AWAY = ("cut", "remove", "empty")


# -- good ones -------------------------------------------------------------------------------------------------------


def _frames() -> list[RGBDFrame]:
    rng, found = np.random.default_rng(3), []
    color = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    for k in range(_FRAMES):
        depth = np.full((24, 32), 2.0 + 0.01 * k, np.float32)
        depth[:, 8:12], depth[0, 0] = 1.5, np.nan
        T = pose2d(0.05 * k, 0.0, 0.02 * k) @ RobotProfile().T_base_camera()
        found.append(RGBDFrame(_START + k * _PERIOD, _CAMERA, T, np.roll(color, k, axis=1), depth))
    return found


def _millimetres(frame: RGBDFrame) -> np.ndarray:
    return np.rint(np.nan_to_num(frame.depth * 1000)).astype(np.uint16)


def write_seven_scenes(folder: Path) -> None:
    """frame-NNNNNN.{color.png,depth.png,pose.txt} and camera-intrinsics.txt."""
    folder.mkdir(parents=True)
    np.savetxt(folder / "camera-intrinsics.txt", _CAMERA.K)
    for k, frame in enumerate(_frames()):
        cv2.imwrite(str(folder / f"frame-{k:06d}.color.png"), frame.color[..., ::-1])
        cv2.imwrite(str(folder / f"frame-{k:06d}.depth.png"), _millimetres(frame))
        np.savetxt(folder / f"frame-{k:06d}.pose.txt", frame.T_map_camera)


def write_tum(folder: Path) -> None:
    """rgb.txt, depth.txt, groundtruth.txt and the images."""
    lists = {"rgb": [], "depth": [], "groundtruth": ["# timestamp tx ty tz qx qy qz qw"]}
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for frame in _frames():
        stamp = f"{frame.stamp // 10**9}.{frame.stamp % 10**9:09d}"
        cv2.imwrite(str(folder / f"rgb/{stamp}.png"), frame.color[..., ::-1])
        cv2.imwrite(str(folder / f"depth/{stamp}.png"), 5 * _millimetres(frame))
        lists["rgb"].append(f"{stamp} rgb/{stamp}.png")
        lists["depth"].append(f"{stamp} depth/{stamp}.png")
        numbers = (*frame.T_map_camera[:3, 3], *quaternion_from_matrix(frame.T_map_camera))
        lists["groundtruth"].append(" ".join([stamp, *(f"{v:.9f}" for v in numbers)]))
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_bag(folder: Path, storage: str) -> None:
    """Raw images, camera info and TF, by rosbags."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = {name.rsplit("/", 1)[-1]: kind for name, kind in store.types.items()}
    optical = RobotProfile().camera_frame

    def header(ns: int, frame: str):
        return types["Header"](stamp=types["Time"](sec=ns // 10**9, nanosec=ns % 10**9), frame_id=frame)

    def transform(T: np.ndarray, ns: int, parent: str, child: str):
        x, y, z, w = (float(v) for v in quaternion_from_matrix(T))
        a, b, c = (float(v) for v in T[:3, 3])
        body = types["Transform"](
            translation=types["Vector3"](x=a, y=b, z=c), rotation=types["Quaternion"](x=x, y=y, z=z, w=w)
        )
        return types["TransformStamped"](header=header(ns, parent), child_frame_id=child, transform=body)

    def image(ns: int, pixels: np.ndarray, encoding: str):
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
        return types["Image"](
            header=header(ns, optical), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
            is_bigendian=0, step=data.shape[1], data=data.ravel(),
        )  # fmt: skip

    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections: dict[str, object] = {}

        def put(topic: str, message, ns: int) -> None:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], ns, store.serialize_cdr(message, kind))

        mount = RobotProfile().T_base_camera()
        put("/tf_static", types["TFMessage"](transforms=[transform(mount, _START, "base_link", optical)]), _START)
        for frame in _frames():
            ns, T = frame.stamp, frame.T_map_camera @ invert(mount)
            for moment in (ns - 5_000_000, ns + 5_000_000):
                put("/tf", types["TFMessage"](transforms=[transform(T, moment, "map", "base_link")]), moment)
            roi = types["RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
            info = types["CameraInfo"](
                header=header(ns, optical), height=24, width=32, distortion_model="plumb_bob", d=np.zeros(5),
                k=_CAMERA.K.ravel(), r=np.eye(3).ravel(), p=np.column_stack([_CAMERA.K, np.zeros(3)]).ravel(),
                binning_x=0, binning_y=0, roi=roi,
            )  # fmt: skip
            put("/camera/color/camera_info", info, ns)
            put("/camera/color/image_raw", image(ns, frame.color, "rgb8"), ns)
            put("/camera/aligned_depth_to_color/image_raw", image(ns, _millimetres(frame), "16UC1"), ns)


def write_memory(path: Path) -> None:
    """A memory file with keyframes, objects and voxels."""
    from embodied_nav.memory import SpatialMemory

    memory, frames = SpatialMemory(), _frames()
    thing = ObjectObservation("table", "yellow", 0.8, np.array([1.7, 0.0, 0.7]), np.ones(3), (1, 2, 30, 20))
    for k, frame in enumerate(frames):
        memory.integrate(frame)
        memory.add_keyframe(Keyframe(k, frame, 0.5, 4, "overlap"))
        segments = (frame.depth < 1.7).astype(np.uint16)
        memory.add_delta(
            SemanticDelta(k, k - 1, frame.stamp, "test", "", (thing,), (thing,), text="a table", segments=segments)
        )
    memory.save(path)


# -- what may be wrong -----------------------------------------------------------------------------------------------


def damage(folder: Path, rng: np.random.Generator) -> tuple[Path, str]:
    """Changes one file somewhere below ``folder``; which, and how."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    path = files[int(rng.integers(len(files)))]
    data = path.read_bytes()
    text = path.suffix in (".txt", ".yaml", ".yml", ".json")
    kinds = ["flip", "flip", "cut", "zeros", "repeat", "remove", "empty"] + (
        ["word", "word", "line", "marks"] if text else []
    )
    kind = str(rng.choice(kinds))
    at = int(rng.integers(0, max(len(data), 1)))
    length = int(rng.integers(1, 200))
    if kind == "remove":
        path.unlink()
        return path, kind
    changed = bytearray(data)
    if kind == "flip":
        for _ in range(int(rng.integers(1, 5))):
            if changed:
                changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        changed = changed[:at]
    elif kind == "zeros":
        changed[at : at + length] = bytes(min(length, max(len(data) - at, 0)))
    elif kind == "repeat":
        changed[at:at] = changed[at : at + length]
    elif kind == "empty":
        changed = bytearray()
    else:
        changed = bytearray(_text(data.decode(errors="replace"), kind, rng).encode())
    path.write_bytes(bytes(changed))
    return path, kind


def _text(text: str, kind: str, rng: np.random.Generator) -> str:
    if kind == "marks":
        return str(rng.choice(["\ufeff" + text, text.replace("\n", "\r\n"), text + "\n\n", text.replace(" ", "\t")]))
    lines = text.split("\n")
    k = int(rng.integers(len(lines)))
    if kind == "line":
        other = int(rng.integers(len(lines)))
        lines[k : k + int(rng.integers(1, 3))] = [lines[other]] * int(rng.integers(0, 3))
        return "\n".join(lines)
    words = lines[k].split(" ")
    words[int(rng.integers(len(words)))] = str(rng.choice(_WORDS))
    lines[k] = " ".join(words)
    return "\n".join(lines)


# -- who reads them --------------------------------------------------------------------------------------------------


def _recording(folder: Path, format: str) -> Callable[[], Callable[[np.random.Generator], None]]:
    def prepare():
        from embodied_nav.recordings import Calibration, open_recording

        calibration = Calibration.read(_CALIBRATION) if format == "tum" else None

        def read(where: Path) -> tuple[dict[int, object], list[InputError]]:
            recording = open_recording(where, format, None, calibration)
            numbers = recording.stamps
            if any(b <= a for a, b in zip(numbers, numbers[1:], strict=False)):
                raise Wrong("stamps do not ascend")
            found, refused = {}, []
            for k in range(len(recording)):
                try:
                    found[recording.stamps[k]] = _checked(recording.read(k), recording)
                except InputError as error:
                    refused.append(error)  # this frame is left out by who reads, and counted
            return found, refused

        good, _ = read(folder)
        assert len(good) == _FRAMES, good

        def try_one(rng: np.random.Generator) -> None:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
                where = Path(name) / "recording"
                shutil.copytree(folder, where)
                path, kind = damage(where, rng)
                found, refused = read(where)
                picture = path.suffix == ".png"
                for stamp, frame in found.items():
                    if (picture or (kind in _TAKES_AWAY and path.suffix in (".db3", ".mcap"))) and stamp in good:
                        _same(frame, good[stamp], f"{path.name}, {kind}")
                if refused:
                    raise refused[0]

        return try_one

    return prepare


def _checked(frame, recording):
    """The frame, if it may go into a map."""
    if frame.color.dtype != np.uint8 or frame.color.ndim != 3 or frame.color.shape[2] != 3:
        raise Wrong(f"colour {frame.color.dtype} {frame.color.shape}")
    depth, camera = frame.depth, recording.depth_camera or recording.camera
    if depth.shape != (camera.height, camera.width):
        raise Wrong(f"depth {depth.shape}, its camera {camera.width}x{camera.height}")
    if depth.dtype == np.float32:
        valid = depth[~np.isnan(depth)]
        if not (valid > 0).all() or np.isinf(valid).any():
            raise Wrong("depth that is neither in range nor NaN")
    elif depth.dtype != np.uint16:
        raise Wrong(f"depth {depth.dtype}")
    if frame.T_map_camera is not None and not is_rigid(frame.T_map_camera, tolerance=1e-2):
        raise Wrong(f"pose {np.asarray(frame.T_map_camera).tolist()}")
    return frame


def _same(frame, good, what: str) -> None:
    metric = frame.depth.dtype.kind == "f"
    depth = np.array_equal(frame.depth, good.depth, equal_nan=metric)
    if not (depth and np.array_equal(frame.color, good.color)):
        raise Wrong(f"a picture is read otherwise than it was recorded ({what})")


def _memory(path: Path, reader: str) -> Callable[[], Callable[[np.random.Generator], None]]:
    def prepare():
        from embodied_nav.memory import SpatialMemory
        from embodied_nav.memory.file.codec import POSE_TOLERANCE
        from embodied_nav.memory.file.inspection import describe, find_faults

        def load(where: Path) -> None:
            memory = SpatialMemory.load(where)
            rows = memory.state.voxels.store.rows[memory.state.voxels.store.rows["key"] >= 0]
            if len(rows) != len(memory) or not np.isfinite(rows["weight"].astype(np.float64)).all():
                raise Wrong("voxels without weight")
            poses = [k.T_map_camera for k in memory.keyframes.values()]
            if not all(is_rigid(T, POSE_TOLERANCE) for T in poses):
                raise Wrong("a keyframe's pose is not rigid")

        def mend(where: Path) -> None:
            new = where.with_name("new.db")
            SpatialMemory.recover(where, new)
            faults = find_faults(new)
            if faults:
                raise Wrong(f"recover leaves: {faults[0]}")

        def check(where: Path) -> None:
            faults = find_faults(where)
            if not faults:
                load(where)
            elif any("\n" in f for f in faults):
                raise Wrong("a fault of several lines")

        def info(where: Path) -> None:
            json.dumps(describe(where), allow_nan=False)

        read = {"load": load, "recover": mend, "check": check, "info": info}[reader]
        read(path)
        if reader == "recover":
            path.with_name("new.db").unlink()

        def try_one(rng: np.random.Generator) -> None:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
                where = Path(name) / path.name
                shutil.copyfile(path, where)
                damage(Path(name), rng)
                read(where)
                gc.collect()  # a memory reserves much address space

        return try_one

    return prepare


def _single(write: Callable[[Path], None], name: str, read: Callable[[Path], None]) -> Callable[[], Callable]:
    """A file that is written anew for each item."""

    def prepare():
        def try_one(rng: np.random.Generator) -> None:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                path = Path(folder) / name
                write(path)
                damage(Path(folder), rng)
                read(path)

        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            write(Path(folder) / name)
            read(Path(folder) / name)
        return try_one

    return prepare


def _write_parameters(path: Path) -> None:
    path.write_text(
        "/**:\n  ros__parameters:\n    robot:\n      max_linear: 0.4\n      camera_height: 0.9\n"
        "control:\n  ros__parameters:\n    control_rate: 20.0\n    guard: {margin: 0.02}\n"
    )


def _read_parameters(path: Path) -> None:
    from embodied_nav.bringup.parameter_files import check_params_file, robot_profile

    check_params_file(path)
    profile = robot_profile([path])
    if not (0.05 <= profile.max_linear <= 2.0 and math.isfinite(profile.camera_height)):
        raise Wrong(f"a robot of {profile}")


def _write_calibration(path: Path) -> None:
    path.write_text("color: [500.0, 500.0, 320.0, 240.0]\ndepth: [400, 400, 310, 230]\ntranslation: [0.02, 0, 0]\n")


def _read_calibration(path: Path) -> None:
    from embodied_nav.recordings import Calibration

    found = Calibration.read(str(path))
    if not np.isfinite(found.T_color_depth).all() or (found.color is not None and len(found.color) != 4):
        raise Wrong(f"a calibration of {found}")


def _write_episodes(path: Path) -> None:
    from embodied_nav.frames import Episode, Goal
    from embodied_nav.sim.habitat_format import save_episodes

    goal = Goal("object", (1.0, 2.0, 0.0), 3, 1)
    episode = Episode("e0", "1000", "object", "find the sofa", (0.0, 0.0, 0.5), (goal,), 4.0, ())
    save_episodes(path, [episode, episode])


def _write_plain_episodes(path: Path) -> None:
    """Changed inside, then packed: else the packing's own sum refuses everything."""
    packed = path.with_name("packed.json.gz")
    _write_episodes(packed)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()


def _read_plain_episodes(path: Path) -> None:
    packed = path.with_name("packed.json.gz")
    packed.write_bytes(gzip.compress(path.read_bytes() if path.exists() else b""))
    _read_episodes(packed)


def _read_episodes(path: Path) -> None:
    from embodied_nav.sim.habitat_format import load_episodes

    for episode in load_episodes(path):
        if not np.isfinite(episode.start).all() or not all(np.isfinite(g.position).all() for g in episode.goals):
            raise Wrong(f"an episode of {episode}")


def _write_results(path: Path) -> None:
    rows = [{"id": "a", "kind": "object", "success": True, "spl": 0.5, "distance_to_goal": 0.4, "path_length": 3.0,
             "collisions": 0, "wall_s": 1.0}]  # fmt: skip
    path.write_text(json.dumps({"agent": "rules", "episodes": rows, "summary": {}}, indent=1))


def _read_results(path: Path) -> None:
    from embodied_nav.evaluation.results import load_results

    load_results(path)


def targets(folder: Path) -> list[Target]:
    """All that read files; the good ones are written into ``folder``."""
    write_seven_scenes(folder / "7scenes")
    write_tum(folder / "tum")
    write_bag(folder / "sqlite3", "sqlite3")
    write_bag(folder / "mcap", "mcap")
    memory = folder / "memory.db"
    write_memory(memory)
    found = {
        "7-Scenes": _recording(folder / "7scenes", "7scenes"),
        "TUM": _recording(folder / "tum", "tum"),
        "rosbag2, sqlite3": _recording(folder / "sqlite3", "rosbag2"),
        "rosbag2, mcap": _recording(folder / "mcap", "rosbag2"),
        **{f"memory {reader}": _memory(memory, reader) for reader in ("load", "check", "info", "recover")},
        "parameters": _single(_write_parameters, "parameters.yaml", _read_parameters),
        "calibration": _single(_write_calibration, "calibration.yaml", _read_calibration),
        "episodes, packed": _single(_write_episodes, "episodes.json.gz", _read_episodes),
        "episodes": _single(_write_plain_episodes, "episodes.json", _read_plain_episodes),
        "results": _single(_write_results, "results.json", _read_results),
    }
    return [Target(name, "files", prepare) for name, prepare in found.items()]
