"""The documentation: the links of the site, and that each command that a page shows exists as it is written."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from embodied_nav.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def site():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts" / "docs_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in a page's shell blocks, without variables, comments and what follows a pipe."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.sub(r"<[^>]*>", "X", line), comments=True)
            part: list[str] = []
            for word in [*words, "&&"]:
                if word in ("&&", "|", ";", "||"):
                    while part and re.fullmatch(r"\w+=.*", part[0]):
                        part = part[1:]
                    if part:
                        yield part
                    part = []
                else:
                    part.append(word)


def launch_arguments(name: str) -> set[str]:
    """The arguments that a launch file declares."""
    text = (ROOT / "launch" / name).read_text(encoding="utf-8")
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
    }


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def complaint(words: list[str]) -> str:
    """What is wrong with a command of ours; "" where nothing is, or where it is another program's."""
    words = words[:-1] if words[-1] == "&" else words
    program = Path(words[0]).name
    if program == "embodied-nav" and len(words) > 1 and not words[1].isupper():
        try:
            build_parser().parse_args(words[1:])
        except SystemExit as end:
            return "" if end.code in (0, None) else f"{' '.join(words)}: the parser refuses it"
    if program == "make":
        named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        wrong = [word for word in named if word not in make_targets()]
        return f"{' '.join(words)}: no target {wrong}" if wrong else ""
    if words[:3] == ["ros2", "launch", "embodied_nav"]:
        given = {word.partition(":=")[0] for word in words[4:] if ":=" in word}
        wrong = given - launch_arguments(words[3])
        return f"{' '.join(words)}: no argument {sorted(wrong)}" if wrong else ""
    files = [word for word in words if re.fullmatch(r"(bench|scripts|examples|config)/[\w/.-]+", word)]
    missing = [file for file in files if not (ROOT / file).exists()]
    return f"{' '.join(words)}: {missing} is not there" if missing else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_of_the_page_exist(page):
    found = list(commands(page.read_text(encoding="utf-8")))
    assert not [text for words in found if (text := complaint(words))]
    if page.name in ("README.md", "index.md", "your_robot.md"):
        assert sum(Path(words[0]).name == "embodied-nav" for words in found) > 3


@pytest.mark.parametrize(
    "line",
    [
        "embodied-nav demo --no-such-option", "cd x && embodied-nav fly", "make dance", "python bench/no_such.py",
        "A=b .venv/bin/embodied-nav up --slam maybe", "ros2 launch embodied_nav agent.launch.py preception:=auto",
    ],
)  # fmt: skip
def test_wrong_command_is_noticed(line):
    assert any(complaint(words) for words in commands(f"```sh\n{line}\n```\n"))


def test_parameter_files_of_the_pages_are_taken(tmp_path):
    from embodied_nav.bringup.agent_graph import AgentOptions, agent_processes

    found = 0
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            if "ros__parameters" in block and "topics:" not in block:  # twist_mux has its own
                file = tmp_path / f"{found}.yaml"
                file.write_text(block.replace("/home/robot", str(tmp_path)))
                assert len(agent_processes(AgentOptions((str(file),)))) == 5, page.name
                found += 1
    assert found


def test_parameters_that_pages_set_exist():
    known = set(
        re.findall(r"^\| `([\w.]+)`", (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert len(known) > 200
    named = {(p.name, n) for p in PAGES for n in re.findall(r"--set ([\w.]+)=", p.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert not {(page, name) for page, name in named if name not in known and not name.isupper()}


# --- the site ---


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("On your own robot", "on-your-own-robot"),
        ("`detector`", "detector"),
        ("DDS: images between processes", "dds-images-between-processes"),
        ("Rooms & kinds (`rooms.*`)", "rooms--kinds-rooms"),
    ],
)
def test_anchor_is_the_one_of_github(site, heading, anchor):
    assert site.slug(heading) == anchor


@pytest.mark.parametrize(
    ("source", "line", "wanted"),
    [
        ("README.md", "[eyes](docs/perception.md#server)", "[eyes](../perception.md#server)"),
        ("README.md", "![map](docs/images/map.png)", "![map](../images/map.png)"),
        ("docs/perception.md", "[it](../README.md#the-graph)", "[it](repository/README.md#the-graph)"),
        ("docs/index.md", "[examples](../examples) and [a](#b)", "examples (`examples`) and [a](#b)"),
        ("docs/index.md", "[x](https://example.org/y.md)", "[x](https://example.org/y.md)"),
        ("README.md", "| `a\\|b` | c\\|d |", "| `a|b` | c\\|d |"),
    ],
)
def test_link_becomes_the_sites(site, source, line, wanted):
    assert site.for_site(line, source, lambda *_: pytest.fail("it is there")) == wanted


def test_link_to_nothing_is_told(site):
    told = []
    site.for_site("[a](no_such.md) [b](../../outside.md)", "docs/index.md", lambda *what: told.append(what))
    assert told == [("docs/index.md", "no_such.md"), ("docs/index.md", "../../outside.md")]


def test_links_in_code_are_left_alone(site):
    text = "a\n```\n[x](y)\n```\nb"
    assert site.outside_fences(text, lambda line: line.upper()) == "A\n```\n[x](y)\n```\nB"


def test_page_that_the_nav_does_not_list_is_added(site, tmp_path):
    class Config:
        docs_dir, nav, mdx_configs = str(tmp_path), ["index.md", {"Use": ["listed.md"]}], {}

    for name in ("index.md", "listed.md", "new.md"):
        (tmp_path / name).write_text("# A page\n")
    nav = site.on_config(Config()).nav
    assert nav[:3] == ["index.md", {"Use": ["listed.md"]}, {"More": ["new.md"]}]
    assert "repository/README.md" in nav[3]["Repository"]


def test_pages_outside_docs_exist(site):
    assert all((ROOT / path).is_file() for path in site.OUTSIDE)


def test_without_mkdocs_and_network_one_line_says_so(site, monkeypatch, capsys):
    monkeypatch.setattr(site.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(site, "install", lambda: "no network")
    assert site.main([]) == 0 and site.main(["--out", "x"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[1]
    assert said[0].startswith("docs: NOT checked") and "no network" in said[0] and "make setup EXTRAS=docs" in said[0]


def test_pip_that_fails_says_why(site, monkeypatch):
    monkeypatch.setattr(site, "requirements", lambda: ["/no/such/wheel-1.0-py3-none-any.whl"])
    assert "no/such" in site.install()


def test_strict_build_has_all_pages_and_refuses_a_wrong_link(site, tmp_path):
    pytest.importorskip("mkdocs", reason="needs mkdocs: the extra 'docs', fetched by make lint")
    out = tmp_path / "site"
    assert site.build(out) == 0
    assert {page.with_suffix(".html").name for page in (ROOT / "docs").glob("*.md")} <= {f.name for f in out.iterdir()}
    assert (out / "repository" / "bench" / "RESULTS.html").is_file()
    assert "https://cdn" not in (out / "index.html").read_text(encoding="utf-8")

    copy = tmp_path / "copy"
    for path in (*site.OUTSIDE, "mkdocs.yml", "scripts/docs_site.py", "LICENSE"):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    for folder in ("docs", "examples"):
        shutil.copytree(ROOT / folder, copy / folder)
    assert site.build(out, copy) == 0
    (copy / "docs" / "new.md").write_text("# New\n\n[there](index.md#no-such-heading)\n")
    assert site.build(out, copy) == 1
    (copy / "docs" / "new.md").write_text("# New\n\n[there](nowhere.md)\n")
    assert site.build(out, copy) == 1
