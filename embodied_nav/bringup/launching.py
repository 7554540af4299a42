"""Shared code of the launch files: argument values, and processes as launch actions. Knows no particular node.

Everything is checked before the first node starts, since a later failure would leave nodes running. A node that exits
with code 2 cannot work until the user fixes something: that ends the launch with the node's error line.
"""

from __future__ import annotations

import difflib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext
from launch.actions import DeclareLaunchArgument, LogInfo, RegisterEventHandler
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessExited, ProcessIO
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from ..errors import InputError
from ..start_up import DIE_WITH_PARENT, RUN
from .agent_graph import AgentOptions, agent_processes, below_namespace
from .composition import composed
from .processes import Process, enclave_of, write_params_file

PACKAGE = "embodied_nav"
#: Id of this run (one launch process): a respawned node restores its predecessor's stop only within the same run.
_THIS_RUN = uuid.uuid4().hex
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0")
#: Prefix of a node's error line about a mistake of the user.
_ERROR = "embodied-nav: error: "


def value(context: LaunchContext, name: str) -> str:
    """A launch argument's value."""
    return LaunchConfiguration(name).perform(context)


def flag(context: LaunchContext, name: str) -> bool:
    """A launch argument that is true or false.

    Raises:
        InputError: it is neither true nor false.
    """
    text = value(context, name)
    if text not in (*_TRUE, *_FALSE):
        raise InputError(f"{name}:={text}: give true or false")
    return text in _TRUE


def path(context: LaunchContext, name: str) -> str:
    """A launch argument that is a path, absolute and without ``~``."""
    return os.path.abspath(os.path.expanduser(value(context, name)))


def namespace(context: LaunchContext) -> str:
    """The argument ``namespace``, within the namespace of an including launch group."""
    given = prefix_namespace(context.launch_configurations.get("ros_namespace"), value(context, "namespace"))
    return make_namespace_absolute(given) or ""


def processes(context: LaunchContext, options: AgentOptions) -> list[Process]:
    """The agent's processes; with the argument ``composed`` some nodes share one.

    Raises:
        InputError: an option or file is not valid.
    """
    found = agent_processes(options)
    return composed(found) if flag(context, "composed") else found


def agent_options(context: LaunchContext, absolute: Iterable[str]) -> AgentOptions:
    """Options from the arguments that both launch files have; ``absolute`` topics are remapped into the namespace.

    Raises:
        InputError: an argument that is neither true nor false.
    """
    return AgentOptions(
        params_files=(path(context, "robot_file"), path(context, "params_file")),
        namespace=namespace(context),
        use_sim_time=flag(context, "use_sim_time"),
        reasoner=value(context, "reasoner"),
        perception=value(context, "perception"),
        slam=value(context, "slam"),
        memory_file=value(context, "memory_file"),
        view=flag(context, "view"),
        remappings=below_namespace(absolute),
        say="{}:=".format,
    )


def check_nodes(processes: Iterable[Process]) -> None:
    """Raises InputError if this package's executables are not where launch looks for them."""
    for process in processes:
        try:
            folder = Path(get_package_prefix(PACKAGE), "lib", PACKAGE)
        except PackageNotFoundError:
            folder = None
        if folder is None or not os.access(folder / process.module, os.X_OK):
            raise InputError(
                f"{PACKAGE}/{process.module} is not installed; colcon build --packages-select {PACKAGE} && "
                "source install/setup.bash"
            )


def misspelt(context: LaunchContext, declared: Iterable[DeclareLaunchArgument]) -> list[LogInfo]:
    """A warning for each command-line argument that resembles a declared one but has no effect."""
    known = [argument.name for argument in declared]
    given = {text.partition(":=")[0] for text in context.argv if ":=" in text}
    pairs = [(name, difflib.get_close_matches(name, known, 1, 0.75)) for name in sorted(given - set(known))]
    return [
        LogInfo(msg=f"there is no argument '{name}', its value is not used; did you mean '{near[0]}'?")
        for name, near in pairs
        if near
    ]


def check_executable(package: str, executable: str, why: str, apt: str) -> None:
    """Raises InputError if a package or its executable is missing; ``why`` needs it, ``apt`` is its package."""
    try:
        there = os.access(Path(get_package_prefix(package), "lib", package, executable), os.X_OK)
    except PackageNotFoundError:
        there = False
    if not there:
        distribution = os.environ.get("ROS_DISTRO", "jazzy")
        raise InputError(
            f"{why}: {package}/{executable} is not installed; sudo apt install ros-{distribution}-{apt} "
            f"(and source /opt/ros/{distribution}/setup.bash), or leave {why} out"
        )


def check_others(slam: str, rviz: bool) -> None:
    """Raises InputError if a package is missing that the arguments ``slam`` and ``rviz`` require."""
    if slam == "none":
        check_executable("tf2_ros", "static_transform_publisher", "slam:=none", "tf2-ros")
    if rviz:
        check_executable("rviz2", "rviz2", "rviz:=true", "rviz2")


def actions(process: Process, log_level: str) -> list[Action]:
    """Launch actions that start and monitor a process of this package; its parameter file is in launch's log folder.

    After a crash the process is started again if it is marked for respawn.
    """
    file = Path(launch_config.get_log_file_path(f"{process.full_name.replace('/', '.')}.yaml"))
    write_params_file(file, process)
    last_words: list[str] = []

    def listen(event: ProcessIO) -> None:
        lines = event.text.decode(errors="replace").splitlines()
        last_words[:] = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)] or last_words

    def end(event: ProcessExited, context: LaunchContext) -> None:
        if event.returncode == 2 and not process.optional and not context.is_shutdown:
            # Raise, since the launch service then shuts down and returns 1; the action Shutdown would return 0.
            raise InputError(f"{process.name} cannot work: {last_words[-1] if last_words else 'it has said above why'}")

    started = Node(
        package=PACKAGE,
        executable=process.module,
        name=None if process.nodes else process.name,
        # Absolute: the namespace of an including group is already part of it.
        namespace=process.namespace or "/",
        parameters=[str(file)],
        remappings=list(process.remappings.items()),
        arguments=[
            *(node.name for node in process.nodes),
            "--ros-args",
            "--log-level",
            log_level,
            *enclave_of(process, os.environ),
        ],
        additional_env={DIE_WITH_PARENT: "1", RUN: _THIS_RUN},
        output="screen",
        on_exit=end,
        respawn=process.respawn,
        respawn_delay=1.0,
    )
    return [RegisterEventHandler(OnProcessIO(target_action=started, on_stderr=listen)), started]
