"""Describes a process of the graph: its node, parameters and command line. Imports no ROS."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Process:
    """Description of a process, with one node in it or several.

    Attributes:
        name: of the node, for messages.
        module: under ``embodied_nav.nodes``.
        parameters: ROS parameters by name; nested mappings become dotted names.
        params_files: YAML parameter files, earlier ones first.
        remappings: topic from -> to.
        respawn: whether it is restarted after a crash.
        namespace: of node and topics.
        optional: whether the others go on without it; it is not restarted, and its end is told once.
        nodes: the nodes of a shared process, each with its own name and parameters; empty for a single node.
    """

    name: str
    module: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    params_files: tuple[str, ...] = ()
    remappings: Mapping[str, str] = field(default_factory=dict)
    respawn: bool = True
    namespace: str = ""
    optional: bool = False
    nodes: tuple[Process, ...] = ()

    @property
    def full_name(self) -> str:
        """Namespace and name without a leading slash: the supervisor's key of the process."""
        return "/".join(filter(None, (self.namespace.strip("/"), self.name)))


def command_of(process: Process, environment: Mapping[str, str]) -> list[str]:
    """The command line that starts a process. Parameters are passed in a file, so that values keep their types."""
    command = [sys.executable, "-P", "-m", f"embodied_nav.nodes.{process.module}"]
    command += [*(node.name for node in process.nodes), "--ros-args"]
    if not process.nodes:
        command += ["-r", f"__node:={process.name}"]
    command += ["--log-level", environment.get("EMBODIED_NAV_LOG_LEVEL", "warn"), *enclave_of(process, environment)]
    if process.namespace:
        command += ["-r", f"__ns:=/{process.namespace.strip('/')}"]
    for path in process.params_files:
        command += ["--params-file", str(path)]
    for old, new in process.remappings.items():
        command += ["-r", f"{old}:={new}"]
    return command


def enclave_of(process: Process, environment: Mapping[str, str]) -> list[str]:
    """The arguments that name a process's SROS2 enclave where ROS security is on; the environment may name another one.

    Each process has its own, so that the keys of perception do not open ``cmd_vel``: docs/security.md.
    """
    if environment.get("ROS_SECURITY_ENABLE") != "true" or environment.get("ROS_SECURITY_ENCLAVE_OVERRIDE"):
        return []
    return ["--enclave", "/".join(("", *filter(None, [process.namespace.strip("/")]), "embodied_nav", process.name))]


def write_params_file(path: Path, process: Process) -> None:
    """Writes a process's parameters into a ROS parameter file."""
    import yaml

    # Under the full name: rcl applies sections in the order in which their keys first appear in any file, so a "/**"
    # here would be merged into that of an earlier file and lose against more specific keys there.
    content = {
        f"/{node.full_name}": {"ros__parameters": _nested(node.parameters)}
        for node in process.nodes or (process,)
        if node.parameters
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def memory_parameters(file: str, own_slam: bool) -> dict[str, dict[str, Any]]:
    """Parameters by node that keep the memory in a file. Our SLAM relocalises in the maps of earlier sessions; until
    then the memory fills a new map. With poses from elsewhere the memory continues in the file's last map."""
    found: dict[str, dict[str, Any]] = {"memory": {"file": file}}
    if own_slam:
        found["memory"]["new_map"] = True
        found["slam"] = {"memory_file": file}
    return found


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
