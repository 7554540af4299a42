"""Starts the graph: processes, their parameters from files, a supervisor. Knows the nodes only by name."""

from .composition import composed
from .isolated_graph import free_domain_id, local_environment, sweep_shared_memory
from .processes import Process, memory_parameters
from .supervisor import Supervisor

__all__ = [
    "Process",
    "Supervisor",
    "composed",
    "free_domain_id",
    "local_environment",
    "memory_parameters",
    "sweep_shared_memory",
]
