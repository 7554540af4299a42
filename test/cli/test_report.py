"""The ``report`` command: its tables, plots and page, and one line for bad input."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from embodied_nav.cli.main import main
from embodied_nav.evaluation.curves import camera_plots
from embodied_nav.evaluation.report import named
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


def driven(path, agent="random", **more):
    """A results file of two failed episodes in a real apartment, with the ways driven, and one that succeeded."""
    content = json.loads(write(path, agent, 0.5).read_text())
    way = {"track": [[8.28, 6.53, 0.0], [8.5, 6.6, 4.0]], "end_yaw": 0.2, "goals": [[8.25, 3.68]], "waypoints": []}
    way |= {"scene": "900", "rooms": 6, "ending": "stop", "reason": "because of <b>it</b>", "distance_to_goal": 4.7}
    rows = [r | way | {"start_distance": 4.0 + i} for i, r in enumerate(content["episodes"][3:6])]
    assert [r["success"] for r in rows] == [True, False, True]
    rows[2] |= {"success": False, "ending": "time", "steps": 3600}
    path.write_text(json.dumps({**content, "episodes": rows, **more}))
    return path


def jpegs(page):
    return [base64.b64decode(data) for data in re.findall(r"data:image/jpeg;base64,([^\"]+)", page)]


def test_page_is_one_file_with_a_picture_of_each_failure(capsys, tmp_path):
    code, text, err = run(capsys, driven(tmp_path / "a.json"), "--out", tmp_path / "out")
    assert code == 0, err
    page = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\(|<script""", page), "nothing from elsewhere"
    pictures = [np.array(Image.open(io.BytesIO(data))) for data in jpegs(page)]
    assert len(pictures) == 2 and "stopped elsewhere (1)" in page and "still searching (1)" in page
    assert all(p.shape[0] > 300 and p.shape[1] > 600 and p.std() > 30 for p in pictures), "apartment and camera"
    assert "because of &lt;b&gt;it&lt;/b&gt;" in page and page.count("data:image/png") == 3
    assert cells(text, "stopped elsewhere")[1] == "1" and (tmp_path / "out" / "success_by_distance.png").exists()
    run(capsys, tmp_path / "a.json", "--out", tmp_path / "out", "--pictures", 1)
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(jpegs(page)) == 1 and "<li><b>" in page, "the other one is a line"


def test_way_is_drawn_where_the_scene_is_not_here(capsys, tmp_path):
    for more in ({"simulator": "habitat"}, {}):
        file = driven(tmp_path / "a.json", **more)
        file.write_text(file.read_text().replace('"scene": "900"', '"scene": "/not/here.glb"'))
        assert run(capsys, file, "--out", tmp_path / "out")[0] == 0
        (first, _) = jpegs((tmp_path / "out" / "report.html").read_text())
        red = np.array(Image.open(io.BytesIO(first))).astype(int)
        assert ((red[..., 0] > 150) & (red[..., 1] < 90)).sum() > 50


def test_pictures_below_none_are_one_line(capsys, tmp_path):
    code, _, err = run(capsys, write(tmp_path / "a.json", "rules", 0.5), "--pictures", -1, "--out", tmp_path / "out")
    assert code == 2 and "--pictures -1" in err and len(err.strip().splitlines()) == 1


def test_cameras_give_curves(capsys, tmp_path):
    files = []
    for height, pitch in ((0.3, 0.0), (0.3, 0.5236), (1.4, 0.0)):
        file = write(tmp_path / f"{height}{pitch}.json", "rules", 0.5)
        set_ = {"robot.camera_height": height, "robot.camera_pitch": pitch, "robot.height": height + 0.05}
        file.write_text(json.dumps({**json.loads(file.read_text()), "set": set_}))
        files.append(file)
    assert run(capsys, *files, "--out", tmp_path / "out")[0] == 0
    assert {p.name for p in (tmp_path / "out").glob("*camera*")} == {
        "success_by_camera_height.png", "success_by_camera_pitch.png"
    }  # fmt: skip
    plots = {plot.file: plot for plot in camera_plots(named([(str(f), json.loads(f.read_text())) for f in files]))}
    level, down = plots["success_by_camera_height"].curves
    assert (level.name, [p.x for p in level.points]) == ("pitch 0°", [0.3, 1.4]) and len(down.points) == 1
    assert down.name == "pitch 30°" and level.points[0].n == 16 and level.points[0].mean == 13 / 16
