"""``embodied-nav models``: the list and what is printed when a model is fetched."""

import hashlib
import sys
from pathlib import Path

import pytest

from embodied_nav.cli import doctor
from embodied_nav.cli.main import main
from embodied_nav.findings import OK, OPTIONAL, WARNING
from embodied_nav.model_store import Store, read_sources, source_named
from embodied_nav.model_store.machine import Machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model_store"))
from registry_server import tgz


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBODIED_NAV_MODELS", str(tmp_path / "models"))
    return Store()


@pytest.fixture
def plain(monkeypatch, tmp_path):
    """The entry ``detector`` of a table of its own, kept as it comes, and its package's file."""
    packed = tgz({"package/models/coco-ssd/coco-ssd-300.onnx": b"net"})
    (tmp_path / "a.tgz").write_bytes(packed)
    from dataclasses import replace

    source = replace(source_named("detector"), convert={}, sha256=hashlib.sha256(packed).hexdigest())
    monkeypatch.setattr("embodied_nav.model_store.source_named", lambda name: source)
    return tmp_path / "a.tgz"


def test_list_names_every_model_and_what_it_needs(store, capsys):
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:] if line}
    for source in read_sources().values():
        assert source.licence in rows[source.name] and str(source.size_mb) in rows[source.name]
    assert "80 of COCO" in rows["detector"] and "fits" in rows["detector"]
    assert "~7500" in rows["qwen2.5-vl-3b"]


def test_fetched_model_is_in_the_list_and_with_the_doctor(store, plain, capsys):
    before = {f.name: f for f in doctor._models()}
    assert before["detector"].state == OPTIONAL and "models get detector" in before["detector"].detail
    assert main(["models", "get", "detector", "--file", str(plain)]) == 0
    out = capsys.readouterr().out
    path = store.folder / "detector" / "coco-ssd-300.onnx"
    assert f"kept as {path} (Apache-2.0)" in out and "--perception detector" in out
    assert main(["models", "list"]) == 0
    assert "fetched" in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("detector"))
    assert {f.name: f for f in doctor._models()}["detector"].state == OK
    path.write_bytes(b"damaged")
    damaged = {f.name: f for f in doctor._models()}["detector"]
    assert damaged.state == WARNING and "has changed" in damaged.detail and damaged.mend


def test_unknown_name_is_one_line(store, capsys):
    assert main(["models", "get", "detecter"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "embodied-nav models: error: unknown model 'detecter' (did you mean detector?); known: "
        + ", ".join(read_sources())
    ]


def test_machine_says_what_it_lacks():
    small = Machine(4000)
    assert small.lacks(500, 0) == "" and "memory" in small.lacks(8000, 0) and "GPU" in small.lacks(500, 2000)
    assert Machine(16000, 16000, shared=True).lacks(8000, 6000) == ""
