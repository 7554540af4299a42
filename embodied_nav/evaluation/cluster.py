"""Episodes on many machines, through Ray: workers on every core of a cluster, lost ones replaced. Knows no resuming.

Each worker is a process that keeps its simulator and driver, as ``batch`` has them. What goes over the wire is a job
(plain values) and a row of the results file (plain values). A node that is lost takes the episodes in hand with it;
they run again elsewhere. Nodes that join later get workers, too.

Ray checks nobody who reaches its ports, and runs what they send: a cluster belongs into a network that you trust.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from ..errors import InputError
from ..resources import how_to_install
from .batch import THREAD_VARIABLES, Job, run_job
from .scheduling import Scheduler

_ADDRESS = re.compile(r"(?P<host>[\w.\-]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
#: Name of the package that every node must have.
PACKAGE = "embodied_nav"
#: s: of the first connection; of a node's answer about its package; between looks for new nodes.
_CONNECTS, _ANSWERS, _LOOKS = 5.0, 120.0, 3.0
#: So often nobody answers at the head's port before it counts as gone.
_HEAD_TRIES = 5
#: An episode that has taken so many workers with it, on nodes that live, is not tried again.
_TRIES = 3


def run_on_cluster(
    jobs: Sequence[Job],
    address: str,
    report: Callable[[dict[str, Any]], None],
    *,
    weights: Mapping[str, str] | None = None,
    most: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Runs the jobs on a cluster and reports each row as it is finished (in any order).

    Args:
        jobs: episodes to run.
        address: HOST:PORT of the head node, or ``auto``: the cluster that this machine belongs to.
        report: called with each row.
        weights: parameter -> SHA-256 of the file that it names, which must be the same on every node.
        most: workers at most; None: one a core.
        say: called with a line when a node is lost, or left out.

    Raises:
        InputError: Ray is missing, nobody answers at the address, a node has not the same package or files, or an
            episode cannot be run.
    """
    if not jobs:
        return
    ray = _connect(address)
    quiet = contextlib.redirect_stdout(_OneThread(sys.stdout))
    try:
        with quiet:
            _Fleet(ray, jobs, report, dict(weights or {}), most, say).run()
    except ray.exceptions.RayTaskError as error:  # of our own code, as it would have been on this machine
        raise error.cause from None
    finally:
        ray.shutdown()


