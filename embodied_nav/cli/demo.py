"""``embodied-nav demo``: one episode in the embedded simulator through the real ROS graph. Knows no algorithm."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ..errors import InputError
from . import localization

OUTPUTS = ("report.json", "map.png", "memory.db")
DEFAULT_SEED = 1000


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="drive the agent through a simulated apartment, over ROS",
        description="Drives the agent through an apartment that it has never seen, as ROS nodes in processes of "
        "their own; writes report.json, map.png and memory.db.",
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, metavar="N", help=f"the apartment's (default: {DEFAULT_SEED})"
    )
    parser.add_argument("--instruction", metavar="TEXT", help="what to look for (default: one of the apartment's own)")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where to write (default: runs/demo)")
    parser.add_argument("--reasoner", default="rules", metavar="R", help="rules, frontier or random (default: rules)")
    parser.add_argument(
        "--perception", default="simulator", metavar="P", help="simulator or geometric (default: simulator)"
    )
    localization.add_option(parser)
    parser.add_argument(
        "--memory",
        metavar="FILE",
        help="keep the memory in FILE instead of DIR/memory.db, and go on in what is in it: a second run is a second "
        "session in the same map",
    )


def run(args: argparse.Namespace) -> int:
    """Runs one episode; writes the results."""
    from . import episode_choice, run_folder

    _check(args)
    localization.settle(args)
    started = time.monotonic()
    episode = episode_choice.choose(args.seed, args.instruction)
    with run_folder.prepared(args.out, _outputs(args)) as out:
        print(f'demo: apartment {args.seed}, "{episode.instruction}" -> {out}', flush=True)
        report = _drive(args, episode, out)
        report["wall_time_s"] = round(time.monotonic() - started, 3)
        run_folder.write_report(out, report)
    print(
        f"demo: success {str(report['success']).lower()}, SPL {report['spl']:.2f}, {report['path_length_m']:.1f} m in "
        f"{report['sim_time_s']:.0f} s, {report['distance_to_goal_m']:.1f} m to the goal, "
        f"{report['collisions']} collisions",
        flush=True,
    )
    return 0


def _outputs(args: argparse.Namespace) -> list[str]:
    """What an earlier run may have left: never the file that is gone on with."""
    kept = None if args.memory is None else Path(args.memory).resolve()
    return [name for name in OUTPUTS if Path(args.out, name).resolve() != kept]


def _drive(args: argparse.Namespace, episode, out: Path) -> dict:
    """The episode on the ROS graph; the memory and map.png are written afterwards, the report comes back."""
    import numpy as np

    from .. import bringup
    from ..sim.episodes import save_episodes
    from . import sessions

    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        scratch = Path(folder)
        save_episodes(scratch / "episode.json.gz", [episode])
        with bringup.Supervisor(_processes(args, episode, out, scratch), bringup.local_environment()) as supervisor:
            code = _wait(supervisor)
        sim, goal = (_read(scratch / name) for name in ("sim.json", "goal.json"))
        if code != 0 or sim is None or goal is None:
            raise InputError(f"the demo ended early (exit code {code}), see above")
        report = _report(args, episode, sim, goal, supervisor.restarts)
        report |= {"memory": str(_memory_file(args, out)), **sessions.sessions_of(_memory_file(args, out))}
        report["recognised"] = goal["recognised"]
        report["voxels"] = _draw(args, out, episode, sim, np.load(scratch / "sim.npy"))
    return report


def _check(args: argparse.Namespace) -> None:
    from ..perception import BACKENDS
    from ..reasoner import NAMES
    from . import run_folder

    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a whole number from 0")
    if args.reasoner not in NAMES:
        raise InputError(f"--reasoner {args.reasoner}: unknown; give one of {', '.join(NAMES)}")
    if args.perception not in BACKENDS:
        raise InputError(f"--perception {args.perception}: unknown; give one of {', '.join(BACKENDS)}")
    if args.memory is not None:
        run_folder.check_memory_file("--memory", str(Path(args.memory).resolve()))


def _memory_file(args: argparse.Namespace, out: Path) -> Path:
    return (out / "memory.db" if args.memory is None else Path(args.memory)).resolve()


def _kept_in(args: argparse.Namespace, file: Path) -> dict[str, dict]:
    """Parameters of memory and SLAM: how this session finds into the maps of earlier ones."""
    from ..bringup import memory_parameters
    from . import sessions

    found = memory_parameters(str(file), args.localization == "slam")
    if args.memory is not None and args.localization != "slam":
        # The true pose is one in the apartment's coordinates; odometry alone knows none.
        known = sessions.map_of_apartment(file, args.seed) if args.localization == "truth" else None
        found["memory"] |= {"new_map": True} if known is None else {"map": known}
        if file.exists():
            where = "in a new map: its pose is of none there" if known is None else f"in map {known}: its pose is given"
            print(f"demo: the memory of {file} goes on {where}", flush=True)
    return found


def _processes(args: argparse.Namespace, episode, out: Path, scratch: Path) -> list:
    from ..bringup import Process
    from . import sessions

    file = _memory_file(args, out)
    kept = _kept_in(args, file)
    common = {"use_sim_time": True}
    sim = {
        "episode_file": str(scratch / "episode.json.gz"),
        "localization": args.localization,
        # Two cores hold the whole graph with SLAM at this rate; at 15 Hz frames begin to queue.
        "frame_rate": 10.0 if args.localization == "slam" else 15.0,
        "map_origin": "start" if args.memory is None else "scene",
        "start_time": sessions.next_start(file) if args.memory is not None and file.exists() else 0.0,
        "result": str(scratch / "sim.json"),
    }
    goal = {"instruction": episode.instruction, "result": str(scratch / "goal.json"), "use_sim_time": True}
    return [
        Process("sim", "sim", sim, respawn=False),
        *([Process("slam", "slam", {**common, **kept["slam"]})] if args.localization == "slam" else []),
        Process("keyframe", "keyframe", common),
        Process("perception", "perception", {**common, "backend": args.perception}),
        Process("memory", "memory", {**common, **kept["memory"]}),
        Process("reasoner", "reasoner", {**common, "policy": args.reasoner}),
        Process("control", "control", common),
        Process("navigate_client", "navigate", goal, respawn=False),
    ]


def _wait(supervisor) -> int:
    """Looks after the graph until the goal is over; the exit code of who ended first."""
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
        "path_length_m": scores["path_length"],
        "collisions": scores["collisions"],
        "sim_time_s": goal["sim_time_s"],
        "wall_time_s": 0.0,
        "keyframes": sim["keyframes"],
        "frames": sim["frames"],
        "voxels": 0,
        "perception_calls": int(goal["facts"].get("perception calls", 0)),
        "decisions": goal["decisions"],
        "latency_ms": {**sim["latency_ms"], **goal["stages"]},
        "instruction": episode.instruction,
        "episode": episode.id,
        "seed": args.seed,
        "reasoner": args.reasoner,
        "localization": args.localization,
        "perception": args.perception,
        "stopped": goal["stopped"],
        "reason": goal["reason"],
        "restarts": sum(restarts.values()),
    }


def _draw(args: argparse.Namespace, out: Path, episode, sim: dict, view) -> int:
    """Draws map.png; returns the number of voxels in the memory."""
    import numpy as np

    from ..geometry import transform_points
    from ..memory import SpatialMemory
    from ..memory.render import draw_map
    from ..robot import RobotProfile
    from . import sessions

    memory = SpatialMemory.load(_memory_file(args, out))
    driven, goals = np.array(sim["trajectory"]), np.array(sim["goals"])
    # Truth and memory begin where this session began, unless the memory goes on in an earlier one's map.
    T = np.eye(4) if args.memory is None else sessions.between(memory, driven, RobotProfile().T_base_camera())
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
    return len(memory)
