"""``embodied-nav eval``: runs agents through simulated episodes; scores with confidence intervals. Knows no ROS."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import InputError
from . import habitat, localization, names, settings

if TYPE_CHECKING:
    from ..sim.habitat.datasets import Dataset

#: Settings that say where something is, not what it is: another server gives the same results.
_PLACES = ("habitat.server", "habitat.token_file", "habitat.timeout", "habitat.gpu")

#: Letters of a progress line: a shorter one wipes out a longer one.
_LINE = 64


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``eval``."""
    parser = subparsers.add_parser(
        "eval",
        help="run an agent through simulated episodes and print a table",
        description="Runs an agent through episodes in generated apartments. Resumable: the same command goes on "
        "where it was stopped. The same --scenes and --episodes give the same episodes to every agent.",
    )
    parser.add_argument("--scenes", metavar="A-B", help="apartment seeds, as 900-949 or 901,905 (training: 0-899)")
    parser.add_argument(
        "--episodes", type=int, metavar="N", help="episodes in all (default: 100; of a data set: all that it has)"
    )
    parser.add_argument(
        "--suite",
        choices=("plain", "hard"),
        default="plain",
        help="episodes: plain, or hard: 8 to 15 rooms, look-alikes, exclusions, two goals, perception that errs "
        "(default: plain)",
    )
    names.add_driver(parser, "rules")
    names.add_perception(parser, "simulator")
    names.add_detector(parser)
    localization.add_option(parser)
    names.add_simulator(parser, "embedded")
    habitat.add_options(parser)
    settings.add_option(parser)
    parser.add_argument(
        "--jobs", type=int, metavar="J", help="processes (default: 1; with --cluster: one for each of its cores)"
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="run on the Ray cluster whose head node is HOST:PORT, or auto: this machine's (extra 'cluster')",
    )
    parser.add_argument("--seed", type=int, default=0, help="of sensor noise and chance (default: 0)")
    parser.add_argument("--out", default=None, metavar="F", help="results file (default: results-<agent>.json)")
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="F",
        help="paired differences to other results; with two files and no --scenes: only that",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the table")
    # The defaults of these depend on whether there is a data set.
    parser.set_defaults(parser=parser, perception=None)


def run(args: argparse.Namespace) -> int:
    """Runs the episodes that are missing in the results file, writes it and prints the table."""
    if args.scenes is None and args.dataset is None and args.compare:
        return _compare_files(args.compare)
    dataset = _settle_dataset(args)
    scenes = () if dataset else parse_scenes(args.scenes)
    _check(args)
    localization.settle(args)
    parameters, identity = _identity(args, scenes, dataset)
    from ..evaluation.batch import Job, run_all
    from ..evaluation.cluster import run_on_cluster
    from ..evaluation.results import Journal, load_results

    if args.simulator == "habitat":
        habitat.check_server(dict(parameters))
    others = [(path, load_results(path)) for path in args.compare or ()]
    chosen = (args.agent, args.perception, args.localization, args.simulator)
    of_dataset = (args.dataset or "", args.scenes_dir or "", args.protocol)
    journal = Journal(args.out or f"results-{args.agent}.json", identity)
    try:
        progress = _Progress(args.episodes, quiet=args.quiet)
        ids, jobs = [], []
        for name, index in _named(args, scenes, dataset, progress):
            ids.append(name)
            if ids[-1] not in journal.rows:
                jobs.append(Job(index, scenes, *chosen, args.seed, parameters, args.suite, *of_dataset))
        progress.start(len(jobs))

        def finished(row: dict[str, Any]) -> None:
            journal.add(row)
            progress.step(row)

        if args.cluster is None:
            run_all(jobs, args.jobs or 1, finished)
        else:
            run_on_cluster(jobs, args.cluster, finished, weights=identity["weights"], most=args.jobs, say=progress.say)
        content = journal.finish(ids)
    finally:
        journal.close()
    print(table(content))
    for path, other in others:
        print(difference_table(content, other, path))
    print(f"written to {journal.path}")
    return 0


