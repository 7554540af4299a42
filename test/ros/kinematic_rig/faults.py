"""What goes wrong with a robot's sensors, and how it is brought about. Knows nothing of what must follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Twist
from sensor_msgs.msg import CameraInfo

from embodied_nav.nodes.ros import qos
from embodied_nav.robot import RobotProfile

from .robot import Robot
from .scenario import Event, Moment, When, after, driven

Filter = Callable[[np.ndarray], np.ndarray]
_NOT = np.float32(np.nan)


def change(when: When, **values: object) -> Event:
    """Sets attributes of the robot."""

    def do(moment: Moment) -> None:
        for name, value in values.items():
            setattr(moment.robot, name, value)

    return Event(when, do)


def silence(when: When, *topics: str) -> Event:
    """Topics (and "tf", "map") are not published any more."""
    return Event(when, lambda moment: moment.robot.off.update(topics))


def repeat(when: When, *topics: str) -> Event:
    """The driver hangs: the last picture comes again and again, with new stamps."""
    return Event(when, lambda moment: moment.robot.repeats.update(topics))


def restart(when: When) -> Event:
    """The control node is killed (SIGKILL) and started anew."""
    return Event(when, lambda moment: moment.restart())


def wish(when: When, linear: float = 0.0, angular: float = 0.0, **others: float) -> Event:
    """Another controller begins to want this; others: y, z (m/s), roll, pitch (rad/s)."""
    twist = Twist()
    twist.linear.x, twist.linear.y, twist.linear.z = linear, others.get("y", 0.0), others.get("z", 0.0)
    twist.angular.x, twist.angular.y, twist.angular.z = others.get("roll", 0.0), others.get("pitch", 0.0), angular
    return change(when, wish=twist)


def enters(when: When, *box: float) -> Event:
    """Something stands there from one moment to the next."""
    return Event(when, lambda moment: moment.robot.world.boxes.append(box))


def enters_ahead(when: When, metres: float, size: tuple[float, float, float] = (0.3, 0.5, 1.7)) -> Event:
    """Something stands so many metres ahead of base_link from one moment to the next, for who drives along x."""

    def do(moment: Moment) -> None:
        x, y, _ = moment.robot.pose
        box = (x + metres, y - 0.5 * size[1], 0.0, x + metres + size[0], y + 0.5 * size[1], size[2])
        moment.robot.world.boxes.append(box)

    return Event(when, do)


def leaves(when: When) -> Event:
    """What entered last is gone."""
    return Event(when, lambda moment: moment.robot.world.boxes.pop())


def walks_in(speed: float, x: float, y: float) -> tuple[Event, ...]:
    """Somebody comes from (x, y) across the way, at ``speed`` m/s, and stays on it."""
    steps, pause = int(abs(y) / (0.1 * speed)), 0.1

    def put(moment: Moment, at: float, first: bool) -> None:
        boxes = moment.robot.world.boxes
        if not first:
            boxes.pop()
        boxes.append((x - 0.15, at - 0.2, 0.0, x + 0.15, at + 0.2, 1.7))

    def step(i: int) -> Event:
        at = y * (1.0 - i / steps)
        return Event(driven(0.4) if i == 0 else after(pause), lambda moment: put(moment, at, i == 0))

    return tuple(step(i) for i in range(steps + 1))


#: Who publishes e_stop and enable, by name.
FLAG_QOS = {
    "best_effort": qos.sensor,
    "reliable": qos.reliable,
    "latched": qos.latched,
}


def flag(when: When, topic: str, value: bool) -> Event:
    """The publisher that :func:`offers` made says True or False on e_stop or enable, once."""

    def do(moment: Moment) -> None:
        moment.robot.flags[topic](value)

    return Event(when, do)


def offers(topic: str, profile: str) -> Callable[[Robot], None]:
    """The publisher is there before the node is, as a button's driver is, so that discovery takes no time later."""

    def before(robot: Robot) -> None:
        robot.flags[topic] = robot.flag(topic, FLAG_QOS[profile]())

    return before


# -- what depth becomes ----------------------------------------------------------------------------------------------


def nothing(depth: np.ndarray) -> np.ndarray:
    """No pixel is valid."""
    return np.full_like(depth, _NOT)


def zeros(depth: np.ndarray) -> np.ndarray:
    """Invalid pixels as some drivers have them, in 32FC1 too."""
    return np.zeros_like(depth)


def sparse(valid: float, seed: int = 0) -> Filter:
    """Only this share of the pixels is valid, others in each picture."""
    rng = np.random.default_rng(seed)
    return lambda depth: np.where(rng.random(depth.shape) < valid, depth, _NOT)


