"""RViz's and Foxglove's files against the running graph: every topic is there, of that type, with QoS that match."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest
import yaml
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible

from embodied_nav.bringup import Process, composed

ROOT = Path(__file__).resolve().parents[2]
RVIZ, FOXGLOVE = ROOT / "rviz" / "agent.rviz", ROOT / "config" / "foxglove.json"
NODES = ("keyframe", "perception", "memory", "reasoner", "control")
SLAM = importlib.util.find_spec("gtsam") is not None  # the slam node does not start without

#: What RViz's plugins subscribe to, and what its tools publish.
DISPLAYS = {
    "Map": "nav_msgs/msg/OccupancyGrid", "PointCloud2": "sensor_msgs/msg/PointCloud2", "Path": "nav_msgs/msg/Path",
    "MarkerArray": "visualization_msgs/msg/MarkerArray", "Odometry": "nav_msgs/msg/Odometry",
    "Image": "sensor_msgs/msg/Image", "GridCells": "nav_msgs/msg/GridCells",
}  # fmt: skip
TOOLS = {"SetInitialPose": "geometry_msgs/msg/PoseWithCovarianceStamped", "SetGoal": "geometry_msgs/msg/PoseStamped"}
#: What Foxglove's 3D panel draws of ours.
IN_3D = {DISPLAYS[name] for name in ("Map", "PointCloud2", "Path", "MarkerArray")}
#: The robot's topics: a driver may publish them with best effort, whatever our simulator does.
FROM_ROBOT = ("odom", "camera/color/image_raw", "camera/depth/image_raw")
#: Nav2's, not ours: it drives there through cmd_vel_nav and our guard.
OF_NAV2 = "goal_pose"


def named(path):
    """The entries of RViz's file that a plugin class and a topic belong to: (class, name, topic's settings)."""
    manager = yaml.safe_load(path.read_text(encoding="utf-8"))["Visualization Manager"]
    return [
        (entry["Class"].removeprefix("rviz_default_plugins/"), entry.get("Name", entry["Class"]), entry["Topic"])
        for entry in (*manager["Displays"], *manager["Tools"])
        if "Topic" in entry
    ]


def profile(topic):
    """The QoS of an entry."""
    assert topic["History Policy"] == "Keep Last"
    return QoSProfile(
        depth=topic["Depth"],
        reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
        durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
    )


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """Simulator and agent, in few processes; the test only asks who publishes and subscribes what."""
    from running_graph import Graph

    file = str(tmp_path_factory.mktemp("displays") / "memory.db")
    own = {"perception": {"backend": "simulator"}, "memory": {"file": file}, "slam": {"memory_file": file}}
    sim = {"scene": 1000, "kind": "room", "localization": "slam" if SLAM else "truth"}
    names = (*NODES, *(("slam",) if SLAM else ()))
    processes = [Process("sim", "sim", sim, respawn=False)]
    processes += [Process(name, name, {"use_sim_time": True, **own.get(name, {})}) for name in names]
    with Graph(composed(processes)) as running:
        wanted = {"memory/occupancy", "options", "touched", "odom", *(("slam/graph",) if SLAM else ())}
        published = lambda: {t for t in wanted if running.node.count_publishers(f"/{t}")}  # noqa: E731
        assert running.until(lambda: published() == wanted, 300.0), (wanted - published(), running.said)
        yield running


def offered(graph, topic):
    """(type, QoS) of every publisher of a topic; [] where it is SLAM's, which is not installed here."""
    found = graph.node.get_publishers_info_by_topic(topic if topic.startswith("/") else f"/{topic}")
    if not found and not SLAM and "slam/" in topic:
        return []
    assert found, f"nobody publishes {topic}"
    return [(info.topic_type, info.qos_profile) for info in found]


def told(profile):
    """A profile as the graph tells it, with the policies that count: discovery leaves out history and depth."""
    return QoSProfile(depth=1, reliability=profile.reliability, durability=profile.durability)


