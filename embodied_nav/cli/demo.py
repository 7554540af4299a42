"""``embodied-nav demo``: one episode in the embedded simulator through the real ROS graph. Knows no algorithm."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ..errors import InputError
from . import habitat, localization, names, page, ros, settings
from .ros import require_ros

OUTPUTS = ("report.json", "map.png", "memory.db", page.FILE)
DEFAULT_SEED = 1000
#: Parameters that this command sets itself, and the option that sets each.
OWNED = {
    "backend": "by --perception", "policy": "by --agent", "localization": "by --localization", "file": "by --memory",
    "memory_file": "by --memory", "scene": "by --seed", "episode_file": "", "result": "", "report_file": "", "map": "",
    "new_map": "", "map_origin": "", "start_time": "", "wait_for": "", "lockstep": "", "autostart": "",
    "publish_clock": "", "kind": "by --instruction", "index": "by --instruction", "world": "by --simulator",
    "dataset": "by --dataset", "scenes_dir": "by --scenes-dir", "protocol": "by --protocol",
}  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="drive the agent through a simulated apartment, over ROS",
        description="Drives the agent through an apartment that it has never seen, as ROS nodes; "
        "writes report.json, map.png, memory.db and view.html, a page that plays the episode.",
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, metavar="N", help=f"the apartment's (default: {DEFAULT_SEED})"
    )
    parser.add_argument("--instruction", metavar="TEXT", help="what to look for (default: one of the apartment's own)")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where to write (default: runs/demo)")
    names.add_simulator(parser, "embedded")
    habitat.add_options(parser)
    parser.add_argument("--episode", type=int, default=0, metavar="N", help="of the data set, from 0 (default: 0)")
    names.add_agent(parser, "rules")
    names.add_perception(parser, "compact")
    parser.set_defaults(perception=None)  # of a data set it is another
    names.add_detector(parser)
    localization.add_option(parser)
    settings.add_option(parser)
    ros.add_composed(parser)
    page.add_option(parser)
    parser.add_argument(
        "--memory",
        metavar="FILE",
        help="keep the memory in FILE instead of DIR/memory.db, and go on in what is in it: a second run is a second "
        "session in the same map",
    )


def run(args: argparse.Namespace) -> int:
    """Runs one episode and writes the results."""
    from . import run_folder

    _check(args)
    require_ros()
    localization.settle(args)
    page.settle(args)
    episode = _episode(args)
    given, eyes = names.settle_perception(args, simulated=args.dataset is None)
    parameters = settings.parameters_by_node(habitat.with_server(given, args), _nodes(args), OWNED)
    if args.simulator == "habitat":
        habitat.check_server(parameters["sim"])
    names.check_perception(args.perception, parameters["perception"])
    names.check_encoder(parameters["perception"])
    started = time.monotonic()
    with run_folder.prepared(args.out, _outputs(args)) as out:
        where = f"apartment {args.seed}" if args.dataset is None else f"episode {episode.id} of {args.dataset}"
        print(f'demo: {where}, "{episode.instruction}" -> {out}', flush=True)
        if eyes:
            print(f"demo: {eyes}", flush=True)
        report = _drive(args, episode, out, parameters)
        report["wall_time_s"] = round(time.monotonic() - started, 3)
        run_folder.write_report(out, report)
    print(
        f"demo: success {str(report['success']).lower()}, SPL {report['spl']:.2f}, {report['path_length_m']:.1f} m in "
        f"{report['sim_time_s']:.0f} s, {report['distance_to_goal_m']:.1f} m to the goal, {_picture(report)}"
        f"{report['collisions']} collisions, {_pace(report)}",
        flush=True,
    )
    if (out / page.FILE).exists():
        print(f"demo: {out / page.FILE} plays it in a browser", flush=True)
    return 0


def _episode(args: argparse.Namespace):
    """The episode of the options; fills in the perception that suits it.

    Raises:
        InputError: no such episode, or options that do not go together.
    """
    from . import episode_choice

    dataset = habitat.dataset_of(args)
    if dataset is None:
        args.perception = args.perception or "compact"
        return episode_choice.choose(args.seed, args.instruction)
    if args.instruction is not None:
        raise InputError("--instruction: the data set's episodes have their own; give --episode N")
    if args.memory is not None:
        raise InputError("--memory: goes on in apartments only; leave it out with --dataset")
    if not 0 <= args.episode < len(dataset.episodes):
        raise InputError(f"--episode {args.episode}: the data set has 0 to {len(dataset.episodes) - 1}")
    args.perception = args.perception or names.AUTO
    args.protocol = dataset.protocol.name
    return dataset.episodes[args.episode]


def _recorded(memory, report: dict, driven, trajectory, T, made: list, goal):
    """The record of the episode.

    Args:
        driven: Nx4 x, y, heading in the true map, and ns. trajectory: Nx2 in the memory's. T: that from the true one.
    """
    import numpy as np

    from ..geometry import yaw_of
    from ..view import Way, record_episode

    stamps = driven[:, 3].astype(np.int64)
    way = Way(stamps, np.column_stack([trajectory, np.zeros(len(stamps))]), driven[:, 2] + yaw_of(T))
    success = "reached" if report["success"] else "not reached"
    told = f"{success}: {report['reason']}; {report['path_length_m']:.1f} m in {report['sim_time_s']:.0f} s"
    since = int(stamps[0]) if len(stamps) else 0
    return record_episode(memory, report["instruction"], told, way, page.decisions(made), goal, since=since)


def _picture(report: dict) -> str:
    """Whether the target is in the picture, in words; nothing where it is no thing."""
    if report["in_view"] is None:
        return ""
    return "in the picture, " if report["in_view"] else "not in the picture, "


def _pace(report: dict) -> str:
    """The real-time factor in words."""
    factor = report["real_time_factor"]
    return "at an unknown pace" if factor is None else f"at {factor:.2f} of real time"


def _outputs(args: argparse.Namespace) -> list[str]:
    """Files that an earlier run may have written, except a memory file that this run continues."""
    kept = None if args.memory is None else Path(args.memory).resolve()
    return [name for name in OUTPUTS if Path(args.out, name).resolve() != kept]


def _drive(args: argparse.Namespace, episode, out: Path, parameters: dict[str, dict]) -> dict:
    """Runs the episode on the ROS graph, writes the memory and map.png, and returns the report."""
    import numpy as np

    from .. import bringup
    from ..sim.episodes import save_episodes
    from . import run_folder, sessions

    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        scratch = Path(folder)
        if args.dataset is None:
            save_episodes(scratch / "episode.json.gz", [episode])
        processes = _processes(args, episode, out, scratch, parameters)
        processes = bringup.composed(processes) if args.composed else processes
        with bringup.Supervisor(processes, bringup.local_environment()) as supervisor:
            code = _wait(supervisor)
        sim, goal = (_read(scratch / name) for name in ("sim.json", "goal.json"))
        if code != 0 or sim is None or goal is None:
            raise InputError(f"the demo ended early (exit code {code}), see above")
        report = _report(args, episode, sim, goal, supervisor.restarts) | {"set": settings.told(parameters)}
        print("demo: drawing the map", flush=True)
        report |= {"memory": str(_memory_file(args, out)), **sessions.sessions_of(_memory_file(args, out))}
        if args.localization == "slam":
            report |= run_folder.slam_lost(scratch / "slam.json")
        report["recognised"] = goal["recognised"]
        report |= _draw(args, out, episode, sim, np.load(scratch / "sim.npy"), parameters, goal["made"], report)
    return report


def _check(args: argparse.Namespace) -> None:
    from ..reasoner import POLICIES
    from . import run_folder

    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a whole number from 0")
    POLICIES.check(args.agent, "--agent")
    if args.perception is not None:
        names.check_perception_name(args.perception)
    if args.memory is not None:
        run_folder.check_memory_file("--memory", str(Path(args.memory).resolve()))


def _memory_file(args: argparse.Namespace, out: Path) -> Path:
    return (out / "memory.db" if args.memory is None else Path(args.memory)).resolve()


def _kept_in(args: argparse.Namespace, file: Path) -> dict[str, dict]:
    """Parameters of memory and SLAM for relocalising in the maps of earlier sessions."""
    from ..bringup import memory_parameters
    from . import sessions

    found = memory_parameters(str(file), args.localization == "slam")
    if args.memory is not None and args.localization != "slam":
        # The true pose is in the apartment's coordinates; with odometry alone no earlier map applies.
        known = sessions.map_of_apartment(file, args.seed) if args.localization == "truth" else None
        found["memory"] |= {"new_map": True} if known is None else {"map": known}
        if file.exists():
            where = "in a new map: its pose is of none there" if known is None else f"in map {known}: its pose is given"
            print(f"demo: the memory of {file} goes on {where}", flush=True)
    return found


def _nodes(args: argparse.Namespace) -> tuple[str, ...]:
    own = ("slam",) if args.localization == "slam" else ()
    return ("sim", *own, "keyframe", "perception", "memory", "reasoner", "control", *page.nodes(args))


def _processes(args: argparse.Namespace, episode, out: Path, scratch: Path, parameters: dict[str, dict]) -> list:
    from ..bringup import Process
    from . import sessions

    file = _memory_file(args, out)
    kept = _kept_in(args, file)
    common = {"use_sim_time": True}
    sim = {
        **_scene(args, scratch),
        "localization": args.localization,
        # Two cores keep up with the whole graph with SLAM at this rate; at 15 Hz frames would queue.
        "frame_rate": 10.0 if args.localization == "slam" else 15.0,
        "wait_for": "slam,keyframe,memory,control" if args.localization == "slam" else "keyframe,memory,control",
        "map_origin": "start" if args.memory is None else "scene",
        "start_time": sessions.next_start(file) if args.memory is not None and file.exists() else 0.0,
        "result": str(scratch / "sim.json"),
    }
    lost = {"report_file": str(scratch / "slam.json")}
    goal = {"instruction": episode.instruction, "result": str(scratch / "goal.json"), "use_sim_time": True}
    nodes: dict[str, dict] = {
        "sim": sim,
        "slam": {**common, **kept.get("slam", {}), **lost},
        "keyframe": common,
        "perception": names.must_be_made({**common, "backend": args.perception}),
        "memory": {**common, **kept["memory"]},
        "reasoner": {**common, "policy": args.agent},
        "control": common,
    }
    return [
        *(Process(n, n, {**nodes[n], **parameters[n]}, respawn=n != "sim") for n in _nodes(args) if n in nodes),
        *page.processes(args, parameters, "the demo drives after its own sentence"),
        Process("navigate_client", "navigate", goal, respawn=False),
    ]


def _scene(args: argparse.Namespace, scratch: Path) -> dict:
    """The sim node's parameters that say which episode it runs, and where."""
    if args.dataset is None:
        return {"episode_file": str(scratch / "episode.json.gz")}
    return {
        "world": args.simulator, "dataset": args.dataset, "scenes_dir": args.scenes_dir, "protocol": args.protocol,
        "index": args.episode,
    }  # fmt: skip


