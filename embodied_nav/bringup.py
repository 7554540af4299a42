"""The one table of nodes, and a supervisor that runs them where launch_ros does not exist. Imports no ROS.

``launch/agent.launch.py`` and ``embodied-nav up``, ``demo`` and ``replay`` read the same table. Children stay in the
command's process group, get SIGKILL from the kernel when the command dies (Linux), and are started again after a crash
with growing pauses; exit code 2 means that the user must mend something, so that ends everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import Config, read_yaml
from .errors import AlreadyTold, InputError
from .resources import share_path
from .robot import RobotProfile

#: Settings that every node may be given though not every node has them: (settings, prefix).
SHARED_SETTINGS: tuple[tuple[type[Config], str], ...] = ((RobotProfile, "robot"),)

_PR_SET_PDEATHSIG = 1
#: Pauses (s) before a crashed node is started again: 0.2, 0.4, ... up to 5; a node that ran 30 s begins anew.
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY = 0.2, 5.0, 30.0
#: A node that dies this often in a row, each time before it was healthy, will not do better.
_CRASHES = 6
#: How many threads OpenMP, BLAS, numba and OpenCV take.
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip
#: From SIGTERM to SIGKILL (s); all must be gone after 3 s, on a busy machine too.
_PATIENCE = 2.2
#: How often a child was started before by its supervisor: 0 says that what it finds is of another run.
RESTARTS = "EMBODIED_NAV_RESTARTS"
#: What ends a command, and must not come between a child's start and its being known.
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph.

    Attributes:
        name: the node's name, its module under ``embodied_nav.nodes`` and its executable for ``ros2 run``.
        description: what it does, in a line.
        lifecycle: whether it is a managed node.
        settings: (module, settings class, prefix) of its parameters, by name so that nothing heavy is imported here.
    """

    name: str
    description: str
    lifecycle: bool = True
    settings: tuple[tuple[str, str, str], ...] = ()


_CAMERA = (
    ("nodes.camera_input", "CameraInputConfig", "camera"),
    ("nodes.camera_input", "TransportConfig", "camera"),
    ("geometry.registration", "RegistrationConfig", "registration"),
    ("frame_checks", "FrameCheckConfig", "checks"),
)

AGENT_NODES: tuple[NodeSpec, ...] = (
    NodeSpec(
        "keyframe",
        "keeps the frames worth looking at",
        settings=(*_CAMERA, ("keyframes", "KeyframeConfig", "")),
    ),
    NodeSpec(
        "perception",
        "says in words and fields what a keyframe shows",
        settings=(("nodes.perception", "PerceptionNodeConfig", ""), ("perception", "PerceptionConfig", "perception")),
    ),
    NodeSpec(
        "memory",
        "fuses every frame into voxels and objects",
        settings=(
            *_CAMERA,
            ("nodes.memory", "MemoryNodeConfig", ""),
            ("memory", "MemoryConfig", "memory"),
            ("planning.scan_layer", "ScanLayerConfig", "scan_layer"),
        ),
    ),
    NodeSpec(
        "reasoner",
        "chooses what to do next and plans the way",
        settings=(
            ("nodes.reasoner", "ReasonerNodeConfig", ""),
            ("reasoner", "NavigatorConfig", "navigator"),
            ("planning", "PlanningConfig", "planning"),
            ("reasoner", "OptionConfig", "options"),
        ),
    ),
    NodeSpec(
        "control",
        "drives along the plan; its collision guard has the last word",
        settings=(
            ("nodes.control", "ControlNodeConfig", ""),
            ("nodes.camera_input", "TransportConfig", "camera"),
            ("geometry.registration", "RegistrationConfig", "registration"),
            ("planning", "PursuitConfig", "pursuit"),
            ("planning", "GuardConfig", "guard"),
            ("planning", "ObstacleConfig", "obstacles"),
            ("planning", "RecoveryConfig", "recovery"),
            ("planning", "ContactConfig", "contact"),
        ),
    ),
)

SLAM_NODE = NodeSpec(
    "slam",
    "finds the camera: map->odom, corrected where the way closes a loop",
    settings=(
        *_CAMERA,
        ("nodes.slam", "SlamNodeConfig", ""),
        ("slam", "SlamConfig", "slam"),
        ("slam", "OdometryConfig", "odometry"),
    ),
)

SIM_NODE = NodeSpec(
    "sim",
    "the embedded simulator as a robot",
    lifecycle=False,
    settings=(("nodes.sim", "SimNodeConfig", ""), ("sim.embedded", "SimulatorConfig", "simulator")),
)


def memory_parameters(file: str, own_slam: bool) -> dict[str, dict[str, Any]]:
    """Parameters by node that keep the memory in a file. Our SLAM finds itself in the maps of earlier sessions; until
    then the memory goes on in a new one. With poses from elsewhere it goes on in the file's last map."""
    found: dict[str, dict[str, Any]] = {"memory": {"file": file}}
    if own_slam:
        found["memory"]["new_map"] = True
        found["slam"] = {"memory_file": file}
    return found


