"""Starts the graph: processes, their parameters from files, a supervisor. Knows the nodes only by name."""

from .composition import composed
from .isolated_graph import (
    SOCKET_BUFFER,
    dds_profile,
    free_domain_id,
    local_environment,
    socket_buffer_limit,
    sweep_shared_memory,
)
from .processes import Process, memory_parameters
from .supervisor import Supervisor

__all__ = [
    "SOCKET_BUFFER",
    "Process",
    "Supervisor",
    "composed",
    "dds_profile",
    "free_domain_id",
    "local_environment",
    "memory_parameters",
    "socket_buffer_limit",
    "sweep_shared_memory",
]
