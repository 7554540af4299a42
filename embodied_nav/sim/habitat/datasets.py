"""Habitat's episode files: ObjectNav (HM3D), R2R-CE and RxR-CE. Knows nothing of simulators and of agents.

An ObjectNav file may hold its episodes itself, or in ``content/*.json.gz`` beside it, one a scene. A VLN-CE file may
have ``NAME_gt.json.gz`` beside it, with the positions that nDTW compares with; without it, that is ``reference_path``.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...frames import Episode, Goal
from ..habitat_format import start_of, words_of
from .protocols import Protocol, protocol_of

#: What scene_id begins with in files written with habitat-lab's default folder.
_PREFIX = "data/scene_datasets/"
Point = tuple[float, float, float]


@dataclass(frozen=True)
class DatasetEpisode(Episode):
    """An episode of a Habitat file, judged by its protocol. Positions beyond those of :class:`Episode` are Habitat's.

    Attributes:
        position, rotation: of the agent at its start: m, (x, y, z, w).
        targets: points that the distance to the goal is measured to: view points, or the goals' positions.
        reference: positions that nDTW compares with, () for none. exact_reference: whether these are VLN-CE's own.
        radius: m, of success.
    """

    position: Point = (0.0, 0.0, 0.0)
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    targets: tuple[Point, ...] = field(default=(), repr=False)
    reference: tuple[Point, ...] = field(default=(), repr=False)
    exact_reference: bool = False
    radius: float = 0.0


@dataclass(frozen=True)
class Dataset:
    """The episodes of a file.

    Attributes:
        path: of the file. protocol: how they are judged. episodes: in the file's order.
        left_out: episodes in languages that the protocol does not take.
    """

    path: str
    protocol: Protocol
    episodes: tuple[DatasetEpisode, ...]
    left_out: int = 0

    def chosen(self, count: int) -> tuple[DatasetEpisode, ...]:
        """``count`` of the episodes, evenly from the whole file; 0 or more than there are: all."""
        total = len(self.episodes)
        if not 0 < count < total:
            return self.episodes
        return tuple(self.episodes[k * total // count] for k in range(count))


def load_dataset(path: str | Path, scenes_dir: str | Path, protocol: str = "auto") -> Dataset:
    """The episodes of a Habitat file.

    Args:
        path: .json.gz, of ObjectNav, R2R-CE or RxR-CE.
        scenes_dir: folder that the episodes' ``scene_id`` lie below.
        protocol: one of :data:`~.protocols.PROTOCOLS`, or auto: by the file.

    Raises:
        InputError: no such file or folder, an episode without its fields, a scene that is not there, a test split.
    """
    path, folder = Path(path).expanduser(), Path(scenes_dir).expanduser()
    if not folder.is_dir():
        raise InputError(f"--scenes-dir {scenes_dir}: there is no such folder; give the one that holds the scenes")
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path}: holds no episode, nor does a folder content/ beside it")
    layout = "objectnav" if "object_category" in rows[0][0] or _categories(rows[0][0]) else "vln"
    spoken = bool((rows[0][0].get("instruction") or {}).get("language")) if layout == "vln" else False
    rules = protocol_of(protocol, layout, spoken)
    truth = _ground_truth(path) if layout == "vln" else {}
    scenes: dict[str, str] = {}
    episodes, left_out = [], 0
    for number, (row, index, by_category) in enumerate(rows):
        try:
            if layout == "vln" and not _is_taken(row, rules):
                left_out += 1
                continue
            scene = row["scene_id"]
            if scene not in scenes:
                scenes[scene] = _scene_file(folder, scene)
            make = _object_episode if layout == "objectnav" else _route_episode
            episodes.append(make(row, scenes[scene], rules, index, by_category if layout == "objectnav" else truth))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"misses {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
            raise InputError(f"{path}: episode {number} {reason}") from None
    if not episodes:
        raise InputError(f"{path}: none of its {left_out} instructions is in a language of {rules.name}")
    if len({episode.id for episode in episodes}) < len(episodes):
        raise InputError(f"{path}: two of its episodes have one episode_id; make them differ")
    return Dataset(str(path), rules, tuple(episodes), left_out)


def episode_of(path: str, scenes_dir: str, protocol: str, index: int) -> DatasetEpisode:
    """One episode of a data set, by its number; raises as :func:`load_dataset`, and where there is none.

    Raises:
        InputError: see there.
    """
    if not scenes_dir:
        raise InputError(f"dataset {path}: give scenes_dir, the folder that its scenes lie in, with it")
    episodes = load_dataset(path, scenes_dir, protocol).episodes
    if not 0 <= index < len(episodes):
        raise InputError(f"{path}: has no episode {index}, they count from 0 to {len(episodes) - 1}")
    return episodes[index]


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], int, Mapping[str, Any]]]:
    """(episode, its number in its file, goals by category) of a file, or of those in ``content/`` beside it."""
    document = _document(path)
    if not document["episodes"] and (path.parent / "content").is_dir():
        documents = [_document(file) for file in sorted((path.parent / "content").glob("*.json.gz"))]
    else:
        documents = [document]
    for found in documents:
        by_category = found.get("goals_by_category") or {}
        for index, row in enumerate(found["episodes"]):
            yield row, index, by_category


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give Habitat's episodes as .json.gz") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"{path}: not gzip JSON ({type(error).__name__}); give Habitat's episodes as .json.gz"
        ) from None
    rows = document.get("episodes") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: has no list 'episodes'; give Habitat's episodes as .json.gz")
    return document


def _ground_truth(path: Path) -> Mapping[str, Any]:
    """Content of VLN-CE's ``NAME_gt.json.gz`` beside a file, {} where there is none."""
    beside = path.with_name(path.name.removesuffix(".json.gz") + "_gt.json.gz")
    if not beside.exists():
        return {}
    try:
        return dict(json.loads(gzip.decompress(beside.read_bytes())))
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        raise InputError(f"{beside}: cannot be read ({type(error).__name__}); remove it or fetch it again") from None


