"""The agent's nodes: camera topics, odom and TF in, cmd_vel out. `ros2 launch embodied_nav agent.launch.py -s` lists
the arguments. Sets no DDS profile and no discovery range: RViz on another machine sees the graph.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from embodied_nav import bringup
from embodied_nav.errors import InputError

SHARE = FindPackageShare("embodied_nav")

ARGUMENTS = (
    ("namespace", "", "Namespace of all nodes and topics; TF stays on /tf."),
    ("params_file", PathJoinSubstitution([SHARE, "config", "agent.yaml"]), "Parameters of the nodes."),
    ("robot_file", PathJoinSubstitution([SHARE, "config", "robot.yaml"]), "The robot profile: shape, limits, frames."),
    ("use_sim_time", "false", "Take time from /clock."),
    ("reasoner", "", "Who decides: rules, frontier, random; empty: as params_file says."),
    ("perception", "", "Perception back end: geometric, simulator; empty: as params_file says."),
    (
        "slam",
        "external",
        "Who publishes map->odom: own (the slam node), external (yours), none (odometry is believed: identity).",
    ),
    (
        "memory_file",
        "",
        "File that the memory is loaded from and kept in; with slam:=own the robot finds itself in it. Empty: as "
        "params_file says.",
    ),
    ("rviz", "false", "Start RViz with the package's view."),
    ("log_level", "info", "Logging of the nodes: debug, info, warn, error."),
)

#: Node -> the launch argument that, where it is not empty, sets one of its parameters, and that parameter.
OVERRIDES = {"reasoner": ("reasoner", "policy"), "perception": ("perception", "backend")}


def nodes(context: LaunchContext) -> list[Node]:
    """One action a node of the table; the parameter files are checked before any is started."""
    for name in ("robot_file", "params_file"):
        bringup.check_params_file(LaunchConfiguration(name).perform(context))
    slam = LaunchConfiguration("slam").perform(context)
    if slam not in ("own", "external", "none"):
        raise InputError(f"slam:={slam}: unknown; give own, external or none")
    found = [_node(spec, context) for spec in bringup.AGENT_NODES]
    if slam == "own":
        found.append(_node(bringup.SLAM_NODE, context))
    return [*found, _identity(context)] if slam == "none" else found


def _node(spec: bringup.NodeSpec, context: LaunchContext) -> Node:
    parameters = [
        LaunchConfiguration("robot_file"),
        LaunchConfiguration("params_file"),
        {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)},
    ]
    argument, parameter = OVERRIDES.get(spec.name, ("", ""))
    value = LaunchConfiguration(argument).perform(context) if argument else ""
    if value:
        parameters.append({parameter: value})
    file, slam = (LaunchConfiguration(name).perform(context) for name in ("memory_file", "slam"))
    kept = bringup.memory_parameters(file, slam == "own") if file else {}
    if spec.name in kept:
        parameters.append(kept[spec.name])
    return Node(
        package="embodied_nav",
        executable=spec.name,
        name=spec.name,
        namespace=LaunchConfiguration("namespace"),
        parameters=parameters,
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        respawn=True,
        respawn_delay=1.0,
    )


def _identity(context: LaunchContext) -> Node:
    """map->odom where nobody corrects odometry; the frames' names as the robot profile has them."""
    robot = bringup.robot_profile(LaunchConfiguration("robot_file").perform(context))
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name="map_is_odom",
        namespace=LaunchConfiguration("namespace"),
        arguments=["--frame-id", robot.map_frame, "--child-frame-id", robot.odom_frame],
    )


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", PathJoinSubstitution([SHARE, "rviz", "agent.rviz"])],
        parameters=[{"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    declared = [DeclareLaunchArgument(n, default_value=d, description=text) for n, d, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=nodes), rviz])
