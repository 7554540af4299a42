"""Coverage is summed by layer and room."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location(
    "coverage_by_room", Path(__file__).resolve().parents[1] / "scripts" / "coverage_by_room.py"
)
coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coverage)


def file(ran, could):
    return {"summary": {"covered_lines": ran, "num_statements": could}}


def test_files_are_summed_by_folder():
    files = {
        "embodied_nav/memory/query/a.py": file(5, 10),
        "embodied_nav/memory/query/b.py": file(10, 10),
        "/home/me/embodied_nav/memory/store.py": file(1, 4),
        "embodied_nav/config.py": file(0, 3),
        "embodied_nav/memory/__init__.py": file(0, 0),
        "elsewhere/x.py": file(9, 9),
    }
    rooms = coverage.by_room({"files": files})
    assert rooms == {"config": (0, 3), "memory": (1, 4), "memory/query": (15, 20)}
    lines = coverage.table(rooms).splitlines()
    assert lines[-1].split() == ["all", "59.3", "%", "16", "of", "27", "lines"] and len(lines) == 4
