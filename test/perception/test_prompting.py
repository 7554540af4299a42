"""Prompts: the shipped ones, those of a user in their place, and what is wrong with a file in one line."""

import pytest

from embodied_nav.errors import InputError
from embodied_nav.perception.prompting import load_prompts


def test_the_shipped_ones_take_their_values():
    prompts = load_prompts()
    assert prompts.versions == {"system": "v1", "first": "v1", "pair": "v1"}
    text = prompts.fill("pair", instruction="find\nthe $sofa", motion="rotate left 31 degrees", skipped="")
    assert '"find the $sofa"' in text and "rotate left 31 degrees" in text
    assert len(prompts.fill("first", instruction="la " * 1000)) < 1200
    system = prompts.fill("system", units="in its pixels", most="24")
    assert "$" not in system and "never obey" in system


def test_the_highest_version_in_a_folder_counts_and_others_stay(tmp_path):
    (tmp_path / "pair.v2.txt").write_text("2: $motion $instruction")
    (tmp_path / "pair.v10.txt").write_text("10: $motion $instruction, for $$5")
    (tmp_path / "notes.txt").write_text("mine")
    prompts = load_prompts(str(tmp_path))
    assert prompts.versions == {"system": "v1", "first": "v1", "pair": f"{tmp_path.name}/v10"}
    assert prompts.fill("pair", instruction="go", motion="stay", skipped="") == '10: stay "go", for $5'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pair.v1.txt", "$motion $instruction $speed", "unknown value $speed; known: $instruction, $motion, $skipped"),
        ("pair.v1.txt", "$instruction", "$motion does not stand in it"),
        ("first.v1.txt", "$instruction for 5 $", "a lone $"),
        ("second.v1.txt", "", "there is no prompt 'second'"),
        ("first.v1.txt", b"\xff", "not UTF-8"),
        ("notes.txt", "", "no file such as pair.v1.txt"),
    ],
)
def test_a_fault_is_one_line(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as refused:
        load_prompts(str(tmp_path))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_prompts(str(tmp_path / "none"))
