"""``embodied-nav replay``: plays a recorded RGB-D sequence into the same ROS graph as a camera. Knows no algorithm."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ..errors import InputError
from . import names, page, ros, settings
from .ros import require_ros

OUTPUTS = ("report.json", "map.png", "map.ply", "memory.db", "objects.json", "trajectory.txt", page.FILE)
#: File of SLAM's poses in TUM format.
TRAJECTORY = "trajectory.txt"
#: Temporary file with the times of lost tracking, until they are in the report.
_SLAM_REPORT = ".slam.json"
#: Most objects labelled on the map: without a model all are "gray object" and the like, and labels hide the map.
_NAMED = 10
#: Settings of the keyframe gate by perception back end: what errs is believed after several views, so it gets them.
_VIEWS: dict[str, dict] = {"detector": {"max_interval": 0.5}}
CAMERA_TOPICS = ("/camera/color/image_raw", "/camera/depth/image_raw", "/camera/color/camera_info")


#: Parameters that this command sets itself, and the option that sets each.
OWNED = {
    "file": "by --out",
    "trajectory_file": "by --out",
    "report_file": "by --out",
    "backend": "by --perception",
    "camera.given_poses": "by --slam",
    "lockstep": "by --rate",
    "autostart": "",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="feed a recorded RGB-D sequence through the ROS graph",
        description="Feeds a recorded RGB-D sequence through the ROS graph; writes report.json, map.png, map.ply, "
        "memory.db, view.html (a page that plays it) and objects.json (the things that several views showed).",
    )
    parser.add_argument("folder", metavar="DIR", help="folder with the recording, or one of its files")
    parser.add_argument(
        "--format",
        default="",
        choices=("7scenes", "tum", "rosbag2", "rosbag1", "scannet", "icl", "openloris", "bonn"),
        help="default: what lies in the folder",
    )
    parser.add_argument(
        "--calibration",
        default="",
        metavar="FX,FY,CX,CY|FILE",
        help="intrinsics of the images, or a YAML file with color and depth (fx, fy, cx, cy each), translation and "
        "rotation of the depth camera in the colour camera's frame (default: what the recording says)",
    )
    for name, what in (("color", "colour images"), ("depth", "depth images"), ("info", "colour camera's info")):
        text = f"topic of the {what} in a rosbag2 (default: found by name and type)"
        parser.add_argument(f"--{name}-topic", default="", metavar="TOPIC", help=text)
    parser.add_argument("--out", default="runs/replay", metavar="DIR", help="where to write (default: runs/replay)")
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        metavar="X",
        help="speed, 1 is as recorded; 0 is lossless lock-step (default: 1)",
    )
    parser.add_argument("--max-frames", type=int, default=0, metavar="N", help="frames at most (default: all)")
    parser.add_argument("--no-carve", action="store_true", help="never remove voxels that the camera sees through")
    parser.add_argument(
        "--slam",
        default="given",
        choices=("given", "own", "external"),
        help="whose poses to use: the recording's, those of this package's SLAM (the recording's then measure its "
        "error), or those of a SLAM of yours that listens on this shell's ROS domain (default: given)",
    )
    names.add_perception(parser, names.AUTO)
    names.add_detector(parser)
    ros.add_composed(parser)
    page.add_option(parser)
    settings.add_option(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the graph until the recording has been played; writes the results."""
    from . import run_folder

    _check(args)
    require_ros()
    page.settle(args)
    given, eyes = names.settle_perception(args, simulated=False)
    parameters = settings.parameters_by_node(given, _nodes(args), OWNED)
    names.check_perception(args.perception, parameters["perception"])
    names.check_encoder(parameters["perception"])
    recording = _open(args, parameters)
    with run_folder.prepared(args.out, OUTPUTS) as out:
        started = time.monotonic()
        skipped = f" (left out: {recording.losses.told()})" * bool(recording.skipped)
        print(f"replay: {len(recording)} frames of {args.folder}{skipped} -> {out}", flush=True)
        for note in (*([eyes] if eyes else ()), *recording.notes):
            print(f"replay: {note}", flush=True)
        counts, restarts = _play(args, out, recording, parameters)
        report = _finish(args, out, recording, counts, restarts) | {"set": settings.told(parameters)}
        report["total_time_s"] = round(time.monotonic() - started, 3)
        run_folder.write_report(out, report)
    print(
        f"replay: {report['frames']} frames, {report['dropped']} dropped, {report['keyframes']} keyframes, "
        f"{report['voxels']} voxels in {report['wall_time_s']:.1f} s",
        flush=True,
    )
    if (out / page.FILE).exists():
        print(f"replay: {out / page.FILE} shows it in a browser", flush=True)
    if report.get("slam_lost_s"):
        reason = report["slam_lost_times"][0][2]
        print(f"replay: SLAM was lost for {report['slam_lost_s']:.1f} s, not mapped: {reason}", flush=True)
    return 0


