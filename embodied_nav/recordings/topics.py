"""Chooses the camera's topics in a recording. Knows names and types, reads no messages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InputError

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE = (RAW, COMPRESSED)
INFO, TF, ODOMETRY = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry"
#: Parts of topic names of images that are neither colour nor depth.
_OTHERS = ("infra", "/ir", "disparity", "confidence", "mask", "label", "segment", "instance", "thermal", "fisheye")


@dataclass(frozen=True)
class Topics:
    """Topic names; empty: to be found. ``depth_info``: of a separate depth camera, empty if there is none."""

    color: str = ""
    depth: str = ""
    info: str = ""
    depth_info: str = ""


def choose(kinds: dict[str, str], given: Topics, where: str) -> Topics:
    """The camera's topics among a recording's.

    Args:
        kinds: topic -> type. given: the user's choices. where: the recording's name, for errors.

    Raises:
        InputError: a given topic does not exist, none fits, or several fit equally.
    """
    for name in (given.color, given.depth, given.info):
        if name and name not in kinds:
            raise InputError(f"{where}: no topic {name}; there are: {_listed(kinds)}")
    color = given.color or _only("color", _rated(kinds, _color_worth), where, kinds)
    rated = _rated(kinds, _depth_worth) or _rated(kinds, _stereo_worth)
    depth = given.depth or _only("depth", rated, where, kinds)
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
    """A topic name without image_transport's suffix."""
    return topic.removesuffix("/compressed").removesuffix("/compressedDepth")


def _info_beside(topic: str, kinds: dict[str, str]) -> str:
    name = base(topic).rpartition("/")[0] + "/camera_info"
    return name if kinds.get(name) == INFO else ""


def _color_worth(name: str, kind: str) -> int:
    if "depth" in name.lower() or any(word in name.lower() for word in _OTHERS):
        return 0
    if _stereo_worth(name, kind) or (kind == COMPRESSED) != name.endswith("/compressed"):
        return 0
    return 1 + 2 * any(word in name.lower() for word in ("color", "rgb"))


def _depth_worth(name: str, kind: str) -> int:
    lower = name.lower()
    if "depth" not in lower or any(word in lower for word in _OTHERS):
        return 0
    plain = name.endswith("/compressed")  # colour's transport, also used for depth
    if (kind == COMPRESSED) != (plain or name.endswith("/compressedDepth")):
        return 0
    return 2 - plain + 4 * any(word in lower for word in ("align", "registered"))


def _stereo_worth(name: str, kind: str) -> int:
    """Rates a topic named stereo: OAK cameras publish depth there; images of one side are not depth."""
    lower = name.lower()
    sides = any(word in lower for word in ("left", "right", *_OTHERS))
    return int("stereo" in lower and not sides and kind == RAW)


def _rated(kinds: dict[str, str], worth) -> dict[str, int]:
    """Rating of image topics; of a raw and a compressed one only the raw one is kept."""
    found = {name: worth(name, kind) for name, kind in kinds.items() if kind in IMAGE}
    return {name: n for name, n in found.items() if n and (kinds[name] == RAW or not found.get(base(name)))}


def _only(option: str, rated: dict[str, int], where: str, kinds: dict[str, str]) -> str:
    """The topic with the highest rating; raises if that is ambiguous."""
    best = [name for name, worth in rated.items() if worth == max(rated.values())]
    if not best:
        raise InputError(f"{where}: no {option} image among {_listed(kinds)}; name it: --{option}-topic")
    if len(best) > 1:
        raise InputError(f"{where}: {', '.join(sorted(best))} may all be the {option} image; choose: --{option}-topic")
    return best[0]


def _listed(kinds: dict[str, str]) -> str:
    images = sorted(name for name, kind in kinds.items() if kind in (*IMAGE, INFO))
    return ", ".join(images) or "no images at all"
