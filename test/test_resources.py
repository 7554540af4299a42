"""What is said about installing a missing library can be typed as it stands, on every kind of machine."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from embodied_nav import resources

ROOT = Path(__file__).resolve().parents[1]


def command(text: str) -> list[str]:
    """What stands after "install it with: ", as a shell would split it."""
    return shlex.split(text.partition("install it with: ")[2])


def test_in_the_checkouts_environment_it_is_make(monkeypatch):
    monkeypatch.setattr(resources, "_source", lambda: ROOT)
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    program, *arguments = command(resources.how_to_install("slam"))
    result = subprocess.run([program, "--dry-run", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and 'EXTRAS="slam"' in result.stdout and "set_up.py" in result.stdout


@pytest.mark.parametrize("managed", [True, False])
def test_on_a_ros_machine_pip_must_be_let_into_the_systems_python(monkeypatch, tmp_path, managed):
    """Debian and Ubuntu mark their Python as managed (PEP 668): pip refuses without being told."""
    if managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(resources, "_source", lambda: None)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(resources.sysconfig, "get_path", lambda name: str(tmp_path))
    words = command(resources.how_to_install("slam"))
    assert words[:4] == [sys.executable, "-m", "pip", "install"] and words[-1] == "gtsam>=4.3,<5"
    assert "--no-deps" in words, "gtsam asks for versions that ROS's own libraries must not become"
    assert ("--break-system-packages" in words) is managed and ("--user" in words) is managed
    assert "--no-deps" not in command(resources.how_to_install("bags"))


def test_pip_takes_the_options(monkeypatch):
    monkeypatch.setattr(resources, "_source", lambda: None)
    words = command(resources.how_to_install("slam"))
    result = subprocess.run(
        [*words[:-1], "--dry-run", "--no-index", "numpy"], capture_output=True, text=True, check=False
    )
    assert "no such option" not in result.stderr


def test_nobody_advises_to_install_what_has_no_such_name():
    for path in [*(ROOT / "embodied_nav").rglob("*.py"), *(ROOT / "test").rglob("*.py")]:
        if path != Path(__file__):
            assert "pip install 'embodied_nav" not in path.read_text(encoding="utf-8"), path
