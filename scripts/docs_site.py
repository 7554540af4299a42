"""Builds the documentation site, and is MkDocs' hook for it: pages outside docs/, links and anchors as on GitHub.

`python scripts/docs_site.py [--out FOLDER]` checks every link and anchor (strict); with --out the site stays there.
The same Markdown is read on GitHub, so links are relative to the file in the repository. Here they are made those of
the site: a page of the repository outside docs/ becomes a page of the site, any other file that exists becomes its
name, and one that does not exist is an error. Knows nothing of the package.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import logging
import posixpath
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Pages of the repository that the site holds beside docs/, in the order of its menu.
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "bench/RESULTS.md",
    "embodied_nav/memory/README.md",
    "embodied_nav/models/compact/weights/compact.md",
    "embodied_nav/models/small_lm/weights/reasoner.md",
)
FOLDER = "repository"
log = logging.getLogger("mkdocs.hooks.docs_site")

_FENCE = re.compile(r"^\s*(```|~~~)")
_LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


def main(arguments: list[str] | None = None) -> int:
    """Checks or builds the site; 0 also where MkDocs is neither here nor can be fetched, which one line says."""
    parser = argparse.ArgumentParser(description="Builds the documentation site; without --out only checks it.")
    parser.add_argument("--out", metavar="FOLDER", help="where the site goes (default: it is only checked)")
    args = parser.parse_args(arguments)
    if importlib.util.find_spec("mkdocs") is None and (why := install()):
        mend = "with a network: make setup EXTRAS=docs"
        print(f"docs: NOT checked, mkdocs is not here and cannot be fetched ({why}); {mend}")
        return 1 if args.out else 0
    if args.out:
        return build(Path(args.out).resolve())
    with tempfile.TemporaryDirectory() as folder:
        code = build(Path(folder))
    print("docs: every link and anchor of the site is there" if code == 0 else "docs: see the warnings above")
    return code


def install() -> str:
    """Installs the extra `docs` into the running Python; returns "" or the reason why not."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "--timeout", "10", "--retries", "1", *requirements()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return "pip took more than 180 s"
    importlib.invalidate_caches()
    lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "" if done.returncode == 0 else (lines or [f"pip ended with {done.returncode}"])[-1]


def requirements() -> list[str]:
    """What setup.py names under the extra `docs`."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    found = next(a.value for a in tree.body if isinstance(a, ast.Assign) and a.targets[0].id == "extras_require")
    return ast.literal_eval(found)["docs"]


def build(out: Path, root: Path = ROOT) -> int:
    """Builds the site strictly into a folder; MkDocs' exit code (1: a link, anchor or page is wrong, which it says).

    Not --quiet: MkDocs would not count the warnings then, and call a site with broken links good.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=str(root), stderr=subprocess.PIPE, text=True, check=False)
    for line in done.stderr.splitlines():
        if not line.startswith("INFO"):
            print(line, file=sys.stderr)
    return done.returncode


# --- MkDocs' events ---


def on_config(config: Any) -> Any:
    """Adds what the nav does not list, and gives headings the anchors that GitHub gives them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = lambda text, _separator: slug(text)
    listed = set(pages(config.nav))
    rest = [path.name for path in sorted(Path(config.docs_dir).glob("*.md")) if path.name not in listed]
    config.nav = [*config.nav, *([{"More": rest}] if rest else []), {"Repository": [site_path(p) for p in OUTSIDE]}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages outside docs/."""
    from mkdocs.structure.files import File

    for path in OUTSIDE:
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Makes links those of the site; one to a file that does not exist is a warning, which strict refuses."""
    source = repository_path(page.file.src_uri)
    return outside_fences(markdown, lambda line: for_site(line, source, _warn))


def _warn(source: str, target: str) -> None:
    log.warning("%s links to %s, which is not in the repository", source, target)


# --- what they are made of ---


def pages(nav: Iterable[Any]) -> list[str]:
    """The pages of a nav with sections."""
    found: list[str] = []
    for entry in nav:
        if isinstance(entry, str):
            found.append(entry)
        else:
            for value in entry.values():
                found += [value] if isinstance(value, str) else pages(value)
    return found


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading: lower case, spaces to hyphens, no other signs."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def site_path(path: str) -> str:
    """Where the site has a page or picture of the repository."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{FOLDER}/{path}"


def repository_path(page: str) -> str:
    """The file of the repository that a page of the site is made from."""
    return page.removeprefix(f"{FOLDER}/") if page.startswith(f"{FOLDER}/") else f"docs/{page}"


def outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Changes the lines that are not in a code block."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
            lines.append(line)
        else:
            lines.append(line if fenced else change(line))
    return "\n".join(lines)


def for_site(line: str, source: str, missing: Callable[[str, str], None]) -> str:
    """A line with the links of the site.

    source: the page's path in the repository. missing(source, target): is told of a link to what does not exist.
    """
    if line.startswith("|"):  # GitHub wants \| in code inside tables, Python-Markdown does not
        line = _CODE.sub(lambda code: code[0].replace("\\|", "|"), line)

    def replace(found: re.Match[str]) -> str:
        target, hash_sign, anchor = found["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path.startswith("..") or not (ROOT / path).exists():
            missing(source, found["target"])
            return found[0]
        if not (path.startswith("docs/") or path in OUTSIDE):
            return f"{found['text'][1:-1]} (`{path}`)"
        here = posixpath.dirname(site_path(source))
        return f"{found['text']}({posixpath.relpath(site_path(path), here or '.')}{hash_sign}{anchor})"

    return _LINK.sub(replace, line)


if __name__ == "__main__":
    sys.exit(main())