def _nodes(args: argparse.Namespace) -> tuple[str, ...]:
    return (*(("slam",) if args.slam == "own" else ()), "keyframe", "perception", "memory", *page.nodes(args))


def _open(args: argparse.Namespace, parameters: dict[str, dict]):
    """Opens and checks the recording."""
    from ..recordings import Calibration, Topics, open_recording

    calibration = Calibration.read(args.calibration) if args.calibration else None
    topics = Topics(args.color_topic, args.depth_topic, args.info_topic)
    reading = _reading(parameters)
    recording = open_recording(args.folder, args.format, args.max_frames or None, calibration, topics, reading)
    if args.slam == "given" and recording.poses is None:
        raise InputError(f"{args.folder}: {recording.why_no_poses}; find them by --slam own, or --slam external")
    return recording


def _reading(parameters: dict[str, dict]):
    """Settings for reading the recording, from the camera's and the robot's parameters for a live camera."""
    from ..recordings import Reading

    names = {"sync_slop": "camera.sync_slop", "depth_scale": "camera.depth_scale", "map_frame": "robot.map_frame",
             "odom_frame": "robot.odom_frame"}  # fmt: skip
    values = {field: settings.given(parameters, name) for field, name in names.items()}
    return Reading(**{field: value for field, value in values.items() if value is not None})


def _play(args: argparse.Namespace, out: Path, recording, parameters: dict[str, dict]) -> tuple[dict, dict[str, int]]:
    """Plays the recording through the ROS graph; returns its counts, and the number of restarts of each node."""
    from .. import bringup

    result = out / ".replay.json"
    try:
        # An external SLAM must be able to discover the graph, so keep the shell's discovery settings.
        environment = None if args.slam == "external" else bringup.local_environment()
        processes = _processes(args, out, result, recording, parameters)
        processes = bringup.composed(processes) if args.composed else processes
        with bringup.Supervisor(processes, environment) as supervisor:
            while not (ended := supervisor.poll()):
                time.sleep(0.05)
        if ended["replay"] != 0 or not result.exists():
            raise InputError(f"the replay ended early (exit code {ended['replay']}), see above")
        return json.loads(result.read_text(encoding="utf-8")), supervisor.restarts
    finally:
        result.unlink(missing_ok=True)


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.rate <= 100:
        raise InputError(f"--rate {args.rate}: give a speed from 0 (lock-step) to 100")
    if args.max_frames < 0:
        raise InputError(f"--max-frames {args.max_frames}: give a number above 0, or 0 for all")
    if args.perception == "simulator":
        raise InputError("--perception simulator: a recording has no simulator; give detector or geometric")


def _processes(args: argparse.Namespace, out: Path, result: Path, recording, parameters: dict[str, dict]) -> list:
    from ..bringup import Process

    lockstep = args.rate == 0
    given, own = args.slam == "given", args.slam == "own"
    # SLAM's poses take a while, and lagging by a second is harmless in a replay.
    common = {"use_sim_time": True, "lockstep": lockstep, "tf_timeout": 5.0 if lockstep else 0.2 if given else 2.0}
    common |= {"camera.given_poses": given, "camera.queue": 30}
    for topic in CAMERA_TOPICS:
        common[f"qos_overrides.{topic}.subscription.reliability"] = "reliable"
    memory = {"file": str((out / "memory.db").resolve()), "memory.carve": not args.no_carve}
    reading = recording.reading
    source = {
        "folder": str(Path(args.folder).resolve()),
        "format": args.format,
        "calibration": str(Path(args.calibration).resolve()) if Path(args.calibration).is_file() else args.calibration,
        "color_topic": args.color_topic,
        "depth_topic": args.depth_topic,
        "info_topic": args.info_topic,
        "rate": args.rate,
        "max_frames": args.max_frames,
        "result": str(result.resolve()),
        "poses": given,
        "nodes": (*(("slam",) if own else ()), "keyframe", "memory"),
        "sync_slop": reading.sync_slop,
        "depth_scale": 1.0 if reading.depth_scale is None else reading.depth_scale,
        "map_frame": reading.map_frame,
        "odom_frame": reading.odom_frame,
    }
    slam = {**common, "camera.given_poses": False, "publish_odom": recording.odometry is None}
    slam["trajectory_file"] = str((out / TRAJECTORY).resolve())
    slam["report_file"] = str((out / _SLAM_REPORT).resolve())
    perception = names.must_be_made({"lockstep": lockstep, "use_sim_time": True, "backend": args.perception})
    keyframe = {**common, **_VIEWS.get(args.perception, {})}
    nodes = {"slam": slam, "keyframe": keyframe, "perception": perception, "memory": {**common, **memory}}
    robot = {name: value for name, value in parameters["keyframe"].items() if name.startswith("robot.")}
    return [
        *(Process(n, n, {**nodes[n], **_of_nodes(parameters[n])}) for n in _nodes(args) if n in nodes),
        *page.processes(args, parameters, "a recording is played: nothing drives"),
        Process("replay", "replay", {**source, **robot}, respawn=False),
    ]


