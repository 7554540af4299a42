"""Options that choose a Habitat data set and what simulates it, for eval and demo. Knows no algorithm."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..sim.habitat.datasets import Dataset


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares ``--dataset``, ``--scenes-dir``, ``--protocol`` and ``--habitat-server``."""
    parser.add_argument(
        "--dataset",
        metavar="F",
        help="Habitat's episodes (.json.gz: ObjectNav, R2R-CE, RxR-CE) instead of apartments: in habitat-sim with "
        "--simulator habitat, else by this package's own rasteriser",
    )
    parser.add_argument("--scenes-dir", metavar="D", help="folder that the data set's scenes lie in")
    parser.add_argument(
        "--protocol",
        default="auto",
        metavar="NAME",
        help="objectnav-hm3d, vlnce-r2r or vlnce-rxr: radius, actions and camera (default: auto, by the data set)",
    )
    parser.add_argument(
        "--habitat-server",
        metavar="HOST:PORT",
        help="where habitat/server.py listens (default: 127.0.0.1:7447; with commas between, one for each process)",
    )


def dataset_of(args: argparse.Namespace) -> Dataset | None:
    """The data set of the options, None where they name none; its path is made absolute.

    Raises:
        InputError: options that do not go together, or no such data set.
    """
    from pathlib import Path

    from ..sim.habitat import datasets, protocols

    protocols.check(args.protocol)
    if args.habitat_server is not None and args.simulator != "habitat":
        raise InputError(f"--habitat-server {args.habitat_server}: give --simulator habitat with it")
    if args.dataset is None:
        if args.simulator == "habitat":
            raise InputError("--simulator habitat: needs a data set; give --dataset F.json.gz --scenes-dir D")
        if args.scenes_dir is not None or args.protocol != "auto":
            raise InputError("--scenes-dir and --protocol are of a data set; give --dataset F.json.gz with them")
        return None
    if args.simulator not in ("habitat", "embedded"):
        raise InputError(f"--simulator {args.simulator}: runs no Habitat data set; give habitat or embedded")
    if args.scenes_dir is None:
        raise InputError("--dataset: give --scenes-dir, the folder that its scenes lie in, with it")
    args.dataset = str(Path(args.dataset).expanduser().resolve())
    args.scenes_dir = str(Path(args.scenes_dir).expanduser().resolve())
    return datasets.load_dataset(args.dataset, args.scenes_dir, args.protocol)


def with_server(settings: list[str], args: argparse.Namespace) -> list[str]:
    """The values of ``--set``, and that of ``--habitat-server`` as one of them."""
    return settings if args.habitat_server is None else [*settings, f"habitat.server={args.habitat_server}"]


def check_server(parameters: Mapping[str, Any]) -> None:
    """Greets the servers, before anything is written.

    Raises:
        InputError: one is not there, is of another version, or knows another token.
    """
    from ..sim.habitat.remote import RemoteWorld
    from ..sim.habitat.simulator import HabitatConfig

    config = HabitatConfig.from_parameters(parameters, "habitat")
    for server in config.server.split(","):
        RemoteWorld(server.strip(), config.token_file, config.timeout).close()


def identity(dataset: Dataset, simulator: str) -> dict[str, str]:
    """What a report says of a data set, and by which its results are told from others."""
    from pathlib import Path

    with open(dataset.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    own = "habitat-sim" if simulator == "habitat" else "embodied_nav's own rasteriser and navmesh, not habitat-sim"
    return {
        "dataset": Path(dataset.path).name,
        "dataset_sha256": digest,
        "protocol": dataset.protocol.name,
        "world": own,
    }
