"""Process start-up before heavy imports: signal handlers, and running a node's module. Knows nothing of the nodes.

Loading libraries takes seconds on a small machine; meanwhile Ctrl-C and SIGTERM end the process at once, quietly.
"""

# Keep these imports minimal: until a handler is set, Ctrl-C ends in a traceback.
import os
import signal
import sys

#: Exit code of an interrupted command.
INTERRUPTED = 130
#: Environment variable: if set, the node gets SIGTERM when its parent process dies.
DIE_WITH_PARENT = "EMBODIED_NAV_DIE_WITH_PARENT"
#: Environment variable: how often the supervisor restarted this node; 0: any saved state is from another run.
RESTARTS = "EMBODIED_NAV_RESTARTS"
#: Environment variable: id of the run; state saved at an orderly shutdown is for nodes of the same run only.
RUN = "EMBODIED_NAV_RUN"
#: Environment variable: id of an isolated graph, whatever its ROS domain; keeps its saved state apart from others'.
GRAPH = "EMBODIED_NAV_GRAPH"

_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGINT, signal.SIGTERM)


def end_quietly() -> None:
    """Makes Ctrl-C and SIGTERM end this process at once with exit code 130."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(INTERRUPTED))


def raise_interrupts() -> None:
    """Makes Ctrl-C and SIGTERM raise KeyboardInterrupt, so that the process shuts down in order."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def run_node(name: str) -> None:
    """Runs ``main()`` of the module ``embodied_nav.nodes.<name>``; exits with 2 if a library is missing."""
    end_quietly()
    import importlib

    if os.environ.get(DIE_WITH_PARENT) and sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # not SIGKILL: the node must save the memory first
    try:
        module = importlib.import_module(f"embodied_nav.nodes.{name}")
    except ModuleNotFoundError as error:
        if not can_be_installed(error.name or ""):
            raise
        print(
            f"embodied-nav: error: {name} needs {error.name}, which is not installed; 'ros2 run embodied_nav "
            "embodied-nav doctor' says how to get it",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(module.main())


def can_be_installed(module: str) -> bool:
    """Whether a missing module is an external library or a generated interface, and not a bug in this package."""
    top, _, rest = module.partition(".")
    return bool(top) and (top != "embodied_nav" or rest.split(".")[0] in ("msg", "srv", "action"))
