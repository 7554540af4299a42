"""``embodied-nav eval`` over Habitat's data sets: the same episodes in habitat-sim's stand-in and by our own means."""

import json

import pytest

from embodied_nav.cli.main import main

from .conftest import route, write_json


def run(*arguments, capsys=None):
    code = main([str(a) for a in arguments])
    return (code, *capsys.readouterr()) if capsys else code


@pytest.fixture(autouse=True)
def _somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def options(file, house, *more):
    return ["eval", "--dataset", file, "--scenes-dir", house.parent.parent, "--agent", "oracle", "--quiet", *more]


def test_both_worlds_give_nearly_the_same_and_say_which(server, house, objectnav_file, tmp_path, capsys):
    of_server = ["--simulator", "habitat", "--habitat-server", server.address, "--set"]
    of_server += [f"habitat.token_file={server.token}"]
    found = {}
    for name, more in (("own", []), ("sim", of_server)):
        code, out, error = run(*options(objectnav_file, house, *more, "--out", f"{name}.json"), capsys=capsys)
        assert code == 0, error
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())
        assert "protocol objectnav-hm3d on objectnav.json.gz, in " in out
    own, sim = found["own"], found["sim"]
    assert (
        own["world"] == "embodied_nav's own rasteriser and navmesh, not habitat-sim" and sim["world"] == "habitat-sim"
    )
    assert (own["simulator"], sim["simulator"]) == ("embedded", "habitat")
    assert all("stand-in" in row["world"] for row in sim["episodes"])
    for a, b in zip(own["episodes"], sim["episodes"], strict=True):
        assert a["id"] == b["id"] and a["success"] and b["success"]
        assert a["spl"] == pytest.approx(b["spl"], abs=0.06) and a["steps"] <= 500
        assert a["distance_to_goal"] < 0.1 and a["ndtw"] is None
    for content in found.values():
        assert content["protocol"] == "objectnav-hm3d" and content["localization"] == "truth"
        assert content["set"]["robot.camera_height"] == 0.88 and not {n for n in content["set"] if "server" in n}
    code, out, _ = run("report", "own.json", "sim.json", "--out", "report", capsys=capsys)
    assert code == 0 and "oracle, objectnav-hm3d, own" in out and "oracle, objectnav-hm3d, habitat-sim" in out


def test_a_route_is_scored_against_its_reference(house, route_file, tmp_path, capsys):
    code, out, error = run(*options(route_file, house, "--out", "r.json"), capsys=capsys)
    assert code == 0, error
    (row,) = json.loads((tmp_path / "r.json").read_text())["episodes"]
    assert row["success"] and row["distance_to_goal"] < 3.0 and 0.0 < row["sdtw"] == row["ndtw"] <= row["ndtw_exact"]
    assert row["ndtw_reference"] == "reference_path" and "against reference_path" in out


def test_what_cannot_be_done_is_a_failure_not_an_end(house, tmp_path, capsys):
    """A sentence that is not understood, a goal without a way: rows, counted."""
    document = route()
    document["episodes"] += [dict(e, episode_id=12) for e in route(goal=(2.6, 3.5, -1.0))["episodes"]]
    document["episodes"][1]["goals"] = [{"position": [30.0, 0.1, 30.0], "radius": 3.0}]
    document["episodes"][0]["instruction"]["instruction_text"] = "Colorless green ideas sleep furiously."
    file = write_json(tmp_path / "odd.json.gz", document)
    arguments = [a if a != "oracle" else "rules" for a in options(file, house, "--perception", "geometric")]
    code, out, error = run(*arguments, "--out", "o.json", capsys=capsys)
    assert code == 0, error
    refused, unreachable = json.loads((tmp_path / "o.json").read_text())["episodes"]
    assert refused["refused"] and not refused["success"] and refused["steps"] == 0
    assert unreachable["unreachable"] and unreachable["distance_to_goal"] is None and unreachable["spl"] == 0.0
    assert "starts without a way to the goal: counted as failures" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--simulator", "habitat"], "--simulator habitat: needs a data set"),
        (["--dataset", "x.json.gz"], "--dataset: give --scenes-dir"),
        (["--scenes-dir", "x", "--scenes", "1"], "are of a data set; give --dataset"),
        (["--protocol", "pointnav"], "--protocol pointnav: unknown; give one of auto, objectnav-hm3d"),
        (["--habitat-server", "localhost:1", "--scenes", "1"], "give --simulator habitat with it"),
        (["--dataset", "FILE", "--scenes-dir", "DIR", "--scenes", "1"], "--scenes and --suite are of apartments"),
        (["--dataset", "FILE", "--scenes-dir", "DIR", "--perception", "simulator"], "--perception simulator: reads"),
        (["--dataset", "FILE", "--scenes-dir", "."], r"has no scene houses/house\.glb"),
        (["--dataset", "FILE", "--scenes-dir", "DIR", "--simulator", "habitat", "--habitat-server", "127.0.0.1:9"],
         "no Habitat server at 127.0.0.1:9"),
        (["--dataset", "FILE", "--scenes-dir", "DIR", "--set", "habitat.width=4"], r"out of range \[16, 4096\]"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_nothing_is_written(house, objectnav_file, tmp_path, capsys, arguments, line):
    known = {"FILE": objectnav_file, "DIR": house.parent.parent}
    code, _out, error = run("eval", "--agent", "oracle", *(known.get(a, a) for a in arguments), capsys=capsys)
    assert code == 2 and not list(tmp_path.iterdir())
    import re

    assert re.search(line, error.splitlines()[-1]), error
    assert error.splitlines()[-1].startswith("embodied-nav eval: error: ")
