"""docs/parameters.md says what the nodes have."""

import importlib.util
import re
from pathlib import Path

import pytest

from embodied_nav.bringup.parameter_files import node_settings
from embodied_nav.node_table import ALL_NODES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.ros
def test_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("document_parameters", ROOT / "scripts" / "document_parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == module.document(), "run .venv/bin/python scripts/document_parameters.py"


def nodes_of(heading):
    """Names of the nodes that a heading of the page means; none where it is a heading of headings."""
    known = [spec.name for spec in ALL_NODES]
    if heading.startswith("Every node"):
        return [name for name in known if name not in re.split(r"\W+", heading)]
    return [name for name in re.split(r", | and ", heading) if name in known]


@pytest.mark.ros
def test_each_table_holds_what_the_nodes_of_its_heading_have():
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    told = {spec.name: set() for spec in ALL_NODES}
    for section in re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        rows = re.findall(r"^\| `([\w.]+)` \|.*\|.*\|.*\|$", text.split("| parameter |")[-1], flags=re.MULTILINE)
        for name in nodes_of(heading) if "| parameter |" in text else ():
            assert not told[name] & set(rows), f"{heading}: twice"
            told[name] |= set(rows)
    for spec in ALL_NODES:
        has = {f"{p}.{field}".lstrip(".") for kind, p in node_settings(spec) for field in kind.__dataclass_fields__}
        assert told[spec.name] == has, spec.name