#: Every node that parameter files may name.
ALL_NODES = (*AGENT_NODES, SLAM_NODE, SIM_NODE)


@dataclass
class Process:
    """How one process is to be started.

    Attributes:
        name: of the node, for messages.
        module: under ``embodied_nav.nodes``.
        parameters: ROS parameters by name; nested mappings become dotted names.
        params_files: YAML parameter files, earlier ones first.
        remappings: topic from -> to.
        respawn: whether it is started again after it died.
        namespace: of node and topics.
    """

    name: str
    module: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    params_files: tuple[str, ...] = ()
    remappings: Mapping[str, str] = field(default_factory=dict)
    respawn: bool = True
    namespace: str = ""


def check_params_file(path: str | Path, specs: Iterable[NodeSpec] | None = None) -> None:
    """Checks a ROS parameter file against the settings of the nodes, before any node is started.

    Raises:
        InputError: no such file, no such node, no such parameter, or a value out of range.
    """
    specs = ALL_NODES if specs is None else specs
    by_name = {spec.name: spec for spec in specs}
    for node, content in read_yaml(path).items():
        name = node.rsplit("/", 1)[-1]
        values = content.get("ros__parameters") if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise InputError(f"{path}: '{node}' lacks 'ros__parameters:' with names and values below it")
        if name in ("*", "**"):
            _check_values(path, node, _flat(values), SHARED_SETTINGS, _all_settings(specs))
        elif name in by_name:
            _check_values(path, node, _flat(values), node_settings(by_name[name]))
        else:
            raise InputError(f"{path}: no node is called '{node}'; known: {', '.join(by_name)}")


def robot_profile(path: str | Path) -> RobotProfile:
    """The robot profile in a ROS parameter file.

    Raises:
        InputError: no such file, or a value out of range.
    """
    values: dict[str, Any] = {}
    for content in read_yaml(path).values():
        values.update(_flat(content.get("ros__parameters") or {}))
    prefix = "robot."
    return RobotProfile.from_mapping({k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)})


def node_settings(spec: NodeSpec) -> list[tuple[type[Config], str]]:
    """(settings, prefix) of a node's parameters; imports the components."""
    found = [(getattr(importlib.import_module(f"embodied_nav.{m}"), c), prefix) for m, c, prefix in spec.settings]
    if spec.lifecycle:
        found.append((importlib.import_module("embodied_nav.nodes.lifecycle").NodeConfig, ""))
    return [*found, *SHARED_SETTINGS]


def _all_settings(specs: Iterable[NodeSpec]) -> list[tuple[type[Config], str]]:
    return [pair for spec in specs for pair in node_settings(spec)]


def _check_values(path, node, values: Mapping[str, Any], *groups: Iterable[tuple[type[Config], str]]) -> None:
    settings = [pair for group in groups for pair in group]
    for name, value in values.items():
        if name == "use_sim_time" or name.startswith("qos_overrides."):
            continue
        prefix, _, last = name.rpartition(".")
        kinds = [kind for kind, p in settings if p == prefix and last in kind.__dataclass_fields__]
        if not kinds:
            known = sorted(f"{p}.{f}".lstrip(".") for kind, p in settings for f in kind.__dataclass_fields__)
            raise InputError(f"{path}: {node} has no parameter '{name}'; known: {', '.join(dict.fromkeys(known))}")
        try:
            kinds[0].from_mapping({last: value})
        except InputError as error:
            raise InputError(f"{path}: {node}: {error}") from None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


# --- processes ---


def local_environment(domain_id: int | None = None) -> dict[str, str]:
    """The environment of a self-contained graph: this machine only, the shipped Fast DDS profile, a domain of its own.

    For demo, replay and tests; a graph that shall be seen by RViz elsewhere must not get it.
    """
    environment = dict(os.environ)
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment.pop("ROS_LOCALHOST_ONLY", None)
    environment.pop("ROS_STATIC_PEERS", None)
    environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(share_path("config/fastdds.xml"))
    environment["ROS_DOMAIN_ID"] = str(free_domain_id() if domain_id is None else domain_id)
    return environment


