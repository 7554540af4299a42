"""The script behind `make gpu-check`: what it says without a GPU, and what it makes of tests with one."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def check():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torch_stub(there: bool, cuda: str | None):
    """A torch that sees a GPU, or none."""
    about = types.SimpleNamespace(name="Orin", total_memory=8 << 30)
    found = types.ModuleType("torch")
    found.__spec__ = importlib.util.spec_from_loader("torch", None)
    found.__version__, found.version = "2.9", types.SimpleNamespace(cuda=cuda)
    found.cuda = types.SimpleNamespace(is_available=lambda: there, get_device_properties=lambda _: about)
    return found


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        (None, "torch is not installed; make setup EXTRAS="),
        (torch_stub(False, None), "torch 2.9 (built without CUDA) sees no GPU on this machine"),
        (torch_stub(False, "13.0"), "torch 2.9 (built for CUDA 13.0) sees no GPU on this machine"),
    ],
)
def test_without_a_gpu_one_line_says_so(check, monkeypatch, capsys, torch, said):
    if torch is None:
        monkeypatch.setattr(check.importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setitem(sys.modules, "torch", torch)
    assert check.main([]) == 0 and check.main(["--require"]) == check.NO_GPU
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert lines[0].startswith("gpu-check: NOT run, nothing was checked: ") and said in lines[0]


def write_tests(folder: Path, text: str) -> tuple[str]:
    """A folder of tests marked gpu, without this project's skipping."""
    (folder / "test_it.py").write_text(f"import pytest, time\npytestmark = pytest.mark.gpu\n{text}")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    return ("-c", str(folder / "pytest.ini"), str(folder))


def test_outcomes_are_told_and_written(check, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", torch_stub(True, "13.0"))
    where = write_tests(
        tmp_path,
        "def test_a(): pass\ndef test_b(): assert 1 == 2\ndef test_c(): pytest.skip('no bitsandbytes')\n",
    )
    real = check.run_tests
    monkeypatch.setattr(check, "run_tests", lambda: real(where=where))
    assert check.main(["--out", str(tmp_path / "runs" / "gpu.json")]) == 1
    found = json.loads((tmp_path / "runs" / "gpu.json").read_text())
    assert found["device"] == "Orin, 8 GiB, CUDA 13.0"
    kinds = {name.rpartition("::")[2]: outcome for name, outcome in found["tests"].items()}
    assert kinds["test_a"] == "passed" and kinds["test_b"].startswith("failed")
    assert kinds["test_c"] == "skipped (no bitsandbytes)"
    assert "1 passed, 1 failed, 1 skipped" in capsys.readouterr().out


def test_time_that_runs_out_and_nothing_that_ran_are_failures(check, tmp_path, capsys):
    assert check.run_tests(5.0, write_tests(tmp_path, "def test_a(): time.sleep(60)\n")) == (1, {})
    assert "not through after 5 s" in capsys.readouterr().err
    code, tests = check.run_tests(60.0, write_tests(tmp_path, "def test_a(): pytest.skip('no GPU')\n"))
    assert code == 1 and list(tests.values()) == ["skipped (no GPU)"]
    assert check.run_tests(60.0, write_tests(tmp_path, "def test_a(): pass\n"))[0] == 0


def test_six_minutes_are_six_minutes_and_all_marked_tests_are_in(check):
    assert check.LIMIT < 360
    names = {Path(file).name for file in check.marked()}
    assert {"test_devices.py", "test_vlm.py", "test_transformers_detector.py"} <= names
