"""An agent with an image encoder: features reach the memory, objects get their mean, words find them; refusals."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from embodied_nav.cli import memory as memory_command
from embodied_nav.drivers.agent_parameters import make_agent
from embodied_nav.errors import InputError
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.query.answering import Query
from embodied_nav.perception import PerceptionError
from embodied_nav.registry import Entry
from embodied_nav.robot import RobotProfile
from embodied_nav.tables import ENCODERS
from embodied_nav.trial import keyframes

sys.path.append(str(Path(__file__).resolve().parents[1] / "perception"))

ROBOT = RobotProfile()


class Colours:
    """Features are the mean colour of each cell of a 12 x 16 grid; its words are three colours."""

    name, dim, knows_words = "colours:1", 3, True

    def __init__(self, settings=None):
        self.loaded, self.broken = 0, False

    def load(self):
        self.loaded += 1

    def encode(self, frame):
        if self.broken:
            raise PerceptionError("no")
        h, w = frame.color.shape[0] // 12, frame.color.shape[1] // 16
        cells = frame.color[: 12 * h, : 16 * w].reshape(12, h, 16, w, 3).mean((1, 3)).astype(np.float32)
        return cells / np.maximum(np.linalg.norm(cells, axis=-1, keepdims=True), 1e-6)

    def text_tower(self):
        known = {"ruby": (1, 0, 0), "leaf": (0, 1, 0), "sky": (0, 0, 1)}
        return lambda text: np.array(known.get(text, (-1, -1, -1)), np.float32)


@pytest.fixture
def colours():
    ENCODERS.add(Entry("colours", "colours as features", Colours))
    yield
    ENCODERS.remove("colours")


def driven(agent):
    agent.reset("find the red box")
    for k in keyframes(ROBOT):
        agent.observe(k.frame, k.frame.T_map_camera @ np.linalg.inv(ROBOT.T_base_camera()))
    return agent


def test_features_of_keyframes_reach_voxels_and_objects(colours):
    agent = driven(make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours"}))
    memory = agent.memory
    assert memory.config.feature_dim == 3 and memory.config.feature_source == "colours:1"
    assert agent.keyframes and len(agent.seconds["encoder"]) == agent.keyframes and not agent.without_features
    positions = memory.voxels().positions
    found = memory.features(positions)
    has = np.linalg.norm(found, axis=1) > 0.5
    assert has.mean() > 0.5
    (o, *_) = memory.objects()
    feature = memory.object_feature(o.id)
    store = memory.state.voxels.store
    mine = np.flatnonzero(store.arrays.owner[: len(store.rows)] == o.id)
    from embodied_nav.memory.voxels.voxel_features import decode

    weights = store.feature_weights[mine]
    want = decode(store.feature_table[mine[weights > 0]]).mean(0)
    assert np.allclose(feature, want / np.linalg.norm(want), atol=1e-5)


def test_an_encoder_that_fails_costs_features_only(colours):
    agent = make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours"})
    agent._encoder.broken = True
    driven(agent)
    assert agent.without_features == agent.keyframes > 0 and len(agent.memory) > 100


def test_without_an_encoder_nothing_changes(colours):
    agent = driven(make_agent("rules", "geometric", ROBOT))
    assert agent.memory.config.feature_dim == 0 and "encoder" not in agent.seconds


def test_an_encoder_that_cannot_be_made_is_refused_at_the_start(colours):
    with pytest.raises(InputError, match=r"encoder\.model is empty"):
        make_agent("rules", "geometric", ROBOT, {"perception.encoder": "dino"})
    with pytest.raises(
        InputError, match=r"perception\.encoder nothing: unknown; give one of clip, dino, vggt, colours"
    ):
        make_agent("rules", "geometric", ROBOT, {"perception.encoder": "nothing"})
    with pytest.raises(InputError, match="have 3 components; leave it out"):
        make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours", "memory.feature_dim": 5})
    agent = make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours"})
    with pytest.raises(InputError, match="features of 0 components, not of 3"):
        agent.reset("find the red box", SpatialMemory())


def query(capsys, path, *words):
    import argparse

    parser = argparse.ArgumentParser()
    memory_command.add_parser(parser.add_subparsers())
    code = memory_command.run(parser.parse_args(["memory", "query", str(path), *words, "--language-model", "none"]))
    assert code == 0
    return capsys.readouterr().out


def test_memory_query_looks_for_what_words_do_not_name(colours, tmp_path, capsys):
    agent = driven(make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours"}))
    memory = agent.memory
    memory.save(tmp_path / "m.db")
    (o, *_) = memory.objects()
    name = ("ruby", "leaf", "sky")[int(np.argmax(memory.object_feature(o.id)))]
    told = query(capsys, tmp_path / "m.db", name)
    assert o.name in told and "by its looks (" in told
    assert "nothing fits" in query(capsys, tmp_path / "m.db", name, "--exact")
    assert "nothing fits" in query(capsys, tmp_path / "m.db", name, "--encoder", "none")
    told = query(capsys, tmp_path / "m.db", o.label)
    assert o.name in told and "by its looks" not in told
    memory.text_encoder = Colours().text_tower()
    assert [a.by_meaning for a in memory.ask(Query(name, max_results=1))] == [True]


def test_a_file_whose_encoder_is_not_here_says_so_where_nothing_fits(colours, tmp_path, capsys):
    from dataclasses import replace

    memory = driven(make_agent("rules", "geometric", ROBOT, {"perception.encoder": "colours"})).memory
    memory.state.config = replace(memory.config, feature_source=f"clip:{tmp_path}/gone")
    memory.save(tmp_path / "m.db")
    told = query(capsys, tmp_path / "m.db", "ruby")
    assert (
        told.startswith("nothing fits these words; its image features cannot be searched: ") and told.count("\n") == 1
    )
    with pytest.raises(InputError):
        query(capsys, tmp_path / "m.db", "ruby", "--encoder", str(tmp_path / "nothing"))
    SpatialMemory().save(tmp_path / "plain.db")
    with pytest.raises(InputError, match="holds no image features"):
        query(capsys, tmp_path / "plain.db", "ruby", "--encoder", "some")


@pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("torch", "transformers")), reason="needs the extra 'encoder'"
)
def test_a_real_architecture_from_the_picture_to_the_answer(tmp_path, capsys):
    """SigLIP2 with random weights: what it finds means nothing, but every step is taken."""
    import tiny_encoders as tiny

    tiny.save(tmp_path / "tiny", "siglip2")
    given = {"perception.encoder": "clip", "encoder.model": str(tmp_path / "tiny"), "encoder.device": "cpu",
             "encoder.image_size": 64}  # fmt: skip
    agent = driven(make_agent("rules", "geometric", ROBOT, given))
    assert agent.memory.config.feature_dim == 24 and not agent.without_features
    assert all(agent.memory.object_feature(o.id) is not None for o in agent.memory.objects())
    agent.memory.save(tmp_path / "m.db")
    told = query(capsys, tmp_path / "m.db", "piano")
    assert "by its looks" in told or told.startswith("nothing fits")
    tower = agent._encoder.text_tower()
    agent.memory.text_encoder = tower
    (o, *_) = agent.memory.objects()
    feature = agent.memory.object_feature(o.id)
    texts = ("piano", "object", "things", "stuff", "texture")
    cosine, *neutral = (float(tower(text) @ feature) for text in texts)
    found = [a for a in agent.memory.ask(Query("piano")) if a.object.id == o.id]
    assert bool(found) == (cosine > max(0.0, *neutral))
