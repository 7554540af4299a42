"""The ``eval`` command: its table, resuming, comparing, and one line for bad input."""

import json

import pytest

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.cli.main import main
from embodied_nav.errors import InputError


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
