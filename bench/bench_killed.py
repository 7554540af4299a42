"""What nodes feel of a neighbour that is killed: Fast DDS over shared memory beside the shipped profile.

    python bench/bench_killed.py --seconds 90

One process publishes 320x240 images at 30 Hz; five listen and talk to each other; every 0.1 to 0.8 s one of these
that has heard something is killed (SIGKILL) and started again, while somebody else burns a core. Told are how long
publishing took at worst, how many of those started again heard nothing for 25 s, and how soon the others heard.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embodied_nav.bringup import local_environment
from embodied_nav.resources import share_path

_LISTENERS, _RATE, _PAUSE, _DEAF = 5, 30.0, (0.1, 0.8), 25.0
#: Name -> profile and discovery range. LOCALHOST, with the profile that this package had before, is what rmw_fastrtps
#: adds its own shared memory to.
WAYS = {
    "shared memory, LOCALHOST": ("fastdds_shared_memory", "LOCALHOST"),
    "shared memory": ("fastdds_shared_memory", "SYSTEM_DEFAULT"),
    "UDP (shipped)": ("fastdds", "SYSTEM_DEFAULT"),
}


def listen(file: Path) -> None:
    """A node that listens to images and talks to its like; writes its process id once it has heard one."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    rclpy.init()
    node = rclpy.create_node(f"listener_{os.getpid()}")
    heard: list[int] = []

    def take(_: Image) -> None:
        if not heard:
            file.write_text(str(os.getpid()))
        heard.append(1)

    node.create_subscription(Image, "image", take, qos_profile_sensor_data)
    node.create_subscription(String, "status", lambda _: None, 10)
    publisher = node.create_publisher(String, "status", 10)
    node.create_timer(0.1, lambda: publisher.publish(String(data="x" * 500)))
    rclpy.spin(node)


def publish(file: Path) -> None:
    """A node that publishes images; writes the longest time (s) that it took."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    rclpy.init()
    node = rclpy.create_node("publisher")
    node.create_subscription(String, "status", lambda _: None, 10)
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
    image, longest = Image(data=bytes(320 * 240 * 3), height=240, width=320, step=960), [0.0]

    def tick() -> None:
        begun = time.monotonic()
        publisher.publish(image)
        if time.monotonic() - begun > longest[0]:
            longest[0] = time.monotonic() - begun
            file.write_text(f"{longest[0]:.3f}")

    node.create_timer(1.0 / _RATE, tick)
    rclpy.spin(node)


@contextmanager
def processes() -> Iterator[list[subprocess.Popen]]:
    """A list whose processes are killed at the end."""
    running: list[subprocess.Popen] = []
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure(profile: str, reach: str, seconds: float, seed: int) -> str:
    """A line of what the nodes felt over so many seconds."""
    environment = local_environment()
    environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(share_path(f"config/{profile}.xml"))
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = reach
    draw, waits, kills, deaf = random.Random(seed), [], 0, 0
    with tempfile.TemporaryDirectory() as folder, processes() as running:

        def start(role: str, file: Path) -> subprocess.Popen:
            running.append(subprocess.Popen([sys.executable, "-P", __file__, "--as", role, str(file)], env=environment))
            return running[-1]

        start("publisher", Path(folder, "publisher"))
        running.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        files = [Path(folder, str(i)) for i in range(_LISTENERS)]
        started = [(start("listener", file), time.monotonic()) for file in files]
        done = [False] * _LISTENERS
        end, due = time.monotonic() + seconds, time.monotonic() + 5.0
        while (now := time.monotonic()) < end:
            time.sleep(0.02)
            for i, (process, since) in enumerate(started):
                heard = files[i].exists() and files[i].read_text() == str(process.pid)
                if not done[i] and (heard or now - since > _DEAF):
                    done[i], deaf = True, deaf + (not heard)
                    waits.append(now - since)
            if now > due and any(done):
                i = draw.choice([i for i in range(_LISTENERS) if done[i]])
                started[i][0].kill()
                started[i][0].wait()
                started[i], done[i], kills = (start("listener", files[i]), now), False, kills + 1
                due = now + draw.uniform(*_PAUSE)
        longest = float(Path(folder, "publisher").read_text())
    waits.sort()
    p50, p95 = waits[len(waits) // 2], waits[int(0.95 * len(waits))]
    return f"{kills:5d} killed, {deaf} deaf, heard after {p50:.1f} s (p95 {p95:.1f}), longest publish {longest:.2f} s"


def main() -> None:
    """Prints a line for each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=90.0, help="of each way (default: 90)")
    parser.add_argument("--as", nargs=2, dest="role", metavar=("ROLE", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        {"publisher": publish, "listener": listen}[args.role[0]](Path(args.role[1]))
        return
    for name, (profile, reach) in WAYS.items():
        print(f"{name:26s} {measure(profile, reach, args.seconds, seed=1)}", flush=True)


if __name__ == "__main__":
    main()
