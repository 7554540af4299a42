"""Which map poses are of, as a message; which keyframes a run that crashed had made."""

import numpy as np
import pytest

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.memory import SpatialMemory

pytestmark = pytest.mark.ros


def test_an_identity_is_what_it_was_after_its_way_over_ros():
    from embodied_nav.nodes.ros.map_identity import Identity, identity_from_msg, identity_msg

    lost = identity_from_msg(identity_msg(Identity(1_500_000_001), "map"))
    assert (lost.stamp, lost.map_id, lost.T, lost.moves) == (1_500_000_001, "", None, False)
    for gone in ("", "other"):
        identity = identity_from_msg(identity_msg(Identity(7, "U", gone, pose2d(1.0, -2.0, 0.7)), "map"))
        assert (identity.map_id, identity.joined_map_id, identity.moves) == ("U", gone, gone == "")
        np.testing.assert_allclose(identity.T, pose2d(1.0, -2.0, 0.7), atol=1e-12)


def test_a_join_by_no_transform_or_with_no_map_is_refused():
    from embodied_nav.nodes.ros.conversions import BadMessage
    from embodied_nav.nodes.ros.map_identity import Identity, identity_from_msg, identity_msg

    bad = identity_msg(Identity(7, "U", "", np.eye(4)), "map")
    bad.pose.position.x = float("nan")
    for message in (bad, identity_msg(Identity(7, "", "", np.eye(4)), "map")):
        with pytest.raises(BadMessage, match="slam/map"):
            identity_from_msg(message)


@pytest.mark.parametrize(
    "stamps, first", [([5, 6, 7], 0), ([5, 6, 1, 2], 2), ([5, 6, 7, 1], 3), ([3], 0), ([], 0), ([9, 1, 2, 2, 3], 3)]
)
def test_a_runs_keyframes_are_those_since_the_clock_began_anew(stamps, first):
    from embodied_nav.nodes.ros.keyframe_ids import first_of_run

    memory, camera = SpatialMemory(), Camera(4, 3, 3.0, 3.0, 2.0, 1.5)
    for i, stamp in enumerate(stamps):
        frame = RGBDFrame(stamp, camera, np.eye(4), None, np.ones((3, 4), np.float32))
        memory.add_keyframe(Keyframe(i, frame, 1.0, 0, "test"))
    assert first_of_run(memory) == first
