"""Builds the list of processes of a launch, with every setting checked before the first one starts. Imports no ROS.

``launch/agent.launch.py`` and ``embodied-nav up`` start the agent, ``launch/sim.launch.py`` the simulated robot as
well. A mistake found only after some nodes have started could leave those running, control among them.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..node_table import AGENT_NODES, SIM_NODE, SLAM_NODE, VIEW_NODE, NodeSpec
from ..perception.choosing import AUTO, Choice, choose
from ..places import unwritable
from ..resources import how_to_install, why_no_page
from . import parameter_files
from .processes import Process, memory_parameters

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
#: Who publishes map->odom: our node; an external one; nobody (odometry is taken as the pose in map).
SLAM = ("own", "external", "none")
#: Topics with absolute names in ROS. Robots with equal frame names, and simulators with a clock of their own, need them
#: remapped into their namespaces.
ABSOLUTE_TF = ("/tf", "/tf_static")
ABSOLUTE_CLOCK = ("/clock",)

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True)
class AgentOptions:
    """Options of an agent in addition to its parameter files; "" leaves a setting as in the files.

    Attributes:
        params_files: YAML parameter files; later ones win.
        namespace: of all nodes and topics.
        use_sim_time: take time from /clock.
        reasoner, perception: names of policy and back end.
        simulated: whether the camera is the embedded simulator's; what perception ``auto`` is depends on it.
        slam: who publishes map->odom, one of SLAM.
        memory_file: file that holds the memory.
        view: whether a page shows what the agent knows.
        remappings: topic from -> to, for all nodes.
        parameters: node -> checked parameters by name; they override the files.
        say: how an option is written by the user ("--slam "), for error messages.
    """

    params_files: tuple[str, ...]
    namespace: str = ""
    use_sim_time: bool = False
    reasoner: str = ""
    perception: str = ""
    simulated: bool = False
    slam: str = "external"
    memory_file: str = ""
    view: bool = False
    remappings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    say: Callable[[str], str] = str


def nodes(slam: str, view: bool = False) -> tuple[str, ...]:
    """Names of the agent's nodes, by who publishes map->odom (one of SLAM), and whether a page shows them."""
    return tuple(spec.name for spec in _specs(slam, view))


def _specs(slam: str, view: bool) -> tuple[NodeSpec, ...]:
    return (*AGENT_NODES, *((SLAM_NODE,) if slam == "own" else ()), *((VIEW_NODE,) if view else ()))


def agent_processes(options: AgentOptions) -> list[Process]:
    """The agent's nodes with all their parameters.

    Raises:
        InputError: one of the options or files is wrong; nothing has been started.
    """
    check_namespace(options.say("namespace"), options.namespace)
    _check_remappings(options)
    for path in options.params_files:
        parameter_files.check_params_file(path)
    specs = _specs(options.slam, options.view)
    found = {spec.name: parameter_files.resolve(spec, options.namespace, options.params_files) for spec in specs}
    _lay_over(found, options)
    if options.view:
        found["view"] = view_parameters(found["memory"]) | found["view"]
    _check_memory(found, options)
    if options.slam == "own" and importlib.util.find_spec("gtsam") is None:
        raise InputError(f"{options.say('slam')}own: needs GTSAM; {how_to_install('slam')}")
    if options.view and (why := why_no_page()):
        raise InputError(f"{options.say('view')}: {why}")
    return [_process(spec, found[spec.name], options, respawn=spec is not VIEW_NODE) for spec in specs]


def perception_of(options: AgentOptions) -> Choice:
    """The perception back end; where it was ``auto`` that chose it, with the reason.

    Raises:
        InputError: a file is wrong.
    """
    spec = next(spec for spec in AGENT_NODES if spec.name == "perception")
    found = parameter_files.resolve(spec, options.namespace, options.params_files)
    return _chosen(found | dict(options.parameters.get(spec.name, {})), options)


def _chosen(perception: Mapping[str, Any], options: AgentOptions) -> Choice:
    return choose(
        options.perception or perception.get("backend", AUTO),
        simulated=options.simulated,
        detector=perception.get("detector.file", ""),
        compact=perception.get("compact.weights", ""),
    )


def sim_process(options: AgentOptions, given: Mapping[str, Any]) -> Process:
    """The simulated robot with all its parameters; those in ``given`` win.

    Raises:
        InputError: one of the settings is wrong; nothing has been started.
    """
    check_namespace(options.say("namespace"), options.namespace)
    _check_remappings(options)
    for path in options.params_files:
        parameter_files.check_params_file(path)
    parameters = parameter_files.resolve(SIM_NODE, options.namespace, options.params_files)
    parameters |= _settled(SIM_NODE, given, {name: options.say(name) for name in given})
    parameters["use_sim_time"] = False  # it is the source of simulated time
    return _process(SIM_NODE, parameters, options, respawn=False)


