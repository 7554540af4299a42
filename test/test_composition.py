"""Which nodes share a process, and that each keeps its name and parameters there."""

import yaml

from embodied_nav.bringup import Process, composed
from embodied_nav.bringup.processes import command_of, write_params_file
from embodied_nav.registry import Entry
from embodied_nav.tables import PERCEPTION

NAMES = ("keyframe", "perception", "memory", "reasoner", "control", "slam")


def processes(**parameters):
    found = [Process(name, name, parameters.get(name, {}), namespace="robot1") for name in NAMES]
    return [Process("sim", "sim", respawn=False), *found]


def test_who_takes_in_frames_shares_a_process_and_control_never_does():
    found = composed(processes())
    assert [p.name for p in found] == ["sim", "composed", "reasoner", "control"]
    assert [node.name for node in found[1].nodes] == ["keyframe", "perception", "slam", "memory"]
    assert found[1].respawn and found[1].namespace == "robot1"


def test_what_holds_a_large_model_stays_alone():
    PERCEPTION.add(Entry("giant", "a model of many GB", "nowhere:Giant", large=True))
    try:
        found = composed(processes(perception={"backend": "giant"}))
    finally:
        PERCEPTION.remove("giant")
    assert [p.name for p in found] == ["sim", "composed", "perception", "reasoner", "control"]
    assert "perception" not in [node.name for node in found[1].nodes]


def test_an_image_encoder_keeps_its_node_alone_and_none_does_not():
    found = composed(processes(perception={"backend": "geometric", "perception.encoder": "dino"}))
    assert [p.name for p in found] == ["sim", "composed", "perception", "reasoner", "control"]
    found = composed(processes(perception={"backend": "geometric", "perception.encoder": "none"}))
    assert [p.name for p in found] == ["sim", "composed", "reasoner", "control"]


def test_a_node_with_a_remapping_of_its_own_stays_alone():
    wanted = processes()
    for process in wanted:
        process.remappings = {"/tf": "tf", "memory:camera/depth/image_raw": "other/depth"}
    one = composed(wanted)[1]
    assert [node.name for node in one.nodes] == ["keyframe", "perception", "slam"], "what all share would ignore it"
    assert "memory" in [p.name for p in composed(wanted)]


def test_back_ends_without_a_large_model_share_the_process():
    for name in ("geometric", "simulator"):
        assert "perception" in [n.name for n in composed(processes(perception={"backend": name}))[1].nodes]


def test_a_detector_shares_the_process_unless_it_needs_torch(tmp_path):
    for file, shares in (("net.onnx", True), ("", True), (str(tmp_path), False), ("owner/model", False)):
        for backend in ("detector", "auto"):
            given = {"backend": backend, "detector.file": file}
            assert ("perception" in [n.name for n in composed(processes(perception=given))[1].nodes]) is shares, file


def test_one_node_is_no_composition():
    alone = [Process("memory", "memory"), Process("control", "control")]
    assert composed(alone) == alone


def test_each_node_keeps_its_name_and_parameters(tmp_path):
    one = composed(processes(keyframe={"camera.queue": 7}, memory={"file": "home.db"}))[1]
    write_params_file(tmp_path / "params.yaml", one)
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == {
        "/robot1/keyframe": {"ros__parameters": {"camera": {"queue": 7}}},
        "/robot1/memory": {"ros__parameters": {"file": "home.db"}},
    }
    command = command_of(one, {})
    assert command[command.index("embodied_nav.nodes.composed") + 1 :][:5] == [
        "keyframe", "perception", "slam", "memory", "--ros-args",
    ]  # fmt: skip
    assert not any("__node" in word for word in command), "it would rename all of them"
    assert "__ns:=/robot1" in command
