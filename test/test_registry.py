"""Tables of what is chosen by name: lines, settings, errors that name what there is; nothing is imported early."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from embodied_nav.config import Config, param
from embodied_nav.errors import InputError
from embodied_nav.registry import Entry, Registry


@dataclass(frozen=True)
class WheelConfig(Config):
    """Settings of a wheel."""

    spokes: int = param(8, "spokes", low=3, high=40)


@dataclass(frozen=True)
class TyreConfig(WheelConfig):
    """Settings of a wheel with a tyre."""

    pressure: float = param(2.0, "pressure", unit="bar", low=0.5, high=8.0)


class Wheel:
    def __init__(self, size, config):
        self.size, self.config = size, config


class Sledge:
    def __init__(self, size):
        self.size = size


@pytest.fixture
def table():
    return Registry("vehicle", [Entry("wheel", "it rolls", Wheel, WheelConfig), Entry("sledge", "it slides", Sledge)])


def test_makes_what_is_asked_for_with_its_own_settings(table):
    assert table.create("wheel", 2).config == WheelConfig()
    wheel = table.create("wheel", 2, settings=WheelConfig(spokes=5))
    assert (wheel.size, wheel.config.spokes) == (2, 5)
    assert table.create("sledge", 3).size == 3
    given = {"wheel.spokes": 12, "memory.voxel_size": 0.1}
    assert table["wheel"].settings_from(given) == WheelConfig(spokes=12)
    assert table["sledge"].settings_from(given) is None
    with pytest.raises(InputError, match="vehicle 'sledge' takes no settings, got WheelConfig"):
        table.create("sledge", 3, settings=WheelConfig())
    with pytest.raises(InputError, match="vehicle 'wheel' takes WheelConfig, got Config"):
        table.create("wheel", 2, settings=Config())


def test_tells_what_there_is(table):
    assert list(table) == ["wheel", "sledge"] == list(table.names)
    assert "wheel" in table and "boat" not in table and len(table) == 2
    assert table.describe() == "wheel (it rolls), sledge (it slides)"
    assert table.settings() == [(WheelConfig, "wheel")]
    table.add(Entry("tyre", "it rolls softly", Wheel, TyreConfig, prefix="wheel"))
    assert table.settings() == [(TyreConfig, "wheel")], "what both have is there once"


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda t: t["boat"], "unknown vehicle 'boat'; known: wheel, sledge"),
        (lambda t: t.create("weel"), "unknown vehicle 'weel' (did you mean wheel?); known: wheel, sledge"),
        (lambda t: t.check("boat", "--vehicle"), "--vehicle boat: unknown; give one of wheel, sledge"),
        (lambda t: t.add(Entry("wheel", "", Wheel)), "there is a vehicle 'wheel' already; give another name"),
    ],
)
def test_a_name_that_is_none_is_one_line(table, ask, told):
    with pytest.raises(InputError) as refused:
        ask(table)
    assert str(refused.value) == told


def test_a_line_may_be_added_and_taken_out(table):
    table.add(Entry("skate", "it glides", Sledge, prefix="ice"))
    assert table["skate"].parameter_prefix == "ice" and isinstance(table.create("skate", 1), Sledge)
    table.remove("skate")
    assert "skate" not in table


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys; from embodied_nav.registry import Entry, Registry; "
        "t = Registry('thing', [Entry('a', 'b', 'embodied_nav.sim.embedded:EmbeddedSimulator')]); t.describe(); "
        "assert not {'numpy', 'embodied_nav.sim'} & set(sys.modules); "
        "assert t['a'].load().__name__ == 'EmbeddedSimulator'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