def _settle_dataset(args: argparse.Namespace) -> Dataset | None:
    """The data set, where there is one; fills in the defaults that depend on it.

    Raises:
        InputError: options that do not go together.
    """
    from ..sim import SIMULATORS

    SIMULATORS.check(args.simulator, "--simulator")
    dataset = habitat.dataset_of(args)
    if dataset is None:
        args.episodes = 100 if args.episodes is None else args.episodes
        args.perception = args.perception or "simulator"
        return None
    if args.scenes is not None or args.suite != "plain":
        raise InputError("--scenes and --suite are of apartments; a data set has its own scenes and episodes")
    if args.perception == "simulator":
        raise InputError("--perception simulator: reads what only apartments tell; give auto, detector or geometric")
    args.perception = args.perception or names.AUTO
    args.localization = args.localization or "truth"  # Habitat's agents have GPS and compass
    args.episodes = len(dataset.episodes) if args.episodes is None else min(args.episodes, len(dataset.episodes))
    if dataset.left_out and not args.quiet:
        print(
            f"eval: {dataset.left_out} episodes of other languages are left out, as {dataset.protocol.name} does",
            file=sys.stderr,
        )
    return dataset


def _named(
    args: argparse.Namespace, scenes: Sequence[int], dataset: Dataset | None, progress: _Progress
) -> Iterator[tuple[str, int]]:
    """(id, index) of all episodes of the run."""
    from ..sim.suites import suite_episode

    if dataset is not None:
        places = {episode.id: index for index, episode in enumerate(dataset.episodes)}
        yield from ((episode.id, places[episode.id]) for episode in dataset.chosen(args.episodes))
        return
    for index in range(args.episodes):
        progress.preparing(index)
        yield suite_episode(args.suite, index, scenes).id, index


def _identity(
    args: argparse.Namespace, scenes: Sequence[int], dataset: Dataset | None = None
) -> tuple[tuple[tuple[str, Any], ...], dict[str, Any]]:
    """(parameters as (name, value) pairs; all settings that the results depend on, for the results file)."""
    chosen, eyes = names.settle_perception(args, simulated=dataset is None)
    if eyes:
        print(f"eval: {eyes}", file=sys.stderr, flush=True)
    kinds = components(args.agent, args.perception, args.localization, args.simulator, dataset is not None)
    given = settings.assigned(habitat.with_server(chosen, args), {"eval": kinds})["eval"]
    given = (_of_suite(args.suite, kinds) if dataset is None else dataset.protocol.parameters()) | given
    names.check_perception(args.perception, given)
    names.check_encoder(given)
    identity = {
        "agent": args.agent,
        "perception": args.perception,
        "localization": args.localization,
        "simulator": args.simulator,
        "suite": args.suite,
        "scenes": _ranges(scenes),
        "seed": args.seed,
        "set": settings.deviating({k: v for k, v in given.items() if k not in _PLACES}, kinds),
        "weights": settings.weights({k: v for k, v in given.items() if k not in _PLACES}, kinds),
    }
    if dataset is not None:
        del identity["suite"]
        identity |= habitat.identity(dataset, args.simulator) | {"scenes": len({e.scene for e in dataset.episodes})}
    if args.agent == "rules":
        from ..reasoner import POLICIES, RulesPolicy

        rules = POLICIES.create("rules", settings=POLICIES["rules"].settings_from(given))
        assert isinstance(rules, RulesPolicy)
        identity["rules"] = rules.fingerprint()
    return tuple(sorted(names.must_be_made(given).items())), identity


def _of_suite(suite: str, kinds: list[tuple[type[Config], str]]) -> dict[str, Any]:
    """The parameters that a suite sets, of those that the components have."""
    from ..sim.suites import SETTINGS

    known = {f"{prefix}.{name}" for kind, prefix in kinds for name in kind.__dataclass_fields__}
    return {name: value for name, value in SETTINGS[suite].items() if name in known}


