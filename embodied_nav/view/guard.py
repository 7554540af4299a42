"""Starts viser so that only the page that it serves may talk to it. Knows nothing of what is shown.

viser takes every websocket that knocks. A browser lets any web page open one to this machine, so a page from elsewhere
could send the robot goals: connections whose Origin is not this server are refused, and so are requests for another
host's name (DNS rebinding). viser can also ask a service on the internet for a public address: it never may.
"""

from __future__ import annotations

import contextlib
import http
import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import InputError

if TYPE_CHECKING:
    import viser

#: Ports that are tried after the wanted one.
_TRIES = 50
#: Names of this machine that nobody else can claim.
_LOCAL = ("localhost", "127.0.0.1", "::1")


def serve(host: str, port: int, label: str, next_port: bool = True) -> viser.ViserServer:
    """A running server; its port may be a later one.

    Args:
        host: address to listen on. port: 0 for any. next_port: whether a later port will do where it is taken.

    Raises:
        InputError: the address is not of this machine, or no port is free.
        ModuleNotFoundError: viser is not installed.
    """
    import rich
    import viser

    port = free_port(host, port, next_port)
    rich.get_console().quiet = True  # viser's panel of addresses, and a line for each visitor
    with _only(allowed(host)) as guarded:
        server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
    if not guarded:
        server.stop()
        raise InputError("this viser starts its server in another way, unguarded; install viser>=1.1,<2")
    server.request_share_url = _never  # type: ignore[method-assign]
    server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()
    return server


def free_port(host: str, port: int, next_port: bool = True) -> int:
    """The port itself, or the first free one after it.

    Raises:
        InputError: the address is not of this machine, or no port is free.
    """
    last = port + _TRIES if port and next_port else port
    for number in range(port, min(last, 65535) + 1):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return int(probe.getsockname()[1])
        except socket.gaierror:
            raise InputError(f"{host}: there is no such address; give 127.0.0.1, or 0.0.0.0 for the network") from None
        except PermissionError:
            raise InputError(f"port {number} is for root only; give one from 1024 on") from None
        except OSError as error:
            if "address" in str(error).lower() and "assign" in str(error).lower():
                raise InputError(f"{host} is no address of this machine; give 127.0.0.1, or 0.0.0.0") from None
    raise InputError(f"port {port} is taken; give another one, or 0 for any that is free")


def allowed(host: str) -> Callable[[str | None, str | None], bool]:
    """Whether a request with these headers (Host, Origin) may be served by a server that listens on ``host``."""
    anywhere = not _is_loopback(host)

    def allows(asked: str | None, origin: str | None) -> bool:
        name = urlsplit(f"//{asked or ''}").hostname or ""
        if not anywhere and name not in (*_LOCAL, host):
            return False
        if origin is None or origin == "null":
            return origin is None  # no browser; a file or a sandbox is not our page
        return urlsplit(origin).netloc == asked

    return allows


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _only(allows: Callable[[str | None, str | None], bool]) -> Iterator[list[bool]]:
    """Has the next websocket server of this process refuse what is not allowed; the list is filled when it did start.

    viser hands its server no check of its own, so the function that it starts it by is exchanged meanwhile.
    """
    import websockets.asyncio.server as library

    original, guarded = library.serve, []

    def serve_guarded(*arguments: Any, process_request: Any = None, **options: Any) -> Any:
        def check(connection: Any, request: Any) -> Any:
            if not allows(request.headers.get("Host"), request.headers.get("Origin")):
                return connection.respond(http.HTTPStatus.FORBIDDEN, "this page is for its own visitors\n")
            return None if process_request is None else process_request(connection, request)

        guarded.append(True)
        return original(*arguments, process_request=check, **options)

    vars(library)["serve"] = serve_guarded
    try:
        yield guarded
    finally:
        vars(library)["serve"] = original


def _never(*_: object, **__: object) -> None:
    """In place of asking a service on the internet for a public address."""
