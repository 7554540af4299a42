"""A kinematic robot with an analytic depth camera and faults on demand, which drives the real control node.

``python -m kinematic_rig NAME ...`` (from test/ros) runs scenarios by hand and prints their records.
"""

from .safe import SAFE
from .scenario import Record, Scenario
from .unsafe import UNSAFE

#: All scenarios by name.
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in (*UNSAFE, *SAFE)}

#: Further variants of a kind, for who changes the guard or the control node: the others stand for them.
VARIANTS = frozenset(
    [
        "depth_all_zero_32FC1",
        "frozen_colour_and_depth",
        "depth_stops",
        "colour_stops",
        "odom_topic_drifts_off",
        "tf_dies",
        "odometry_dies",
        "pit_without_a_bottom",
        "kerb_of_15_cm",
        "upside_down_and_tf_does_not_know",
        "scan_of_nothing_but_nan",
        "wish_of_3_m_s",
        "wish_of_20_rad_s",
        "e_stop_reliable",
        "e_stop_latched",
        "e_stop_best_effort_holds_after_a_kill",
        "not_enabled_best_effort",
        "camera_info_stops",
        "somebody_steps_in",
        "size_changes_before_a_box",
        "base_obeys_nothing",
        "dark_sofa_behind_the_goal",
        "glossy_floor_in_spots",
        "millimetres",
        "pitch_in_tf_is_2_degrees_off",
        "ramp_down_of_5_degrees",
        "turns_about_first",
        "map_at_1_hz",
        "map_at_5_hz",
        "e_stop_released_latched",
        "enable_required_and_given",
        "frozen_driver_comes_back",
        "one_odometry_message_off",
        "slam_corrects_the_map",
        "camera_info_is_zero_at_first",
        "stamps_fall_back",
        "size_changes",
        "wish_within_limits",
    ]
)

__all__ = ["Record", "SAFE", "SCENARIOS", "Scenario", "UNSAFE", "VARIANTS"]
