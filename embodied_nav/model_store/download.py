"""Downloads over http(s), and the commands that do so. Knows nothing of models and registries."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

#: Seconds without a byte after which a server is given up.
TIMEOUT = 30.0
_CHUNK = 1 << 20
#: Longest answer that is read as JSON (bytes).
_LONGEST = 1 << 26

#: Called with bytes that came and bytes in all (0: unknown).
Progress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """Shows nothing."""


def download(url: str, target: Path, progress: Progress = no_progress, timeout: float = TIMEOUT) -> None:
    """Writes what an http(s) address gives into a file; proxies are those of the environment.

    Raises:
        InputError: the address cannot be reached, refuses, or ends early.
    """
    with _opened(url, timeout) as answer, target.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while chunk := _read(answer, url):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    if total and done != total:
        raise InputError(f"{url}: ended after {done} of {total} bytes; try again")


def download_json(url: str, timeout: float = TIMEOUT) -> Any:
    """What an http(s) address gives, read as JSON.

    Raises:
        InputError: as :func:`download`, or it is no JSON.
    """
    with _opened(url, timeout) as answer:
        text = _read(answer, url, _LONGEST)
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f"{url}: gives no JSON; is that a registry?") from None


def run_client(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a registry's own client, and returns its output, whatever its exit code.

    Raises:
        InputError: it cannot be started.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be started ({error.strerror})") from None


def _opened(url: str, timeout: float) -> Any:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: is no http or https address; check the registry's setting")
    request = urllib.request.Request(url, headers={"User-Agent": "embodied-nav"})
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        mend = {401: "it wants a login", 403: "it wants a login", 404: "there is no such thing"}.get(
            error.code, "try again"
        )
        raise InputError(f"{url}: the server says {error.code} {error.reason}; {mend}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{url}: cannot be reached ({reason}); is there a network?") from None


def _read(answer: Any, url: str, size: int = _CHUNK) -> bytes:
    try:
        return answer.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{url}: the connection broke ({error or type(error).__name__}); try again") from None
