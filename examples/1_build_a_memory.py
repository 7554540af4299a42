"""Builds a 3D memory from a folder with a recorded RGB-D sequence, and saves it.

    python examples/1_build_a_memory.py [FOLDER] [MEMORY_FILE]

Without a folder it writes one itself: some frames of a simulated apartment, as a 7-Scenes folder.
"""

import math
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from apartment import enter, look_around

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.recordings import open_recording
from embodied_nav.sim.embedded import SimulatorConfig


def write_folder(folder: Path) -> None:
    """A 7-Scenes folder: colour, depth in mm and pose of every frame, of a camera like theirs (585 px focal length)."""
    camera = SimulatorConfig(width=640, height=480, hfov=2 * math.atan(320 / 585))
    simulator, _ = enter(camera)
    for number, frame in enumerate(look_around(simulator)):
        name = f"{folder}/frame-{number:06d}"
        cv2.imwrite(f"{name}.color.png", frame.color[..., ::-1])
        cv2.imwrite(f"{name}.depth.png", np.nan_to_num(frame.depth * 1000).astype(np.uint16))
        np.savetxt(f"{name}.pose.txt", frame.T_map_camera)


scratch = Path(tempfile.mkdtemp(prefix="embodied_nav-"))
memory_file = Path(sys.argv[2]) if len(sys.argv) > 2 else scratch / "memory.db"

# 1. Open the recording: 7-Scenes, TUM, rosbag2 and more; which one it is, is found out.
if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
else:
    folder = scratch
    write_folder(folder)
recording = open_recording(folder)
print(f"{folder}: {len(recording)} frames, {recording.camera.width}x{recording.camera.height}")
if recording.poses is None:
    sys.exit(f"{recording.why_no_poses}; 'embodied-nav replay --slam own' finds poses")

# 2. An empty memory, and the gate that chooses which frames to keep as keyframes.
memory = SpatialMemory(MemoryConfig(voxel_size=0.05))
gate = KeyframeGate()

# 3. Every frame is fused; keyframes are kept, so that a later correction of their poses can move the map.
for index in range(len(recording)):
    recorded = recording.read(index)
    depth = recorded.depth
    if depth.dtype == np.uint16:  # mm, 0 where nothing was measured
        depth = np.where(depth > 0, depth * np.float32(0.001), np.float32(np.nan))
    frame = RGBDFrame(recorded.stamp, recording.camera, recorded.T_map_camera, recorded.color, depth)
    memory.integrate(frame)
    keyframe: Keyframe | None = gate.process(frame)
    if keyframe is not None:
        memory.add_keyframe(keyframe)

# 4. What is in it, and on the disk.
grid = memory.occupancy()
memory.save(memory_file)
print(f"{len(memory)} voxels, {len(memory.keyframes)} keyframes, {int((grid.data == 0).sum())} free cells of floor")
print(f"saved to {memory_file}; look into it: embodied-nav memory info {memory_file}")
