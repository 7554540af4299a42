"""What the live page costs: a share of a core at five updates a second, with a million voxels and a visitor.

    python bench/bench_view.py [--voxels N] [--seconds S]

A building of N voxels is shown; once it has been sent, what changes while a robot drives is fed five times a second:
pose, plan, a picture with boxes, 60 objects of which one moved, some 2,000 voxels of the blocks in front of the camera,
every second the health of seven nodes, every third a decision. The visitor is a websocket that takes everything in, in
a process of its own. CPU of the page's process, all threads; bytes as the visitor gets them. Then the recorded page.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from embodied_nav.frames import Decision, MemoryObject, ObjectObservation, Option
from embodied_nav.view import EpisodeRecord, Health, LivePage, Moment, PageConfig, Wishes, write_page

#: Voxels a square metre of floor, walls and furniture included, as the apartments have them.
_DENSITY = 1500
#: Share of a core that is asked for.
_MOST = 0.05


def building(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) m and (N, 3) uint8: voxels on a grid of 5 cm over a square building."""
    random, side = np.random.default_rng(1), (count / _DENSITY) ** 0.5
    cells = np.unique(random.integers(0, [int(side * 20), int(side * 20), 50], (int(1.1 * count), 3)), axis=0)[:count]
    positions = ((cells + 0.5) * 0.05).astype(np.float32)
    return positions, random.integers(0, 255, (len(positions), 3)).astype(np.uint8)


def objects(n: int) -> list[MemoryObject]:
    """60 objects, of which one has moved."""
    size = np.full(3, 0.5)
    return [
        MemoryObject(i, "chair", "red", np.array([i % 8 * 2.0, i // 8 * 2.0, 0.3 + 0.01 * (n % 9) * (i == n % 60)]),
                     size, 1.0, 50, 1, 1, 0)
        for i in range(60)
    ]  # fmt: skip


def decision(n: int) -> Decision:
    """One of seven options."""
    options = tuple(
        Option("ABCDEFG"[i], "frontier", (float(i), n % 5), 2.0, 0.1, f"explore: {i} m, left") for i in range(7)
    )
    return Decision(n, n, options, n % 7, "The red sofa is not found yet. Most unknown floor for the way.", "", "rules")


def place(n: int) -> np.ndarray:
    """4x4, where the robot is."""
    T = np.eye(4)
    T[:2, 3] = 2 + 0.1 * (n % 100), 2 + 0.05 * (n % 60)
    return T


def changes(positions: np.ndarray, colors: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each update the voxels of the blocks in front of the camera, in colours a little different."""
    out = []
    for n in range(count):
        near = np.flatnonzero(np.abs(positions[:, :2] - place(n)[:2, 3]).max(axis=1) < 0.6)[:2000]
        out.append((positions[near], ((colors[near].astype(int) + n) % 255).astype(np.uint8)))
    return out


def feed(page: LivePage, n: int, changed: tuple[np.ndarray, np.ndarray]) -> None:
    """What changes in a fifth of a second."""
    T = place(n)
    page.robot(T)
    page.sight(T)
    page.plan(np.cumsum(np.full((40, 2), 0.1), axis=0) + T[:2, 3])
    box = ObjectObservation("chair", "red", 0.9, np.zeros(3), np.ones(3), (50, 60, 120, 160))
    image = np.tile(np.arange(320, dtype=np.uint8)[None, :, None], (240, 1, 3)) + np.uint8(n % 50)
    page.picture(image, (box,) * 6)
    page.objects(objects(n))
    page.changed_map(*changed)
    if n % 15 == 0:
        page.decision(decision(n))
    if n % 5 == 0:
        page.goal("find the red sofa", f"on the way: {n / 10:.1f} m driven")
        page.health([Health(f"node {i}", 0, "ok", {"fusion": 3.0 + n % 7, "map": 1.0}, 0.1) for i in range(7)])


def visit(port: int, version: str, received, over) -> None:
    """A visitor: says where its camera is, takes everything in."""
    import msgspec
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{version}"], max_size=None) as page:
        camera = {
            "type": "ViewerCameraMessage", "wxyz": [1, 0, 0, 0], "position": [0, 0, 9], "fov": 0.8, "near": 0.1,
            "far": 100.0, "image_height": 800, "image_width": 1000, "look_at": [0, 0, 0], "up_direction": [0, 0, 1],
        }  # fmt: skip
        page.send(msgspec.msgpack.encode(camera))
        while not over.is_set():
            try:
                data = page.recv(timeout=0.5)
            except TimeoutError:
                continue
            received.value += len(data)


def recorded(positions: np.ndarray, colors: np.ndarray) -> tuple[float, float]:
    """CPU s and MB of a recorded page of this building, 200 keyframes."""
    import cv2

    picture = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8))[1].tobytes()
    moments = tuple(Moment(i * 10**9, np.eye(4), picture) for i in range(200))
    births = (np.arange(len(positions)) * 200 // len(positions)).astype(np.int32)
    record = EpisodeRecord(
        "a building", "", 0.05, positions, colors, np.zeros(len(positions), np.int32), births, ("",),
        ((128, 128, 128),), moments, None, (), (), (), None, 0, 199 * 10**9,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        size = write_page(Path(folder, "view.html"), record)
        return time.process_time() - began, size / 1e6


def main() -> None:
    """Prints one line for each number."""
    import viser

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    positions, colors = building(args.voxels)
    page = LivePage(PageConfig(port=0), Wishes())
    began = time.process_time()
    page.whole_map(positions, colors)
    print(f"{len(positions):,} voxels into chunks: {time.process_time() - began:.2f} CPU s")
    context = multiprocessing.get_context("spawn")
    received, over = context.Value("q", 0), context.Event()
    visitor = context.Process(target=visit, args=(page.port, viser.__version__, received, over), daemon=True)
    visitor.start()
    while not page.visitors:
        time.sleep(0.05)
    began, wall, calls = time.process_time(), time.monotonic(), 0
    while page._cloud.waiting or not calls:
        page.update()
        calls += 1
        time.sleep(0.2)
    cost = time.process_time() - began
    print(f"sent whole to a visitor: {cost:.2f} CPU s in {calls} updates, {time.monotonic() - wall:.1f} s")
    time.sleep(2.0)
    changed = changes(positions, colors, 100)
    bytes_before, n, sent = received.value, 0, 0.0
    began, wall = time.process_time(), time.monotonic()
    while time.monotonic() - wall < args.seconds:
        at = time.thread_time()
        feed(page, n, changed[n % len(changed)])
        page.update()
        sent += time.thread_time() - at
        n += 1
        time.sleep(max(0.0, wall + 0.2 * n - time.monotonic()))
    seconds = time.monotonic() - wall
    used = time.process_time() - began
    print(
        f"driving: {n / seconds:.1f} updates/s, {100 * used / seconds:.1f}% of a core (asked for: {100 * _MOST:.0f}%), "
        f"{1e3 * sent / n:.1f} ms an update in its thread, {(received.value - bytes_before) / seconds / 1e6:.2f} MB/s"
    )
    over.set()
    visitor.join(5)
    page.close()
    cost, size = recorded(positions, colors)
    print(f"recorded page: {cost:.2f} CPU s, {size:.1f} MB (asked for: below 10)")


if __name__ == "__main__":
    main()
