"""The ``eval`` command: its table, resuming, comparing, and one line for bad input."""

import json
from dataclasses import dataclass

import pytest

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.cli.main import main
from embodied_nav.config import Config, param
from embodied_nav.errors import InputError
from embodied_nav.perception import BACKENDS, PerceptionError
from embodied_nav.perception.geometric import GeometricPerception
from embodied_nav.registry import Entry
from embodied_nav.sim import SIMULATORS
from embodied_nav.sim.embedded import EmbeddedSimulator


def run(capsys, *arguments):
    code = main(["eval", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_scene_lists():
    assert parse_scenes("3-5") == (3, 4, 5)
    assert parse_scenes("7,3-4,7") == (7, 3, 4)


@pytest.mark.parametrize("text", [None, "", "a-b", "5-3", "1-", "-3", "1..4", "3;4", "1-9999999"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError, match="--scenes"):
        parse_scenes(text)


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--scenes", "kitchen"], "kitchen"),
        (["--scenes", "0-1", "--agent", "genius"], "genius"),
        (["--scenes", "0-1", "--perception", "magic"], "magic"),
        (["--scenes", "0-1", "--localization", "stars"], "stars"),
        (["--scenes", "0-1", "--simulator", "dream"], "dream"),
        (["--scenes", "0-1", "--episodes", "0"], "episodes"),
        (["--scenes", "0-1", "--jobs", "0"], "jobs"),
        (["--scenes", "0-1", "--seed", "-1"], "seed"),
        (["--compare", "missing.json", "other.json"], "missing.json"),
        (["--compare", "one.json"], "two"),
        ([], "--scenes"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert word in err
    assert list(tmp_path.iterdir()) == []


def test_unwritable_out(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "--scenes", "0-1", "--out", tmp_path / "file" / "r.json", "--agent", "random")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert run(capsys, "--scenes", "0-1", "--out", tmp_path, "--agent", "random")[0] == 2


def test_settings_are_part_of_what_a_run_is(capsys, tmp_path):
    out = tmp_path / "r.json"
    common = ["--scenes", "0-1", "--reasoner", "random", "--quiet", "--episodes", 2, "--out", out]
    common += ["--localization", "truth"]
    assert run(capsys, *common, "--set", "robot.max_linear=0.3", "--set", "robot.max_angular=1.5")[0] == 0
    content = json.loads(out.read_text())
    assert content["agent"] == "random" and content["set"] == {"robot.max_linear": 0.3}, "the other is the default"
    assert (content["simulator"], content["suite"], content["weights"]) == ("embedded", "plain", {})
    assert run(capsys, *common, "--set", "robot.max_linear=0.30")[0] == 0, "the same said otherwise"
    code, _, err = run(capsys, *common, "--set", "robot.max_linear=0.2")
    assert code == 2 and "set robot.max_linear 0.3 (now 0.2)" in err and len(err.strip().splitlines()) == 1
    assert json.loads(out.read_text()) == content
    for text, told in (
        ("robot.max_linaer=0.3", "did you mean robot.max_linear"),
        ("robot.max_linear=99", "robot.max_linear=99: max_linear = 99.0: out of range ["),
        ("memory.voxel_size=0.1", "no node here has a parameter 'memory.voxel_size'"),
    ):
        code, _, err = run(capsys, *common, "--set", text)
        assert code == 2 and told in err and len(err.strip().splitlines()) == 1, err


@dataclass(frozen=True)
class SlipperyConfig(Config):
    """Settings of a simulator of somebody else's."""

    grip: float = param(1.0, "share of the commanded speed that is driven", low=0.0, high=1.0)


class Slippery(EmbeddedSimulator):
    """The embedded simulator on a floor on which wheels slip."""

    def __init__(self, scene, robot, config):
        super().__init__(scene, robot)
        self._grip = config.grip

    def step(self, v, w, dt):
        return super().step(self._grip * v, self._grip * w, dt)


def test_episodes_run_in_the_simulator_that_is_named(capsys, tmp_path):
    common = ["--scenes", "0-1", "--agent", "random", "--localization", "truth", "--quiet", "--episodes", 1]
    common += ["--simulator", "slippery"]
    found = {}
    SIMULATORS.add(Entry("slippery", "wheels slip", Slippery, SlipperyConfig))
    try:
        for grip in (0.0, 1.0):
            out = tmp_path / f"{grip}.json"
            assert run(capsys, *common, "--set", f"slippery.grip={grip}", "--out", out)[0] == 0
            found[grip] = json.loads(out.read_text())
        code, _, err = run(capsys, *common, "--set", "simulator.width=64")
    finally:
        SIMULATORS.remove("slippery")
    assert found[0.0]["simulator"] == "slippery"
    assert found[0.0]["episodes"][0]["path_length"] == 0.0 and found[1.0]["episodes"][0]["path_length"] > 0.5
    assert code == 2 and "no node here has a parameter 'simulator.width'" in err, "it has settings of its own only"


def test_runs_resumes_extends_and_compares(capsys, tmp_path):
    out, common = tmp_path / "random.json", ["--scenes", "0-1", "--agent", "random", "--quiet"]
    assert run(capsys, *common, "--episodes", 4, "--out", out)[0] == 0
    first = json.loads(out.read_text())
    assert [r["kind"] for r in first["episodes"]] == ["object", "relation", "room", "route"]
    assert first["agent"] == "random"
    code, text, _ = run(capsys, *common, "--episodes", 6, "--out", out)
    assert code == 0
    assert "success" in text
    more = json.loads(out.read_text())
    assert more["episodes"][:4] == first["episodes"]
    assert len(more["episodes"]) == 6
    oracle = tmp_path / "oracle.json"
    code, text, _ = run(
        capsys, "--scenes", "0-1", "--agent", "oracle", "--episodes", 6, "--out", oracle, "--quiet", "--compare", out
    )
    assert code == 0
    assert "oracle minus random" in text
    code, text, _ = run(capsys, "--compare", oracle, out)
    assert code == 0
    assert "same episodes" in text
    code, _, err = run(capsys, "--scenes", "0-1", "--agent", "oracle", "--out", out)
    assert code == 2
    assert "other settings" in err


def test_spawned_processes_give_the_same_rows(capsys, tmp_path):
    rows = []
    for jobs in (1, 2):
        out = tmp_path / f"{jobs}.json"
        arguments = ["--scenes", "2-3", "--agent", "random", "--episodes", 4, "--jobs", jobs, "--out", out, "--quiet"]
        assert run(capsys, *arguments)[0] == 0
        rows.append([{k: v for k, v in r.items() if k != "wall_s"} for r in json.loads(out.read_text())["episodes"]])
    assert rows[0] == rows[1]


def test_eyes_that_cannot_be_used_are_one_line_and_no_file(capsys, tmp_path, monkeypatch):
    pytest.importorskip("openai", reason="needs openai: the extra 'server'")
    monkeypatch.delenv("MY_KEY", raising=False)
    out = tmp_path / "r.json"
    common = ["--scenes", "0-1", "--episodes", 1, "--localization", "truth", "--quiet", "--out", out]
    common += ["--perception", "server", "--set", "server.key_variable=MY_KEY"]
    code, _, err = run(capsys, *common)
    assert code == 2 and "MY_KEY holds no key" in err and len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


class Blinking(GeometricPerception):
    """Fails at some keyframes; the last resort of a test is that it cannot be made at all."""

    categories = None  # or a sentence with a thing in it would be refused

    def __init__(self, config):
        super().__init__()
        self.config_, self.calls = config, 0
        if config.broken:
            raise InputError("blinking.broken: it is broken; mend it")

    def perceive(self, previous, current, instruction):
        self.calls += 1
        if self.calls > self.config_.good:
            raise PerceptionError("sees nothing any more")
        return super().perceive(previous, current, instruction)


@dataclass(frozen=True)
class BlinkingConfig(Config):
    """Settings of eyes of somebody else's."""

    good: int = param(1, "keyframes that it sees", low=0, high=1000)
    broken: bool = param(False, "whether it cannot be made")


@pytest.fixture
def blinking(request):
    BACKENDS.add(Entry("blinking", "sees now and then", Blinking, BlinkingConfig, slow=request.param))
    yield
    BACKENDS.remove("blinking")


@pytest.fixture
def short(monkeypatch):
    """Episodes of a few simulated seconds."""
    monkeypatch.setattr("embodied_nav.evaluation.runner.TIME_LIMIT", 3.0)
    return ["--scenes", "0-1", "--episodes", 1, "--localization", "truth", "--quiet", "--perception", "blinking"]


@pytest.mark.parametrize("blinking", [True], indirect=True)
def test_keyframes_that_only_geometry_has_described_are_counted(capsys, tmp_path, short, blinking):
    out = tmp_path / "r.json"
    code, _, err = run(capsys, *short, "--set", "blinking.good=1", "--out", out)
    assert code == 0, err
    (row,) = json.loads(out.read_text())["episodes"]
    assert row["stale_keyframes"] >= 1
    code, _, err = run(capsys, *short, "--set", "blinking.good=1000", "--out", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["episodes"][0]["stale_keyframes"] == 0
    broken = [*short, "--set", "blinking.broken=true", "--out", tmp_path / "t.json"]
    code, _, err = run(capsys, *broken)
    assert code == 2 and "it is broken; mend it" in err and len(err.strip().splitlines()) == 1
    code, _, err = run(capsys, *broken, "--set", "perception.fallback=geometric")
    assert code == 0 and "going on with geometry alone" in err, "said to be wanted"


@pytest.mark.parametrize("blinking", [False], indirect=True)
def test_eyes_that_fail_during_an_episode_are_one_line(capsys, tmp_path, short, blinking):
    code, _, err = run(capsys, *short, "--out", tmp_path / "r.json")
    assert code == 2 and len(err.strip().splitlines()) == 1
    assert "perception 'blinking': sees nothing any more" in err and "0-object" in err
