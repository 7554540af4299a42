"""What this machine offers to a model: memory and a GPU. Knows nothing of models."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20
#: How a Jetson names itself: its GPU uses the machine's memory.
_BOARD = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Machine:
    """Memory (MB) of the machine, and of its largest GPU (0: none), and whether the GPU uses the machine's."""

    memory_mb: int
    gpu_mb: int = 0
    shared: bool = False

    def lacks(self, memory_mb: int, gpu_mb: int) -> str:
        """What is missing for a model that takes this much; "" where it fits."""
        if self.memory_mb and memory_mb > self.memory_mb:
            return f"takes {memory_mb / 1000:.0f} GB of memory"
        if gpu_mb > self.gpu_mb:
            return f"wants a GPU with {gpu_mb / 1000:.0f} GB"
        return ""


def this_machine() -> Machine:
    """What is here. Asks nvidia-smi where it is installed; imports no library of a GPU."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    except (ValueError, OSError, AttributeError):
        memory = 0
    if _BOARD.is_file() and b"jetson" in _BOARD.read_bytes().lower():
        return Machine(memory, memory, shared=True)
    return Machine(memory, _gpu_mb())


def _gpu_mb() -> int:
    """Memory (MB) of the largest NVIDIA GPU, 0 without one."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return 0
    try:
        command = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return max((int(line) for line in done.stdout.split() if line.isdigit()), default=0)
    except (OSError, subprocess.TimeoutExpired):
        return 0