def _of_nodes(values: dict) -> dict:
    """Parameters for the nodes, without the depth scale: the reader applies it and publishes metres."""
    return {name: value for name, value in values.items() if name != "camera.depth_scale"}


def _way(args: argparse.Namespace, out: Path, recording, memory) -> tuple:
    """Nx4x4 poses of the camera in the map, their N stamps (ns), and SLAM's error for the report if there is ground
    truth."""
    import numpy as np

    from ..slam.metrics import ate_rmse, read_trajectory
    from . import run_folder

    if args.slam == "external":
        found = memory.keyframes.values()
        return np.array([k.T_map_camera for k in found]), np.array([k.stamp for k in found]), {}
    if args.slam == "given":
        return np.array(recording.poses), np.array(recording.stamps), {}
    stamps, poses = read_trajectory(out / TRAJECTORY)
    lost = run_folder.slam_lost(out / _SLAM_REPORT)
    if recording.poses is None or len(stamps) < 3:
        return poses, stamps, {"ate_rmse_m": None, **lost}
    ate = ate_rmse(stamps, poses, np.array(recording.stamps), np.array(recording.poses))
    return poses, stamps, {"ate_rmse_m": round(ate, 5), **lost}


def _finish(args: argparse.Namespace, out: Path, recording, counts: dict, restarts: dict[str, int]) -> dict:
    """Draws the map, writes the cloud and the objects, and returns the report."""
    from ..memory import SpatialMemory
    from ..memory.file.memory_file import note_origin
    from ..memory.output.export import write_ply
    from ..memory.output.object_list import write_object_list
    from ..memory.output.render import draw_map
    from . import run_folder

    if recording.origin.any():
        note_origin(out / "memory.db", tuple(recording.origin))
    memory = SpatialMemory.load(out / "memory.db")
    write_ply(out / "map.ply", memory)
    evident = write_object_list(out / "objects.json", memory)
    poses, stamps, error = _way(args, out, recording, memory)
    largest = sorted(memory.evident_objects() or memory.objects(), key=lambda o: -o.voxels)[:_NAMED]
    draw_map(
        out / "map.png",
        trajectory=poses[:, :3, 3],
        objects=largest,
        voxels=memory.voxels(),
        up=-poses[:, :3, 1].mean(axis=0),  # cameras are held upright on average: the image's up is the room's up
        camera_view=_view(recording),
        title=f"{Path(args.folder).name}: {counts['frames']} frames",
    )
    page.write("replay", out, lambda: _recorded(args, memory, poses, counts, stamps))
    return {
        "program": "embodied-nav",
        "command": "replay",
        "recording": str(args.folder),
        "frames": counts["frames"],
        "keyframes": counts["keyframes"],
        "dropped": counts["dropped"],
        "left_out": {**recording.losses.counts, **counts["left_out"]},
        "notes": recording.notes,
        "map_origin_m": [float(v) for v in recording.origin],
        "voxels": len(memory),
        "stale_keyframes": run_folder.stale_keyframes(memory),
        "objects": len(memory.objects()),
        "evident_objects": evident,
        "wall_time_s": counts["wall_time_s"],
        "latency_ms": counts["latency_ms"],
        "slam": args.slam,
        **error,
        "perception": args.perception,
        "rate": args.rate,
        "restarts": sum(restarts.values()),
    }


def _recorded(args: argparse.Namespace, memory, poses, counts: dict, stamps):
    """The record of the replay, turned so that what the cameras had above is up."""
    import numpy as np

    from ..view import Way, record_episode

    usable = np.isfinite(poses).all(axis=(1, 2)) if len(poses) else np.zeros(0, bool)
    poses, stamps = poses[usable], np.asarray(stamps, np.int64)[usable]
    up = -poses[:, :3, 1].mean(axis=0) if len(poses) else None
    if up is not None and up[2] > 0.98:
        up = None  # upright as it is
    told = f"{counts['frames']} frames, {counts['keyframes']} keyframes, {len(memory):,} voxels"
    shown = memory.evident_objects() or memory.objects()
    return record_episode(memory, Path(args.folder).name, told, Way(stamps, poses[:, :3, 3]), up=up, objects=shown)


def _view(recording):
    """An image from the middle of the recording, for the map's corner."""
    from ..recordings import UnusableFrame

    for index in sorted(range(len(recording)), key=lambda n: abs(n - len(recording) // 2)):
        try:
            return recording.read(index).color
        except UnusableFrame:
            continue
    return None
