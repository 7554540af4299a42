"""Stands in for habitat-sim in tests: the calls that habitat/server.py makes, over rooms of boxes, by closed formulas.

It behaves as was measured on the real one: depth is planar and 0 where nothing is hit, "rgb" is RGBA, a pixel's centre
lies at i + 0.5 with the principal point at W / 2, the navmesh floats 0.10 m above the floor, the agent is put where it
is told without snapping, a blocked step moves up to contact, with sliding its rest goes along the obstacle, positions
are float32. It shares no code with the package: rays against boxes, shortest paths over corners. The scene is a JSON
beside the scene's file, "NAME.boxes.json": {"boxes": [[low, high, rgb], ...]} in Habitat's axes, floor at y = 0.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np

__version__ = "0.3.3-stand-in"
#: Of the navmesh above the floor, m; the thing that is most easily forgotten.
FLOAT = 0.10


class SimulatorConfiguration:
    """The backend's settings."""

    def __init__(self):
        self.scene_id, self.enable_physics, self.allow_sliding, self.gpu_device_id = "", True, True, 0
        self.scene_dataset_config_file = "default"


class SensorType:
    """Kinds of sensors."""

    COLOR, DEPTH = 1, 2


class CameraSensorSpec:
    """A camera's settings; hfov in degrees."""

    def __init__(self):
        self.uuid, self.sensor_type, self.resolution, self.hfov = "", SensorType.COLOR, [128, 128], 90.0
        self.position, self.orientation = [0.0, 1.5, 0.0], [0.0, 0.0, 0.0]


class NavMeshSettings:
    """What a navmesh is built for."""

    def set_defaults(self):
        """habitat-sim's own."""
        self.agent_radius, self.agent_height, self.agent_max_climb, self.agent_max_slope = 0.1, 1.5, 0.2, 45.0

    def __eq__(self, other):
        return vars(self) == vars(other)


class Configuration:
    """Backend and agents."""

    def __init__(self, sim_cfg, agents):
        self.sim_cfg, self.agents = sim_cfg, agents


class AgentState:
    """Position and rotation."""

    def __init__(self):
        self.position, self.rotation = np.zeros(3, np.float32), np.array([0, 0, 0, 1], np.float32)


class _AgentConfiguration:
    def __init__(self):
        self.radius, self.height, self.sensor_specifications, self.action_space = 0.1, 1.5, [], {}


agent = SimpleNamespace(
    AgentConfiguration=_AgentConfiguration,
    ActionSpec=lambda name, actuation: SimpleNamespace(name=name, actuation=actuation),
    ActuationSpec=lambda amount: SimpleNamespace(amount=amount),
)
utils = SimpleNamespace(
    common=SimpleNamespace(
        quat_from_coeffs=lambda c: np.array(c, np.float32), quat_to_coeffs=lambda q: np.array(q, np.float32)
    )
)


class MultiGoalShortestPath:
    """A question for :meth:`PathFinder.find_path`."""

    def __init__(self):
        self.requested_start, self.requested_ends = None, None
        self.points, self.geodesic_distance = [], math.inf


