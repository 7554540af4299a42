"""Says what a furniture library holds, and saves it as one file that loads fast.

python -m embodied_nav.sim.furniture /usr/share/sweethome3d/furniture [--save furniture.npz]
"""

from __future__ import annotations

import argparse
import sys

from ...errors import InputError
from .pieces import open_library


def main(arguments: list[str] | None = None) -> int:
    """Prints pieces by category and problems; with ``--save`` writes the pieces and, beside them, whom to name."""
    parser = argparse.ArgumentParser(
        prog="python -m embodied_nav.sim.furniture", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("path", help="folder of .sh3f files, one of them, or a saved .npz")
    parser.add_argument(
        "--save", metavar="FILE.npz", help="where to save the pieces; creators and licences go beside it"
    )
    parser.add_argument("--credits", action="store_true", help="print every piece's creator and licence")
    args = parser.parse_args(arguments)
    try:
        library = open_library(args.path)
        if args.save:
            library.save(args.save)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'category':16s} train  held out")
    for category, (train, held) in library.counts().items():
        print(f"{category:16s} {train:5d}  {held:8d}")
    print(f"{len(library.pieces)} pieces; {len(library.unmapped)} of no category of the apartments")
    print(*library.problems, sep="\n", end="\n" if library.problems else "")
    if args.credits:
        print(library.attribution(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
