"""What a detector finds in the recorded kitchen, frame by frame, and what the memory makes of it over the views.

    python bench/score_detector.py DETECTOR.onnx [FOLDER] [--threshold 0.3] [--interval 0.5] [--picture objects.png]
    python bench/score_detector.py COMPACT.onnx [FOLDER] --compact

The things that are there, with their places in the map, were listed by looking at the frames. A detection or an object
is of a thing if its label is one of the thing's and its centre is near. Raw: every frame's detections, each lifted into
3D by itself. Memory: the objects with enough evidence, from keyframes as ``embodied-nav replay`` takes them.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from recorded import add_folder, are_there, recorded_frames

from embodied_nav.frames import Keyframe, MemoryObject, ObjectObservation, RGBDFrame
from embodied_nav.geometry import invert
from embodied_nav.keyframes import KeyframeConfig, KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import PerceptionBackend
from embodied_nav.perception.compact import CompactPerception, CompactPerceptionConfig
from embodied_nav.perception.detector import DetectorConfig, DetectorPerception


@dataclass(frozen=True)
class Thing:
    """A thing that is there: what a detector may call it, its centre in the map and how near that counts (m)."""

    name: str
    labels: tuple[str, ...]
    position: tuple[float, float, float]
    radius: float

    def is_shown_by(self, o: ObjectObservation | MemoryObject) -> bool:
        """Whether a detection or an object is of this thing."""
        return o.label in self.labels and float(np.linalg.norm(o.position - np.array(self.position))) <= self.radius


_CHAIR, _SCREEN, _PAPER = ("chair",), ("tv", "monitor", "screen"), ("book", "magazine", "newspaper", "paper")
THINGS = (
    Thing("table", ("dining table", "table", "desk"), (0.1, 0.1, 1.85), 1.0),
    Thing("chair at the table's left end", _CHAIR, (-1.11, 0.2, 1.95), 0.5),
    Thing("chair behind the table", _CHAIR, (-0.47, -0.28, 2.27), 0.4),
    Thing("second chair behind the table", _CHAIR, (0.58, -0.3, 2.33), 0.4),
    Thing("chair at the table's right end", _CHAIR, (1.32, -0.02, 1.9), 0.5),
    Thing("chair before the table", _CHAIR, (-0.34, 0.26, 1.15), 0.5),
    Thing("white mug", ("cup", "mug"), (-0.73, -0.15, 1.94), 0.2),
    Thing("mug with a pattern", ("cup", "mug"), (0.27, -0.07, 1.78), 0.2),
    Thing("left wall screen", _SCREEN, (0.45, -1.4, 3.0), 0.5),
    Thing("right wall screen", _SCREEN, (1.4, -1.38, 3.0), 0.5),
    Thing("sink", ("sink",), (-0.98, -0.96, 3.07), 0.4),
    Thing("magazines", _PAPER, (-0.5, -0.06, 1.88), 0.25),
    Thing("purple magazine", _PAPER, (-0.17, 0.05, 1.67), 0.2),
)


def raw(folder: Path, backend: PerceptionBackend) -> list[list[ObjectObservation]]:
    """Every frame's detections in 3D."""
    return [
        list(backend.perceive(None, Keyframe(k, frame, 0.0, 0, "first"), "").objects)
        for k, frame in enumerate(recorded_frames(folder))
    ]


def remembered(folder: Path, backend: PerceptionBackend, interval: float) -> tuple[SpatialMemory, float]:
    """The memory after the recording, and CPU ms of perception a keyframe."""
    memory, gate = SpatialMemory(), KeyframeGate(KeyframeConfig(max_interval=interval))
    previous, seconds = None, 0.0
    for frame in recorded_frames(folder):
        memory.integrate(frame)
        keyframe = gate.process(frame)
        if keyframe is not None:
            started = time.process_time()
            delta = backend.perceive(previous, keyframe, "")
            seconds += time.process_time() - started
            memory.add_keyframe(keyframe)
            memory.add_delta(delta)
            previous = keyframe
    return memory, 1000.0 * seconds / max(len(memory.keyframes), 1)


