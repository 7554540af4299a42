"""Markers for RViz: objects, rooms, options, decisions, pose graph. For display only; knows no algorithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ...frames import Decision, MemoryObject
from ...memory.output.render import label_color, label_colors, room_color
from ...rooms import Rooms

__all__ = ["decision", "graph", "label_color", "label_colors", "objects", "rooms"]

_BY_KIND = {
    "frontier": (0.2, 0.6, 1.0),
    "object": (1.0, 0.6, 0.1),
    "look_around": (0.7, 0.4, 1.0),
    "stop": (1.0, 0.2, 0.2),
}
#: Colour (RGB 0 to 1) of what is gone; edge of a tile of a room's floor, m.
_GONE, _TILE = (0.55, 0.55, 0.55), 0.1


def objects(found: Sequence[MemoryObject], head: Header) -> MarkerArray:
    """A box and a name for every object, grey for those that are gone; replaces all earlier markers."""
    array = _cleared(head)
    for o in found:
        here = o.status == "present"
        red, green, blue = (v / 255 for v in label_color(o.label)) if here else _GONE
        alpha = 0.35 if here else 0.2
        box = _marker(head, "boxes", o.id, Marker.CUBE, o.position, (red, green, blue, alpha))
        box.scale = Vector3(x=float(o.extent[0]), y=float(o.extent[1]), z=float(o.extent[2]))
        top = o.position + np.array([0, 0, 0.5 * o.extent[2] + 0.12])
        gone = "" if o.status == "present" else f" ({o.status})"
        name = _text(head, "names", o.id, top, f"{o.name} #{o.id}{gone}", 0.15 if here else 0.1)
        if not here:
            name.color = ColorRGBA(r=_GONE[0], g=_GONE[1], b=_GONE[2], a=0.8)
        array.markers += [box, name]
    return array


def rooms(found: Rooms, names: Mapping[int, str], head: Header) -> MarkerArray:
    """The floor of every room in a colour of its own, with its name; replaces all earlier markers."""
    array = _cleared(head)
    for room in found.rooms:
        step = max(1, round(_TILE / found.resolution))
        rows, columns = np.nonzero(found.labels[::step, ::step] == room.id)
        tile = step * found.resolution
        floor = _marker(head, "floors", room.id, Marker.CUBE_LIST, np.zeros(3), (*room_color(room.id), 0.35))
        floor.scale = Vector3(x=tile, y=tile, z=0.01)
        xs, ys = (found.origin[k] + (cells * step + 0.5) * found.resolution for k, cells in ((0, columns), (1, rows)))
        floor.points = [Point(x=float(x), y=float(y), z=0.01) for x, y in zip(xs, ys, strict=True)]
        if floor.points:  # RViz complains of a list without cubes
            array.markers.append(floor)
        place = np.array([*room.middle, 0.3])
        array.markers.append(_text(head, "rooms", room.id, place, names.get(room.id, f"room {room.id}"), 0.3))
    return array


def decision(made: Decision, position: np.ndarray, head: Header) -> MarkerArray:
    """The decision as text above the robot (``position`` (3,) m), the options as spheres with their letters."""
    array = _cleared(head)
    array.markers.append(_text(head, "decision", 0, position + np.array([0, 0, 1.3]), _wrapped(made), 0.18))
    for i, option in enumerate(made.options):
        if option.position is None:
            continue
        where = np.array([*option.position, 0.1])
        alpha = 1.0 if i == made.chosen else 0.4
        ball = _marker(head, "options", i, Marker.SPHERE, where, (*_BY_KIND.get(option.kind, (1, 1, 1)), alpha))
        size = 0.3 if i == made.chosen else 0.18
        ball.scale = Vector3(x=size, y=size, z=size)
        array.markers += [ball, _text(head, "letters", i, where + np.array([0, 0, 0.3]), option.letter, 0.2)]
    return array


def graph(positions: np.ndarray, edges: Sequence[tuple[int, int, bool]], head: Header) -> MarkerArray:
    """SLAM's keyframes (Nx3 m) as points, its edges (first, second, is a loop) as lines: loops are orange."""
    points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in positions]
    keyframes = _marker(head, "keyframes", 0, Marker.POINTS, np.zeros(3), (0.2, 0.6, 1.0, 1.0))
    keyframes.scale = Vector3(x=0.06, y=0.06, z=0.0)
    keyframes.points = points
    array = MarkerArray(markers=[keyframes])
    for name, is_loop, color in (("odometry", False, (0.6, 0.6, 0.6, 0.8)), ("loops", True, (1.0, 0.5, 0.1, 0.9))):
        lines = _marker(head, name, 0, Marker.LINE_LIST, np.zeros(3), color)
        lines.scale.x = 0.03 if is_loop else 0.015
        lines.points = [points[i] for first, second, loop in edges if loop == is_loop for i in (first, second)]
        if lines.points:  # RViz complains of a list without lines
            array.markers.append(lines)
    return array


def _wrapped(made: Decision) -> str:
    words, lines = f"{made.option.letter}: {made.option.text}. {made.think}".split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 60:
            lines.append("")
        lines[-1] += word + " "
    return "\n".join(line.rstrip() for line in lines[:6])


def _cleared(head: Header) -> MarkerArray:
    return MarkerArray(markers=[Marker(header=head, action=Marker.DELETEALL)])


def _marker(head: Header, namespace: str, number: int, kind: int, position, color) -> Marker:
    marker = Marker(header=head, ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.pose.position = Point(x=float(position[0]), y=float(position[1]), z=float(position[2]))
    marker.pose.orientation.w = 1.0
    marker.color = ColorRGBA(**dict(zip("rgba", (float(v) for v in color), strict=True)))
    return marker


def _text(head: Header, namespace: str, number: int, position, text: str, size: float) -> Marker:
    marker = _marker(head, namespace, number, Marker.TEXT_VIEW_FACING, position, (1.0, 1.0, 1.0, 1.0))
    marker.text, marker.scale.z = text, size
    return marker