def components(
    agent: str, perception: str, localization: str, simulator: str = "embedded", of_dataset: bool = False
) -> list[tuple[type[Config], str]]:
    """(settings, prefix) of all components that run in an episode's process; ``of_dataset``: of a Habitat data set."""
    from ..evaluation import drivers
    from ..robot import RobotProfile
    from ..sim import SIMULATORS
    from ..slam import OdometryConfig, SlamConfig

    found: list[tuple[type[Config], str]] = [(RobotProfile, "robot")]
    found += SIMULATORS["habitat" if of_dataset else simulator].own_settings()
    found += drivers.components(agent, perception)
    if localization == "slam":
        found += [(SlamConfig, "slam"), (OdometryConfig, "odometry")]
    return found


def parse_scenes(text: str | None) -> tuple[int, ...]:
    """Seeds of "1000-1049" or "3,7,20-29".

    Raises:
        InputError: the text is not of this form, or a range is empty or descending.
    """
    hint = "give apartment seeds as 1000-1049 or 3,7,9"
    if not text:
        raise InputError(f"--scenes is missing: {hint}")
    scenes: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", part)
        if not match:
            raise InputError(f"--scenes '{text}' is no range: {hint}")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low or high - low >= 100_000:
            raise InputError(f"--scenes '{text}' is no range from low to high: {hint}")
        scenes.extend(range(low, high + 1))
    return tuple(dict.fromkeys(scenes))


def table(content: Mapping[str, Any]) -> str:
    """The summary as text: success, SPL and more per kind, with 95% intervals."""
    rules = f" ({content['rules']})" if content.get("rules") else ""
    head = (
        f"agent {content['agent']}{rules}, perception {content['perception']}, localization {content['localization']}"
    )
    head += "" if content.get("suite", "plain") == "plain" else f", suite {content['suite']}"
    if "protocol" in content:
        head += f", protocol {content['protocol']} on {content['dataset']}, in {content['world']}"
    head += "".join(f", {name}={value}" for name, value in content.get("set", {}).items())
    lines = [
        head,
        f"{'':<10}{'n':>5}  {'success %':<22}{'SPL':<22}{'SoftSPL':>8}{'OSR %':>7}{'to goal m':>11}{'coll/20m':>10}"
        f"{'in view %':>11}{'at 0.5 m %':>12}",
    ]
    summary = content["summary"]
    for name in (*(k for k in ("object", "relation", "room", "route") if k in summary), "all"):
        s = summary[name]
        success, spl = _percent(s["success"]), _number(s["spl"])
        goal = s["distance_to_goal"]["mean"] if s["distance_to_goal"] else float("nan")
        lines.append(
            f"{name:<10}{s['episodes']:>5}  {success:<22}{spl:<22}{s['soft_spl']['mean']:>8.3f}"
            f"{100 * s['oracle_success']['mean']:>7.1f}{goal:>11.2f}{s['collisions_per_20_m']:>10.2f}"
            f"{_mean_percent(s['in_view']):>11}{_mean_percent(s['success_0_5']):>12}"
        )
    return "\n".join([*lines, *_of_protocol(content)])


def _of_protocol(content: Mapping[str, Any]) -> list[str]:
    """What the table of a Habitat data set says beside the rest: nDTW, sDTW, what could not be run."""
    everything, lines = content["summary"]["all"], []
    if everything.get("ndtw"):
        references = sorted({row["ndtw_reference"] for row in content["episodes"] if row.get("ndtw_reference")})
        ndtw, sdtw = _number(everything["ndtw"]), _number(everything["sdtw"])
        lines.append(f"nDTW {ndtw}, sDTW {sdtw}, against {' and '.join(references)}")
    for name, words in (("refused", "sentences not understood"), ("unreachable", "starts without a way to the goal")):
        count = sum(bool(row.get(name)) for row in content["episodes"])
        lines += [f"{count} {words}: counted as failures"] if count else []
    return lines


