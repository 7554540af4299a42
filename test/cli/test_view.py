"""``embodied-nav view``: bad input is one line; a memory file becomes a page."""

import argparse
import socket
import sys

import pytest

from embodied_nav.cli import page
from embodied_nav.cli.main import main


@pytest.fixture
def memory_file(tmp_path):
    from embodied_nav.memory import SpatialMemory

    SpatialMemory().save(tmp_path / "memory.db")
    return str(tmp_path / "memory.db")


def refused(capsys, *arguments):
    assert main(["view", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Traceback" not in err
    return err


def test_bad_input_is_one_line(capsys, tmp_path, memory_file):
    assert "0 to 65535" in refused(capsys, "--port", "70000")
    assert "which memory" in refused(capsys, "--html", str(tmp_path / "view.html"))
    assert "cannot be written" in refused(capsys, memory_file, "--html", str(tmp_path / "none" / "view.html"))
    assert "cannot be read" in refused(capsys, str(tmp_path / "none.db"), "--html", str(tmp_path / "view.html"))


def test_a_taken_port_that_was_asked_for_is_said(capsys, memory_file):
    pytest.importorskip("viser")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in refused(capsys, memory_file, "--port", str(port))
    assert "no address of this machine" in refused(capsys, memory_file, "--host", "192.0.2.1")


def test_without_viser_one_line_says_how_to_get_it(capsys, monkeypatch, memory_file):
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.setattr("embodied_nav.resources.importlib.util.find_spec", lambda name: None)
    assert "pip install 'viser" in refused(capsys, memory_file)


def test_a_memory_file_becomes_a_page(capsys, tmp_path, memory_file):
    assert main(["view", memory_file, "--html", str(tmp_path / "view.html")]) == 0
    assert "opens in a browser without a server" in capsys.readouterr().out
    assert (tmp_path / "view.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(("given", "terminal", "there", "view"), [
    (None, True, True, True), (None, False, True, False), (True, False, True, True), (False, True, True, False),
    (None, True, False, False), (True, True, False, False),
])  # fmt: skip
def test_demo_and_replay_show_themselves_at_a_terminal(given, terminal, there, view, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(page, "why_no_page", lambda: "" if there else "viser is not installed")
    args = argparse.Namespace(view=given, command="demo")
    page.settle(args)
    assert args.view is view and page.nodes(args) == (("view",) if view else ())
    told = "no live page" in capsys.readouterr().out
    assert told is (given is True and not there), "who did not ask for it is not bothered"


def test_a_page_that_cannot_be_made_costs_one_line(tmp_path, capsys):
    def fails():
        raise ZeroDivisionError("of course")

    page.write("demo", tmp_path, fails)
    assert capsys.readouterr().err == "demo: no view.html: ZeroDivisionError: of course\n"
    assert not (tmp_path / page.FILE).exists()