class EpisodeWorker:
    """One process of the cluster: runs episodes one after the other.

    Args:
        parameters: of the jobs. weights: parameter -> SHA-256 of the file that it names.
    """

    def __init__(self, parameters: Mapping[str, Any], weights: Mapping[str, str]) -> None:
        self._parameters, self._weights = parameters, weights

    def ready(self) -> dict[str, Any]:
        """{"error": why it cannot run these jobs}, empty where it can."""
        import hashlib

        for name, wanted in self._weights.items():
            path = self._parameters.get(name)
            if not path:
                continue
            try:
                with open(path, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                return {
                    "error": f"{name} = {path}: cannot be read there ({error.strerror}); copy the file to each node"
                }
            if found != wanted:
                return {"error": f"{name} = {path}: is another file there; copy the same one to each node"}
        return {}

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """{"row": of the results file}, or {"error": what the user can mend}."""
        try:
            return {"row": run_job(Job(**job))}
        except InputError as error:
            return {"error": str(error)}


@dataclass(eq=False)
class _Worker:
    """A worker as the driver of the cluster sees it; ``ref``: the answer that it owes, None where it is idle."""

    actor: Any
    node: str
    ref: Any = None
    ready: bool = False


class _Fleet:
    """All workers of one evaluation."""

    def __init__(
        self,
        ray: Any,
        jobs: Sequence[Job],
        report: Callable[[dict[str, Any]], None],
        weights: dict[str, str],
        most: int | None,
        say: Callable[[str], None],
    ) -> None:
        self._ray, self._report, self._weights, self._most, self._say = ray, report, weights, most, say
        self._jobs = list(jobs)  # kept: the scheduler knows them by identity
        self._parameters = dict(jobs[0].parameters)
        self._schedule: Scheduler[Job] = Scheduler([(_scene(job), job) for job in self._jobs], _TRIES)
        self._workers: list[_Worker] = []
        self._wanted = package_of(PACKAGE)
        #: Node -> its address, of those that have the package; and nodes that are left out.
        self._nodes: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._stillborn: dict[str, int] = {}
        self._looked = float("-inf")
        self._head = str(ray.get_runtime_context().gcs_address)

    def run(self) -> None:
        """Until every job is done."""
        waited = False
        while not self._schedule.done:
            self._look_for_nodes()
            self._give_out()
            owed = {w.ref: w for w in self._workers if w.ref is not None}
            if not owed:
                if not waited:
                    self._say("no node of the cluster is there; waiting for one")
                waited = True
                time.sleep(1.0)
                continue
            waited = False
            for ref in self._ray.wait(list(owed), num_returns=1, timeout=_LOOKS)[0]:
                self._take(owed[ref])

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _alive(self) -> dict[str, Mapping[str, Any]]:
        """Nodes that live, by id."""
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def _look_for_nodes(self) -> None:
        """Starts workers on nodes that have joined, and on cores that a lost worker left."""
        if time.monotonic() - self._looked < _LOOKS:
            return
        first, self._looked = not self._nodes, time.monotonic()
        self._check_head()
        alive = self._alive()
        for node in [node for node in self._nodes if node not in alive]:
            self._forget(node)
        new = {i: n for i, n in alive.items() if i not in self._nodes and i not in self._left_out}
        for node, fault in self._check(new).items():
            if fault is None:
                self._nodes[node] = str(new[node].get("NodeManagerAddress", node))
            elif first:
                raise InputError(fault)
            else:
                self._left_out.add(node)
                self._say(f"left out: {fault}")
        for node in self._nodes:
            self._start(node, int(alive[node]["Resources"].get("CPU", 0)))

    def _check_head(self) -> None:
        """Without its head a cluster is none, and Ray ends the program after a minute of asking for it.

        Raises:
            InputError: it is gone.
        """
        for _ in range(_HEAD_TRIES):
            try:
                _reach(self._head)
                return
            except OSError:
                time.sleep(1.0)
        raise InputError(
            f"the cluster's head node {self._head} is gone; what is done is kept: once the cluster is there again, the "
            "same command goes on"
        )

    def _check(self, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
        """Node -> what is wrong with the package there, None for nothing; without those that did not answer."""
        look, options = self._ray.remote(_look()), {"num_cpus": 0, "max_retries": 0}
        refs = {i: look.options(**options, **self._on(i)).remote(PACKAGE) for i in nodes}
        found: dict[str, str | None] = {}
        for node, ref in refs.items():
            name = str(nodes[node].get("NodeManagerAddress", node))
            try:
                found[node] = fault_of(self._wanted, self._ray.get(ref, timeout=_ANSWERS), name)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.GetTimeoutError:
                found[node] = f"the node {name} did not say within {_ANSWERS:.0f} s what it has; see Ray's logs there"
            except self._ray.exceptions.RayError:  # it died meanwhile: asked again if it comes back
                continue
        return found

    def _on(self, node: str) -> dict[str, Any]:
        """The option that something runs on a node and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}

    def _start(self, node: str, cores: int) -> None:
        """Workers for the cores of a node that have none; no more than there are jobs."""
        here = sum(w.node == node for w in self._workers)
        wanted = self._schedule.waiting + self._schedule.running
        room = min(self._most or wanted, wanted) - len(self._workers)
        environment = {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")}
        make = self._ray.remote(EpisodeWorker)
        for _ in range(max(0, min(cores - here, room))):
            actor = make.options(num_cpus=1, max_restarts=0, runtime_env=environment, **self._on(node)).remote(
                self._parameters, self._weights
            )
            self._workers.append(_Worker(actor, node, actor.ready.remote()))

    def _forget(self, node: str) -> None:
        """Takes back what the workers of a lost node had in hand."""
        gone = [w for w in self._workers if w.node == node]
        had = sum(w.ready and w.ref is not None for w in gone)
        for worker in gone:
            self._schedule.lost(worker, counts=False)
            self._workers.remove(worker)
        name = self._nodes.pop(node, node)
        again = f": {had} episode{'s' * (had != 1)} in hand there will run again" if had else ""
        self._say(f"lost the node {name}{again}")

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _give_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.ref is None:
                job = self._schedule.next(worker)
                if job is None:
                    return
                worker.ref = worker.actor.run.remote(asdict(job))

    def _take(self, worker: _Worker) -> None:
        """Takes a worker's answer, or notices that there will be none."""
        if worker not in self._workers:  # its node was forgotten meanwhile
            return
        try:
            answer = self._ray.get(worker.ref)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            self._lose(worker, error)
            return
        worker.ref = None
        if "error" in answer:
            raise InputError(f"{self._nodes.get(worker.node, worker.node)}: {answer['error']}")
        if not worker.ready:
            worker.ready = True
            return
        self._schedule.finished(worker)
        self._report(answer["row"])

    def _lose(self, worker: _Worker, error: Exception) -> None:
        """A worker is gone; what counts against its episode is only a death on a node that lives."""
        if worker.node not in self._alive():
            self._forget(worker.node)
            return
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # one that cannot be reached must not go on beside its successor
        name, first = self._nodes.get(worker.node, worker.node), (str(error).strip().splitlines() or ["it died"])[0]
        if not worker.ready:
            self._give_up(worker.node, name, first)
            return
        job = self._schedule.lost(worker)
        if job is not None:
            raise InputError(
                f"episode {job.index} ended its worker {_TRIES} times ({name}: {first}); has the node enough memory?"
            )
        self._say(f"lost a worker on {name}: what it had in hand will run again")

    def _give_up(self, node: str, name: str, why: str) -> None:
        """Leaves a node out on which workers do not come to life."""
        self._stillborn[node] = self._stillborn.get(node, 0) + 1
        if self._stillborn[node] < _TRIES or node not in self._nodes:
            return
        line = f"{name}: workers end before their first episode ({why}); see Ray's logs there"
        del self._nodes[node]
        self._left_out.add(node)
        if not self._nodes:
            raise InputError(line)
        self._say(f"left out: {line}")


class _OneThread(io.TextIOBase):
    """Standard output for the thread that made it alone: Ray's threads print pages there when a node dies. What they
    say is in Ray's logs, and the line that counts is said by the fleet."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._thread = stream, threading.current_thread()

    def write(self, text: str) -> int:
        if threading.current_thread() is self._thread:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def package_of(name: str) -> dict[str, Any]:
    """What this machine has of a package: version, digest of its Python source, Python's version and place."""
    return _look()(name)


def fault_of(wanted: Mapping[str, Any], told: Mapping[str, Any], node: str) -> str | None:
    """What is wrong with a node's package in one line; None for nothing.

    Args:
        wanted, told: of this machine and of the node, as :func:`package_of` gives them. node: its address.
    """
    where = f"the node {node} (Python {told['python']} at {told['executable']})"
    if not told["digest"]:
        return f"{where} has no {PACKAGE}; install it there, or run 'ray start' there in the environment that has it"
    if told["digest"] != wanted["digest"]:
        versions = f"{told['version']}, source {told['digest'][:8]}; here {wanted['version']}, {wanted['digest'][:8]}"
        return f"{where} has another {PACKAGE} ({versions}); install the same there, or results would not compare"
    return None


def _look() -> Callable[[str], dict[str, Any]]:
    """:func:`package_of` as a function that travels by value: nodes without the package can run it."""

    def look(name: str) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import pathlib
        import platform
        import sys

        told = {"version": "", "digest": "", "python": platform.python_version(), "executable": sys.executable}
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            if not (pathlib.Path(folder) / "__init__.py").is_file():
                continue  # ROS may put the generated messages into a folder of the same name
            digest = hashlib.sha256()
            for file in sorted(pathlib.Path(folder).rglob("*.py")):
                inside = file.relative_to(folder)
                if inside.parts[0] not in ("msg", "srv", "action"):  # or into the same one
                    digest.update(inside.as_posix().encode() + b"\0" + file.read_bytes())
            told["digest"] = digest.hexdigest()
            break
        try:
            told["version"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            told["version"] = "uninstalled"
        return told

    return look


def _scene(job: Job) -> tuple[str, int]:
    """The apartment of a job; an episode of a data set stands for itself, its scene is not known before it is read."""
    from ..sim.episodes import place_in_suite

    if job.dataset:
        return job.dataset, job.index
    return job.suite, place_in_suite(job.index, job.scenes)[0]


def _connect(address: str) -> Any:
    """Ray, connected to the cluster.

    Raises:
        InputError: it is missing, or cannot be connected.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ModuleNotFoundError as error:
        missing = "ray" if (error.name or "").startswith("ray") else error.name
        raise InputError(f"--cluster needs {missing}, which is not installed; {how_to_install('cluster')}") from None
    _check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=True)
    except Exception as error:  # (Ray raises many kinds: versions that differ, no cluster, no node here)
        line = " ".join(str(error).split())
        hint = "this machine must belong to the cluster: 'ray start --address=HOST:PORT'"
        raise InputError(f"--cluster {address}: Ray says: {line[:300]}; {hint}") from None
    return ray


def _check_address(address: str) -> None:
    """Whether somebody answers there: Ray itself would try for minutes.

    Raises:
        InputError: it is no address, or nobody does.
    """
    if address == "auto":
        return
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise InputError(f"--cluster {address}: give HOST:PORT of the head node ('ray start --head' says it), or auto")
    try:
        _reach(address)
    except OSError as error:
        raise InputError(
            f"--cluster {address}: nobody answers there ({error.strerror or error}); "
            "start the cluster with 'ray start --head --port=6379'"
        ) from None


def _reach(address: str) -> None:
    """Raises OSError if nobody answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), _CONNECTS):
        pass
