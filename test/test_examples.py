"""The examples run as they stand, each by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Script -> its arguments (few simulated seconds), and what it must have printed.
EXAMPLES = {
    "1_build_a_memory": ([], ["24 frames, 640x480", "keyframes", "saved to"]),
    "2_query_a_memory": ([], ["score 1.00", "near the start: ", "? I know ", "I did not understand"]),
    "3_follow_a_goal": (["3"], ["m away", "look around", "running: time is over; not at the goal"]),
    "4_add_a_policy": (
        ["6"],
        ["policies: rules, frontier, random, compact, causal_lm, greedy", "success False", "explore"],
    ),
    "5_add_a_perception_back_end": ([], ["geometric, server, vlm, vivid", "remembered: ", " patch, seen in "]),
    "6_read_results": ([], ["| oracle | simulator | truth |", "oracle - random: success +", "worst of oracle: "]),
}


def test_there_are_no_others():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {*EXAMPLES, "apartment"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_from_any_folder(name, tmp_path):
    arguments, told = EXAMPLES[name]
    script = str(ROOT / "examples" / f"{name}.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    for text in told:
        assert text in done.stdout, done.stdout


def test_a_memory_that_one_example_writes_another_reads(tmp_path):
    from embodied_nav.memory import SpatialMemory

    script, file = str(ROOT / "examples" / "1_build_a_memory.py"), tmp_path / "memory.db"
    folder = tmp_path / "folder"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    subprocess.run([sys.executable, script], env=environment, check=True, capture_output=True, timeout=280)
    (made,) = folder.iterdir()
    again = subprocess.run(
        [sys.executable, script, str(made), str(file)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert again.returncode == 0, again.stderr
    memory, first = SpatialMemory.load(file), SpatialMemory.load(made / "memory.db")
    assert len(memory) == len(first) > 10_000 and len(memory.keyframes) > 5
