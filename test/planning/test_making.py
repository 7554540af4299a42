"""A path follower gets all its settings, under the names that the control node has them by."""

from embodied_nav.node_table import AGENT_NODES
from embodied_nav.planning import GuardConfig, PursuitConfig, make_follower
from embodied_nav.robot import RobotProfile


def test_each_part_gets_its_own_settings_under_the_names_of_the_control_node():
    asked = {}

    def read(kind, prefix):
        values = {"guard": {"margin": 0.07}, "pursuit": {"goal_tolerance": 0.11}}.get(prefix, {})
        asked[prefix] = kind(**values)
        return asked[prefix]

    follower = make_follower(RobotProfile(), read)
    guard = follower.guard
    held = {
        "guard": guard, "obstacles": guard.obstacles, "coverage": guard.coverage, "mount": guard.mount,
        "pursuit": follower.pursuit, "recovery": follower.recovery, "contact": follower._contact,
    }  # fmt: skip
    assert all(part.config is asked[name] for name, part in held.items()) and set(asked) == set(held)
    assert guard.config == GuardConfig(margin=0.07) and follower.pursuit.config == PursuitConfig(goal_tolerance=0.11)
    control = next(spec for spec in AGENT_NODES if spec.name == "control")
    declared = {(kind, prefix) for _, kind, prefix in control.settings}
    assert {(type(settings).__name__, prefix) for prefix, settings in asked.items()} <= declared
