"""What the tests of the page share: a small memory, and records to show."""

from __future__ import annotations

from dataclasses import replace

import box_rooms
import numpy as np

from embodied_nav.frames import Decision, Keyframe, MemoryObject, ObjectObservation, Option, SemanticDelta
from embodied_nav.memory import MemoryConfig, SpatialMemory

SECOND = 1_000_000_000
#: The map from the rooms: walls that lie on the border of voxels would be in either.
SHIFT = np.eye(4)
SHIFT[:3, 3] = 0.013, 0.017, 0.021


def thing(number=1, label="sofa", color="red", position=(2.0, 2.0, 0.3), size=0.6, status="present", voxels=10):
    return MemoryObject(
        number, label, color, np.array(position, float), np.full(3, size), 1.0, voxels, SECOND, SECOND, 0, status=status
    )


def decision(think="because", text="go to the red sofa: 2 m", number=0):
    options = (
        Option("A", "object", (1.0, 1.0), 2.0, 0.1, text, 1),
        Option("B", "frontier", (2.0, 0.5), 3.0, -0.4, "explore", -1, 1.0),
        Option("C", "stop", None, 0.0, 0.0, "stop here"),
    )
    return Decision(number, 3 * SECOND, options, 1, think, "", "rules")


def floor(side=4.0, step=0.05):
    """(N, 3) m and (N, 3) uint8: a square of voxels."""
    axis = np.arange(0, side, step) + step / 2
    x, y = np.meshgrid(axis, axis)
    positions = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, 0.02)]).astype(np.float32)
    return positions, np.tile(np.array([90, 140, 200], np.uint8), (len(positions), 1))


def small_memory(views=12):
    """A memory of two rooms, a keyframe a second."""
    boxes, memory = box_rooms.two_rooms(), SpatialMemory(MemoryConfig())
    walk = box_rooms.walk(36)[:: 36 // views]
    for i, place in enumerate(walk):
        T = box_rooms.camera_pose(*place)
        frame = replace(box_rooms.render(boxes, T, stamp=(i + 1) * SECOND), T_map_camera=SHIFT @ T)
        memory.integrate(frame)
        memory.add_keyframe(Keyframe(i, frame, 0.5, 10, "moved"))
        seen = ObjectObservation("sofa", "red", 0.9, np.array([5.2, 0.45, 0.35]), np.array([1.2, 0.7, 0.7]))
        memory.add_delta(SemanticDelta(i, i - 1, frame.stamp, "test", "move", (seen,), text="a </script> & a sofa"))
    return memory
