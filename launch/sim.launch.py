"""The embedded simulator, or Habitat, as a robot, with the agent beside it: send a goal with

ros2 action send_goal -f /navigate embodied_nav/action/Navigate "{instruction: 'find the red sofa'}"
"""

from dataclasses import replace

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from embodied_nav import perception, reasoner
from embodied_nav.bringup import launching
from embodied_nav.bringup.agent_graph import (
    ABSOLUTE_CLOCK,
    ABSOLUTE_TF,
    LOG_LEVELS,
    SLAM,
    perception_of,
    sim_localization,
    sim_process,
)
from embodied_nav.errors import InputError
from embodied_nav.sim import SIMULATORS
from embodied_nav.sim.habitat.protocols import PROTOCOLS

SHARE = FindPackageShare("embodied_nav")
AGENT = PathJoinSubstitution([SHARE, "launch", "agent.launch.py"])
FLAG = "true or false"

#: Of the sim node: its parameters of these names.
SIM_ARGUMENTS = [
    DeclareLaunchArgument(
        "simulator",
        default_value="embedded",
        choices=list(SIMULATORS),
        description=f"What the robot drives in: {SIMULATORS.describe()}.",
    ),
    DeclareLaunchArgument(
        "dataset",
        default_value="",
        description="Habitat data set (.json.gz), of which episode number index is run; needed by habitat. With "
        "embedded its scenes are drawn by this package's own rasteriser.",
    ),
    DeclareLaunchArgument("scenes_dir", default_value="", description="Folder that the data set's scenes lie in."),
    DeclareLaunchArgument(
        "protocol",
        default_value="auto",
        choices=["auto", *PROTOCOLS],
        description="Of the data set: what counts as a success.",
    ),
    DeclareLaunchArgument(
        "habitat_server",
        default_value="",
        description="HOST:PORT of habitat/server.py; empty: as the parameter files say, else 127.0.0.1:7447.",
    ),
    DeclareLaunchArgument("scene", default_value="1000", description="The apartment's seed."),
    DeclareLaunchArgument(
        "kind",
        default_value="object",
        choices=["object", "relation", "room", "route"],
        description="Kind of episode; it says where the robot starts.",
    ),
    DeclareLaunchArgument("index", default_value="0", description="Which episode of this kind."),
    DeclareLaunchArgument(
        "localization",
        default_value="",
        choices=["", "truth", "odom", "slam"],
        description="map->odom of the simulator: truth, odom (identity: the drift stays in), slam (none: it is "
        "somebody else's business). Empty: truth with slam:=external, else slam.",
    ),
    DeclareLaunchArgument(
        "map_origin",
        default_value="start",
        choices=["start", "scene"],
        description="Where the true map begins: start; or scene, the same in all sessions over one file.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="Simulated seconds a second."),
    DeclareLaunchArgument(
        "publish_clock", default_value="true", description=f"Publish /clock; set use_sim_time alike ({FLAG})."
    ),
]
#: Handed on to agent.launch.py under the same names.
AGENT_ARGUMENTS = [
    DeclareLaunchArgument(
        "namespace",
        default_value="",
        description="Of all nodes and topics. Robots in different namespaces share nothing, TF and clock included.",
    ),
    DeclareLaunchArgument(
        "tf_in_namespace",
        default_value="auto",
        choices=["auto", "true", "false"],
        description="TF on tf and tf_static below the namespace; auto: where there is a namespace.",
    ),
    DeclareLaunchArgument(
        "clock_in_namespace",
        default_value="auto",
        choices=["auto", "true", "false"],
        description="Simulated time on clock below the namespace; auto: where there is a namespace.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "agent.yaml"]),
        description="Parameters of the nodes, sim included (YAML).",
    ),
    DeclareLaunchArgument(
        "robot_file",
        default_value=PathJoinSubstitution([SHARE, "config", "robot.yaml"]),
        description="The robot profile (YAML). params_file wins over it.",
    ),
    DeclareLaunchArgument("use_sim_time", default_value="true", description=f"Take time from /clock ({FLAG})."),
    DeclareLaunchArgument(
        "reasoner",
        default_value="rules",
        choices=["", *reasoner.POLICIES],
        description=f"Who decides: {reasoner.POLICIES.describe()}.",
    ),
    DeclareLaunchArgument(
        "perception",
        default_value="simulator",
        choices=["", perception.AUTO, *perception.BACKENDS],
        description="Perception back end: auto (a detector where one was fetched, else compact where it has weights), "
        f"{perception.BACKENDS.describe()}.",
    ),
    DeclareLaunchArgument(
        "slam",
        default_value="external",
        choices=SLAM,
        description="Who publishes map->odom: external (the simulator, see localization, or your SLAM), own (the slam "
        "node), none (identity).",
    ),
    DeclareLaunchArgument(
        "memory_file",
        default_value="",
        description="File that the memory is loaded from and kept in, one for each robot; empty: none.",
    ),
    DeclareLaunchArgument(
        "composed",
        default_value="false",
        description=f"slam, keyframe, perception and memory in one process: less work a frame ({FLAG}).",
    ),
    DeclareLaunchArgument("rviz", default_value="false", description=f"Start RViz with the package's view ({FLAG})."),
    DeclareLaunchArgument(
        "view",
        default_value="false",
        description=f"Show what the agent knows as a page at http://127.0.0.1:8080 ({FLAG}).",
    ),
    DeclareLaunchArgument("log_level", default_value="info", choices=LOG_LEVELS, description="Logging of the nodes."),
]
ARGUMENTS = [
    *SIM_ARGUMENTS,
    *AGENT_ARGUMENTS,
    DeclareLaunchArgument("agent", default_value="true", description=f"Start the agent's nodes, too ({FLAG})."),
]


def simulation(context: LaunchContext) -> list:
    """All actions of the launch, once every argument, file and executable has been looked at."""

    def text(name: str) -> str:
        return launching.value(context, name)

    def flag(name: str) -> bool:
        return launching.flag(context, name)

    below = {
        name: launching.namespace(context) != "" if text(name) == "auto" else flag(name)
        for name in ("tf_in_namespace", "clock_in_namespace")
    }
    topics = (ABSOLUTE_TF if below["tf_in_namespace"] else ()) + (ABSOLUTE_CLOCK if below["clock_in_namespace"] else ())
    options = replace(launching.agent_options(context, topics), simulated=True)
    given = {argument.name: text(argument.name) for argument in SIM_ARGUMENTS}
    given["localization"] = sim_localization(given["localization"], options.slam)
    given["publish_clock"] = flag("publish_clock")
    given["world"] = given.pop("simulator")
    server = given.pop("habitat_server")
    if given["world"] == "habitat" and not given["dataset"]:
        raise InputError("simulator:=habitat: needs a data set; give dataset:=F.json.gz scenes_dir:=D")
    sim = sim_process(options, given)
    if server:
        sim = replace(sim, parameters={**sim.parameters, "habitat.server": server})
    processes = [sim, *(launching.processes(context, options) if flag("agent") else ())]
    launching.check_nodes(processes)
    launching.check_others(options.slam if flag("agent") else "external", flag("rviz") and flag("agent"))
    found = [*launching.misspelt(context, ARGUMENTS), *launching.actions(sim, text("log_level"))]
    if not flag("agent"):
        return found
    handed_on = {argument.name: text(argument.name) for argument in AGENT_ARGUMENTS}
    handed_on["perception"] = perception_of(options).name  # auto is another on a real camera
    handed_on |= {name: str(value).lower() for name, value in below.items()}
    return [*found, IncludeLaunchDescription(PythonLaunchDescriptionSource(AGENT), launch_arguments=handed_on.items())]


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=simulation)])
