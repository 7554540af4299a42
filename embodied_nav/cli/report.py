"""``embodied-nav report``: tables, plots and failures of results files of ``eval``. Knows no statistics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..evaluation.curves import Named

#: Files of a report besides the plots of ``evaluation.curves``.
_TEXT, _PLOT, _PAGE = "report.md", "report.png", "report.html"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="tables, plots and failures of results files",
        description="Prints success and SPL by kind, what is in view at the stop and success at 0.5 m of the results "
        "files of eval, with 95%% intervals by a bootstrap over apartments, each file's paired differences to the "
        "first one, and failures by kind. Writes them to report.md; plots (by kind, against distance, rooms, camera "
        "height and pitch) as PNG; and report.html, one file that holds all this and a picture of each failure.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="results files of eval; the first is compared with")
    parser.add_argument("--out", default="runs/report", metavar="DIR", help="where to write (default: runs/report)")
    parser.add_argument(
        "--pictures", type=int, default=24, metavar="N",
        help="failures of each file that get a picture, all kinds in turn; 0: none (default: 24)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prints and writes the report."""
    from ..evaluation import curves, report
    from ..evaluation.report_page import Picture, page
    from ..evaluation.results import load_results

    if args.pictures < 0:
        raise InputError(f"--pictures {args.pictures}: give a number from 0")
    files = [(path, load_results(path)) for path in args.files]
    empty = [path for path, content in files if not content["episodes"]]
    if empty:
        raise InputError(f"{empty[0]}: holds no episode; let eval run some")
    rows, out = report.named(files), Path(args.out)
    text = report.markdown(rows)
    _write(out, _TEXT, text + "\n")
    report.plot(rows, out / _PLOT)
    plots = [(out / _PLOT, "success, SPL and last metres by kind")]
    for plot in curves.plots(rows):
        plots.append((out / f"{plot.file}.png", plot.title))
        curves.draw(plot, plots[-1][0])
    pictures = _pictures(rows, args.pictures)
    shown = [Picture(path.read_bytes(), "png", title) for path, title in plots]
    _write(out, _PAGE, page(rows, report.tables(rows), shown, pictures, args.files))
    print(text)
    names = [_TEXT, *(path.name for path, _ in plots), _PAGE]
    print(f"written to {out}: {', '.join(names)}")
    return 0


def _write(folder: Path, name: str, text: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror}); give another folder") from None


def _pictures(rows: Sequence[Named], most: int) -> dict[tuple[str, str], bytes]:
    """(file's name, episode) -> picture of the failures that get one; says on a terminal how far it is."""
    chosen = [(name, content, _chosen(content, most)) for name, content in rows]
    total = sum(len(failed) for _, _, failed in chosen)
    found: dict[tuple[str, str], bytes] = {}
    if not total:
        return found
    from ..evaluation.failure_pictures import Painter

    done = 0
    for name, content, failed in chosen:
        painter = Painter(content)
        for row in sorted(failed, key=lambda row: str(row.get("scene"))):  # a scene is made once
            done += 1
            if sys.stderr.isatty():
                print(f"\rdrawing failures {done}/{total}", end="", file=sys.stderr, flush=True)
            picture = painter.picture(row)
            if picture is not None:
                found[name, row["id"]] = picture
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return found


def _chosen(content: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """The failures of a file that get a picture: those whose row holds the way driven."""
    from ..evaluation import failures

    drawable = [row for row in content["episodes"] if row.get("track")]
    return failures.some(failures.sort(drawable), most)
