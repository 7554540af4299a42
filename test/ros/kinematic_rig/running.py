"""Runs scenarios, several at once: each with a control node in a process of its own, in a ROS domain of its own.

Everything heavy is imported, and every kernel compiled, before the first process is forked off: fifty starts of a
node cost fifty times nothing. The process that forks has neither threads nor a ROS context.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import rclpy

from embodied_nav import bringup, kernels, start_up
from embodied_nav.nodes import control
from embodied_nav.robot import RobotProfile

from .robot import Robot
from .scenario import Record, Run, Scenario
from .world import room

_FORK = multiprocessing.get_context("fork")
#: A scenario that has not ended by itself after so many seconds never will.
_LONGEST = 240.0
#: How often a run that tells nothing is repeated.
_REPEATS = 2
_RESTART = "restart"
#: Where the control node's process tells its number.
_PID = "control.pid"


def warm_kernels() -> None:
    """Compiles, or loads, what the node and the rig use."""
    kernels.import_all("planning")
    kernels.warm_up("planning.warm_up")
    room().depth(RobotProfile().T_base_camera(), 8, 6, 7.0)


def run_all(scenarios: Iterable[Scenario], jobs: int, domains: Sequence[int], done: Callable[[Record], None]) -> None:
    """Runs scenarios in their order, ``jobs`` at once.

    One that tells nothing, because the machine kept its processes from running, is run again at the end, alone.

    Args:
        domains: that may be used, at least ``jobs``; none: free ones are looked for.
        done: called with each record.
    """
    warm_kernels()
    waiting, again, running = list(scenarios), [], []
    repeats: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        while waiting or again or running:
            if again and not (waiting or running):
                waiting.append(again.pop(0))
            while waiting and len(running) < jobs:
                used = {job.domain for job in running}
                domain = next((d for d in domains if d not in used), None)
                while domain is None or domain in used:
                    domain = bringup.free_domain_id()
                running.append(_Job(waiting.pop(0), domain, Path(folder)))
            wait([job.connection for job in running], timeout=1.0)
            for job in list(running):
                record = job.look()
                if record is None:
                    continue
                running.remove(job)
                if record.tells_nothing(job.scenario) and repeats[record.name] < _REPEATS:
                    print(f"repeated: {record}", file=sys.stderr, flush=True)
                    repeats[record.name] += 1
                    again.append(job.scenario)
                else:
                    done(record)


@dataclass
class _Job:
    """A scenario that runs."""

    scenario: Scenario
    domain: int
    folder: Path

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.scenario.name}-", dir=self.folder))
        self._restarts = 0
        self._end = time.monotonic() + _LONGEST
        self._control = self._start_control()
        self.connection, theirs = _FORK.Pipe()
        self._rig = _FORK.Process(target=_rig, args=(self.scenario, self.domain, self.folder, theirs), daemon=True)
        self._rig.start()
        theirs.close()

    def look(self) -> Record | None:
        """Does what the rig asks for; its record where it has ended."""
        answer: object = None
        with contextlib.suppress(EOFError, ConnectionError):
            if self.connection.poll():
                answer = self.connection.recv()
            elif self._rig.is_alive() and time.monotonic() < self._end:
                return None
        if answer == _RESTART:
            self._control.kill()
            self._control.join()
            self._restarts += 1
            self._control = self._start_control()
            return None
        for process in (self._control, self._rig):
            process.kill()
            process.join()
        if isinstance(answer, Record):
            return answer
        log = (self.folder / "rig.log").read_text(errors="replace").strip().splitlines()
        return Record(self.scenario.name, said=("the rig died", *log[-3:]))

    def _start_control(self) -> multiprocessing.Process:
        parameters = {**self.scenario.parameters}
        if self.scenario.sensors().sim_time:
            parameters["use_sim_time"] = True
        arguments = (parameters, self.domain, self.folder, self._restarts)
        process = _FORK.Process(target=_control, args=arguments, daemon=True)
        process.start()
        return process


def _settle_in(domain: int, folder: Path, log: str) -> None:
    """What every forked process begins with: it dies with its parent, and keeps its files and messages to itself."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.environ.update(bringup.local_environment(domain))
    os.environ[start_up.GRAPH] = folder.name  # the same one after a restart
    os.environ.update(TMPDIR=str(folder), XDG_RUNTIME_DIR=str(folder), XDG_STATE_HOME=str(folder), ROS_HOME=str(folder))
    tempfile.tempdir = None
    with (folder / log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _control(parameters: dict[str, object], domain: int, folder: Path, restarts: int) -> None:
    _settle_in(domain, folder, "control.log")
    (folder / _PID).write_text(str(os.getpid()))
    os.environ[start_up.RESTARTS] = str(restarts)
    arguments = ["control", "--ros-args", "-r", "__node:=control"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
    sys.argv = arguments
    control.main(arguments)


def _rig(scenario: Scenario, domain: int, folder: Path, connection: Connection) -> None:
    _settle_in(domain, folder, "rig.log")
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("base", context=context)
    robot = Robot(node, scenario.world(), scenario.start, scenario.sensors())

    def restart() -> None:
        robot.alive = False
        connection.send(_RESTART)

    def pids() -> list[int]:
        return [os.getpid(), *(int(p.read_text() or 0) for p in folder.glob(_PID))]

    record = Run(scenario, robot, restart, pids).run()
    if os.environ.get("RIG_LOGS"):
        text = (folder / "control.log").read_text(errors="replace")
        (Path(os.environ["RIG_LOGS"]) / f"{scenario.name}.log").write_text(text)
    connection.send(record)
    connection.close()
    os._exit(0)  # taking DDS apart takes longer than all the rest


def main(scenarios: Sequence[Scenario], jobs: int, domains: Sequence[int]) -> None:
    """Prints one line of JSON for each record, as it is made."""
    run_all(scenarios, jobs, domains, lambda record: print(json.dumps(record.as_dict()), flush=True))
