"""The doctor says what is there, what is missing and how to get it."""

import importlib.metadata
import sys

import pytest

from embodied_nav.cli import doctor
from embodied_nav.cli.doctor import Library, examine, probe
from embodied_nav.cli.main import main
from embodied_nav.findings import MISSING, OK, OPTIONAL, WARNING, Finding, report


@pytest.fixture(scope="module")
def findings():
    return {f.name: f for f in examine()}


def test_everything_that_runs_here_is_found(findings):
    for name in ("Python", "numpy", "scipy", "numba", "cv2", "matplotlib", "yaml"):
        assert findings[name].state == OK, findings[name]
    assert findings["numpy"].detail == importlib.metadata.version("numpy")
    assert sys.executable in findings["Python"].detail


@pytest.mark.ros
def test_messages_and_stand_ins_are_found(findings):
    for name in ("rclpy", "embodied_nav.msg", "embodied_nav.action", "tf2_ros", "message_filters"):
        assert findings[name].state == OK, findings[name]


def test_what_is_not_ok_says_how_to_mend_it(findings):
    for finding in findings.values():
        if finding.state in (MISSING, WARNING):
            assert finding.mend, finding


def test_probe_tells_absent_broken_and_crashing_modules_apart(tmp_path, monkeypatch):
    (tmp_path / "module_that_fails.py").write_text("raise OSError('libEGL.so.1: cannot open shared object file')\n")
    (tmp_path / "module_that_crashes.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n")
    (tmp_path / "module_that_works.py").write_text("__version__ = '1.2.3'\nprint('noise')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert probe(Library("module_that_is_not_there", "")) == (False, "not installed")
    found, detail = probe(Library("module_that_fails", ""))
    assert not found and "libEGL.so.1" in detail
    found, detail = probe(Library("module_that_crashes", ""))
    assert not found and "signal 11" in detail
    assert probe(Library("module_that_works", "")) == (True, f"1.2.3|{tmp_path}/module_that_works.py")


def test_missing_library_sets_the_exit_code_and_the_verdict(monkeypatch, capsys):
    gone = Finding("libraries", "numba", MISSING, "compiled kernels: not installed", "make setup")
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("libraries", "numpy", OK, "2.0"), gone])
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "missing: numba" in out and "-> make setup" in out


def test_absent_extras_are_no_fault(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("extras", "torch", OPTIONAL, "networks: make setup ...")])
    assert main(["doctor"]) == 0
    assert "everything that the agent needs is here" in capsys.readouterr().out


def test_broken_extra_warns():
    finding = doctor._extra_finding(Library("open3d", "viewer", extra="viewer"), False, "cannot be imported: libEGL")
    assert finding.state == WARNING and "EXTRAS=viewer" in finding.mend


def test_opencv_outside_the_range_warns():
    library = next(entry for entry in doctor.LIBRARIES if entry.module == "cv2")
    assert doctor._library_finding(library, True, "5.0.0|x").state == WARNING
    assert doctor._library_finding(library, True, "4.10.0|x").state == OK


def test_environment_that_breaks_dds_warns(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/nowhere/fastdds.xml")
    states = {f.name: f.state for f in doctor._dds()}
    assert states["RMW_IMPLEMENTATION"] == WARNING and states["profile"] == WARNING


def test_small_socket_buffers_warn(monkeypatch):
    from embodied_nav import bringup

    for limit, state in ((212992, WARNING), (4194304, OK)):
        monkeypatch.setattr(bringup, "socket_buffer_limit", lambda limit=limit: limit)
        finding = next(f for f in doctor._room_for_images() if f.name == "socket buffers")
        assert finding.state == state and ("rmem_max=4194304" in finding.mend) == (state == WARNING)


def test_report_groups_by_section():
    text = report(
        [Finding("a", "x", OK, "1"), Finding("a", "y", WARNING, "2", "do"), Finding("b", "z", OK, "3")], "well"
    )
    assert text.splitlines()[0] == "a" and "b" in text.splitlines()
    assert text.splitlines()[-1] == "well (1 warning)"


def test_kernels_that_are_not_compiled_yet_are_told_of(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (finding,) = doctor._numba_cache()
    assert finding.state == WARNING and "embodied-nav warm-up" in finding.mend
    (tmp_path / "kernel.f-1.py311.nbi").touch()
    (finding,) = doctor._numba_cache()
    assert finding.state == OK and "1 kernels compiled" in finding.detail