def difference_table(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> str:
    """Paired differences a - b as text."""
    from ..evaluation.statistics import paired_difference

    difference = paired_difference(a["episodes"], b["episodes"])
    if not difference:
        return f"{name}: has no episode in common with these"
    lines = [f"{a.get('agent')} minus {b.get('agent')} ({name}), same episodes, 95% intervals over apartments"]
    for kind, d in difference.items():
        sr, spl = d["success"], d["spl"]
        lines.append(
            f"{kind:<10}{d['episodes']:>5}  success {100 * sr['mean']:+.1f} [{100 * sr['low']:+.1f}, "
            f"{100 * sr['high']:+.1f}] points, SPL {spl['mean']:+.3f} [{spl['low']:+.3f}, {spl['high']:+.3f}]"
            + "".join(_points(words, d[name]) for words, name in (("in view", "in_view"), ("at 0.5 m", "success_0_5")))
        )
    return "\n".join(lines)


def _points(words: str, interval: Mapping[str, float] | None) -> str:
    """A difference in points with its interval; nothing where there is none."""
    if interval is None:
        return ""
    return f", {words} {100 * interval['mean']:+.1f} [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]"


def _mean_percent(interval: Mapping[str, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval['mean']:.1f}"


def _percent(interval: Mapping[str, float]) -> str:
    return f"{100 * interval['mean']:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def _number(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _compare_files(paths: Sequence[str]) -> int:
    from ..evaluation.results import load_results

    if len(paths) < 2:
        raise InputError("--compare without --scenes needs two results files: --compare A.json B.json")
    first = load_results(paths[0])
    for path in paths[1:]:
        print(difference_table(first, load_results(path), path))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses bad arguments before anything is written."""
    from ..evaluation.drivers import AGENTS

    if args.episodes < 1:
        raise InputError(f"--episodes {args.episodes}: give a number from 1")
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: give a number of processes from 1")
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a number from 0")
    AGENTS.check(args.agent, "--agent")
    names.check_perception_name(args.perception)


def _ranges(scenes: Sequence[int]) -> str:
    """Seeds in short: "1000-1049"."""
    parts: list[list[int]] = []
    for s in scenes:
        if parts and s == parts[-1][1] + 1:
            parts[-1][1] = s
        else:
            parts.append([s, s])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in parts)


class _Progress:
    """Progress: a line that is updated on a terminal; elsewhere a line from time to time."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet
        self._terminal = sys.stderr.isatty()
        self._done = self._successes = self._fresh = 0
        self._started = time.monotonic()

    def preparing(self, index: int) -> None:
        """Shows that episodes are being generated."""
        if self._terminal and not self._quiet:
            print(f"\rmaking episodes {index + 1}/{self._total}", end="", file=sys.stderr, flush=True)

    def start(self, missing: int) -> None:
        """Shows how many episodes remain."""
        self._done, self._started = self._total - missing, time.monotonic()
        if self._done and not self._quiet:
            print(f"\n{self._done} of {self._total} episodes were already there; going on", file=sys.stderr)

    def say(self, line: str) -> None:
        """Shows what happened to the machines."""
        print(("\r" if self._terminal else "") + f"eval: {line}", file=sys.stderr, flush=True)

    def step(self, row: Mapping[str, Any]) -> None:
        """Shows that one more is finished."""
        self._done, self._fresh = self._done + 1, self._fresh + 1
        self._successes += bool(row["success"])
        if self._quiet or not (self._terminal or self._done % 20 == 0 or self._done == self._total):
            return
        text = f"{self._done}/{self._total} episodes, {100 * self._successes / self._fresh:.0f}% successful"
        left = (time.monotonic() - self._started) / self._fresh * (self._total - self._done)
        text += f", {duration(left)} to go" if self._done < self._total else ""
        print(
            f"\r{text:<{_LINE}}" if self._terminal else text,
            end="" if self._terminal else "\n", file=sys.stderr, flush=True,
        )  # fmt: skip
        if self._terminal and self._done == self._total:
            print(file=sys.stderr)


def duration(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
