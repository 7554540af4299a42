"""Which of a recording's topics are the camera's. Knows names and types, reads nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InputError

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE = (RAW, COMPRESSED)
INFO, TF, ODOMETRY = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry"
#: Names of images that are neither colour nor depth.
_OTHERS = ("infra", "/ir", "disparity", "confidence", "mask", "label", "segment", "instance", "thermal", "fisheye")


@dataclass(frozen=True)
class Topics:
    """Names; empty: to be found. ``depth_info``: of a depth camera of its own, empty where there is none."""

    color: str = ""
    depth: str = ""
    info: str = ""
    depth_info: str = ""


def choose(kinds: dict[str, str], given: Topics, where: str) -> Topics:
    """The camera's topics among a recording's.

    Args:
        kinds: topic -> type. given: what the user has named. where: the recording's name, for errors.

    Raises:
        InputError: a named topic that is not there, none that fits, or several alike.
    """
    for name in (given.color, given.depth, given.info):
        if name and name not in kinds:
            raise InputError(f"{where}: no topic {name}; there are: {_listed(kinds)}")
    color = given.color or _only("color", _rated(kinds, _color_worth), where, kinds)
    depth = given.depth or _only("depth", _rated(kinds, _depth_worth), where, kinds)
    for option, name, fitting in (("color", color, IMAGE), ("depth", depth, IMAGE), ("info", given.info, (INFO,))):
        if name and kinds[name] not in fitting:
            raise InputError(f"{where}: {name} is {kinds[name]}, --{option}-topic takes {' or '.join(fitting)}")
    info = given.info or _info_beside(color, kinds)
    if not info:
        infos = [name for name, kind in kinds.items() if kind == INFO]
        info = infos[0] if len(infos) == 1 else ""
    own = _info_beside(depth, kinds)
    return replace(given, color=color, depth=depth, info=info, depth_info=own if own != info else "")


def base(topic: str) -> str:
    """A topic without image_transport's ending."""
    return topic.removesuffix("/compressed").removesuffix("/compressedDepth")


def _info_beside(topic: str, kinds: dict[str, str]) -> str:
    name = base(topic).rpartition("/")[0] + "/camera_info"
    return name if kinds.get(name) == INFO else ""


def _color_worth(name: str, kind: str) -> int:
    if "depth" in name.lower() or any(word in name.lower() for word in _OTHERS):
        return 0
    if (kind == COMPRESSED) != name.endswith("/compressed"):
        return 0
    return 1 + 2 * any(word in name.lower() for word in ("color", "rgb"))


def _depth_worth(name: str, kind: str) -> int:
    lower = name.lower()
    if "depth" not in lower or any(word in lower for word in _OTHERS):
        return 0
    if (kind == COMPRESSED) != name.endswith("/compressedDepth"):
        return 0
    return 1 + 2 * any(word in lower for word in ("align", "registered"))


def _rated(kinds: dict[str, str], worth) -> dict[str, int]:
    """What images are worth, the raw one of a raw and a compressed one only."""
    found = {name: worth(name, kind) for name, kind in kinds.items() if kind in IMAGE}
    return {name: n for name, n in found.items() if n and (kinds[name] == RAW or not found.get(base(name)))}


def _only(option: str, rated: dict[str, int], where: str, kinds: dict[str, str]) -> str:
    """The one that is worth most."""
    best = [name for name, worth in rated.items() if worth == max(rated.values())]
    if not best:
        raise InputError(f"{where}: no {option} image among {_listed(kinds)}; name it: --{option}-topic")
    if len(best) > 1:
        raise InputError(f"{where}: {', '.join(sorted(best))} may all be the {option} image; choose: --{option}-topic")
    return best[0]


def _listed(kinds: dict[str, str]) -> str:
    images = sorted(name for name, kind in kinds.items() if kind in (*IMAGE, INFO))
    return ", ".join(images) or "no images at all"
