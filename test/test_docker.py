"""The container files, read without Docker: sources, commands, parameters, ranges, and rules that hadolint checks."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from embodied_nav.bringup.agent_graph import AgentOptions, agent_processes
from embodied_nav.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile*"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its name, what follows, and the comment above it."""

    name: str
    text: str
    comment: str


def instructions(path: Path) -> list[Instruction]:
    """A Dockerfile's instructions with continued lines joined."""
    found, comment, pending = [], "", ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not pending:
            comment += line + "\n"
        elif line.strip() and not line.startswith("#"):
            pending += line.rstrip("\\").strip() + " "
            if not line.endswith("\\"):
                name, _, text = pending.strip().partition(" ")
                found.append(Instruction(name, text, comment))
                comment = pending = ""
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each command of a RUN line."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;{}")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if re.fullmatch(r"[&|;{}]+", word):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def copied(text: str) -> list[str]:
    """The sources of a COPY from the build context."""
    return [word for word in text.split() if not word.startswith("--")][:-1]


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a path into the build context."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return not any(fnmatch(part, pattern) for pattern in patterns for part in (path, path.split("/")[0]))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.name)
def test_sources_exist_and_are_all_that_cmake_wants(path):
    sources = [s for i in instructions(path) if i.name == "COPY" and "--from" not in i.text for s in copied(i.text)]
    assert not [s for s in sources if not (ROOT / s).exists() or not in_context(s)]
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    wanted = set(re.findall(r"(?:DIRECTORY |PROGRAMS |configure_file\()([a-z][\w./-]*)", cmake))
    wanted |= {f for line in re.findall(r"install\(DIRECTORY ([a-z ]+) DESTINATION", cmake) for f in line.split()}
    wanted |= set(re.findall(r"(\w+)/\*\.(?:msg|srv|action)", cmake))
    wanted = {w.rstrip("/") for w in wanted}
    assert {"embodied_nav", "launch", "config", "rviz", "msg", "srv", "action", "scripts/node.in"} <= wanted
    assert wanted <= set(sources)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.name)
def test_rules_of_hadolint(path):
    """DL3002, 3004, 3006-3009, 3013-3015, 3020, 3022, 3024, 3025, 3042, 4006 and DL3057, by reading."""
    found = instructions(path)
    stages = [i.text.split(" AS ") for i in found if i.name == "FROM"]
    assert all(len(stage) == 2 for stage in stages)
    aliases = [alias for _, alias in stages]
    assert len(set(aliases)) == len(aliases)
    defaults = dict(i.text.partition("=")[::2] for i in found if i.name == "ARG")
    for image, _ in stages:
        name = re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], image)
        assert name in aliases or re.search(r":[\w.-]+$", name), f"{name}: no tag"
        assert not name.endswith(":latest")
    last = max(n for n, i in enumerate(found) if i.name == "FROM")
    users = [i.text for i in found[last:] if i.name == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert any(i.name == "HEALTHCHECK" and '"doctor"' in i.text for i in found[last:])
    for i in found:
        if i.name in ("CMD", "ENTRYPOINT"):
            assert i.text.startswith("["), "JSON form"
        if i.name == "ADD":
            assert i.text.startswith("https://")
        if i.name == "COPY" and "--from=" in i.text:
            assert re.search(r"--from=(\w+)", i.text).group(1) in aliases
        if i.name == "RUN":
            check_run(i, piped=any(s.name == "SHELL" and "pipefail" in s.text for s in found))


def check_run(instruction: Instruction, piped: bool) -> None:
    """The rules for one RUN."""
    text = instruction.text
    assert "sudo " not in text and "apt-get upgrade" not in text and " apt install" not in text
    assert "|" not in text.replace("||", "") or piped, "DL4006"
    if "apt-get update" in text:
        assert "rm -rf /var/lib/apt/lists/*" in text
    for words in commands(text):
        if words[:2] == ["apt-get", "install"]:
            assert {"-y", "--no-install-recommends"} <= set(words) and "ignore=DL3008" in instruction.comment
        if words[:2] == ["pip", "install"]:
            assert "--no-cache-dir" in words
            assert all(re.search(r"[<>=]", word) for word in words[2:] if not word.startswith("-"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.name)
def test_ranges_of_pip_are_those_of_setup(path):
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    named = {a.targets[0].id: a.value for a in tree.body if isinstance(a, ast.Assign)}
    lists = [ast.literal_eval(named["install_requires"]), *ast.literal_eval(named["extras_require"]).values()]
    ranges = {Requirement(r).name: Requirement(r).specifier for one in lists for r in one}
    wanted = [
        Requirement(word)
        for i in instructions(path) if i.name == "RUN"
        for words in commands(i.text) if words[:2] == ["pip", "install"]
        for word in words[2:] if not word.startswith("-")
    ]  # fmt: skip
    assert {"gtsam", "openai"} <= {r.name for r in wanted}
    assert "torch" not in {r.name for r in wanted}, "NVIDIA's stays; without a GPU it is not wanted"
    for requirement in wanted:
        if requirement.name in ranges:
            assert requirement.specifier == ranges[requirement.name], requirement.name
        else:
            assert requirement.name == "viser", f"setup.py does not name {requirement.name}"


# --- what is run in the containers ---


def container_commands() -> dict[str, list[str]]:
    """Commands of the images and services; variables of compose have their defaults."""
    found = {}
    for path in DOCKERFILES:
        for i in instructions(path):
            if i.name in ("CMD", "HEALTHCHECK"):
                found[f"{path.name} {i.name}"] = yaml.safe_load(i.text[i.text.index("[") :])
    for name, service in OURS.items():
        words = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(word)) for word in service["command"]]
        found[f"compose {name}"] = words
        if "healthcheck" in service:
            found[f"compose {name} healthcheck"] = service["healthcheck"]["test"][1:]
    return found