def _wait(supervisor) -> int:
    """Supervises the graph until the goal ends; returns the exit code of the process that ended first."""
    while not (ended := supervisor.poll()):
        time.sleep(0.05)
    if "navigate_client" not in ended:
        raise InputError(f"{', '.join(ended)} ended early, see above")
    return ended["navigate_client"]


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _report(args: argparse.Namespace, episode, sim: dict, goal: dict, restarts: dict[str, int]) -> dict:
    scores = sim["scores"]
    return {
        "program": "embodied-nav",
        "command": "demo",
        "success": bool(scores["success"]) and goal["stopped"],
        "spl": scores["spl"] if goal["stopped"] else 0.0,
        "distance_to_goal_m": scores["distance_to_goal"],
        **_last_metres(scores, goal["stopped"]),
        "path_length_m": scores["path_length"],
        "collisions": scores["collisions"],
        "sim_time_s": goal["sim_time_s"],
        "wall_time_s": 0.0,
        "keyframes": sim["keyframes"],
        "frames": sim["frames"],
        "voxels": 0,
        "perception_calls": int(goal["facts"].get("perception calls", 0)),
        "decisions": goal["decisions"],
        "real_time_factor": sim["real_time_factor"],
        "late_kernels": sim["late_kernels"] + _late_kernels(goal["facts"]),
        "latency_ms": {**sim["latency_ms"], **goal["stages"]},
        "instruction": episode.instruction,
        "episode": episode.id,
        "seed": args.seed,
        "agent": args.agent,
        "reasoner": args.agent,
        "localization": args.localization,
        "perception": args.perception,
        "simulator": args.simulator,
        **_of_dataset(args),
        "stopped": goal["stopped"],
        "reason": goal["reason"],
        "restarts": sum(restarts.values()),
    }


