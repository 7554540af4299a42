"""A short run of bench/fuzz_inputs.py: mutated messages and files neither crash nor hang a reader, nor spoil a map."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
sys.path.append(str(BENCH))


def fuzz(tmp_path, *options: str) -> tuple[int, dict, str]:
    command = [sys.executable, str(BENCH / "fuzz_inputs.py"), "--out", str(tmp_path / "table.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert (tmp_path / "table.json").exists(), done.stderr
    return done.returncode, json.loads((tmp_path / "table.json").read_text())["rows"], done.stdout


@pytest.mark.ros
def test_messages(tmp_path):
    code, rows, told = fuzz(tmp_path, "--messages", "1500", "--files", "0", "--seconds", "25")
    assert code == 0, told
    assert sum(row["refused"] for row in rows.values()) > 200, told
    assert sum(row["accepted"] for row in rows.values()) > 200, told


def test_files(tmp_path):
    code, rows, told = fuzz(tmp_path, "--messages", "0", "--files", "20", "--seconds", "25")
    assert code == 0, told
    assert all(row["refused"] for name, row in rows.items() if row["accepted"] + row["refused"] > 15), told


def test_a_reader_that_crashes_hangs_or_takes_anything_is_found():
    """The judge itself, on readers made for it."""
    import fuzz_inputs
    import numpy as np

    from embodied_nav.errors import InputError

    def refuse(_):
        raise InputError("no such thing; give another")

    def crash(_):
        raise IndexError("list index out of range")

    def wrong(_):
        raise fuzz_inputs.Wrong("depth of -1 m")

    def die(rng):
        import faulthandler
        import os

        faulthandler.disable()  # no traceback of a death that is meant

        if rng.random() < 0.2:
            os.abort()

    rng = np.random.default_rng(0)
    outcomes = [fuzz_inputs.judge(read, rng)[0] for read in (lambda _: None, refuse, crash, wrong)]
    assert outcomes == ["accepted", "refused", "crashed", "wrong"]
    row = fuzz_inputs.run(fuzz_inputs.Target("dies", "files", lambda: die), 20, 0, float("inf"))
    assert row.counts["crashed"] > 0 and sum(row.counts.values()) == 20, "goes on behind what killed the process"


def test_a_hang_is_ended(monkeypatch):
    import signal

    import fuzz_inputs
    import numpy as np

    def hang(_):
        while True:
            pass

    monkeypatch.setattr(fuzz_inputs, "CPU_LIMIT", 0.2)
    before = signal.signal(signal.SIGVTALRM, fuzz_inputs._too_long)
    try:
        assert fuzz_inputs.judge(hang, np.random.default_rng(0))[0] == "hung"
    finally:
        signal.signal(signal.SIGVTALRM, before)
