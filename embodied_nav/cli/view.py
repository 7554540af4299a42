"""``embodied-nav view``: the page of a running agent, or of a memory file. Knows no algorithm."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..errors import InputError
from ..start_up import end_quietly

#: Where a page is served unless told otherwise; the next free port where it is taken.
HOST, PORT = "127.0.0.1", 8080


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "view",
        help="show what the agent knows as a page in a browser",
        description="Serves a page with map, objects, decisions and health of the agent that is running (embodied-nav "
        "up, ros2 launch), or of a memory file, until Ctrl-C. The page asks no other machine for anything.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a memory file (default: the agent that is running)")
    parser.add_argument(
        "--host", default=HOST, metavar="H", help=f"address to serve on; 0.0.0.0: to all machines (default: {HOST})"
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help=f"port; 0: any that is free (default: {PORT}, or the next free one)"
    )
    parser.add_argument("--namespace", default="", metavar="N", help="of the agent")
    parser.add_argument(
        "--html", metavar="F", help="write a page of FILE that opens without a server, instead of serving one"
    )


def run(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C, or writes it."""
    if args.port is not None and not 0 <= args.port <= 65535:
        raise InputError(f"--port {args.port}: give a number from 0 to 65535")
    if args.html is not None:
        return _write(args)
    require_viser()
    return _show_file(args) if args.file is not None else _show_agent(args)


def require_viser() -> None:
    """Raises InputError without the library that serves the page."""
    from ..resources import why_no_page

    if why := why_no_page():
        raise InputError(f"no page: {why}")


def _write(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory
    from ..memory.output.render import estimate_up
    from ..view import record_episode, write_page

    if args.file is None:
        raise InputError(f"--html {args.html}: which memory? give its FILE, too")
    memory = SpatialMemory.load(args.file)
    poses = [k.T_map_camera for k in memory.keyframes.values()]
    up = estimate_up(poses, memory.voxels()) if poses else None
    what = f"{len(memory):,} voxels, {len(memory.objects())} objects, {len(poses)} keyframes"
    size = write_page(args.html, record_episode(memory, Path(args.file).name, what, up=_upright(up)))
    print(f"view: {args.html}, {size / 1e6:.1f} MB, opens in a browser without a server", flush=True)
    return 0


def _upright(up):
    """None (the map's own z) where that is up already, so that rooms and headings keep their meaning."""
    return None if up is None or up[2] > 0.98 else up


def _show_file(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory
    from ..view import LivePage, MemoryPage, PageConfig, Wishes

    memory = SpatialMemory.load(args.file)
    end_quietly()
    answers: list[LivePage] = []

    def ask(text: str) -> None:
        answers[0].answer(_answer(memory, text))

    config = PageConfig(host=args.host, port=PORT if args.port is None else args.port)
    wishes = Wishes(ask=ask, why_not="a memory file: nothing drives")
    page = LivePage(config, wishes, Path(args.file).name, memory.config.voxel_size, next_port=args.port is None)
    answers.append(page)
    MemoryPage(page, memory)
    print(f"view: {args.file} at {page.address}; Ctrl-C ends", flush=True)
    while True:
        began = time.monotonic()
        page.update()
        time.sleep(max(0.02, 1.0 / config.rate - (time.monotonic() - began)))


def _answer(memory, text: str) -> str:
    from ..reasoner.asking import answer_from_memory

    return answer_from_memory(memory, memory.knowledge(), text).text


def _show_agent(args: argparse.Namespace) -> int:
    from ..bringup.agent_graph import check_namespace
    from .ros import require_ros

    check_namespace("--namespace ", args.namespace)
    require_ros()
    from ..nodes.view import show

    show(args.host, PORT if args.port is None else args.port, args.namespace, next_port=args.port is None)
    return 0
