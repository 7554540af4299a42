"""docs/parameters.md says what the nodes have."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.ros
def test_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("document_parameters", ROOT / "scripts" / "document_parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == module.document(), "run .venv/bin/python scripts/document_parameters.py"
