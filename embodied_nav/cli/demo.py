"""``embodied-nav demo``: one episode in the embedded simulator through the real ROS graph. Knows no algorithm."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ..errors import InputError

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
    parser.add_argument(
        "--localization",
        default="truth",
        choices=("truth", "odom", "slam"),
        help="map->odom: the simulator's truth, odometry alone, or this package's SLAM (default: truth)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs one episode; writes the results."""
    from . import episode_choice, run_folder

    _check(args)
    started = time.monotonic()
    episode = episode_choice.choose(args.seed, args.instruction)
    with run_folder.prepared(args.out, OUTPUTS) as out:
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


def _drive(args: argparse.Namespace, episode, out: Path) -> dict:
    """The episode on the ROS graph; memory.db and map.png stand in ``out`` afterwards, the report comes back."""
    import numpy as np

    from .. import bringup
    from ..sim.episodes import save_episodes

    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        scratch = Path(folder)
        save_episodes(scratch / "episode.json.gz", [episode])
        with bringup.Supervisor(_processes(args, episode, out, scratch), bringup.local_environment()) as supervisor:
            code = _wait(supervisor)
        sim, goal = (_read(scratch / name) for name in ("sim.json", "goal.json"))
        if code != 0 or sim is None or goal is None:
            raise InputError(f"the demo ended early (exit code {code}), see above")
        report = _report(args, episode, sim, goal, supervisor.restarts)
        report["voxels"] = _draw(out, episode, sim, np.load(scratch / "sim.npy"))
    return report


def _check(args: argparse.Namespace) -> None:
    from ..perception import BACKENDS
    from ..reasoner import NAMES

    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a whole number from 0")
    if args.reasoner not in NAMES:
        raise InputError(f"--reasoner {args.reasoner}: unknown; give one of {', '.join(NAMES)}")
    if args.perception not in BACKENDS:
        raise InputError(f"--perception {args.perception}: unknown; give one of {', '.join(BACKENDS)}")


def _processes(args: argparse.Namespace, episode, out: Path, scratch: Path) -> list:
    from ..bringup import Process

    common = {"use_sim_time": True}
    sim = {
        "episode_file": str(scratch / "episode.json.gz"),
        "localization": args.localization,
        "result": str(scratch / "sim.json"),
    }
    goal = {"instruction": episode.instruction, "result": str(scratch / "goal.json"), "use_sim_time": True}
    return [
        Process("sim", "sim", sim, respawn=False),
        *([Process("slam", "slam", common)] if args.localization == "slam" else []),
        Process("keyframe", "keyframe", common),
        Process("perception", "perception", {**common, "backend": args.perception}),
        Process("memory", "memory", {**common, "file": str((out / "memory.db").resolve())}),
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


def _draw(out: Path, episode, sim: dict, view) -> int:
    """Draws map.png; returns the number of voxels in memory.db."""
    import numpy as np

    from ..memory import SpatialMemory
    from ..memory.render import draw_map

    memory = SpatialMemory.load(out / "memory.db")
    trajectory = np.array(sim["trajectory"])
    goal = min(sim["goals"], key=lambda g: float(np.hypot(*(np.array(g) - trajectory[-1]))))
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
