"""The table of all nodes: name, description, and the settings that are their parameters. Imports none of them.

Read by the launch files, ``embodied-nav up``, ``demo`` and ``replay``, the parameter files and their documentation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph.

    Attributes:
        name: the node's name, its module under ``embodied_nav.nodes`` and its executable for ``ros2 run``.
        description: what it does, in one line.
        lifecycle: whether it is a managed node.
        settings: (module, settings class, prefix) of its parameters, by name so that nothing heavy is imported here.
        tables: (module, registry) of its plug-ins; the settings of every entry are parameters of the node, too.
    """

    name: str
    description: str
    lifecycle: bool = True
    settings: tuple[tuple[str, str, str], ...] = ()
    tables: tuple[tuple[str, str], ...] = ()


_CAMERA = (
    ("nodes.ros.camera_stream", "CameraInputConfig", "camera"),
    ("nodes.ros.optics", "TransportConfig", "camera"),
    ("geometry.registration", "RegistrationConfig", "registration"),
    ("frame_checks", "FrameCheckConfig", "checks"),
)

#: The perception node runs the encoder; the memory node makes room for its features and asks its text tower.
_ENCODER = ("perception.encoders", "EncoderChoice", "perception")

AGENT_NODES: tuple[NodeSpec, ...] = (
    NodeSpec(
        "keyframe",
        "keeps the frames worth looking at",
        settings=(*_CAMERA, ("keyframes", "KeyframeConfig", "")),
    ),
    NodeSpec(
        "perception",
        "says in words and fields what a keyframe shows",
        settings=(
            ("nodes.perception", "PerceptionNodeConfig", ""),
            ("perception", "ResilienceConfig", "perception"),
            _ENCODER,
        ),
        tables=(("perception", "BACKENDS"), ("tables", "ENCODERS")),
    ),
    NodeSpec(
        "memory",
        "fuses every frame into voxels and objects",
        settings=(
            *_CAMERA,
            ("nodes.memory", "MemoryNodeConfig", ""),
            ("memory", "MemoryConfig", "memory"),
            ("memory", "RetentionConfig", "retention"),
            ("planning.scan_layer", "ScanLayerConfig", "scan_layer"),
            _ENCODER,
        ),
        tables=(("tables", "ENCODERS"),),
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
        tables=(("reasoner", "POLICIES"),),
    ),
    NodeSpec(
        "control",
        "drives along the plan; its collision guard has the last word",
        settings=(
            ("nodes.control", "ControlNodeConfig", ""),
            ("nodes.ros.optics", "TransportConfig", "camera"),
            ("geometry.registration", "RegistrationConfig", "registration"),
            ("planning", "PursuitConfig", "pursuit"),
            ("planning", "GuardConfig", "guard"),
            ("planning", "ObstacleConfig", "obstacles"),
            ("planning", "CoverageConfig", "coverage"),
            ("planning", "MountConfig", "mount"),
            ("planning", "RecoveryConfig", "recovery"),
            ("planning", "ContactConfig", "contact"),
            ("planning.pose_watch", "PoseWatchConfig", "pose_watch"),
            ("planning.stall", "StallConfig", "stall"),
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
    "the embedded simulator, or Habitat, as a robot",
    lifecycle=False,
    settings=(
        ("nodes.sim", "SimNodeConfig", ""),
        ("sim.embedded", "SimulatorConfig", "simulator"),
        ("sim.habitat.simulator", "HabitatConfig", "habitat"),
    ),
)

VIEW_NODE = NodeSpec(
    "view",
    "what the agent knows, as a page in a browser",
    lifecycle=False,
    settings=(("nodes.view", "ViewNodeConfig", ""), ("view", "PageConfig", "page")),
)

#: Every node that parameter files may name.
ALL_NODES = (*AGENT_NODES, SLAM_NODE, SIM_NODE, VIEW_NODE)