def test_tools_are_those_that_the_readme_speaks_of():
    classes = {name for name, _, _ in named(RVIZ)}
    assert set(TOOLS) <= classes
    assert "2D Pose Estimate" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_robots_publish_with_best_effort_is_heard():
    for plugin, name, topic in named(RVIZ):
        if topic["Value"] in FROM_ROBOT:
            assert topic["Reliability Policy"] == "Best Effort", f"{plugin} {name}"
    assert set(FROM_ROBOT) <= {topic["Value"] for _, _, topic in named(RVIZ)}


@pytest.mark.ros
@pytest.mark.parametrize("entry", [e for e in named(RVIZ) if e[0] not in TOOLS], ids=lambda e: e[1])
def test_display_matches_its_publisher(graph, entry):
    plugin, _, topic = entry
    for kind, qos in offered(graph, topic["Value"]):
        assert kind == DISPLAYS[plugin]
        compatibility, reason = qos_check_compatible(told(qos), profile(topic))
        assert compatibility != QoSCompatibility.ERROR, reason
        if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
            assert profile(topic).durability == DurabilityPolicy.TRANSIENT_LOCAL, "would miss what was sent before"


@pytest.mark.ros
@pytest.mark.parametrize("entry", [e for e in named(RVIZ) if e[0] in TOOLS], ids=lambda e: e[0])
def test_tool_has_a_listener(graph, entry):
    tool, _, topic = entry
    listeners = graph.node.get_subscriptions_info_by_topic(f"/{topic['Value']}")
    if topic["Value"] == OF_NAV2:
        assert not listeners, "we listen now: say so in the README"
        return
    if not SLAM:
        pytest.skip("needs gtsam: the slam node listens")
    assert listeners
    for info in listeners:
        assert info.topic_type == TOOLS[tool]
        assert qos_check_compatible(profile(topic), told(info.qos_profile))[0] != QoSCompatibility.ERROR


def foxglove_topics():
    """(panel, topic, path of fields, types it may have) of Foxglove's layout."""
    panels = json.loads(FOXGLOVE.read_text(encoding="utf-8"))["configById"]
    for panel, settings in panels.items():
        for topic in settings.get("topics", ()):
            yield panel, topic, [], IN_3D
        image = settings.get("imageMode", {})
        for key, kind in (("imageTopic", "sensor_msgs/msg/Image"), ("calibrationTopic", "sensor_msgs/msg/CameraInfo")):
            if key in image:
                yield panel, image[key], [], {kind}
        if "topicToRender" in settings:
            yield panel, settings["topicToRender"], [], {"diagnostic_msgs/msg/DiagnosticArray"}
        for path in (settings.get("topicPath"), *(p["value"] for p in settings.get("paths", ()))):
            if path:
                topic, *fields = path.split(".")
                yield panel, topic, fields, None


@pytest.mark.ros
@pytest.mark.parametrize("entry", list(foxglove_topics()), ids=lambda e: f"{e[0]} {e[1]}")
def test_foxglove_shows_what_there_is(graph, entry):
    _, topic, fields, kinds = entry
    for kind, _ in offered(graph, topic):
        assert kinds is None or kind in kinds
        package, module, name = kind.split("/")
        message = getattr(importlib.import_module(f"{package}.{module}"), name)()
        for field in fields:
            message = getattr(message, field)


def test_foxglove_panels_are_all_in_the_layout_and_its_tools_are_those_of_rviz():
    content = json.loads(FOXGLOVE.read_text(encoding="utf-8"))

    def leaves(node):
        return [node] if isinstance(node, str) else [*leaves(node["first"]), *leaves(node["second"])]

    assert sorted(leaves(content["layout"])) == sorted(content["configById"])
    publish = content["configById"]["3D!map"]["publish"]
    tools = {plugin: topic["Value"] for plugin, _, topic in named(RVIZ) if plugin in TOOLS}
    assert publish["poseEstimateTopic"] == f"/{tools['SetInitialPose']}"
    assert publish["poseTopic"] == f"/{tools['SetGoal']}"
    shown = {topic.lstrip("/") for _, topic, _, _ in foxglove_topics()}
    in_rviz = {topic["Value"] for plugin, _, topic in named(RVIZ) if plugin not in TOOLS}
    assert in_rviz - shown <= {"touched"}, "Foxglove draws no GridCells"
