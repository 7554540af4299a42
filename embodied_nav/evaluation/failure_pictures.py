"""A picture of a failed episode: the apartment from above with the way driven, and what the camera saw at the end.

Everything is drawn anew from the results file: apartments are made from their seed. Knows nothing of agents.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import Episode, Goal
from ..geometry import pose2d
from ..robot import RobotProfile
from ..sim.embedded import EmbeddedSimulator, SimulatorConfig

#: Height of the view from above and of the whole picture, pixels.
_TOP, _DOTS = 420, 80
_SIMULATOR = "embedded"


class Painter:
    """Draws failures of one results file; scenes are kept from picture to picture.

    Args:
        content: of the results file, for its robot and simulator.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        given = content.get("set") or {}
        self._robot = RobotProfile.from_parameters(given, "robot")
        self._simulator: EmbeddedSimulator | None = None
        if content.get("simulator", _SIMULATOR) == _SIMULATOR:
            settings = SimulatorConfig.from_parameters(given, "simulator")
            self._simulator = EmbeddedSimulator(None, self._robot, settings)

    def picture(self, row: Mapping[str, Any]) -> bytes | None:
        """A JPEG of the episode of this row; None where the row does not hold its way (files of earlier versions).

        Without the scene (another simulator's, a mesh file that is not here) the way is drawn on white.
        """
        track = row.get("track")
        if not track:
            return None
        above, bounds, camera = self._scene(row, np.array(track, dtype=np.float64)[:, :2])
        return _draw(row, above, bounds, camera)

    def _scene(
        self, row: Mapping[str, Any], track: np.ndarray
    ) -> tuple[np.ndarray | None, tuple[float, float, float, float], np.ndarray | None]:
        """(image from above or None, its (x0, x1, y0, y1) in m, the camera's last picture or None)."""
        places = np.vstack([track, *(np.reshape(row.get(name) or [], (-1, 2)) for name in ("goals", "waypoints"))])
        low, high = places.min(axis=0) - 1.0, places.max(axis=0) + 1.0
        white: tuple[None, tuple[float, float, float, float], None]
        white = (None, (float(low[0]), float(high[0]), float(low[1]), float(high[1])), None)
        simulator = self._simulator
        if simulator is None:
            return white
        start = (float(track[0, 0]), float(track[0, 1]), 0.0)
        goals = (Goal("point", (*start[:2], 0.0)),)
        try:
            simulator.reset(Episode(row["id"], str(row["scene"]), row["kind"], "", start, goals, 1.0))
        except InputError:  # a mesh file that lies elsewhere, a scene of another version of the apartments
            return white
        assert simulator.scene is not None
        low3, high3 = simulator.scene.description.mesh.bounds
        bounds = (float(low3[0]), float(high3[0]), float(low3[1]), float(high3[1]))
        yaw = row.get("end_yaw")
        if yaw is None:
            return simulator.render_top(_TOP), bounds, None
        T_scene_camera = pose2d(float(track[-1, 0]), float(track[-1, 1]), float(yaw)) @ self._robot.T_base_camera()
        return simulator.render_top(_TOP), bounds, simulator.render(T_scene_camera, simulator.camera())


def _draw(
    row: Mapping[str, Any], above: np.ndarray | None, bounds: Sequence[float], camera: np.ndarray | None
) -> bytes:
    """The JPEG: left the way, right what the camera saw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    x0, x1, y0, y1 = bounds
    ratio = min(max((x1 - x0) / (y1 - y0), 0.4), 2.5)
    height = _TOP / _DOTS
    widths = [ratio, 4 / 3] if camera is not None else [ratio]
    figure = Figure(figsize=(height * sum(widths), height), dpi=_DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if above is not None:
        axes[0].imshow(above, extent=(x0, x1, y0, y1), origin="upper")
    axes[0].set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal")
    _draw_way(axes[0], row)
    if camera is not None:
        axes[1].imshow(camera)
        axes[1].set_title("the camera at the end", fontsize=9)
        axes[1].axis("off")
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 80})
    return file.getvalue()


def _draw_way(axes: Any, row: Mapping[str, Any]) -> None:
    track = np.array(row["track"], dtype=np.float64)
    x, y = track[:, 0], track[:, 1]
    axes.plot(x, y, "-", color="white", lw=3.5, alpha=0.8)
    axes.plot(x, y, "-", color="#d62728", lw=1.8)
    axes.plot(x[0], y[0], "o", ms=8, mfc="#2ca02c", mec="white", label="start")
    yaw = float(row.get("end_yaw") or 0.0)
    axes.annotate("", (x[-1] + 0.6 * math.cos(yaw), y[-1] + 0.6 * math.sin(yaw)), (x[-1], y[-1]),
                  arrowprops={"arrowstyle": "-|>", "color": "#d62728", "lw": 2})  # fmt: skip
    axes.plot(x[-1], y[-1], "s", ms=8, mfc="#d62728", mec="white", label="end")
    for k, (gx, gy) in enumerate(row.get("waypoints") or ()):
        axes.plot(gx, gy, "D", ms=8, mfc="#1f77b4", mec="white", label="on the way" if k == 0 else None)
    for k, (gx, gy) in enumerate(row.get("goals") or ()):
        axes.plot(gx, gy, "*", ms=15, mfc="#ffd400", mec="#202020", label="goal" if k == 0 else None)
    axes.legend(fontsize=7, loc="upper right", framealpha=0.8)
    axes.set_title(f"{row['id']}: {track[-1, 2]:.0f} s", fontsize=9)
    axes.tick_params(labelsize=7)
