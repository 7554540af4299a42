"""Fetches one package's file from npm or PyPI, as the user's own client is configured. Knows nothing of models.

npm and pip do it where they are installed: registry, proxy, certificates and login are then those of the user's
configuration. Without npm, its registry is read from where npm reads it, and asked over http(s).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ..errors import InputError
from .download import Progress, download, download_json, no_progress, run_client

#: Where npm itself looks without a setting.
_NPM_DEFAULT = "https://registry.npmjs.org/"
#: npm's own pauses between its three tries are 10 and 60 s: too long to hear that there is no network.
_NPM_PATIENCE = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
_ENTRY = re.compile(r"\s*registry\s*=\s*\"?([^\"\s]+)\"?\s*$")


def fetch_npm(package: str, version: str, folder: Path, progress: Progress = no_progress) -> Path:
    """The package's .tgz in a folder.

    Raises:
        InputError: it cannot be had.
    """
    if shutil.which("npm"):
        return _npm_pack(package, version, folder)
    registry = npm_registry().rstrip("/")
    about = download_json(f"{registry}/{quote(package, safe='@')}/{quote(version)}")
    try:
        url = str(about["dist"]["tarball"])
    except (KeyError, TypeError):
        raise InputError(f"{registry}: says not where {package} {version} lies; is that a registry of npm?") from None
    target = folder / "package.tgz"
    download(url, target, progress)
    return target


def fetch_pypi(package: str, version: str, folder: Path) -> Path:
    """The package's wheel in a folder, by this Python's pip.

    Raises:
        InputError: it cannot be had.
    """
    if importlib.util.find_spec("pip") is None:
        raise InputError(f"{package}: fetching it needs pip; {sys.executable} -m ensurepip brings it")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = run_client([*command, "--dest", str(folder), f"{package}=={version}"])
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.partition(":")[2].strip() for line in lines if line.startswith("ERROR:")] or lines[-1:]
        unreached = any("connection broken by" in line for line in lines)
        why = "the package index cannot be reached; is there a network?" if unreached else " ".join(errors)
        raise InputError(f"pip could not fetch {package} {version}: {why or 'it did not say why'}")
    return wheels[0]


def npm_registry() -> str:
    """The registry that npm is configured with: environment, project, user, machine, else npm's own."""
    if value := _npm_variable("registry"):
        return value
    for path in _npm_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        if found := [match[1] for line in lines if (match := _ENTRY.match(line))]:
            return found[-1]
    return _NPM_DEFAULT


def _npm_files() -> Iterator[Path]:
    """Files of settings in npm's order."""
    yield Path(".npmrc")
    yield Path(_npm_variable("userconfig") or "~/.npmrc").expanduser()
    if given := _npm_variable("globalconfig"):
        yield Path(given)
    yield from (Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc"))


def _npm_variable(setting: str) -> str:
    """A setting of npm in the environment, where its name may be written either way."""
    name = f"npm_config_{setting}"
    return os.environ.get(name) or os.environ.get(name.upper()) or ""


def _npm_pack(package: str, version: str, folder: Path) -> Path:
    command = ["npm", "pack", f"{package}@{version}", "--json", "--silent", "--pack-destination", str(folder)]
    done = run_client([*command, *_NPM_PATIENCE])
    packages = sorted(folder.glob("*.tgz"))
    if done.returncode or not packages:
        raise InputError(f"npm could not fetch {package} {version}: {_npm_reason(done.stdout, done.stderr)}")
    return packages[0]


def _npm_reason(out: str, err: str) -> str:
    """What npm says of a failure, in one line."""
    try:
        error = json.loads(out)["error"]
        code, summary = str(error.get("code", "")), " ".join(str(error.get("summary", "")).split())
    except (ValueError, KeyError, TypeError, AttributeError):
        code, summary = "", " ".join(err.split())[-300:]
    if code in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET", "ERR_SOCKET_TIMEOUT"):
        return f"its registry cannot be reached ({code}); is there a network?"
    if code in ("ENOSPC", "EDQUOT"):
        return "the disk is full; make room"
    return f"{code} {summary}".strip() or "it did not say why"