def _of_dataset(args: argparse.Namespace) -> dict:
    """What the report says of a data set. Its robot drives by velocities: no row of its protocol's table."""
    if args.dataset is None:
        return {}
    dataset = habitat.dataset_of(args)
    assert dataset is not None
    return habitat.identity(dataset, args.simulator) | {"motion": "velocity"}


def _last_metres(scores: dict, stopped: bool) -> dict:
    """What the picture shows of the target at the stop; None where the target is no thing."""
    judged = {name: scores[name] for name in ("in_view", "success_0_5")}
    return {name: value if value is None else value and stopped for name, value in judged.items()} | {
        name: scores[name] for name in ("picture_share", "view_share")
    }


def _late_kernels(facts: dict[str, str]) -> int:
    """Number of kernels that a node compiled or loaded only after it had reported to be ready."""
    return sum(int(value) for name, value in facts.items() if name.endswith(" kernels made ready late"))


def _draw(
    args: argparse.Namespace, out: Path, episode, sim: dict, view, parameters: dict[str, dict], made: list, report: dict
) -> dict:
    """Draws map.png and the recorded page; returns what the report says of the memory."""
    import numpy as np

    from ..geometry import transform_points
    from ..memory import SpatialMemory
    from ..memory.output.render import draw_map
    from ..robot import RobotProfile
    from . import run_folder, sessions

    memory = SpatialMemory.load(_memory_file(args, out))
    robot = RobotProfile.from_parameters(parameters["sim"], "robot")
    driven, goals = np.array(sim["trajectory"]), np.array(sim["goals"])
    # The memory's map is the true one (both start at this session's start), unless it continues an earlier map.
    T = np.eye(4) if args.memory is None else sessions.between(memory, driven, robot.T_base_camera())
    trajectory, goals = (
        transform_points(T, np.column_stack([p[:, :2], np.zeros(len(p))]))[:, :2] for p in (driven, goals)
    )
    goal = min(goals, key=lambda g: float(np.hypot(*(g - trajectory[-1]))))
    draw_map(
        out / "map.png",
        memory.occupancy(),
        trajectory,
        memory.objects(),
        goal,
        camera_view=view,
        title=episode.instruction,
    )
    page.write("demo", out, lambda: _recorded(memory, report, driven, trajectory, T, made, goal))
    return {"voxels": len(memory), "stale_keyframes": run_folder.stale_keyframes(memory)}
