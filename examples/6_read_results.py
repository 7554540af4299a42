"""Reads results.json files of 'embodied-nav eval' into one table, with intervals and paired differences.

    python examples/6_read_results.py [RESULTS_FILE ...]

Without files it makes two, of the oracle and of a random walk on the same few episodes.
"""

import sys
import tempfile
from pathlib import Path

from embodied_nav.cli.main import main
from embodied_nav.evaluation.results import load_results
from embodied_nav.evaluation.statistics import paired_difference


def made_here() -> list[str]:
    """Two small results files, as the command writes them."""
    folder = Path(tempfile.mkdtemp(prefix="embodied_nav-"))
    for agent in ("oracle", "random"):
        options = f"--scenes 0-1 --episodes 4 --localization truth --quiet --agent {agent}".split()
        main(["eval", *options, "--out", str(folder / f"{agent}.json")])
    return [str(folder / f"{agent}.json") for agent in ("oracle", "random")]


# 1. The files; what a run was of stands at the top of each.
paths = sys.argv[1:] or made_here()
runs = [load_results(path) for path in paths]

# 2. One line a run: mean and 95% interval over all episodes.
print("\n| agent | perception | localization | set | episodes | success | SPL |\n|---|---|---|---|---|---|---|")
for run in runs:
    summary = run["summary"]["all"]
    success, spl = (f"{s['mean']:.2f} [{s['low']:.2f}, {s['high']:.2f}]" for s in (summary["success"], summary["spl"]))
    chosen = " ".join(f"{name}={value}" for name, value in run.get("set", {}).items())
    names = f"{run['agent']} | {run['perception']} | {run['localization']} | {chosen}"
    print(f"| {names} | {summary['episodes']} | {success} | {spl} |")

# 3. Episodes of one name are the same for every agent: differences are taken episode by episode.
for path, other in zip(paths[1:], runs[1:], strict=True):
    difference = paired_difference(runs[0]["episodes"], other["episodes"])
    if "all" in difference:
        d = difference["all"]["success"]
        names, interval = f"{runs[0]['agent']} - {other['agent']}", f"[{d['low']:+.2f}, {d['high']:+.2f}]"
        print(f"\n{names}: success {d['mean']:+.2f} {interval} ({path})")

# 4. Single episodes are rows; a list of dictionaries is what pandas.DataFrame takes.
worst = min(runs[0]["episodes"], key=lambda row: row["spl"])
print(f"\nworst of {runs[0]['agent']}: {worst['id']} ({worst['kind']}), SPL {worst['spl']:.2f}, {worst['steps']} steps")
