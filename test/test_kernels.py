"""Every kernel is compiled before it is needed: by the warm-ups of the layers, and by nothing that comes after them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

WARM_UP = """
import json, sys
from embodied_nav import kernels
for layer in kernels.LAYERS:
    kernels.import_all(layer)
for layer in kernels.LAYERS:
    kernels.warm_up(layer)
"""

#: What is left out where its callers were loaded from the cache is found by the names that these use.
REACHED = """
from numba.core.dispatcher import Dispatcher
every, reached = kernels.kernels(), set()
names = {id(kernel): name for name, kernel in every.items()}

def reach(kernel):
    name = names.get(id(kernel))
    if name in reached:
        return
    reached.add(name)
    function = kernel.py_func
    closure = [cell.cell_contents for cell in function.__closure__ or ()]
    for value in [*(function.__globals__.get(n) for n in function.__code__.co_names), *closure]:
        if isinstance(value, Dispatcher):
            reach(value)

for kernel in every.values():
    if kernel.overloads:
        reach(kernel)
print(json.dumps({"kernels": len(every), "left out": sorted(set(every) - reached)}))
"""

#: A memory's whole life: what no frame of the warm-up looks like, in rooms with things, corrected, joined, bounded.
LIFE = """
import tempfile
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
from box_rooms import camera_pose, render, two_rooms, walk
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.query.answering import Frustum, Query
from embodied_nav.memory.file.writer import MemoryWriter

ready, compiled = kernels.signatures(), []
kernels.watch(compiled.append)
frames = [render(two_rooms(), camera_pose(*p), (i + 1) * 200_000_000) for i, p in enumerate(walk(24))]

def remember(memory, frames, features=None):
    for i, frame in enumerate(frames):
        if i % 7 == 3:
            frame = replace(frame, color=None)
        frame.depth.setflags(write=i % 2 == 0)
        memory.integrate(frame, features)
        if i % 6 == 0:
            memory.add_keyframe(Keyframe(i // 6, frame, 1.0, 0, "test"))
            thing = ObjectObservation("box", "red", 0.9, frame.T_map_camera[:3, 3] + [1.0, 0.0, 0.0], np.full(3, 0.5))
            memory.add_delta(SemanticDelta(i // 6, i // 6 - 1, frame.stamp, "test", "", (thing,)))
        memory.objects(), memory.occupancy()

def ask(memory):
    low, high = np.zeros(3), np.ones(3)
    view = Frustum(frames[0].camera, frames[0].T_map_camera)
    for query in (Query("red box"), Query("what is near the box"), Query(box=(low, high)), Query(frustum=view)):
        memory.ask(query)
    memory.rooms(), memory.voxels(), memory.voxels((low, high)), memory.changed_blocks(), memory.graph()

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "memory.db")
    memory = SpatialMemory()
    writer = MemoryWriter(memory, path, 0.0)
    remember(memory, frames)
    ask(memory)
    for which in ([3], [0, 1, 2, 3]):
        poses = {{}}
        for i in which:
            poses[i] = memory.keyframes[i].T_map_camera.copy()
            poses[i][0, 3] += 0.1
        memory.move_keyframes(poses)
        ask(memory)
    first = memory.uuid
    memory.begin_map()
    remember(memory, frames[12:])
    writer.flush()
    memory.absorb(first, np.eye(4))
    ask(memory)
    writer.close()
    again = SpatialMemory.load(path)
    ask(again)
    SpatialMemory.recover(path, Path(folder, "new.db"))
    small = SpatialMemory(MemoryConfig(max_mb=0.15))
    for i, frame in enumerate(frames):
        T = frame.T_map_camera.copy()
        T[0, 3] += 200.0 * (i // 6 % 3)  # what is left behind goes to disk, and comes back
        small.integrate(replace(frame, stamp=i + 1, T_map_camera=T))
    ask(small)
    for pooling in ("mean", "max"):
        bound = 1.0 if pooling == "max" else 0.0
        rich = SpatialMemory(MemoryConfig(feature_dim=3, feature_pooling=pooling, max_mb=bound))
        remember(rich, frames, np.ones((4, 5, 3), np.float32))
        rich.search(np.ones(3), 5), rich.ask(Query(feature=np.ones(3))), rich.tokens(5)
        rich.move_keyframes({{0: rich.keyframes[0].T_map_camera}})
        rich.rebuild_from_keyframes({{}})
        rich.save(Path(folder, pooling + ".db"))
        SpatialMemory.load(Path(folder, pooling + ".db"))
print(json.dumps({{"compiled": compiled, "late": sorted(map(list, kernels.signatures() - ready))}}))
"""


def told(code: str) -> dict:
    """What a fresh process says: another test may have made kernels ready in this one."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(900)
def test_the_warm_ups_reach_every_kernel():
    found = told(WARM_UP + REACHED)
    assert found["left out"] == [], "call it in the warm_up.py of its layer"
    assert found["kernels"] > 150


@pytest.mark.timeout(900)
def test_nothing_is_compiled_or_loaded_once_the_memory_is_warm():
    found = told(WARM_UP + LIFE.format(tests=str(ROOT / "test" / "memory")))
    assert found == {"compiled": [], "late": []}


def test_a_kernel_that_is_compiled_is_told_of():
    from numba import njit

    from embodied_nav import kernels

    def double(x):
        return 2 * x

    def of_another():
        return 1

    double.__module__ = "embodied_nav.somewhere"
    heard = []
    with kernels.watched(heard.append):
        kernel = njit(double)
        assert kernel(2) == 4 and kernel(3) == 6
        assert kernel(2.5) == 5.0
        assert njit(of_another)() == 1
    assert kernel(1j) == 2j
    assert [name.partition("(")[0].rpartition(".")[2] for name in heard] == ["double", "double"]
