"""The table of the reasoner: every policy on the same episodes, by kind, with paired differences to the first row.

    OMP_NUM_THREADS=1 python bench/score_reasoner.py --episodes 400 [--suite hard] [--explorer] [--row NAME=OPTIONS ...]

A row is a name and options of ``embodied-nav eval``: --row "sft=--agent compact --set small_lm.weights=SFT.onnx". The
default rows are rules, compact, random, frontier. With ``--explorer`` the episodes run in the explorer of the training
(no rendering, no dynamics), else with the real agent (``eval``, where it goes on after it was
stopped). Apartments 1000 and up.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from embodied_nav.evaluation import report
from embodied_nav.evaluation.results import load_results

ROWS = ("rules=--agent rules", "compact=--agent compact", "random=--agent random", "frontier=--agent frontier")
#: What eval's table shows of an episode and the explorer does not know.
UNKNOWN = {"soft_spl": 0.0, "oracle_success": False, "collisions": 0, "wall_s": 0.0}


def by_agent(options: list[str], args: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Results of the real agent."""
    command = [sys.executable, "-P", "-m", "embodied_nav", "eval", *options, "--scenes", args.scenes, "--quiet"]
    command += ["--episodes", str(args.episodes), "--suite", args.suite, "--jobs", str(args.jobs), "--out", str(file)]
    subprocess.run([*command, "--localization", "truth"], check=True)
    return dict(load_results(file))


def by_explorer(options: list[str], args: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Results of the explorer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", default="rules")
    parser.add_argument("--set", action="append", default=[])
    known = parser.parse_args(options)
    settings = {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in known.set)}
    low, high = (int(v) for v in args.scenes.split("-"))
    job = (known.agent, settings, args.suite, range(low, high + 1))
    shares = [[*range(k, args.episodes, args.jobs)] for k in range(args.jobs)]
    with ProcessPoolExecutor(args.jobs) as pool:
        parts = list(pool.map(explored, [job] * args.jobs, shares))
    content = {"agent": known.agent, "episodes": [row for part in parts for row in part]}
    file.write_text(json.dumps(content), encoding="utf-8")
    return content


def explored(job: tuple[str, dict[str, Any], str, range], indices: list[int]) -> list[dict[str, Any]]:
    """Rows of some episodes, in a process of its own."""
    from dataclasses import asdict

    from embodied_nav.reasoner import policies
    from embodied_nav.sim.suites import suite_episode
    from embodied_nav.training.reasoner.explorer import Explorer, ExplorerConfig

    agent, settings, suite, scenes = job
    policy = policies.create(agent, policies.POLICIES[agent].settings_from(settings))
    rows = []
    for index in indices:
        config = ExplorerConfig(error_rate=0.25 if suite == "hard" else 0.0, noise_seed=index)
        rows.append(UNKNOWN | asdict(Explorer(suite_episode(suite, index, scenes), config).run(policy)))
    return rows


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--scenes", default="1000-1099")
    parser.add_argument("--suite", default="plain", choices=("plain", "hard"))
    parser.add_argument("--explorer", action="store_true", help="without rendering")
    parser.add_argument("--row", action="append", metavar="NAME=OPTIONS", help="instead of the default rows")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/score-reasoner"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for text in args.row or ROWS:
        name, _, options = text.partition("=")
        file = args.out / f"{name.replace(' ', '-')}-{args.suite}-{'explorer' if args.explorer else 'agent'}.json"
        run = by_explorer if args.explorer else by_agent
        rows.append((name, run(shlex.split(options), args, file)))
        print(f"{name}: {file}", file=sys.stderr, flush=True)
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
