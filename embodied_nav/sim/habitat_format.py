"""Episodes in Habitat's gzip JSON format (VLN-CE and ObjectNav), Habitat's axes. Knows nothing of scenes' content.

Every episode has the applicable fields of both tasks: ``instruction`` and ``reference_path`` (VLN), ``goals`` and
``goals_by_category`` (ObjectNav). Fields specific to this package are under ``info``.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import Episode, Goal
from ..geometry import habitat_from_ros, matrix_from_quaternion, ros_from_habitat

_RADIUS = {"object": 1.0, "relation": 1.0, "room": 0.0, "route": 1.5}


def save_episodes(path: str | Path, episodes: Iterable[Episode]) -> None:
    """Writes episodes to a .json.gz file, atomically; the same episodes give the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    document = {"episodes": [_to_habitat(episode) for episode in episodes]}
    data = gzip.compress(json.dumps(document, allow_nan=False).encode(), mtime=0)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def load_episodes(path: str | Path) -> list[Episode]:
    """Episodes of a .json.gz file: our own, VLN-CE's or ObjectNav's.

    A VLN episode becomes a ``route`` to its goal points, an ObjectNav episode an ``object`` search for its category.

    Raises:
        InputError: not such a file, or an episode without its fields.
    """
    path = Path(path)
    try:
        document = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give episodes as .json.gz") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: not gzip JSON ({type(error).__name__}); give Habitat's episodes as .json.gz"
        ) from None
    rows = document.get("episodes") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path}: has no list 'episodes'; give Habitat's episodes as .json.gz")
    by_category = document.get("goals_by_category", {})
    episodes = []
    for k, row in enumerate(rows):
        try:
            episodes.append(_from_habitat(row, by_category))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"misses {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
            raise InputError(f"{path}: episode {k} {reason}") from None
    return episodes


def _to_habitat(episode: Episode) -> dict[str, Any]:
    # + 0.0 here and below: -0.0 equals 0.0, but is written otherwise.
    x, y, yaw = (float(v) + 0.0 for v in episode.start)
    start = _habitat((x, y, 0.0))
    row: dict[str, Any] = {
        "episode_id": episode.id,
        "scene_id": episode.scene,
        "start_position": start,
        # A rotation about the vertical is a rotation about Habitat's y by the same angle.
        "start_rotation": [0.0, math.sin(yaw / 2.0), 0.0, math.cos(yaw / 2.0)],
        "instruction": {"instruction_text": episode.instruction},
        "goals": [
            {"position": _habitat(g.position), "radius": _RADIUS.get(episode.kind, 1.0), "object_id": g.instance}
            for g in episode.goals
        ],
        "info": {
            "kind": episode.kind,
            "start": [x, y, yaw],
            "goals": [_own_goal(g) for g in episode.goals],
            "waypoints": [_habitat(p) for p in episode.waypoints],
        },
    }
    if episode.stages:
        row["info"]["stages"] = [[_own_goal(g) | {"position": _habitat(g.position)} for g in s] for s in episode.stages]
    # NaN for episodes from other sources without it; JSON has no NaN.
    if not math.isnan(episode.geodesic_distance):
        row["info"]["geodesic_distance"] = float(episode.geodesic_distance) + 0.0
    if episode.kind == "route":
        row["reference_path"] = [start, *row["info"]["waypoints"], *(g["position"] for g in row["goals"][:1])]
    return row


def _own_goal(goal: Goal) -> dict[str, Any]:
    """What Habitat's format has no field for."""
    return {"kind": goal.kind, "instance": goal.instance, "room": goal.room}


def _from_habitat(row: dict[str, Any], by_category: dict[str, Any]) -> Episode:
    info = row.get("info") or {}
    instruction = row.get("instruction")
    category = row.get("object_category")
    goals = row.get("goals") or []
    if category is not None and not goals:
        goals = by_category.get(f"{Path(row['scene_id']).name}_{category}", [])
    own = info.get("goals")
    if own is not None and len(own) != len(goals):
        raise ValueError(f"{len(goals)} goals, {len(own)} under info")
    kind = info.get("kind", "route" if instruction is not None else "object")
    if instruction is not None:
        text = instruction["instruction_text"] if isinstance(instruction, dict) else str(instruction)
    else:
        text = f"find a {words_of(row['object_category'] if category is None else category)}"
    return Episode(
        id=str(row["episode_id"]),
        scene=str(row["scene_id"]),
        kind=str(kind),
        instruction=text,
        start=_start(row, info),
        goals=tuple(_goal(goal, None if own is None else own[k]) for k, goal in enumerate(goals)),
        geodesic_distance=float(info.get("geodesic_distance", math.nan)),
        waypoints=tuple(_ros(p) for p in info.get("waypoints", ())),
        stages=tuple(tuple(_goal(goal, goal) for goal in stage) for stage in info.get("stages", ())),
    )


def _goal(goal: dict[str, Any], own: dict[str, Any] | None) -> Goal:
    position = _ros(goal["position"])
    if own is None:
        # Object ids from other sources are not this package's instance ids: use the position as the goal.
        return Goal("point", position)
    return Goal(str(own["kind"]), position, int(own["instance"]), int(own["room"]))


def start_of(row: dict[str, Any]) -> tuple[float, float, float]:
    """(x, y, yaw) of an episode's start in ROS axes, m and rad.

    Raises:
        KeyError, TypeError, ValueError: it has none.
    """
    return _start(row, row.get("info") or {})


def words_of(category: str) -> str:
    """A category in words: "tv_monitor" is "tv monitor"."""
    return category.replace("_", " ")


def _start(row: dict[str, Any], info: dict[str, Any]) -> tuple[float, float, float]:
    x, y, _ = _ros(row["start_position"])
    # Habitat's robot looks along -z: turn that axis and read its heading in ROS axes.
    forward = matrix_from_quaternion(_finite(row["start_rotation"], 4))[:3, :3] @ np.array([0.0, 0.0, -1.0])
    ahead = ros_from_habitat(forward)
    yaw = math.atan2(ahead[1], ahead[0])
    exact = info.get("start")
    if exact is not None and abs(math.remainder(float(exact[2]) - yaw, 2.0 * math.pi)) < 1e-6:
        yaw = float(exact[2])
    return x, y, yaw


def _habitat(p) -> list[float]:
    return [float(v) + 0.0 for v in habitat_from_ros(np.asarray(p, dtype=np.float64))]


def _ros(p) -> tuple[float, float, float]:
    x, y, z = (float(v) + 0.0 for v in ros_from_habitat(_finite(p, 3)))
    return x, y, z


def _finite(values, count: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"expected {count} finite numbers, got {values}")
    return array
