"""The command's entry: fast, one line for what the user can mend, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embodied_nav.cli import main as cli
from embodied_nav.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "cv2", "scipy", "numba", "matplotlib", "torch", "rclpy", "yaml")


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "embodied_nav", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False, **options)


@pytest.mark.parametrize("arguments", [["--help"], *[[name, "--help"] for name in cli.COMMANDS]])
def test_help_explains_and_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom embodied_nav.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: code = e.code\n"
        f"print('LOADED', *[m for m in {HEAVY!r} if m in sys.modules]); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    text, _, loaded = result.stdout.partition("LOADED")
    assert loaded.split() == []
    assert text.startswith(f"usage: embodied-nav{' ' + arguments[0] if len(arguments) > 1 else ''} ")


def test_help_lists_every_command():
    listed = run("--help").stdout
    for name in cli.COMMANDS:
        assert f"    {name} " in listed or f"    {name}\n" in listed


def test_no_command_prints_the_help():
    assert run().stdout == run("--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [["fly"], ["--fly"], ["doctor", "--fly"], ["doctor", "--seconds", "soon"], ["doctor", "extra"], ["memory"]],
)
def test_bad_arguments_are_one_line_and_exit_2(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("embodied-nav") and "error: " in result.stderr and "--help" in result.stderr


@pytest.fixture
def command(monkeypatch):
    """Replaces what ``doctor`` does by the given function."""
    from embodied_nav.cli import doctor

    return lambda function: monkeypatch.setattr(doctor, "run", function)


def test_input_error_is_one_line_and_exit_2(command, capsys):
    def fail(args):
        raise InputError("scan.png: not a PNG\nimage; give a PNG file")

    command(fail)
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "embodied-nav doctor: error: scan.png: not a PNG image; give a PNG file\n"


def test_interrupt_is_130(command):
    def interrupt(args):
        raise KeyboardInterrupt

    command(interrupt)
    assert cli.main(["doctor"]) == 130


def test_exit_code_is_the_commands(command):
    command(lambda args: 7)
    assert cli.main(["doctor"]) == 7


def test_defects_are_not_hidden_as_bad_input(command):
    def defect(args):
        raise RuntimeError("a defect")

    command(defect)
    with pytest.raises(RuntimeError):
        cli.main(["doctor"])


@pytest.mark.parametrize("module", ["rclpy", "torch", "embodied_nav.msg"])
def test_library_that_is_not_installed_is_one_line(command, capsys, module):
    def missing(args):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    command(missing)
    assert cli.main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert f"needs {module}, which is not installed; 'embodied-nav doctor'" in error and error.count("\n") == 1


def test_own_module_that_is_missing_is_a_defect(command):
    def missing(args):
        raise ModuleNotFoundError("No module named 'embodied_nav.memroy'", name="embodied_nav.memroy")

    command(missing)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["doctor"])


def test_reader_that_closes_early_is_no_error():
    command = f"{sys.executable} -m embodied_nav doctor | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert result.stderr == ""
    assert result.stdout == "machine\n"


def completed(environment: dict) -> dict:
    """The environment that complete_environment() makes of this one."""
    code = "import json, os; from embodied_nav.cli.environment import complete_environment as c; c();"
    code += "print(json.dumps(dict(os.environ)))"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


def test_empty_environment_gets_what_ros_needs():
    environment = completed({})
    assert Path(environment["HOME"]).is_dir()
    logs = Path(environment.get("ROS_LOG_DIR", Path(environment["HOME"], ".ros", "log")))
    existing = next(p for p in (logs, *logs.parents) if p.exists())
    assert os.access(existing, os.W_OK)


def test_home_that_cannot_be_written_moves_the_logs():
    environment = completed({"HOME": "/proc/nowhere"})
    assert environment["HOME"] == "/proc/nowhere"
    assert not environment["ROS_LOG_DIR"].startswith("/proc")


def test_what_is_set_stays():
    given = {"HOME": "/proc/nowhere", "ROS_LOG_DIR": "/proc/logs", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}
    environment = completed(given)
    assert {name: environment[name] for name in given} == given


WITHOUT_ROS = """
import importlib.abc, sys

class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {gone!r} or name in {gone!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Gone())
sys.argv[0] = "embodied-nav"
from embodied_nav.cli.main import main
sys.exit(main())
"""
ALL_OF_ROS = ("rclpy", "action_msgs", "sensor_msgs", "nav_msgs", "visualization_msgs", "diagnostic_msgs", "std_srvs",
              "tf2_msgs", "tf2_ros", "message_filters", "embodied_nav.msg", "embodied_nav.action")  # fmt: skip


@pytest.mark.parametrize("gone", [ALL_OF_ROS, ("embodied_nav.msg", "embodied_nav.action")], ids=["ROS", "messages"])
@pytest.mark.parametrize("arguments", [["demo"], ["replay", "{folder}"], ["up"], ["doctor", "--live"]])
def test_without_ros_one_line_says_what_is_missing_and_the_way(tmp_path, arguments, gone):
    arguments = [a.format(folder=tmp_path) for a in arguments]
    code = WITHOUT_ROS.format(gone=gone)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert gone[0] in result.stderr and "make setup" in result.stderr and "ROS 2 Jazzy" in result.stderr
    assert list(tmp_path.iterdir()) == []
