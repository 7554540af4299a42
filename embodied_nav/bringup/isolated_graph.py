"""The environment of a graph that shares nothing with any other: domain, discovery, DDS profile. Imports no ROS."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import time
import uuid
from pathlib import Path

from ..errors import InputError
from ..resources import share_path
from ..start_up import GRAPH

#: Bytes of a socket's receive buffer that hold the images of a few frames, as config/fastdds.xml asks for.
SOCKET_BUFFER = 4194304


def local_environment(domain_id: int | None = None) -> dict[str, str]:
    """The environment of a self-contained graph: this machine only, the shipped Fast DDS profile, a domain of its own.

    For demo, replay and tests; not for a graph that RViz on another machine is to see.
    """
    environment = dict(os.environ)
    # The profile keeps to the loopback. LOCALHOST would have rmw_fastrtps add shared memory and more UDP to it.
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    environment.pop("ROS_LOCALHOST_ONLY", None)
    environment.pop("ROS_STATIC_PEERS", None)
    environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(dds_profile())
    environment["ROS_DOMAIN_ID"] = str(free_domain_id() if domain_id is None else domain_id)
    environment[GRAPH] = uuid.uuid4().hex
    return environment


def dds_profile() -> Path:
    """The shipped Fast DDS profile for this machine: UDP where its sockets can hold images, else shared memory."""
    return share_path(f"config/fastdds{'' if socket_buffer_limit() >= SOCKET_BUFFER else '_shared_memory'}.xml")


def socket_buffer_limit(file: str = "/proc/sys/net/core/rmem_max") -> int:
    """Bytes that a socket's receive buffer may have on this machine; 0 where that is not known."""
    try:
        return int(Path(file).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def free_domain_id() -> int:
    """A ROS domain id whose discovery port is unused on this machine, tried in random order.

    Two commands that ask at the same instant may get the same id; among 100 that is unlikely.
    """
    for domain in random.sample(range(1, 101), 100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # The unicast port of participant 0; multicast ports are shared, so binding them proves nothing.
                probe.bind(("127.0.0.1", 7410 + 250 * domain))
                return domain
            except OSError:
                continue
    raise InputError("no free ROS domain between 1 and 100; end other ROS graphs on this machine")


def sweep_shared_memory(folder: str = "/dev/shm", least_age: float = 60.0) -> int:
    """Removes shared-memory segments left by killed Fast DDS processes, tens of megabytes each; returns how many.

    A live process holds a lock on its segment's ``_el`` file; Fast DDS's own ``fastdds shm clean`` relies on that, too.
    Only this user's files older than ``least_age`` seconds are considered.
    """
    swept = 0
    for lock in Path(folder).glob("fastrtps_*_el"):
        if "_port" in lock.name:
            continue
        with contextlib.suppress(OSError):
            status = lock.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < least_age:
                continue
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                lock.unlink()
                swept += 1
    return swept
