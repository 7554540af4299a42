"""JIT warm-up of the package's numba kernels, and reports of which get compiled. Knows nothing of what they compute."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Prefix of this package's kernels; numba's own functions that they call are not counted.
_OURS = __name__.partition(".")[0] + "."

#: Each of these modules has a ``warm_up()`` that compiles, or loads from the cache, all kernels that its layer runs.
LAYERS = (
    "rooms.warm_up", "memory.warm_up", "sim.embedded", "slam.warm_up", "planning.warm_up", "perception.warm_up",
    "keyframes.warm_up", "geometry.warm_up", "recordings.rvl", "sim.habitat.warm_up",
)  # fmt: skip


def import_all(layer: str) -> None:
    """Imports all modules of a layer, so that all its kernels are known."""
    package = importlib.import_module(f"{_OURS}{layer.partition('.')[0]}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def warm_up(layer: str) -> None:
    """Compiles, or loads from the cache, the kernels of one of :data:`LAYERS`."""
    importlib.import_module(f"{_OURS}{layer}").warm_up()


def kernels() -> dict[str, Any]:
    """Name -> numba dispatcher of every kernel in the imported modules. Kernels that are always inlined at the call
    site have no compiled code of their own and are left out."""
    from numba.core.dispatcher import Dispatcher

    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith(_OURS) and module is not None:
            for value in list(vars(module).values()):
                if isinstance(value, Dispatcher) and value.targetoptions.get("inline") != "always":
                    found[_name(value)] = value
    return found


def signatures() -> set[tuple[str, str]]:
    """(kernel, argument types) of every specialisation that is already compiled or loaded in this process."""
    return {(name, str(types)) for name, kernel in kernels().items() for types in kernel.overloads}


def count() -> int:
    """Number of specialisations (kernel and argument types) that are compiled or loaded already; 0 without numba."""
    return sum(len(kernel.overloads) for kernel in kernels().values()) if "numba" in sys.modules else 0


@contextmanager
def watched(compiled: Callable[[str], None]) -> Iterator[None]:
    """Calls ``compiled`` with each kernel of the package that is compiled within the context; see :func:`watch`."""
    stop = watch(compiled)
    try:
        yield
    finally:
        stop()


def watch(compiled: Callable[[str], None]) -> Callable[[], None]:
    """From now on calls ``compiled`` with the name of each compiled kernel of the package, in the compiling thread.

    Kernels loaded from the cache on disk are not reported. Without numba imported it does nothing.

    Returns:
        A function that ends the watch.
    """
    if "numba" not in sys.modules:  # modules with kernels import numba, so none of them is loaded
        return lambda: None
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event) -> None:
            pass

        def on_end(self, event) -> None:
            name = _name(event.data["dispatcher"])
            if name.startswith(_OURS):
                compiled(f"{name}{event.data['args']}")

    listener = Listener()
    event.register("numba:compile", listener)
    return lambda: event.unregister("numba:compile", listener)


def _name(dispatcher: Any) -> str:
    function = dispatcher.py_func
    return f"{function.__module__}.{function.__qualname__}"
