"""Fetches a repository of the Hugging Face hub at one commit. Knows nothing of models.

``huggingface_hub`` does it where it is installed (login, caching and proxies are then its own); else plain https from
``HF_ENDPOINT``, which serves what needs no login.
"""

from __future__ import annotations

import errno
import fnmatch
import importlib.util
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from ..errors import InputError
from .download import Progress, download, download_json, no_progress

#: Where the hub is without a setting; huggingface_hub reads the same variable.
_HUB = "https://huggingface.co"
#: What of a repository is fetched: what transformers reads. Weights in other forms stay there; pickles never come.
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")


def fetch_hub(repository: str, revision: str, folder: Path, progress: Progress = no_progress) -> str:
    """Fetches the files of a repository into a folder; returns their commit.

    Args:
        revision: a commit, a branch or a tag.

    Raises:
        InputError: it cannot be had.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB
    if importlib.util.find_spec("huggingface_hub") is not None:
        return _by_library(repository, revision, folder, endpoint)
    name = quote(repository)
    about = download_json(f"{endpoint}/api/models/{name}/revision/{quote(revision, safe='')}")
    try:
        commit, listed = str(about["sha"]), [str(sibling["rfilename"]) for sibling in about["siblings"]]
    except (KeyError, TypeError):
        raise InputError(f"{endpoint}: says not what {repository} holds; check HF_ENDPOINT") from None
    for file in _wanted(listed, repository):
        download(f"{endpoint}/{name}/resolve/{quote(commit, safe='')}/{quote(file)}", folder / file, progress)
    return commit


def _wanted(listed: Iterable[str], repository: str) -> list[str]:
    """The files that are fetched: none in a folder, none whose path leads elsewhere."""
    files = [f for f in listed if not set(f) & set("/\\") and any(fnmatch.fnmatchcase(f, p) for p in PATTERNS)]
    if not files:
        raise InputError(f"{repository}: holds no file that transformers reads; check its name")
    return files


def _by_library(repository: str, revision: str, folder: Path, endpoint: str) -> str:
    from huggingface_hub import HfApi, hf_hub_download

    try:
        about = HfApi(endpoint=endpoint).model_info(repository, revision=revision, timeout=30)
        commit = about.sha or revision
        for file in _wanted((sibling.rfilename for sibling in about.siblings or ()), repository):
            hf_hub_download(repository, file, revision=commit, local_dir=folder, endpoint=endpoint)
    except InputError:
        raise
    except Exception as error:  # errors of its own and of the library for http below it, of no common kind
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
            raise  # the disk's
        raise InputError(_unfetched(repository, error)) from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's notes of unfinished downloads
    return commit


def _unfetched(repository: str, error: Exception) -> str:
    kind, why = type(error).__name__, " ".join(str(error).split())[:160]
    if kind == "GatedRepoError":
        return f"{repository}: its owner wants that you agree to terms; do so on the hub, and log in by 'hf auth login'"
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError"):
        return f"{repository}: the hub has no such repository or revision; check the name, or log in by 'hf auth login'"
    return f"{repository}: the hub cannot be reached ({kind}: {why}); is there a network?"