def nearer_than(metres: float) -> Filter:
    """A stereo camera's minimum range."""
    return lambda depth: np.where(depth < metres, _NOT, depth)


def farther_than(metres: float) -> Filter:
    """A weak projector."""
    return lambda depth: np.where(depth > metres, _NOT, depth)


def columns(first: float, last: float) -> Filter:
    """Shares of the width between which no pixel is valid: something black, or a wet lens."""

    def blind(depth: np.ndarray) -> np.ndarray:
        depth, width = depth.copy(), depth.shape[1]
        depth[:, int(first * width) : int(last * width)] = _NOT
        return depth

    return blind


def region(rows: tuple[float, float], cols: tuple[float, float]) -> Filter:
    """Shares of height and width between which no pixel is valid."""

    def blind(depth: np.ndarray) -> np.ndarray:
        depth, (h, w) = depth.copy(), depth.shape
        depth[int(rows[0] * h) : int(rows[1] * h), int(cols[0] * w) : int(cols[1] * w)] = _NOT
        return depth

    return blind


def noisy(share: float, seed: int = 0) -> Filter:
    """Gaussian noise of a share of the distance."""
    rng = np.random.default_rng(seed)
    return lambda depth: depth * (1.0 + share * rng.standard_normal(depth.shape, dtype=np.float32))


def flying(seed: int = 0) -> Filter:
    """Mixed pixels: at the edges of things, distances between what is before and behind."""
    rng = np.random.default_rng(seed)

    def mix(depth: np.ndarray) -> np.ndarray:
        neighbour = np.roll(depth, 1, axis=1)
        edge = np.abs(neighbour - depth) > 0.15
        edge[:, 0] = False
        share = rng.random(depth.shape, dtype=np.float32)
        return np.where(edge, share * depth + (1.0 - share) * neighbour, depth)

    return mix


def spots(count: int, seed: int = 0) -> Filter:
    """Reflections: spots without depth, elsewhere in each picture."""
    rng = np.random.default_rng(seed)

    def blind(depth: np.ndarray) -> np.ndarray:
        depth, (h, w) = depth.copy(), depth.shape
        for v, u in zip(rng.integers(0, h, count), rng.integers(0, w, count), strict=True):
            depth[max(v - h // 16, 0) : v + h // 16, max(u - w // 16, 0) : u + w // 16] = _NOT
        return depth

    return blind


def both(*filters: Filter) -> Filter:
    """One after the other."""

    def apply(depth: np.ndarray) -> np.ndarray:
        for one in filters:
            depth = one(depth)
        return depth

    return apply


def flipped(depth: np.ndarray) -> np.ndarray:
    """The picture of a camera that hangs upside down."""
    return np.ascontiguousarray(depth[::-1, ::-1])


class OfPlace:
    """Depth that is missing where a place (x0, y0, z0, x1, y1, z1) in the world is seen: it gives nothing back.

    It must know where the camera is: :meth:`on` puts it on a robot.
    """

    def __init__(self, *place: float) -> None:
        self.place = np.array(place)

    def on(self, robot: Robot) -> None:
        """The robot's camera gets it."""
        self.robot = robot
        robot.depth_fault = self

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        sensors = self.robot.sensors
        (width, height), focal = sensors.size, sensors.focal * sensors.size[0] / 160
        T = self.robot.T_world_base() @ sensors.mount
        u, v = np.meshgrid(np.arange(width), np.arange(height))
        rays = np.stack([(u - 0.5 * width + 0.5) / focal, (v - 0.5 * height + 0.5) / focal, np.ones_like(u)], axis=-1)
        points = (depth[..., None] * rays) @ T[:3, :3].T + T[:3, 3]
        with np.errstate(invalid="ignore"):
            inside = ((points >= self.place[:3]) & (points <= self.place[3:])).all(axis=-1)
        return np.where(inside, _NOT, depth)


# -- the rest --------------------------------------------------------------------------------------------------------


def no_calibration(info: CameraInfo) -> None:
    """What an uncalibrated driver sends."""
    info.k, info.p, info.r, info.d = [0.0] * 9, [0.0] * 12, [0.0] * 9, []


def mount(height: float = 0.85, pitch: float = 0.15, forward: float = 0.10) -> np.ndarray:
    """4x4, base_link from a camera that looks ahead."""
    return RobotProfile(camera_height=height, camera_pitch=pitch, camera_forward=forward).T_base_camera()


#: Half a turn about the optical axis.
UPSIDE_DOWN = np.diag([-1.0, -1.0, 1.0, 1.0])
