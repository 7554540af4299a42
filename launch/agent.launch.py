"""The agent's nodes: camera topics, odom and TF in, cmd_vel out. `ros2 launch embodied_nav agent.launch.py -s` lists
the arguments. Sets no DDS profile and no discovery range: RViz on another machine sees the graph.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from embodied_nav import perception, reasoner
from embodied_nav.bringup import launching, parameter_files
from embodied_nav.bringup.agent_graph import (
    ABSOLUTE_CLOCK,
    ABSOLUTE_TF,
    LOG_LEVELS,
    SLAM,
    AgentOptions,
    perception_of,
)

SHARE = FindPackageShare("embodied_nav")
FLAG = "true or false"

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Of all nodes and topics; for TF see the next."),
    DeclareLaunchArgument(
        "tf_in_namespace",
        default_value="false",
        description=f"TF on tf and tf_static below the namespace, as Nav2 has it, not on /tf ({FLAG}).",
    ),
    DeclareLaunchArgument(
        "clock_in_namespace",
        default_value="false",
        description=f"Simulated time from clock below the namespace instead of /clock ({FLAG}).",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "agent.yaml"]),
        description="Parameters of the nodes (YAML). A name without a namespace (control:) means the node of that name "
        "in the namespace of this launch.",
    ),
    DeclareLaunchArgument(
        "robot_file",
        default_value=PathJoinSubstitution([SHARE, "config", "robot.yaml"]),
        description="The robot profile (YAML): shape, limits, names of frames. params_file wins over it.",
    ),
    DeclareLaunchArgument("use_sim_time", default_value="false", description=f"Take time from /clock ({FLAG})."),
    DeclareLaunchArgument(
        "reasoner",
        default_value="",
        choices=["", *reasoner.POLICIES],
        description=f"Who decides: {reasoner.POLICIES.describe()}; empty: as params_file says.",
    ),
    DeclareLaunchArgument(
        "perception",
        default_value="",
        choices=["", perception.AUTO, *perception.BACKENDS],
        description=f"Perception back end: auto (a detector where one was fetched, else geometric), "
        f"{perception.BACKENDS.describe()}; empty: as params_file says, auto where it says nothing.",
    ),
    DeclareLaunchArgument(
        "slam",
        default_value="external",
        choices=SLAM,
        description="Who publishes map->odom: own (the slam node), external (yours), none (odometry is believed: "
        "identity).",
    ),
    DeclareLaunchArgument(
        "memory_file",
        default_value="",
        description="File that the memory is loaded from and kept in, one for each robot; with slam:=own the robot "
        "finds itself in it. Empty: as params_file says.",
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


def agent(context: LaunchContext) -> list:
    """All actions of the launch, once every argument, file and executable has been looked at."""

    def flag(name: str) -> bool:
        return launching.flag(context, name)

    topics = (ABSOLUTE_TF if flag("tf_in_namespace") else ()) + (ABSOLUTE_CLOCK if flag("clock_in_namespace") else ())
    options = launching.agent_options(context, topics)
    processes = launching.processes(context, options)
    launching.check_nodes(processes)
    launching.check_others(options.slam, flag("rviz"))
    hints = parameter_files.foreign_sections(options.namespace, options.params_files)
    found = [*launching.misspelt(context, ARGUMENTS), *(LogInfo(msg=hint) for hint in hints)]
    for process in processes:
        found += launching.actions(process, launching.value(context, "log_level"))
    why = perception_of(options).why
    found += [LogInfo(msg=why)] if why else []
    found += [_identity(options)] if options.slam == "none" else []
    return found + ([_rviz(options)] if flag("rviz") else [])


def _identity(options: AgentOptions) -> Node:
    """map->odom where nobody corrects odometry; the frames' names as the robot profile has them."""
    robot = parameter_files.robot_profile(options.params_files, options.namespace)
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name="map_is_odom",
        namespace=options.namespace or "/",
        remappings=list(options.remappings.items()),
        arguments=["--frame-id", robot.map_frame, "--child-frame-id", robot.odom_frame],
    )


def _rviz(options: AgentOptions) -> Node:
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=options.namespace or "/",
        remappings=list(options.remappings.items()),
        arguments=["-d", PathJoinSubstitution([SHARE, "rviz", "agent.rviz"])],
        parameters=[{"use_sim_time": options.use_sim_time}],
    )


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=agent)])