def _scene_file(folder: Path, scene: str) -> str:
    """The scene's file below a folder that may be any of those that ``scene_id`` goes through.

    Raises:
        InputError: there is none.
    """
    parts = Path(scene.removeprefix(_PREFIX)).parts
    if ".." in parts or Path(scene).is_absolute():
        raise ValueError(f"scene_id {scene} leads out of the scenes' folder")
    for k in range(len(parts)):
        file = folder.joinpath(*parts[k:])
        if file.is_file():
            return str(file.resolve())
    raise InputError(f"--scenes-dir {folder}: has no scene {'/'.join(parts)}; give the folder that the scenes lie in")


def _categories(row: Mapping[str, Any]) -> bool:
    """Whether an episode's own goals are objects: ObjectNav files before goals_by_category."""
    goals: Any = row.get("goals") or ()
    return bool(goals) and "object_category" in goals[0]


def _is_taken(row: Mapping[str, Any], rules: Protocol) -> bool:
    language = (row.get("instruction") or {}).get("language")
    return not rules.languages or not language or str(language).startswith(rules.languages)


def _object_episode(row, scene: str, rules: Protocol, index: int, by_category) -> DatasetEpisode:
    """Named by its place in the file, as habitat-lab does: ``episode_id`` repeats in some."""
    goals: Any = row.get("goals") or ()
    category = row.get("object_category") or goals[0]["object_category"]
    goals = goals or by_category[f"{Path(row['scene_id']).name}_{category}"]
    targets = tuple(_point(view["agent_state"]["position"]) for goal in goals for view in goal["view_points"])
    name = f"{Path(scene).name.split('.')[0]}-{index}"
    return _episode(row, scene, rules, name, "object", f"find a {words_of(category)}", goals, targets)


def _route_episode(row, scene: str, rules: Protocol, index: int, truth) -> DatasetEpisode:
    goals = row.get("goals")
    if not goals:
        raise ValueError("it has no goals: a test split is judged by its leaderboard only")
    text = " ".join(row["instruction"]["instruction_text"].split())
    own = truth.get(str(row["episode_id"]))
    reference = own["locations"] if own else row.get("reference_path") or ()
    targets = tuple(_point(goal["position"]) for goal in goals)
    return _episode(
        row, scene, rules, str(row["episode_id"]), "route", text, goals, targets,
        reference=tuple(_point(p) for p in reference), exact_reference=bool(own),
    )  # fmt: skip


def _episode(row, scene, rules, name, kind, text, goals, targets, **more) -> DatasetEpisode:
    if not targets:
        raise ValueError("its goals have no view points")
    x, y, z, w = (float(v) for v in row["start_rotation"])
    return DatasetEpisode(
        id=name,
        scene=scene,
        kind=kind,
        instruction=text,
        start=start_of(row),
        goals=tuple(Goal("point", _ros(goal["position"])) for goal in goals),
        geodesic_distance=float((row.get("info") or {}).get("geodesic_distance") or math.nan),
        position=_point(row["start_position"]),
        rotation=(x, y, z, w),
        targets=targets,
        radius=rules.radius,
        **more,
    )


def _point(values) -> Point:
    x, y, z = (float(v) for v in values)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(f"a position is {list(values)}")
    return x, y, z


def _ros(values) -> Point:
    x, y, z = _point(values)
    return -z, -x, y