def sim_localization(localization: str, slam: str) -> str:
    """The simulator's mode of publishing map->odom, such that there is one publisher; "" lets ``slam`` decide.

    Raises:
        InputError: there would be two publishers.
    """
    ours = slam in ("own", "none")
    if ours and localization not in ("", "slam"):
        raise InputError(
            f"localization:={localization} with slam:={slam}: both would publish map->odom; "
            "leave localization out, or give slam:=external"
        )
    return localization or ("slam" if ours else "truth")


def check_namespace(option: str, namespace: str) -> None:
    """Raises InputError if the namespace is invalid in ROS; ``option`` is where it was given."""
    if not re.fullmatch(rf"/?({_NAME}(/{_NAME})*/?)?", namespace):
        raise InputError(f"{option}{namespace}: give letters, digits and _, with / between names")


def check_memory_file(option: str, path: str) -> None:
    """Raises InputError if a path is neither a memory file nor a place for one; ``option`` is where it was given."""
    from ..memory.file.memory_file import open_file

    if os.path.lexists(path):
        with open_file(path):
            pass
    trouble = unwritable(path)
    if trouble:
        raise InputError(f"{option}{path}: {trouble}; give another place")


def remapping(text: str) -> tuple[str, str]:
    """(from, to) of ``from:=to``.

    Raises:
        InputError: the text is not of this form.
    """
    old, separator, new = text.partition(":=")
    topic = rf"([~]?/)?{_NAME}(/{_NAME})*"
    if not (separator and re.fullmatch(rf"({_NAME}:)?{topic}", old) and re.fullmatch(topic, new)):
        raise InputError(f"'{text}': is no remapping; give FROM:=TO, as in /tf:=tf")
    return old, new


def below_namespace(topics: Iterable[str]) -> dict[str, str]:
    """Remappings of absolute topics into the nodes' namespace."""
    return {topic: topic.lstrip("/") for topic in topics}


def _lay_over(found: dict[str, dict[str, Any]], options: AgentOptions) -> None:
    """Overrides the parameters from files by the options."""
    own = options.slam == "own"
    for name, values in options.parameters.items():
        found[name] |= values
    for parameters in found.values():
        parameters["use_sim_time"] = options.use_sim_time
    by_name = {spec.name: spec for spec in AGENT_NODES}
    given = (("reasoner", "policy", options.reasoner), ("perception", "backend", options.perception))
    for name, parameter, value in given:
        if value:
            found[name] |= _settled(by_name[name], {parameter: value}, {parameter: options.say(name)})
    found["perception"]["backend"] = _chosen(found["perception"], options).name
    if options.memory_file:
        given_file = os.path.abspath(os.path.expanduser(options.memory_file))
        for name, values in memory_parameters(given_file, own).items():
            found[name] |= values
    elif own and (file := found["memory"].get("file")):
        # The parameter files name the memory file: derive SLAM's parameters from it, unless they are set.
        for name, values in memory_parameters(file, own).items():
            found[name] = values | found[name]


def view_parameters(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the view node that follow from the memory's."""
    size = memory.get("memory.voxel_size")
    return {} if size is None else {"voxel_size": float(size)}


def _check_memory(found: dict[str, dict[str, Any]], options: AgentOptions) -> None:
    file = found["memory"].get("file")
    if file:
        option = options.say("memory_file") if options.memory_file else "memory: file: "
        check_memory_file(option, os.path.expanduser(file))


def _settled(spec: NodeSpec, given: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    """Values checked and converted by the node's settings; ``said``: how each was given, for error messages."""
    settings = parameter_files.node_settings(spec)
    found = {}
    for name, value in given.items():
        kind = next(kind for kind, prefix in settings if not prefix and name in kind.__dataclass_fields__)
        try:
            found[name] = kind.from_mapping({name: value}).to_mapping()[name]
        except InputError as error:
            raise InputError(f"{said[name]}{value}: {str(error).partition(': ')[2]}") from None
    return found


def _check_remappings(options: AgentOptions) -> None:
    for old, new in options.remappings.items():
        remapping(f"{old}:={new}")


def _process(spec: NodeSpec, parameters: dict[str, Any], options: AgentOptions, respawn: bool = True) -> Process:
    return Process(
        spec.name,
        spec.name,
        parameters,
        remappings=dict(options.remappings),
        respawn=respawn,
        namespace=options.namespace,
        optional=spec is VIEW_NODE,
    )