def free_domain_id() -> int:
    """A ROS domain whose discovery port nobody on this machine uses, tried in random order.

    Two commands that ask at the same instant may get the same one: unlikely among 100.
    """
    for domain in random.sample(range(1, 101), 100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Participant 0's unicast port; multicast ports are shared and prove nothing.
                probe.bind(("127.0.0.1", 7410 + 250 * domain))
                return domain
            except OSError:
                continue
    raise InputError("no free ROS domain between 1 and 100; end other ROS graphs on this machine")


def sweep_shared_memory(folder: str = "/dev/shm", least_age: float = 60.0) -> int:
    """Removes the segments that killed Fast DDS processes left behind, tens of megabytes each; returns how many.

    A living process holds a lock on its segment's ``_el`` file, as Fast DDS's own ``fastdds shm clean`` knows. Only
    this user's files older than ``least_age`` seconds are looked at.
    """
    swept = 0
    for lock in Path(folder).glob("fastrtps_*_el"):
        if "_port" in lock.name:
            continue
        with contextlib.suppress(OSError):
            status = lock.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < least_age:
                continue
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                lock.unlink()
                swept += 1
    return swept


def command_of(process: Process, environment: Mapping[str, str]) -> list[str]:
    """The command line that starts a process. Parameters go through a file: values keep their types."""
    command = [sys.executable, "-P", "-m", f"embodied_nav.nodes.{process.module}", "--ros-args"]
    command += ["-r", f"__node:={process.name}", "--log-level", environment.get("EMBODIED_NAV_LOG_LEVEL", "warn")]
    if process.namespace:
        command += ["-r", f"__ns:=/{process.namespace.strip('/')}"]
    for path in process.params_files:
        command += ["--params-file", str(path)]
    for old, new in process.remappings.items():
        command += ["-r", f"{old}:={new}"]
    return command


class Supervisor:
    """Runs processes until told to stop; use as a context manager, from the main thread.

    Args:
        processes: what to run.
        environment: of the children; default this process's own.
        say: where one-line messages (a crash, a restart) go.

    Attributes:
        restarts: how often each was started again, by name.
    """

    def __init__(
        self,
        processes: Iterable[Process],
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    ) -> None:
        self._processes = {p.name: p for p in processes}
        self._environment = _child_environment(os.environ if environment is None else environment)
        self._say = say
        self._children: dict[str, subprocess.Popen] = {}
        self._started: dict[str, float] = {}
        self._crashes: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="embodied_nav-")
        self.restarts: dict[str, int] = dict.fromkeys(self._processes, 0)

    def __enter__(self) -> Supervisor:
        self._on_sigterm = signal.signal(signal.SIGTERM, _interrupt)
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
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def pid(self, name: str) -> int:
        """Process id of a node."""
        return self._children[name].pid

    def poll(self) -> dict[str, int]:
        """Looks after the children: starts dead ones again. Call it at least a few times a second.

        Returns:
            Exit codes of ended processes that are not started again.

        Raises:
            AlreadyTold: a child cannot start; it has said on stderr why.
            InputError: a child crashes again and again.
        """
        ended = {}
        for name, process in self._processes.items():
            code = self._children[name].poll()
            if code is None:
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
        """SIGTERM to all, SIGKILL to those that are still there after 2.2 s."""
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
        how = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
        if crashes >= _CRASHES:
            raise InputError(f"{name} {how}, {crashes} times in a row; see its messages above")
        pause = min(_FIRST_PAUSE * 2 ** (crashes - 1), _LONGEST_PAUSE)
        self._due[name] = now + pause
        self._say(f"{name} {how}; starting it again in {pause:.1f} s")

    def _start(self, name: str) -> None:
        process = self._processes[name]
        command = command_of(process, self._environment)
        if process.parameters:
            command += ["--params-file", self._params_file(process)]
        parent, environment = os.getpid(), {**self._environment, RESTARTS: str(self.restarts[name])}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            self._children[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=lambda: _die_with(parent)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._started[name] = time.monotonic()

    def _params_file(self, process: Process) -> str:
        import yaml

        # Under the full name: rcl applies files by node key in the order in which the keys first appear, so that a
        # "/**" here would be joined to that of an earlier file and lose against its more particular keys.
        full_name = "/".join(("", *filter(None, (process.namespace.strip("/"), process.name))))
        path = Path(self._folder.name, f"{process.name}.yaml")
        path.write_text(yaml.safe_dump({full_name: {"ros__parameters": _nested(process.parameters)}}), encoding="utf-8")
        return str(path)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """One thread for numeric libraries: the nodes share the cores. The package is found wherever this one was."""
    child = dict(environment)
    for name in _THREADS:
        child.setdefault(name, "1")
    root = str(Path(__file__).resolve().parent.parent)
    path = child.get("PYTHONPATH", "")
    if root not in path.split(os.pathsep):
        child["PYTHONPATH"] = f"{path}{os.pathsep}{root}" if path else root
    return child


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested mappings, tuples as lists, as a ROS parameter file wants them."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        target = plain
        *parents, last = name.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = list(value) if isinstance(value, tuple) else value
    return plain


def _die_with(parent: int) -> None:
    """In the child, before exec: be killed when the parent dies; do not outlive one that died just now.

    Ctrl-C is ignored until the node has a handler for it: no traceback out of half-done imports.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