class PathFinder:
    """A floor with rectangular holes, for an agent of one radius."""

    def __init__(self, boxes):
        self._boxes, self.is_loaded, self.nav_mesh_settings = boxes, False, None

    def build(self, settings):
        """Grows everything between the agent's step and its height by its radius."""
        self.nav_mesh_settings, self.is_loaded, r = settings, True, settings.agent_radius
        floor = min(self._boxes, key=lambda b: b[1][1])
        self.low = np.array([floor[0][0], floor[0][2]]) + r
        self.high = np.array([floor[1][0], floor[1][2]]) - r
        self.holes = [
            (np.array([low[0], low[2]]) - r, np.array([high[0], high[2]]) + r)
            for low, high, _ in self._boxes
            if high[1] > settings.agent_max_climb and low[1] < settings.agent_height
        ]
        return True

    @property
    def navigable_area(self):
        """m^2, where no two holes overlap."""
        inside = [(np.maximum(a, self.low), np.minimum(b, self.high)) for a, b in self.holes]
        holes = sum(float(np.prod(np.maximum(b - a, 0.0))) for a, b in inside)
        return float(np.prod(self.high - self.low)) - holes

    def get_bounds(self):
        """Lowest and highest corner."""
        return [self.low[0], FLOAT, self.low[1]], [self.high[0], FLOAT, self.high[1]]

    def snap_point(self, point):
        """The nearest place of the floor."""
        p = np.clip(np.array([point[0], point[2]], np.float64), self.low, self.high)
        for low, high in self.holes:
            if ((p > low) & (p < high)).all():
                sides = np.array([p[0] - low[0], high[0] - p[0], p[1] - low[1], high[1] - p[1]])
                k = int(np.argmin(sides))
                p[k // 2] = (low, high)[k % 2][k // 2]
        return (float(np.float32(p[0])), float(np.float32(FLOAT)), float(np.float32(p[1])))

    def try_step(self, start, end):
        """Up to contact, the rest along what was touched."""
        return self._step(start, end, 3)

    def try_step_no_sliding(self, start, end):
        """Up to contact."""
        return self._step(start, end, 1)

    def _step(self, start, end, times):
        here = self.snap_point(start)
        p, left = np.array([here[0], here[2]]), np.array([end[0] - start[0], end[2] - start[2]])
        for _ in range(times):
            share, axis = self._free(p, left)
            p = p + share * left
            left = (1.0 - share) * left
            if axis is None:
                break
            left[axis] = 0.0
        return (float(np.float32(p[0])), float(np.float32(FLOAT)), float(np.float32(p[1])))

    def _free(self, p, way):
        """(share of a way that is free, axis that is blocked there or None)."""
        share, blocked = 1.0, None
        for axis in range(2):
            if way[axis]:
                edge = (self.high if way[axis] > 0 else self.low)[axis]
                t = max((edge - p[axis]) / way[axis], 0.0)
                if t < share:
                    share, blocked = t, axis
        for low, high in self.holes:
            hit = _enters(p, way, low, high)
            if hit is not None and hit[0] < share:
                share, blocked = hit
        return share, blocked

    def find_path(self, path):
        """The shortest way over the corners of what stands in the way."""
        start = self.snap_point(path.requested_start)
        first = np.array([start[0], start[2]])
        points, cost, after = self._ways(path)
        ways = [float(np.hypot(*(p - first))) + c for p, c in zip(points, cost, strict=True)]
        path.geodesic_distance, path.points = math.inf, []
        for k in sorted(range(len(points)), key=lambda i: ways[i]):
            if ways[k] < math.inf and self._sees(first, points[k]):
                path.geodesic_distance, path.points = ways[k], [(first[0], FLOAT, first[1])]
                while k >= 0:
                    path.points.append((points[k][0], FLOAT, points[k][1]))
                    k = after[k]
                break
        return path.geodesic_distance < math.inf

    def _ways(self, path):
        """Ends and corners, the way from each to the nearest end, and what follows on it; made once for the ends."""
        if getattr(path, "ways", None) is None or path.ways[0] is not path.requested_ends:
            ends = [self.snap_point(end) for end in np.asarray(path.requested_ends).reshape(-1, 3)]
            corners = [np.array([x, y]) for a, b in self.holes for x in (a[0], b[0]) for y in (a[1], b[1])]
            inside = [c for c in corners if (c >= self.low).all() and (c <= self.high).all() and not self._in_hole(c)]
            points = [*(np.array([e[0], e[2]]) for e in ends), *inside]
            cost, after = [0.0] * len(ends) + [math.inf] * len(inside), [-1] * len(points)
            open_ = set(range(len(ends), len(points)))
            for k in open_:
                for j in sorted(range(len(ends)), key=lambda i: float(np.hypot(*(points[k] - points[i])))):
                    if self._sees(points[k], points[j]):
                        cost[k], after[k] = float(np.hypot(*(points[k] - points[j]))), j
                        break
            while open_:
                k = min(open_, key=lambda i: cost[i])
                open_.remove(k)
                for j in open_:
                    new = cost[k] + float(np.hypot(*(points[k] - points[j])))
                    if new < cost[j] and self._sees(points[k], points[j]):
                        cost[j], after[j] = new, k
            path.ways = path.requested_ends, points, cost, after
        return path.ways[1:]

    def _in_hole(self, c):
        return any(((c > low + 1e-9) & (c < high - 1e-9)).all() for low, high in self.holes)

    def _sees(self, a, b):
        return self._free(a, b - a)[0] >= 1.0 - 1e-9


def _enters(p, way, low, high):
    """(share of the way, axis) at which a moving point enters a rectangle; None where it does not."""
    first, last, axis = -math.inf, math.inf, None
    for k in range(2):
        if abs(way[k]) < 1e-12:
            if not low[k] + 1e-9 < p[k] < high[k] - 1e-9:
                return None
            continue
        a, b = sorted(((low[k] - p[k]) / way[k], (high[k] - p[k]) / way[k]))
        if a > first:
            first, axis = a, k
        last = min(last, b)
    if axis is None or first >= last - 1e-9 or last <= 1e-9 or first > 1.0 or first < -1e-6:
        return None
    return max(first, 0.0), axis


class _Agent:
    def __init__(self, simulator, configuration):
        self._simulator, self.configuration, self._state = simulator, configuration, AgentState()

    def get_state(self):
        """A copy."""
        state = AgentState()
        state.position, state.rotation = self._state.position.copy(), self._state.rotation.copy()
        return state

    def set_state(self, state):
        """Exactly, without snapping."""
        self._state = state

    def act(self, name):
        """One action; whether it was shortened."""
        action, finder = self.configuration.action_space[name], self._simulator.pathfinder
        amount, state = action.actuation.amount, self._state
        if action.name != "move_forward":
            half = math.radians(amount if action.name == "turn_left" else -amount) / 2.0
            x, y, z, w = (float(v) for v in state.rotation)
            s, c = math.sin(half), math.cos(half)
            state.rotation = np.array([c * x - s * z, c * y + s * w, c * z + s * x, c * w - s * y], np.float32)
            return False
        ahead = _rotation(state.rotation) @ np.array([0.0, 0.0, -amount])
        start = state.position.astype(np.float64)
        step = finder.try_step if self._simulator.sliding else finder.try_step_no_sliding
        end = np.array(step(start, start + ahead))
        state.position = end.astype(np.float32)
        return float(((end - start) ** 2).sum()) + 1e-5 < float((ahead**2).sum())


class Simulator:
    """One agent among boxes."""

    def __init__(self, configuration):
        scene = Path(configuration.sim_cfg.scene_id)
        self._boxes = json.loads(scene.with_suffix(".boxes.json").read_text())["boxes"]
        self.sliding = configuration.sim_cfg.allow_sliding
        self.pathfinder = PathFinder(self._boxes)
        if scene.with_suffix(".navmesh").exists():
            settings = NavMeshSettings()
            settings.set_defaults()
            self.pathfinder.build(settings)
        self._agent = _Agent(self, configuration.agents[0])
        self._low = np.array([box[0] for box in self._boxes], np.float64)
        self._high = np.array([box[1] for box in self._boxes], np.float64)
        self._color = np.array([[*box[2], 255] for box in self._boxes] + [[0, 0, 0, 255]], np.uint8)

    def recompute_navmesh(self, finder, settings):
        """Builds it anew."""
        return finder.build(settings)

    def get_agent(self, k):
        """The agent."""
        return self._agent

    def get_sensor_observations(self):
        """Both cameras."""
        return {s.uuid: self._look(s) for s in self._agent.configuration.sensor_specifications}

    def close(self):
        """Nothing to free."""

    def _look(self, spec):
        (height, width), state = spec.resolution, self._agent.get_state()
        f = width / (2.0 * math.tan(math.radians(spec.hfov) / 2.0))
        u = (np.arange(width) + 0.5 - width / 2.0) / f
        v = (np.arange(height) + 0.5 - height / 2.0) / f
        rays = np.stack(np.broadcast_arrays(u[None, :], -v[:, None], -1.0), axis=-1)
        pitch, turn = spec.orientation[0], _rotation(state.rotation)
        c, s = math.cos(pitch), math.sin(pitch)
        rays = rays @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T @ turn.T
        eye = state.position.astype(np.float64) + turn @ np.array(spec.position)
        nearest, which = np.full((height, width), np.inf), np.full((height, width), len(self._boxes))
        with np.errstate(divide="ignore", invalid="ignore"):
            for k in range(len(self._boxes)):
                a, b = (self._low[k] - eye) / rays, (self._high[k] - eye) / rays
                into, out = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
                t = np.where(into > 0.0, into, out)  # from inside the room's shell: where it ends
                hit = (into <= out) & (t > 0.01) & (t < nearest)
                nearest[hit], which[hit] = t[hit], k
        if spec.sensor_type == SensorType.DEPTH:
            return np.where(np.isfinite(nearest), nearest, 0.0).astype(np.float32)
        return self._color[which]


def _rotation(q):
    x, y, z, w = (float(v) for v in q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
