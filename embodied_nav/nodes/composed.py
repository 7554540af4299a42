"""Runs keyframe, slam, perception and memory nodes in one process. Knows nothing of what the nodes do.

They share one subscription to the camera, and each frame is decoded once.

``composed slam keyframe perception memory --ros-args ...`` runs the named nodes. Each keeps its own name, parameters
and topics, as if it ran in a process of its own. Control never shares this process: it must survive when they crash.
"""

from __future__ import annotations

import importlib
import sys

from ..errors import InputError
from .ros.composition import Composition
from .ros.lifecycle import run_process

#: The nodes that can share a process, by class, in the order in which they are started. They are stopped in the reverse
#: order: those that write files come first then.
NODES = {"keyframe": "KeyframeNode", "perception": "PerceptionNode", "slam": "SlamNode", "memory": "MemoryNode"}


def compose(names: list[str]) -> Composition:
    """The nodes of these names.

    Raises:
        InputError: no name was given, or a node that cannot share the process.
    """
    wrong = [name for name in names if name not in NODES]
    if wrong or not names:
        raise InputError(f"composed: '{' '.join(names)}': give some of {', '.join(NODES)}")
    # Absolute module names: this module may run as __main__, where relative ones do not resolve.
    makers = {
        name: getattr(importlib.import_module(f"embodied_nav.nodes.{name}"), NODES[name])
        for name in NODES
        if name in names
    }
    return Composition(makers)


def main(args: list[str] | None = None) -> int:
    """Runs the nodes in this process."""
    words = sys.argv[1:] if args is None else args
    end = words.index("--ros-args") if "--ros-args" in words else len(words)
    return run_process(lambda: compose(words[:end]), args)


if __name__ == "__main__":
    sys.exit(main())
