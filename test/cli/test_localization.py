"""``--localization`` where it is not given: SLAM, or the truth with a line that says so."""

import argparse
import importlib.util

import pytest

from embodied_nav.cli import localization
from embodied_nav.errors import InputError


@pytest.mark.parametrize("installed, name", [(True, "slam"), (False, "truth")])
def test_the_default_is_slam_where_it_can_run(monkeypatch, capsys, installed, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if installed else None)
    args = argparse.Namespace(command="eval", localization=None)
    localization.settle(args)
    assert args.localization == name
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (not installed) and all("GTSAM" in line for line in lines)


def test_what_is_given_stays_and_what_is_unknown_is_refused():
    args = argparse.Namespace(command="demo", localization="odom")
    localization.settle(args)
    assert args.localization == "odom"
    args.localization = "stars"
    with pytest.raises(InputError, match="stars"):
        localization.settle(args)
