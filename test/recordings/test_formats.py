"""Which format a folder holds is found by looking."""

import pytest

from embodied_nav.errors import InputError
from embodied_nav.recordings import Topics, found_format, open_recording


def test_formats_are_told_by_their_files(tmp_path):
    for name, file in (("7scenes", "frame-000000.color.png"), ("tum", "rgb.txt"), ("rosbag2", "metadata.yaml")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        assert found_format(tmp_path / name) == name
    (tmp_path / "run_0.mcap").touch()
    assert found_format(tmp_path / "run_0.mcap") == found_format(tmp_path) == "rosbag2"


def test_what_is_none_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        found_format(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no recording"):
        found_format(tmp_path)
    with pytest.raises(InputError, match="--format avi"):
        open_recording(tmp_path, "avi")
    with pytest.raises(InputError, match="has no topics"):
        open_recording(tmp_path, "tum", topics=Topics(color="/camera/color/image_raw"))
