"""``embodied-nav report``: tables and a plot of results files of ``eval``. Knows no statistics."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="tables and a plot of results files",
        description="Prints success and SPL by kind, what is in view at the stop and success at 0.5 m of the results "
        "files of eval, with 95%% intervals by a bootstrap over apartments, and each file's paired differences to the "
        "first one; writes them to report.md, and a plot to report.png.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="results files of eval; the first is compared with")
    parser.add_argument("--out", default="runs/report", metavar="DIR", help="where to write (default: runs/report)")


def run(args: argparse.Namespace) -> int:
    """Prints and writes the report."""
    from ..evaluation import report
    from ..evaluation.results import load_results

    files = [(path, load_results(path)) for path in args.files]
    empty = [path for path, content in files if not content["episodes"]]
    if empty:
        raise InputError(f"{empty[0]}: holds no episode; let eval run some")
    rows, out = report.named(files), Path(args.out)
    text = report.markdown(rows)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.md").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); give another folder") from None
    report.plot(rows, out / "report.png")
    print(text)
    print(f"written to {out / 'report.md'} and {out / 'report.png'}")
    return 0
