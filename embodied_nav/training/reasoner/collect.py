"""Collects states, some with the returns of all their options: ``python -m embodied_nav.training.reasoner.collect``.

Writes JSON lines, one an episode with its states: what the policy got (see :mod:`.codec`), what ``rules`` answered, and
the returns where they were rolled out. Goes on where it was stopped; several machines may each collect a shard. Knows
nothing of what is learned.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import Config, param
from ...errors import InputError
from ...reasoner import Context, Policy, RulesPolicy
from ...reasoner.prompt import format_answer
from .explorer import Explorer, ExplorerConfig

#: Environment variables that limit numeric libraries to one thread.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_RETURNS = ("success", "spl", "soft_spl", "progress", "time", "path")


@dataclass(frozen=True)
class CollectConfig(Config):
    """Which states are collected, and how many worlds they are judged in."""

    per_episode: int = param(3, "states of an episode that are rolled out", low=0, high=100)
    others: int = param(0, "further states of an episode, without returns: they cost next to nothing", low=0, high=100)
    worlds: int = param(4, "worlds that a state is judged in, the true one among them", low=1, high=32)
    chance: float = param(0.2, "share of the decisions on the way that are drawn at random", low=0.0, high=1.0)
    suite: str = param("plain", "which episodes", choices=("plain", "hard"))
    error_rate: float = param(0.0, "errors of perception, see the explorer", low=0.0, high=1.0)
    seed: int = param(0, "of all draws", low=0, high=2**31 - 1)


class Wandering:
    """Another policy that now and then takes any option: its states are those of a policy that is not perfect."""

    name = "wandering"
    reads = False

    def __init__(self, policy: Policy, chance: float, seed: str) -> None:
        self._policy, self._chance, self._draw = policy, chance, random.Random(seed)

    def answer(self, context: Context) -> str:
        """The other policy's answer, or a random option but STOP."""
        moves = [o for o in context.options if o.kind != "stop"]
        if moves and self._draw.random() < self._chance:
            return format_answer("By chance.", self._draw.choice(moves).letter)
        return self._policy.answer(context)


def collect_episode(index: int, scenes: Sequence[int], config: CollectConfig) -> list[dict[str, Any]]:
    """The rows of one episode.

    Args:
        index: of the episode over the scenes, as in an evaluation.
    """
    import cv2

    from ...sim.suites import suite_episode
    from .codec import record_of, to_dict
    from .returns import option_returns
    from .worlds import HiddenWorlds

    cv2.setNumThreads(1)
    episode = suite_episode(config.suite, index, scenes)
    explorer = Explorer(episode, ExplorerConfig(error_rate=config.error_rate, noise_seed=config.seed))
    rules = RulesPolicy()
    states = explorer.states(Wandering(rules, config.chance, f"{config.seed}/{episode.id}"))
    open_ = [k for k, s in enumerate(states) if len(s.context.options) > 1 and s.context.facts[-1].arrived <= 0.0]
    draw = random.Random(f"{config.seed}/{episode.id}/states")
    chosen = draw.sample(open_, min(config.per_episode, len(open_)))
    others = [k for k in range(len(states)) if len(states[k].context.options) > 1 and k not in chosen]
    hidden = HiddenWorlds(episode, config.seed)
    rows = []
    for k in sorted([*chosen, *draw.sample(others, min(config.others, len(others)))]):
        state, before = states[k], states[k].before
        recorded = record_of(state.context, before.decisions, before.stamp * 1e-9, before.driven)
        row: dict[str, Any] = {
            "id": f"{episode.id}/{k}",
            "kind": episode.kind,
            "rules": rules.answer(state.context),
            "state": to_dict(recorded),
        }
        if k in chosen:
            worlds = hidden.draw(before, config.worlds, k)
            returns = option_returns(state, worlds, rules)
            row["worlds"] = len(worlds)
            row["returns"] = {name: getattr(returns, name).round(4).tolist() for name in _RETURNS}
        rows.append(row)
    return rows


