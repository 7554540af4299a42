"""Checks whether control can trust its camera: frozen images, a wrong mount, missing depth ahead. Knows no plans.

Subscribes to nothing; the checks themselves are in the guard and in :mod:`..planning.frozen`.
"""

from __future__ import annotations

import numpy as np

from ...geometry import Camera
from ...planning import CollisionGuard, FrozenPicture, shows_things
from .conversions import BadMessage
from .diagnostics import Diagnostics

#: Bytes at the start of a serialized image that hold the stamp, and so differ between equal images.
_HEADER = 64


class CameraEvidence:
    """Checks images as they arrive; says why the robot must not move, and puts it on diagnostics."""

    def __init__(self, guard: CollisionGuard, diagnostics: Diagnostics) -> None:
        self._guard, self._diagnostics = guard, diagnostics
        self._telling = False  # whether the view has enough structure to change when the robot moves
        self._pictures = {"depth": FrozenPicture(), "color": FrozenPicture()}

    def depth(
        self, data: bytes, depth: np.ndarray, camera: Camera, T_base_camera: np.ndarray, T_odom_base: np.ndarray
    ) -> None:
        """Takes in a depth image: serialized bytes, depth (HxW m), camera, mount and pose of the base.

        Raises:
            BadMessage: ``frozen``, the same image again although the robot moved.
        """
        self._telling = shows_things(depth, camera, T_base_camera)
        self._note("depth", np.frombuffer(data, np.uint8), T_odom_base)
        if self._pictures["depth"].frozen:
            raise BadMessage("frozen", self._frozen("depth"))

    def color(self, serialized: bytes, T_odom_base: np.ndarray | None) -> None:
        """Takes in a colour image as its serialized message."""
        if T_odom_base is not None:
            self._note("color", np.frombuffer(serialized, np.uint8)[_HEADER:], T_odom_base)

    def hindrance(self) -> str:
        """Why the robot must not move, or ""."""
        return next((self._frozen(name) for name, picture in self._pictures.items() if picture.frozen), "")

    def report(self, reason: str) -> None:
        """Puts errors on diagnostics; ``reason`` is the guard's for limiting the last command."""
        errors, guard = self._diagnostics.errors, self._guard
        wrong = {name: self._frozen(name) for name, picture in self._pictures.items() if picture.frozen}
        wrong["mount"] = guard.mount.text
        blind = reason == "unmeasured" and guard.coverage.blind and guard.passed.linear == 0.0
        wrong.setdefault("depth", guard.explain(reason) if blind else "")
        for name in ("depth", "color", "mount"):
            if wrong.get(name):
                errors[name] = wrong[name]
            else:
                errors.pop(name, None)
        self._diagnostics.facts["camera mount"] = guard.mount.verdict
        self._diagnostics.facts["depth valid ahead"] = f"{100.0 * guard.coverage.valid:.0f}%"

    def _note(self, name: str, data: np.ndarray, T_odom_base: np.ndarray) -> None:
        picture = self._pictures[name]
        if self._telling or picture.frozen:
            picture.update(data, T_odom_base)
        else:
            picture.reset()

    def _frozen(self, name: str) -> str:
        metres, turn = self._pictures[name].moved
        return f"{name} is frozen: the same picture while odometry moved {metres:.2f} m and {turn:.2f} rad"