@pytest.mark.parametrize("where", sorted(container_commands()))
def test_command_exists(where):
    words = [word for word in container_commands()[where] if word != "/entrypoint.sh"]
    if words[0] == "embodied-nav":
        if words[1] == "view" and "view" not in COMMANDS:
            pytest.skip("embodied-nav view is not in this version")
        build_parser().parse_args(words[1:])
        return
    assert words[:3] == ["ros2", "launch", "embodied_nav"]
    source = ast.parse((ROOT / "launch" / words[3]).read_text(encoding="utf-8"))
    declared = {
        call.args[0].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "DeclareLaunchArgument"
    }
    assert {word.partition(":=")[0] for word in words[4:]} <= declared


@pytest.mark.parametrize("path", sorted((DOCKER / "params").glob("*.yaml")), ids=lambda p: p.name)
def test_parameter_file_is_taken(path, tmp_path):
    options = AgentOptions((str(path),), memory_file=str(tmp_path / "memory.db"))
    nodes = {process.name: process.parameters for process in agent_processes(options)}
    assert nodes["control"]["robot.max_linear"] == 0.3
    assert nodes["perception"]["backend"] == ("geometric" if path.stem == "agent" else "server")


def test_compose_says_the_same_as_its_files():
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert set(COMPOSE["services"]) == {"agent", "sim", "view", "vllm", "ollama"}
    for name in re.findall(r"\$\{(?:DOCKERFILE|PARAMS):-([^}]+)\}", text):
        assert (ROOT / name).is_file() or (DOCKER / "params" / name).is_file()
    for name in re.findall(r"PARAMS=(\S+?\.yaml) or (\S+?\.yaml)", text)[0]:
        assert (DOCKER / "params" / name).is_file()
    used = {v.partition(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", ()) if v[0] != "."}
    assert used == set(COMPOSE["volumes"])
    ports = {"vllm": "8000", "ollama": "11434"}
    for name, port in ports.items():
        params = yaml.safe_load((DOCKER / "params" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert f":{port}/" in params["/**/perception"]["ros__parameters"]["server"]["url"]
        assert port in str(COMPOSE["services"][name])


def test_writable_folders_are_volumes_of_the_user():
    for path in DOCKERFILES:
        text = path.read_text(encoding="utf-8")
        folders = set(re.findall(r"=(/cache/\w+)", text)) | {"/data"}
        made = re.search(r"mkdir -p ([^\\&]+)", text).group(1).split()
        assert folders == set(made)
        assert 'VOLUME ["/cache", "/data"]' in text
    assert {"cache:/cache", "data:/data"} <= set(OURS["agent"]["volumes"])


def test_workflow_runs_what_exists():
    """What the workflow types: targets of make, commands, launch files, tests, all Pythons of setup.py."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    lines = [line for job in jobs.values() for step in job["steps"] for line in step.get("run", "").splitlines()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = [line.split()[1] for line in lines if line.startswith("make ")]
    assert {"demo", "test"} <= set(made) <= targets
    for line in lines:
        words = shlex.split(line)
        if words[0] == "embodied-nav":
            build_parser().parse_args(words[1:])
        if words[:3] == ["ros2", "launch", "embodied_nav"]:
            assert (ROOT / "launch" / words[3]).is_file()
        assert all((ROOT / word).is_file() for word in words if word.startswith("test/"))
    assert jobs["bare"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert 'python_requires=">=3.11,<3.14"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    images = [job["container"]["image"] for job in jobs.values()]
    assert images == ["python:${{ matrix.python }}-bookworm", "ros:jazzy-ros-base"]
    skipped = re.search(r"--skip-keys (\w+)", "\n".join(lines)).group(1)
    assert f"<exec_depend>{skipped}</exec_depend>" in (ROOT / "package.xml").read_text(encoding="utf-8")


def test_entrypoint_runs_what_it_is_given(tmp_path):
    """The script itself, with empty files in place of those that it sources."""
    import subprocess

    text = (DOCKER / "entrypoint.sh").read_text(encoding="utf-8")
    for folder in ("opt/ros/jazzy", "opt/embodied_nav"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "setup.bash").write_text(f"export SEEN=$SEEN:{folder}\n")
    script = tmp_path / "entrypoint.sh"
    script.write_text(text.replace("/opt/", f"{tmp_path}/opt/"))
    done = subprocess.run(
        ["bash", str(script), "bash", "-c", 'echo "$SEEN $0 $1"', "a b", "c"],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == ":opt/ros/jazzy:opt/embodied_nav a b c\n"
