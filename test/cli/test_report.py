"""The ``report`` command: its tables, its plot, and one line for bad input."""

import json

import pytest

from embodied_nav.cli.main import main
from embodied_nav.evaluation.results import COLUMNS


def write(path, agent, spl, last=True):
    """A results file of 16 episodes in 4 apartments."""
    rows = []
    for i in range(16):
        kind = ("object", "relation", "room", "route")[i % 4]
        thing = kind in ("object", "relation")
        r = dict.fromkeys(COLUMNS, 0.0) | {"id": f"{i // 4}-{kind}-0", "scene": str(i // 4), "kind": kind}
        r |= {"success": i % 5 != 4, "spl": spl * (i % 5 != 4), "path_length": 9.0, "collisions": 0}
        r |= {"in_view": i < 8 if thing else None, "success_0_5": False if thing else None}
        rows.append(r if last else {k: v for k, v in r.items() if k not in ("in_view", "success_0_5")})
    path.write_text(json.dumps({"agent": agent, "perception": "simulator", "episodes": rows, "summary": {}}))
    return path


def run(capsys, *arguments):
    code = main(["report", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def cells(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_are_agents_and_columns_kinds_and_the_last_metres(capsys, tmp_path):
    files = [write(tmp_path / "a.json", "rules", 0.5), write(tmp_path / "b.json", "frontier", 0.8)]
    code, text, _ = run(capsys, *files, "--out", tmp_path / "out")
    assert code == 0
    heads = cells(text, "agent")
    assert heads[:3] == ["agent", "n", "object SR / SPL"] and heads[-2:] == ["in view %", "success at 0.5 m %"]
    rules = dict(zip(heads, cells(text, "rules |"), strict=True))
    assert rules["n"] == "16" and rules["all SR / SPL"].startswith("81.2 [") and " / 0.406 [" in rules["all SR / SPL"]
    assert rules["in view %"].startswith("50.0 [") and rules["success at 0.5 m %"] == "0.0 [0.0, 0.0]"
    assert (tmp_path / "out" / "report.md").read_text() in text
    assert (tmp_path / "out" / "report.png").read_bytes()[:4] == b"\x89PNG"


def test_every_further_file_is_compared_with_the_first(capsys, tmp_path):
    files = [write(tmp_path / "a.json", "rules", 0.5), write(tmp_path / "b.json", "frontier", 0.8)]
    _, text, _ = run(capsys, *files, "--out", tmp_path)
    difference = cells(text, "frontier minus rules | all")
    assert difference[2:4] == ["16", "+0.0 [+0.0, +0.0]"] and difference[4].startswith("+0.244 [+")
    assert run(capsys, files[0], "--out", tmp_path)[1].count("minus") == 0


def test_files_of_one_agent_and_older_files_have_their_place(capsys, tmp_path):
    files = [write(tmp_path / "old.json", "rules", 0.5, last=False), write(tmp_path / "new.json", "rules", 0.5)]
    code, text, _ = run(capsys, *files, "--out", tmp_path)
    assert code == 0
    assert cells(text, "rules (old) |")[-2:] == ["-", "-"] and cells(text, "rules (new) |")[-1].startswith("0.0")


@pytest.mark.parametrize(
    "content", [None, "no json", "[]", '{"agent": "rules", "episodes": []}', '{"episodes": [{"id": 1}]}']
)
def test_bad_files_are_one_line_and_nothing_is_written(capsys, tmp_path, content):
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    code, out, err = run(capsys, path, "--out", tmp_path / "out")
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1 and "r.json" in err
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, write(tmp_path / "a.json", "rules", 0.5), "--out", tmp_path / "file" / "x")
    assert code == 2 and len(err.strip().splitlines()) == 1 and "--out" in err