def table(every: list[list[ObjectObservation]], objects: tuple[MemoryObject, ...]) -> str:
    """One line a thing, then what is of no thing."""
    lines = [
        "| thing | raw: frames with it | raw: detections | memory: objects | seen in keyframes |",
        "|---|---|---|---|---|",
    ]
    for thing in THINGS:
        shown = [sum(thing.is_shown_by(o) for o in view) for view in every]
        own = [o for o in objects if thing.is_shown_by(o)]
        seen = ", ".join(str(o.confirmed) for o in own)
        lines.append(f"| {thing.name} | {sum(n > 0 for n in shown)} | {sum(shown)} | {len(own)} | {seen} |")
    wrong = Counter(o.label for view in every for o in view if not any(t.is_shown_by(o) for t in THINGS))
    phantoms = [o for o in objects if not any(t.is_shown_by(o) for t in THINGS)]
    named = ", ".join(f"{label} {n}" for label, n in wrong.most_common())
    lines.append(f"| of no thing | | {sum(wrong.values())} ({named}) | {len(phantoms)} | {phantom_words(phantoms)} |")
    return "\n".join(lines)


def phantom_words(phantoms: list[MemoryObject]) -> str:
    """Names and sightings of objects that are of no thing."""
    return ", ".join(f"{o.name} {o.confirmed}" for o in phantoms)


def draw(path: Path, folder: Path, objects: tuple[MemoryObject, ...], views: int = 6) -> None:
    """Writes frames from all over the recording with the boxes of the objects."""
    import cv2

    every = list(recorded_frames(folder))
    drawn = []
    for frame in every[:: max(1, len(every) // views)][:views]:
        image = np.ascontiguousarray(np.asarray(frame.color)[..., ::-1])
        for k, o in enumerate(objects):
            color = [int(c) for c in cv2.applyColorMap(np.uint8([[k * 255 // max(len(objects), 1)]]), 2)[0, 0]]
            _draw_box(image, frame, o, color)
        drawn.append(cv2.resize(image, (480, 360), interpolation=cv2.INTER_AREA))
    rows = [np.hstack(drawn[k : k + 3]) for k in range(0, len(drawn) - len(drawn) % 3, 3)]
    cv2.imwrite(str(path), np.vstack(rows))


def _draw_box(image: np.ndarray, frame: RGBDFrame, o: MemoryObject, color: list[int]) -> None:
    import cv2

    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    R = invert(frame.T_map_camera)
    corners = (o.position + signs * o.extent / 2) @ R[:3, :3].T + R[:3, 3]
    if corners[:, 2].min() < 0.2:
        return
    c = frame.camera
    uv = np.stack([corners[:, 0] / corners[:, 2] * c.fx + c.cx, corners[:, 1] / corners[:, 2] * c.fy + c.cy], axis=1)
    pixels = uv.round().astype(int)
    for a in range(8):
        for b in range(a + 1, 8):
            if (signs[a] != signs[b]).sum() == 1:
                cv2.line(image, tuple(map(int, pixels[a])), tuple(map(int, pixels[b])), color, 2)
    at = tuple(map(int, (pixels.min(axis=0) + pixels.max(axis=0)) // 2))
    cv2.putText(image, f"{o.name} ({o.confirmed})", at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", help="ONNX file")
    add_folder(parser)
    parser.add_argument("--compact", action="store_true", help="the file holds weights of perception 'compact'")
    parser.add_argument("--threshold", type=float, default=DetectorConfig().threshold)
    parser.add_argument("--interval", type=float, default=0.5, help="longest time between keyframes [s]")
    parser.add_argument("--picture", type=Path, help="file for a picture of the objects in some frames")
    args = parser.parse_args()
    if not are_there(args.folder):
        return
    backend: PerceptionBackend
    if args.compact:
        backend = CompactPerception(CompactPerceptionConfig(weights=args.detector))
    else:
        backend = DetectorPerception(DetectorConfig(file=args.detector, threshold=args.threshold))
    memory, ms = remembered(args.folder, backend, args.interval)
    objects = memory.evident_objects()
    print(table(raw(args.folder, backend), objects))
    print(f"{len(memory.keyframes)} keyframes, {ms:.0f} CPU ms of perception a keyframe, {len(objects)} objects")
    if args.picture:
        draw(args.picture, args.folder, objects)


if __name__ == "__main__":
    main()
