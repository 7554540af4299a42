"""A supervisor that runs the nodes where launch_ros is not available. Imports no ROS.

Children stay in the command's process group, get SIGKILL from the kernel when the command dies (Linux), and are
restarted after a crash with back-off; it gives up after several crashes in a row, each soon after the start. Exit code
2 means that the user must fix something, so that ends everything at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..errors import AlreadyTold, InputError
from ..start_up import RESTARTS, RUN
from .isolated_graph import sweep_shared_memory
from .processes import Process, command_of, write_params_file

_PR_SET_PDEATHSIG = 1
#: Back-off (s) before a crashed node is restarted: 0.2, 0.4, ... up to 5; reset once a node has run for 30 s.
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY = 0.2, 5.0, 30.0
#: Give up after so many crashes in a row, each before the node has run for 30 s.
_CRASHES = 6
#: Environment variables for the number of threads of OpenMP, BLAS, numba and OpenCV.
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip
#: Time (s) from SIGTERM to SIGKILL; all must be gone after 3 s, on a busy machine too.
_PATIENCE = 2.2
#: Signals that end a command; blocked while a child is started and registered.
_ENDING = (signal.SIGINT, signal.SIGTERM)


class Supervisor:
    """Runs processes until told to stop; use as a context manager, from the main thread.

    Args:
        processes: what to run.
        environment: of the children; default this process's own.
        say: called with one-line messages (a crash, a restart).

    Attributes:
        restarts: number of restarts by full name.
    """

    def __init__(
        self,
        processes: Iterable[Process],
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    ) -> None:
        self._processes = {p.full_name: p for p in processes}
        self._environment = _child_environment(os.environ if environment is None else environment)
        self._environment[RUN] = uuid.uuid4().hex
        self._say = say
        self._children: dict[str, subprocess.Popen] = {}
        self._started: dict[str, float] = {}
        self._crashes: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._without: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="embodied_nav-")
        self.restarts: dict[str, int] = dict.fromkeys(self._processes, 0)

    def __enter__(self) -> Supervisor:
        self._handlers = [(number, signal.signal(number, _interrupt)) for number in _ENDING]
        sweep_shared_memory()
        try:
            for name in self._processes:
                self._start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number, handler in self._handlers:
            signal.signal(number, handler)

    def pid(self, name: str) -> int:
        """Process id of a node, by full name."""
        return self._children[self.process_of(name)].pid

    def process_of(self, name: str) -> str:
        """Full name of the process that runs a node (by full name): the node's own, unless it shares one."""
        shared = (p.full_name for p in self._processes.values() if any(n.full_name == name for n in p.nodes))
        return next(shared, name)

    def poll(self) -> dict[str, int]:
        """Restarts children that have died. Call it at least a few times a second.

        Returns:
            Exit codes of ended processes that are not restarted.

        Raises:
            AlreadyTold: a child cannot start; it has printed the reason on stderr.
            InputError: a child crashes again and again.
        """
        ended = {}
        for name, process in self._processes.items():
            code = self._children[name].poll()
            if code is None or name in self._without:
                continue
            if process.optional:
                self._without.add(name)
                self._say(f"{name} {_ending(code)}; the others go on without it")
                continue
            if code == 2:
                raise AlreadyTold(f"{name} could not start")
            if not process.respawn:
                ended[name] = code
            elif name not in self._due:
                self._schedule(name, code)
            elif time.monotonic() >= self._due[name]:
                del self._due[name]
                self.restarts[name] += 1
                self._start(name)
        return ended

    def stop(self) -> None:
        """Sends SIGTERM to all, and SIGKILL to those still running after 2.2 s."""
        running = [c for c in self._children.values() if c.poll() is None]
        for child in running:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        end = time.monotonic() + _PATIENCE
        for child in running:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._folder.cleanup()

    def _schedule(self, name: str, code: int) -> None:
        now = time.monotonic()
        healthy = now - self._started[name] > _HEALTHY
        crashes = self._crashes[name] = 1 if healthy else self._crashes.get(name, 0) + 1
        how = _ending(code)
        if crashes >= _CRASHES:
            raise InputError(f"{name} {how}, {crashes} times in a row; see its messages above")
        pause = min(_FIRST_PAUSE * 2 ** (crashes - 1), _LONGEST_PAUSE)
        self._due[name] = now + pause
        self._say(f"{name} {how}; starting it again in {pause:.1f} s")

    def _start(self, name: str) -> None:
        process = self._processes[name]
        command = command_of(process, self._environment)
        if process.parameters or process.nodes:
            path = Path(self._folder.name, f"{name.replace('/', '.')}.yaml")
            write_params_file(path, process)
            command += ["--params-file", str(path)]
        parent, environment = os.getpid(), {**self._environment, RESTARTS: str(self.restarts[name])}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            self._children[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=lambda: _die_with(parent)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._started[name] = time.monotonic()


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with {code}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with one thread for numeric libraries (the nodes share the cores), and this package's path."""
    child = dict(environment)
    for name in _THREADS:
        child.setdefault(name, "1")
    root = str(Path(__file__).resolve().parents[2])
    path = child.get("PYTHONPATH", "")
    if root not in path.split(os.pathsep):
        child["PYTHONPATH"] = f"{path}{os.pathsep}{root}" if path else root
    return child


def _die_with(parent: int) -> None:
    """Runs in the child before exec: the kernel kills it when the parent dies, even if that has just happened.

    Ctrl-C is ignored until the node installs its handler, to avoid tracebacks from unfinished imports.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
