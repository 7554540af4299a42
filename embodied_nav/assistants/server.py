"""Offers the tools over the Model Context Protocol on stdin and stdout. Knows nothing of robots and of the tools.

Works with both generations of the ``mcp`` package: 1.x registers functions by decorators, 2.x takes them as arguments;
all else is the same. Standard output belongs to the protocol alone: what anything else prints goes to standard error.
"""

from __future__ import annotations

import base64
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from io import TextIOWrapper
from typing import Any

from .. import __version__
from ..errors import InputError
from ..resources import how_to_install
from .tools import INSTRUCTIONS, TOOLS, Result, Tools

NAME = "embodied-nav"


def require_mcp() -> None:
    """Raises InputError where the ``mcp`` package is not installed."""
    try:
        import mcp.server.lowlevel  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"needs {error.name}, of the extra 'mcp'; {how_to_install('mcp', 'mcp')}") from None


def serve(tools: Tools, at_end: Callable[[], None]) -> int:
    """Answers until the client goes (stdin ends), or SIGINT or SIGTERM comes.

    Args:
        at_end: called once, in any case: stops the robot.

    Returns:
        Exit code. After a signal the process is ended here: a thread still waits for a line of stdin.
    """
    import anyio

    wire_in, wire_out = _claim()
    ended: list[int] = []

    async def watch(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                await anyio.to_thread.run_sync(at_end)
                sys.stderr.flush()
                os._exit(0)

    async def main() -> None:
        from mcp.server.stdio import stdio_server

        server = _server(tools)
        async with anyio.create_task_group() as group:
            group.start_soon(watch, group.cancel_scope)
            async with stdio_server(anyio.wrap_file(wire_in), anyio.wrap_file(wire_out)) as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
            ended.append(0)
            group.cancel_scope.cancel()

    try:
        anyio.run(main)
    except BaseExceptionGroup as group:
        # The client has closed its end of the pipe before all answers were written.
        _, others = group.split((BrokenPipeError, anyio.BrokenResourceError, anyio.ClosedResourceError))
        if others is not None:
            raise others from None
    finally:
        at_end()
    return 0


def _claim() -> tuple[TextIOWrapper, TextIOWrapper]:
    """Standard input and output for the protocol; what else writes to standard output writes to standard error."""
    sys.stdout.flush()
    wire_in, wire_out = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    reading = TextIOWrapper(os.fdopen(wire_in, "rb"), encoding="utf-8", errors="replace")
    return reading, TextIOWrapper(os.fdopen(wire_out, "wb"), encoding="utf-8", write_through=True)


def _server(tools: Tools) -> Any:
    """The protocol's server, by whichever generation of the package is installed."""
    from mcp import types
    from mcp.server.lowlevel import Server

    listed = [types.Tool.model_validate(_described(tool.name)) for tool in TOOLS]

    async def call(name: str, arguments: dict[str, Any] | None) -> Any:
        return types.CallToolResult.model_validate(_content(await tools.call(name, arguments)))

    if not hasattr(Server, "call_tool"):
        return _second_generation(Server, types, listed, call)
    server = Server(NAME, version=__version__, instructions=INSTRUCTIONS)
    server.list_tools()(_giving(listed))
    server.call_tool(validate_input=False)(call)
    return server


def _giving(listed: list[Any]) -> Callable[[], Awaitable[list[Any]]]:
    async def list_tools() -> list[Any]:
        return listed

    return list_tools


def _second_generation(server: Any, types: Any, listed: list[Any], call: Any) -> Any:
    async def list_tools(_: Any, __: Any) -> Any:
        return types.ListToolsResult(tools=listed)

    async def call_tool(_: Any, params: Any) -> Any:
        return await call(params.name, params.arguments)

    about = {"version": __version__, "instructions": INSTRUCTIONS}
    return server(NAME, on_list_tools=list_tools, on_call_tool=call_tool, **about)


def _described(name: str) -> dict[str, Any]:
    tool = next(tool for tool in TOOLS if tool.name == name)
    hints = {"readOnlyHint": tool.reads, "destructiveHint": False, "openWorldHint": True}
    return {"name": tool.name, "description": tool.what, "inputSchema": tool.schema(), "annotations": hints}


def _content(result: Result) -> dict[str, Any]:
    """A result as the protocol has it."""
    content: list[dict[str, Any]] = [{"type": "text", "text": result.text}]
    if result.jpeg:
        picture = base64.b64encode(result.jpeg).decode()
        content.append({"type": "image", "data": picture, "mimeType": "image/jpeg"})
    return {"content": content, "structuredContent": result.data, "isError": not result.ok}
