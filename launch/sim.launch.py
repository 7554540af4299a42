"""The embedded simulator as a robot, with the agent beside it: send a goal with

ros2 action send_goal -f /navigate embodied_nav/action/Navigate "{instruction: 'find the red sofa'}"
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("embodied_nav")

#: Arguments that the sim node takes as parameters: (name, default, type, description).
SIM_ARGUMENTS = (
    ("scene", "1000", int, "The apartment's seed."),
    ("kind", "object", str, "Kind of episode: object, relation, room, route; it says where the robot starts."),
    ("index", "0", int, "Which episode of this kind."),
    (
        "localization",
        "truth",
        str,
        "map->odom: truth (the simulator's), odom (identity: the drift stays in), slam (not the simulator's business; "
        "set slam:=own).",
    ),
    ("map_origin", "start", str, "Where the true map begins: start; or scene, the same in all sessions over one file."),
    ("rate", "1.0", float, "Simulated seconds a second."),
    ("publish_clock", "true", bool, "Publish /clock; set use_sim_time alike."),
)
#: Arguments that are handed on to agent.launch.py: (name, default, description).
AGENT_ARGUMENTS = (
    ("namespace", "", "Namespace of all nodes and topics."),
    ("params_file", PathJoinSubstitution([SHARE, "config", "agent.yaml"]), "Parameters of the agent's nodes."),
    ("robot_file", PathJoinSubstitution([SHARE, "config", "robot.yaml"]), "The robot profile."),
    ("use_sim_time", "true", "Take time from /clock."),
    ("reasoner", "rules", "Who decides: rules, frontier, random."),
    ("perception", "simulator", "Perception back end: simulator (knows the truth), geometric."),
    ("slam", "external", "own: start the slam node (with localization:=slam); external: the simulator or yours."),
    ("memory_file", "", "File that the memory is loaded from and kept in; empty: none."),
    ("rviz", "false", "Start RViz with the package's view."),
    ("log_level", "info", "Logging of the nodes: debug, info, warn, error."),
)


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    declared = [DeclareLaunchArgument(n, default_value=d, description=text) for n, d, _, text in SIM_ARGUMENTS]
    declared += [DeclareLaunchArgument(n, default_value=d, description=text) for n, d, text in AGENT_ARGUMENTS]
    declared.append(DeclareLaunchArgument("agent", default_value="true", description="Start the agent's nodes, too."))
    values = {n: ParameterValue(LaunchConfiguration(n), value_type=kind) for n, _, kind, _ in SIM_ARGUMENTS}
    sim = Node(
        package="embodied_nav",
        executable="sim",
        name="sim",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("robot_file"), values],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    agent = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "agent.launch.py"])),
        launch_arguments={n: LaunchConfiguration(n) for n, _, _ in AGENT_ARGUMENTS}.items(),
        condition=IfCondition(LaunchConfiguration("agent")),
    )
    return LaunchDescription([*declared, sim, agent])