def read_rows(paths: Iterable[str | Path]) -> Iterator[dict[str, Any]]:
    """The rows of several files, in their order.

    Raises:
        InputError: a file that cannot be read, or is none of these.
    """
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            head = json.loads(lines[0]) if lines else {}
            if "collect" not in head:
                raise InputError(f"{path}: holds no states; give a file of 'collect'")
            for line in lines[1:]:
                yield from json.loads(line)["rows"]
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except json.JSONDecodeError:
            raise InputError(f"{path}: is no file of states, or its last line was cut; go on collecting it") from None


def collect(
    path: Path,
    scenes: Sequence[int],
    states: int,
    config: CollectConfig,
    jobs: int = 1,
    shard: tuple[int, int] = (0, 1),
) -> int:
    """Collects until the file has so many states with returns, or states at all where none are rolled out.

    Args:
        path: of the JSON lines: settings, then one line an episode. jobs: processes.
        shard: (number, count): takes only every ``count``-th episode, beginning with the number-th.

    Returns:
        How many it has.

    Raises:
        InputError: the file holds states of other settings, or cannot be written.
    """
    head = {"collect": config.to_mapping(), "scenes": [int(s) for s in scenes], "shard": list(shard)}
    done, count = _begun(path, head)
    pending = (i for i in range(shard[0], 10**9, shard[1]) if i not in done)
    with open(path, "a", encoding="utf-8") as file, closing(_rows(pending, scenes, config, jobs)) as episodes:
        while count < states:
            index, rows = next(episodes)
            file.write(json.dumps({"episode": index, "rows": rows}) + "\n")
            file.flush()
            count += _counted(rows, config.per_episode)
    return count


def _rows(
    pending: Iterator[int], scenes: Sequence[int], config: CollectConfig, jobs: int
) -> Generator[tuple[int, list[dict[str, Any]]], None, None]:
    """(episode, its rows) without end, in the order in which they are finished; close it to end the processes."""
    if jobs <= 1:
        for index in pending:
            yield index, collect_episode(index, scenes, config)
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read by the children when they import numpy
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[list[dict[str, Any]]], int] = {}
        try:
            while True:
                while len(running) < 2 * jobs:
                    index = next(pending)
                    running[pool.submit(collect_episode, index, scenes, config)] = index
                done = next(as_completed(running))
                yield running.pop(done), done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begun(path: Path, head: dict[str, Any]) -> tuple[set[int], int]:
    """Episodes that the file has, and how many states; begins it where there is none."""
    if not path.exists() or not path.stat().st_size:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); give another file") from None
        return set(), 0
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")  # the last line of a killed run
    lines = whole.splitlines()
    try:
        found = json.loads(lines[0]) if lines else None
        rows = [json.loads(line) for line in lines[1:]]
    except json.JSONDecodeError:
        raise InputError(f"{path}: is no file of states; give another file") from None
    if found != head:
        raise InputError(f"{path}: holds states of other settings; give another file or remove it")
    per_episode = int(head["collect"]["per_episode"])
    return {row["episode"] for row in rows}, sum(_counted(row["rows"], per_episode) for row in rows)


def _counted(rows: Sequence[Mapping[str, Any]], per_episode: int) -> int:
    return sum("returns" in row for row in rows) if per_episode else len(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="collect", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--scenes", default="0-899", metavar="A-B", help="apartment seeds (default: 0-899)")
    parser.add_argument("--states", type=int, default=1000, help="states with returns in all (default: 1000)")
    parser.add_argument("--out", required=True, metavar="F", help="file of JSON lines")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="episodes I, I + N, ... (default: 0/1)")
    CollectConfig.add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        low, _, high = args.scenes.partition("-")
        number, _, count = args.shard.partition("/")
        scenes = range(int(low), int(high or low) + 1)
        shard = (int(number), int(count))
        if not scenes or not 0 <= shard[0] < shard[1]:
            raise ValueError
    except ValueError:
        print("collect: give --scenes as 0-899 and --shard as 0/4", file=sys.stderr)
        return 2
    try:
        found = collect(Path(args.out), scenes, args.states, CollectConfig.from_arguments(args), args.jobs, shard)
    except InputError as error:
        print(f"collect: {error}", file=sys.stderr)
        return 2
    print(f"{found} states in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
