"""A process that is interrupted while it starts ends quietly, and a node does not outlive who started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from embodied_nav.start_up import DIE_WITH_PARENT

#: What a terminal's shell gives a command; a background job of a script would ignore SIGINT.
AS_A_SHELL = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}


def start(code: str, **environment: str) -> subprocess.Popen:
    """A Python process that has said "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **environment}, **AS_A_SHELL,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_while_it_imports_ends_quietly(number):
    # The import of the command's own module takes long; no handler of its own is there yet.
    code = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'embodied_nav.cli.main': print('ready', flush=True); time.sleep(30)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from embodied_nav.cli import run_command; run_command()"
    )
    process = start(code)
    process.send_signal(number)
    assert (process.wait(10), process.stdout.read()) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_at_work_tidies_up(number):
    code = (
        "import sys, time\n"
        "from embodied_nav.cli import doctor, main\n"
        "def run(args):\n"
        "    try: print('ready', flush=True); time.sleep(30)\n"
        "    finally: print('tidied', flush=True)\n"
        "doctor.run = run; sys.argv[1:] = ['doctor']; main.entry()"
    )
    process = start(code)
    process.send_signal(number)
    assert (process.wait(10), process.stdout.read()) == (130, "tidied\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_interrupted_while_it_imports_ends_quietly(number):
    code = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'embodied_nav.nodes.control': print('ready', flush=True); time.sleep(30)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from embodied_nav.start_up import run_node; run_node('control')"
    )
    process = start(code)
    process.send_signal(number)
    assert (process.wait(10), process.stdout.read()) == (130, "")


def test_a_node_whose_library_is_missing_says_so_in_one_line_and_ends_with_2():
    code = "import sys; sys.modules['rclpy'] = None; from embodied_nav.start_up import run_node; run_node('control')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("embodied-nav: error: control needs rclpy")


def test_a_module_of_ours_that_is_missing_is_a_defect():
    code = "from embodied_nav.start_up import run_node; run_node('contrl')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "Traceback" in result.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_node_does_not_outlive_its_launch():
    node = (
        "import types, sys, time\n"
        "def main(): print('ready', flush=True); time.sleep(60)\n"
        "sys.modules['embodied_nav.nodes.fake'] = types.SimpleNamespace(main=main)\n"
        "from embodied_nav.start_up import run_node; run_node('fake')"
    )
    launch = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {node!r}], stdout=-1, text=True)\n"
        "assert child.stdout.readline() == 'ready\\n'\nprint('ready\\n%d' % child.pid, flush=True); time.sleep(60)"
    )
    process = start(launch, **{DIE_WITH_PARENT: "1"})
    child = int(process.stdout.readline())
    os.kill(child, 0)
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the node lives on")
