"""What the benchmarks do before they measure: find their frames, and end where they cannot begin."""

import argparse
import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
sys.path.append(str(BENCH))

import recorded  # noqa: E402


def folder_of(*arguments):
    parser = argparse.ArgumentParser()
    recorded.add_folder(parser)
    return parser.parse_args([str(a) for a in arguments]).folder


def test_frames_are_those_that_are_given_then_those_of_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMBODIED_NAV_KITCHEN", str(tmp_path / "named"))
    assert folder_of() == tmp_path / "named" and folder_of(tmp_path) == tmp_path
    monkeypatch.delenv("EMBODIED_NAV_KITCHEN")
    assert folder_of() == recorded.DEFAULT
    (tmp_path / "camera-intrinsics.txt").touch()
    assert recorded.are_there(tmp_path) and capsys.readouterr().out == ""


def test_without_frames_of_its_own_a_benchmark_is_left_out_but_a_wrong_folder_is_an_error(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(recorded, "DEFAULT", tmp_path / "default")
    assert not recorded.are_there(tmp_path / "default")
    assert "EMBODIED_NAV_KITCHEN" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no recorded frames at"):
        recorded.are_there(tmp_path / "misspelt")


def test_paraphrases_are_two_halves_of_a_hundred_that_share_nothing():
    import score_paraphrases

    from embodied_nav.language.vocabulary import LABELS

    halves = [score_paraphrases.read(half) for half in score_paraphrases.HALVES]
    for half in halves:
        assert (len([p for p, wanted in half if wanted]), len([p for p, wanted in half if not wanted])) == (100, 20)
        assert {label for _, wanted in half for label in wanted} <= LABELS
    assert len({phrase.lower() for half in halves for phrase, _ in half}) == 240


def test_a_paraphrase_counts_where_one_of_its_meanings_is_found():
    import score_paraphrases

    phrases = [("to sit", frozenset({"chair", "sofa"})), ("to sleep", frozenset({"bed"})), ("a volcano", frozenset())]
    found = {"to sit": ["sofa", "bed"], "to sleep": ["sofa", "chair", "desk", "bed"], "a volcano": ["oven"]}
    counts = score_paraphrases.score(found.__getitem__, phrases)
    assert counts == {"top-1": 1, "top-3": 1, "nothing": 0, "false": 1}


class Deaf:
    """A camera that nobody finds."""

    def listening(self):
        return False


class Poll:
    """A supervisor that tells so of its processes."""

    def __init__(self, ended):
        self._ended = ended

    def poll(self):
        return self._ended


@pytest.mark.skipif(importlib.util.find_spec("psutil") is None, reason="psutil is not installed")
def test_the_graph_is_not_waited_for_in_vain():
    import bench_graph

    with pytest.raises(SystemExit, match="slam ended, see above"):
        bench_graph.wait_for_listeners(Deaf(), Poll({"slam": 1}))
    with pytest.raises(SystemExit, match=r"not all nodes have found the camera within 0\.05 s"):
        bench_graph.wait_for_listeners(Deaf(), Poll({}), 0.05)
