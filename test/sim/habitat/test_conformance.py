"""The table of measured facts, over the stand-in: it measures what the stand-in was made to do."""

import importlib.util
import re

from .conftest import SERVER

spec = importlib.util.spec_from_file_location("habitat_conformance", SERVER.with_name("conformance.py"))
conformance = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conformance)


def test_it_prints_what_both_worlds_do(server, house, capsys):
    said = []
    arguments = [str(house), "--server", server.address, "--token", server.token]
    assert conformance.main(arguments, said.append) == 0
    rows = {}
    for line in said[0].splitlines()[2:]:
        fact, _, *found = (cell.strip() for cell in line.strip("|").split("|"))
        rows[fact] = [float(value) for value in found]
    assert set(rows) == set(conformance.KNOWN) and all(len(found) == 2 for found in rows.values())
    for fact, wanted, tolerance in (
        ("navmesh above the floor, m", 0.1, 1e-3),
        ("first step from the floor, m", 0.269, 1e-3),
        ("depth of a floor seen from above, spread, m", 0.0, 1e-3),
        ("principal point's row less (H - 1) / 2, px", 0.0, 0.05),
        ("the next one, m", 0.0, 1e-3),
        ("clearance at contact (radius 0.18), m", 0.215, 0.036),
        ("step at 45 degrees to it with sliding, m", 0.1768, 0.03),
    ):
        assert all(abs(value - wanted) <= tolerance for value in rows[fact]), (fact, rows[fact])
    percent = float(re.search(r"theirs: ([-+.\d]+)%", said[1])[1])
    assert abs(percent) < 2.0


def test_no_server_is_one_line(house, capsys):
    assert conformance.main([str(house), "--server", "127.0.0.1:9"]) == 2
    assert re.fullmatch(r"conformance.py: error: no Habitat server at .*\n", capsys.readouterr().err)
