"""The set-up script: what it does again and what it leaves alone, and what it says when something is missing."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "set_up.py"


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    """The script as a module that works on a small tree; ``set_up.calls`` lists the steps that ran."""
    spec = importlib.util.spec_from_file_location("set_up", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = tmp_path / "checkout"
    for name in ("msg/A.msg", "srv/B.srv", "action/C.action", "compat/tf2_msgs/package.xml", *module.BUILD_FILES,
                 "scripts/requirements-ros.txt", "scripts/set_up.py"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "setup.py").write_text(
        "install_requires = ['numpy>=1.26']\nextras_require = {'dev': ['pytest'], 'slam': [], 'bags': [], 'vlm': []}\n"
    )
    venv = root / ".venv"
    for name, value in (("ROOT", root), ("VENV", venv), ("PYTHON", venv / "bin/python"), ("STAMP", venv / "stamp.json"),
                        ("BUSY", venv / "busy"), ("LOG", root / "log/set_up.log")):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("EXTRAS", raising=False)
    module.calls = []

    def make_environment(python):
        module.calls.append("environment")
        for folder in ("lib/python3.11/site-packages/pip", "bin", "share/tf2_msgs"):
            (venv / folder).mkdir(parents=True, exist_ok=True)
        (venv / "bin/python").touch()
        (venv / "pyvenv.cfg").touch()
        module.BUSY.unlink(missing_ok=True)

    monkeypatch.setattr(module, "make_environment", make_environment)
    monkeypatch.setattr(module, "find_python", lambda: (3, 11, sys.executable))
    monkeypatch.setattr(module, "check_tools", lambda: None)
    monkeypatch.setattr(module, "install_packages", lambda libraries: module.calls.append("packages"))
    monkeypatch.setattr(module, "build", lambda before: module.calls.append("build"))
    monkeypatch.setattr(module, "install_command", lambda: module.calls.append("command"))
    return module


def steps(module) -> list[str]:
    """The steps of one more run."""
    module.calls.clear()
    assert module.main() == 0
    return list(module.calls)


def test_second_run_does_nothing(set_up, capsys):
    assert steps(set_up) == ["environment", "packages", "build", "command"]
    capsys.readouterr()
    assert steps(set_up) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["msg/A.msg", "action/C.action", "package.xml", "CMakeLists.txt", "scripts/node.in"])
def test_changed_interface_is_built_again(set_up, name):
    steps(set_up)
    (set_up.ROOT / name).write_text("changed")
    assert steps(set_up) == ["build", "command"]


def test_changed_source_needs_nothing(set_up):
    steps(set_up)
    (set_up.ROOT / "embodied_nav" / "agent.py").write_text("changed")
    assert steps(set_up) == []


def test_removed_interface_is_forgotten(set_up):
    steps(set_up)
    stale = set_up.VENV / "lib/python3.11/site-packages/embodied_nav/msg/_a.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (set_up.ROOT / "msg/A.msg").rename(set_up.ROOT / "msg/D.msg")
    assert steps(set_up) == ["build", "command"]
    assert not stale.exists()


def test_changed_requirement_is_installed(set_up):
    steps(set_up)
    (set_up.ROOT / "scripts/requirements-ros.txt").write_text("changed")
    assert steps(set_up) == ["packages", "command"]


def test_extras_stay(set_up, monkeypatch):
    steps(set_up)
    monkeypatch.setenv("EXTRAS", "vlm")
    set_up.ROOT.joinpath("setup.py").write_text(
        "install_requires = []\nextras_require = {'dev': [], 'slam': [], 'bags': [], 'vlm': ['torch']}\n"
    )
    assert "packages" in steps(set_up)
    monkeypatch.delenv("EXTRAS")
    assert steps(set_up) == []
    assert json.loads(set_up.STAMP.read_text())["extras"] == ["bags", "dev", "slam", "vlm"]


def test_unknown_extra_is_one_line(set_up, monkeypatch, capsys):
    monkeypatch.setenv("EXTRAS", "slma")
    assert set_up.main() == 1
    assert capsys.readouterr().err == "embodied-nav: error: EXTRAS: no extra 'slma'; there are: dev, slam, bags, vlm\n"


@pytest.mark.parametrize("how", ["busy", "no python", "moved", "half a stamp"])
def test_broken_environment_is_mended(set_up, how):
    steps(set_up)
    if how == "busy":
        set_up.BUSY.touch()
    elif how == "no python":
        set_up.PYTHON.unlink()
    elif how == "moved":
        set_up.STAMP.write_text(json.dumps({**json.loads(set_up.STAMP.read_text()), "folder": "/elsewhere"}))
    else:
        set_up.STAMP.write_text('{"folder": ')
    rerun = steps(set_up)
    assert rerun[-3:] == ["packages", "build", "command"]
    assert ("environment" in rerun) == (how != "half a stamp")
    assert steps(set_up) == []


def test_failed_build_goes_on_with_the_build(set_up, monkeypatch, capsys):
    def fail(before):
        raise set_up.SetUpError("colcon failed")

    working = set_up.build
    monkeypatch.setattr(set_up, "build", fail)
    assert set_up.main() == 1
    assert "colcon failed" in capsys.readouterr().err
    monkeypatch.setattr(set_up, "build", working)
    assert steps(set_up) == ["build", "command"]


def test_interrupt_is_no_traceback(set_up, monkeypatch, capsys):
    def interrupt(libraries):
        raise KeyboardInterrupt

    monkeypatch.setattr(set_up, "install_packages", interrupt)
    assert set_up.main() == 130
    assert "Traceback" not in capsys.readouterr().err


def test_failing_command_shows_the_end_of_its_output(set_up, capsys):
    set_up.LOG.parent.mkdir()
    with pytest.raises(set_up.SetUpError, match=r"failed \(3\).*try again"):
        set_up.run([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], on_error="try again")
    assert "  | the reason" in capsys.readouterr().err


def test_cmake_files_of_the_wheels_name_this_python(set_up, monkeypatch):
    monkeypatch.setattr(set_up, "output", lambda command: "/home/me/include/python3.12\n/home/me/numpy/_core/include\n")
    folder = set_up.VENV / "share" / "std_msgs" / "cmake"
    folder.mkdir(parents=True)
    baked = "/opt/python/cp312-cp312"
    numpy_include = f"{baked}/lib/python3.12/site-packages/numpy/_core/include"
    (folder / "export.cmake").write_text(f'INTERFACE "{baked}/include/python3.12;{numpy_include}"\n')
    set_up.mend_cmake_paths()
    mended = 'INTERFACE "/home/me/include/python3.12;/home/me/numpy/_core/include"\n'
    assert (folder / "export.cmake").read_text() == mended


@pytest.fixture
def finder(tmp_path, monkeypatch):
    """The script's find_python() on a PATH that holds nothing but the given fake interpreters."""
    spec = importlib.util.spec_from_file_location("set_up_finder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "nothing"))

    def add(name: str, line: str = "", code: int = 0) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\nexit {code}\n")
        (tmp_path / name).chmod(0o755)

    yield module, add
    monkeypatch.undo()


def test_python_that_fits_is_found(finder):
    module, add = finder
    add("python3", "3|13|/usr/bin/python3.13|")
    assert module.find_python() == (3, 13, "/usr/bin/python3.13")
    add("python3.11", "3|11|/usr/bin/python3.11|")
    assert module.find_python() == (3, 11, "/usr/bin/python3.11")
    add("python3.12", "pyenv: python3.12: command not found", 127)
    assert module.find_python() == (3, 11, "/usr/bin/python3.11")


def test_preferred_python_comes_first(finder, monkeypatch):
    module, add = finder
    add("python3.12", "3|12|/usr/bin/python3.12|")
    add("mine", "3|13|/opt/mine|")
    monkeypatch.setenv("PYTHON", "mine")
    assert module.find_python() == (3, 13, "/opt/mine")


def test_no_python_that_fits_says_what_to_install(finder):
    module, add = finder
    add("python3", "3|9|/usr/bin/python3|")
    add("python3.12", "3|12|/usr/bin/python3.12|ensurepip,Python.h")
    with pytest.raises(module.SetUpError) as error:
        module.find_python()
    message = str(error.value)
    for part in (
        "python3 is 3.9",
        "python3.12 lacks ensurepip,Python.h",
        "python3.12-dev",
        "apt install",
        "dnf",
        "brew",
    ):
        assert part in message


def test_missing_tools_are_all_named(finder, monkeypatch):
    module, add = finder
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(module.SetUpError, match=r"a C\+\+ compiler and cmake and make not found"):
        module.check_tools()
    for tool in ("g++", "cmake", "make"):
        add(tool)
    module.check_tools()


def test_only_one_set_up_at_a_time(set_up):
    other = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, os, time; fcntl.flock(os.open({str(set_up.ROOT)!r}, 0), fcntl.LOCK_EX);"
         "print('locked', flush=True); time.sleep(0.6)"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert other.stdout.readline() == b"locked\n"
    start = time.monotonic()
    with set_up.locked():
        assert time.monotonic() - start > 0.3
    assert other.wait(timeout=10) == 0
    assert os.access(set_up.ROOT, os.W_OK)


def test_kernels_are_compiled_once_and_again_when_their_files_are_gone(set_up, monkeypatch, tmp_path, capsys):
    source = set_up.ROOT / "embodied_nav" / "kernel.py"
    source.write_text("@njit")
    index = set_up.ROOT / "embodied_nav" / "__pycache__" / "kernel.f-1.py311.nbi"
    failing = []

    def call(command, **options):
        set_up.calls.append(command[-1])
        index.parent.mkdir(exist_ok=True)
        index.touch()
        return 1 if failing else 0

    monkeypatch.setattr(set_up.subprocess, "call", call)
    assert steps(set_up)[-1] == "warm-up"
    assert steps(set_up) == []
    index.unlink()
    assert steps(set_up) == ["warm-up"]
    os.utime(source, (1, 1))
    failing.append(True)
    set_up.calls.clear()
    assert set_up.main() == 1
    assert "run it again to go on" in capsys.readouterr().err
    failing.clear()
    assert steps(set_up) == ["warm-up"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert steps(set_up) == ["warm-up"]
