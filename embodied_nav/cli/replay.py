"""``embodied-nav replay``: a recorded RGB-D sequence through the same ROS graph as a camera. Knows no algorithm."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ..errors import InputError

OUTPUTS = ("report.json", "map.png", "map.ply", "memory.db", "trajectory.txt")
#: Where SLAM's poses stand, as TUM writes them.
TRAJECTORY = "trajectory.txt"
#: Objects named on the map: without a model all are "gray object" and the like, and names hide the picture.
_NAMED = 10
CAMERA_TOPICS = ("/camera/color/image_raw", "/camera/depth/image_raw", "/camera/color/camera_info")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="feed a recorded RGB-D sequence through the ROS graph",
        description="Feeds a recorded RGB-D sequence through the ROS graph; writes report.json, map.png, map.ply and "
        "memory.db.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder with the recording")
    parser.add_argument(
        "--format", default="", choices=("7scenes", "tum", "rosbag2"), help="default: what lies in the folder"
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


def run(args: argparse.Namespace) -> int:
    """Runs the graph until the recording has passed; writes the results."""
    from . import run_folder

    _check(args)
    recording = _open(args)
    with run_folder.prepared(args.out, OUTPUTS) as out:
        started = time.monotonic()
        skipped = f" ({recording.skipped} depth images without colour or pose left out)" * bool(recording.skipped)
        print(f"replay: {len(recording)} frames of {args.folder}{skipped} -> {out}", flush=True)
        counts, restarts = _play(args, out, recording)
        report = _finish(args, out, recording, counts, restarts)
        report["total_time_s"] = round(time.monotonic() - started, 3)
        run_folder.write_report(out, report)
    print(
        f"replay: {report['frames']} frames, {report['dropped']} dropped, {report['keyframes']} keyframes, "
        f"{report['voxels']} voxels in {report['wall_time_s']:.1f} s",
        flush=True,
    )
    return 0


def _open(args: argparse.Namespace):
    """The recording, looked through."""
    from ..recordings import Calibration, Topics, open_recording

    calibration = Calibration.read(args.calibration) if args.calibration else None
    topics = Topics(args.color_topic, args.depth_topic, args.info_topic)
    recording = open_recording(args.folder, args.format, args.max_frames or None, calibration, topics)
    if args.slam == "given" and recording.poses is None:
        raise InputError(f"{args.folder}: tells no poses in a map; find them by --slam own, or --slam external")
    return recording


def _play(args: argparse.Namespace, out: Path, recording) -> tuple[dict, dict[str, int]]:
    """The recording through the ROS graph; what was counted, and how often each node was started again."""
    from .. import bringup

    result = out / ".replay.json"
    try:
        # A SLAM of the user's must see the graph: then discovery is the shell's business.
        environment = None if args.slam == "external" else bringup.local_environment()
        with bringup.Supervisor(_processes(args, out, result, recording), environment) as supervisor:
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


def _processes(args: argparse.Namespace, out: Path, result: Path, recording) -> list:
    from ..bringup import Process

    lockstep = args.rate == 0
    given, own = args.slam == "given", args.slam == "own"
    # Poses that are still to be found take a while; and a second behind is no harm here.
    common = {"use_sim_time": True, "lockstep": lockstep, "tf_timeout": 5.0 if lockstep else 0.2 if given else 2.0}
    common |= {"camera.given_poses": given, "camera.queue": 30}
    for topic in CAMERA_TOPICS:
        common[f"qos_overrides.{topic}.subscription.reliability"] = "reliable"
    memory = {"file": str((out / "memory.db").resolve()), "memory.carve": not args.no_carve}
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
    }
    slam = {**common, "camera.given_poses": False, "publish_odom": recording.odometry is None}
    slam["trajectory_file"] = str((out / TRAJECTORY).resolve())
    return [
        *([Process("slam", "slam", slam)] if own else []),
        Process("keyframe", "keyframe", common),
        Process("perception", "perception", {"lockstep": lockstep, "use_sim_time": True, "backend": "geometric"}),
        Process("memory", "memory", {**common, **memory}),
        Process("replay", "replay", source, respawn=False),
    ]


def _way(args: argparse.Namespace, out: Path, recording, memory) -> tuple:
    """Nx4x4 poses of the camera in the map, and SLAM's error for the report where there is a truth to compare with."""
    import numpy as np

    from ..slam.metrics import ate_rmse, read_trajectory

    if args.slam == "external":
        return np.array([k.T_map_camera for k in memory.keyframes.values()]), {}
    if args.slam == "given":
        return np.array(recording.poses), {}
    stamps, poses = read_trajectory(out / TRAJECTORY)
    if recording.poses is None:
        return poses, {"ate_rmse_m": None}
    ate = ate_rmse(stamps, poses, np.array(recording.stamps), np.array(recording.poses))
    return poses, {"ate_rmse_m": round(ate, 5)}


def _finish(args: argparse.Namespace, out: Path, recording, counts: dict, restarts: dict[str, int]) -> dict:
    """Draws the map and makes the report."""

    from ..memory import SpatialMemory
    from ..memory.export import write_ply
    from ..memory.render import draw_map

    memory = SpatialMemory.load(out / "memory.db")
    write_ply(out / "map.ply", memory)
    poses, error = _way(args, out, recording, memory)
    largest = sorted(memory.objects(), key=lambda o: -o.voxels)[:_NAMED]
    draw_map(
        out / "map.png",
        trajectory=poses[:, :3, 3],
        objects=largest,
        voxels=memory.voxels(),
        up=-poses[:, :3, 1].mean(axis=0),  # cameras are held upright: their image's up is the room's
        camera_view=recording.read(len(recording) // 2).color,
        title=f"{Path(args.folder).name}: {counts['frames']} frames",
    )
    return {
        "program": "embodied-nav",
        "command": "replay",
        "recording": str(args.folder),
        "frames": counts["frames"],
        "keyframes": counts["keyframes"],
        "dropped": counts["dropped"],
        "voxels": len(memory),
        "objects": len(memory.objects()),
        "wall_time_s": counts["wall_time_s"],
        "latency_ms": counts["latency_ms"],
        "slam": args.slam,
        **error,
        "perception": "geometric",
        "rate": args.rate,
        "restarts": sum(restarts.values()),
    }
