"""Runs the tests that need a GPU, in six minutes at most, and says plainly where there is none.

`python scripts/gpu_check.py [--require] [--out FILE]`: exit code 0 where all passed or there is no GPU (3 for that with
--require), 1 where one failed or time ran out. FILE gets the device, the versions and each test's outcome as JSON.
Knows nothing of what the tests do: they are those marked `gpu`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
#: Longest time (s) of all tests together.
LIMIT = 345.0
EXTRAS = "vlm encoder causal_lm train"
LIBRARIES = ("torch", "transformers", "accelerate", "bitsandbytes", "trl", "peft", "onnxruntime-gpu", "onnxruntime")
NO_GPU = 3


def main(arguments: list[str] | None = None) -> int:
    """Looks for a GPU and runs the tests on it."""
    parser = argparse.ArgumentParser(description="Runs what needs a GPU, in six minutes at most.")
    parser.add_argument("--require", action="store_true", help=f"exit code {NO_GPU} where there is no GPU")
    parser.add_argument("--out", metavar="FILE", help="where the outcome is written as JSON")
    args = parser.parse_args(arguments)
    why = no_gpu()
    if why:
        print(f"gpu-check: NOT run, nothing was checked: {why}")
        return NO_GPU if args.require else 0
    device, found = device_name(), versions()
    print(f"gpu-check: {device}; " + ", ".join(f"{name} {version}" for name, version in found.items()), flush=True)
    lacking = [name for name in LIBRARIES[:6] if name not in found]
    if lacking:
        print(f"gpu-check: {', '.join(lacking)} not installed, their tests are skipped; make setup EXTRAS='{EXTRAS}'")
    begun = time.monotonic()
    code, tests = run_tests()
    outcome = {"device": device, "versions": found, "seconds": round(time.monotonic() - begun, 1), "tests": tests}
    if args.out:
        path = Path(args.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    print(f"gpu-check: {summary(tests)} in {outcome['seconds']:.0f} s" + (f"; {args.out}" if args.out else ""))
    return code


def no_gpu() -> str:
    """Why nothing can run on a GPU here; "" where something can."""
    if importlib.util.find_spec("torch") is None:
        return f"torch is not installed; make setup EXTRAS='{EXTRAS}'"
    import torch

    if torch.cuda.is_available():
        return ""
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f"torch {torch.__version__} ({built}) sees no GPU on this machine"


def device_name() -> str:
    """The GPU, its memory and the CUDA that torch was built for."""
    import torch

    about = torch.cuda.get_device_properties(0)
    return f"{about.name}, {about.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def versions() -> dict[str, str]:
    """Versions of what is installed of the libraries that take part."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def marked() -> tuple[str, ...]:
    """The files that hold a test marked `gpu`: collecting all tests would take a minute."""
    files = sorted((ROOT / "test").rglob("test_*.py"))
    return tuple(str(file) for file in files if "pytest.mark.gpu" in file.read_text(encoding="utf-8"))


def run_tests(limit: float = LIMIT, where: tuple[str, ...] = ()) -> tuple[int, dict[str, str]]:
    """Exit code, and the outcome of each test: passed, failed or skipped (why). At the limit all is ended.

    where: arguments that tell pytest what to run; empty: all that are marked.
    """
    where = where or marked()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=0", f"--junit-xml={report}", *where]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **threads}, start_new_session=True)
        try:
            code = running.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # with what the tests have started
            running.wait()
            print(f"gpu-check: not through after {limit:.0f} s: ended", file=sys.stderr)
            return 1, {}
        tests = outcomes(report) if report.is_file() else {}
    if "passed" not in tests.values() and code == 0:
        print("gpu-check: no test ran; see above why they were skipped", file=sys.stderr)
        return 1, tests
    return (1 if code else 0), tests


def outcomes(report: Path) -> dict[str, str]:
    """The outcome of each test in a report of JUnit's form."""
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        wrong = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if wrong:
            found[name] = f"failed ({(wrong[0].get('message') or '').splitlines()[:1]})"
        else:
            found[name] = "passed" if skipped is None else f"skipped ({skipped.get('message')})"
    return found


def summary(tests: dict[str, str]) -> str:
    """How many of each outcome."""
    kinds = [outcome.partition(" ")[0] for outcome in tests.values()]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("passed", "failed", "skipped"))


if __name__ == "__main__":
    sys.exit(main())
