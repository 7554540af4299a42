"""A headless Chromium for tests, told what to do over its debugging port. Skips where none is installed."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: No network but this machine's; WebGL without a GPU.
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Browser:
    """One tab.

    Attributes:
        requests: addresses of everything that the page asked for. refused: what the content security policy forbade.
    """

    def __init__(self, folder: Path, width: int = 1200, height: int = 800) -> None:
        websockets = pytest.importorskip("websockets.sync.client", reason="comes with viser, which is not installed")
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = [f"--remote-debugging-port={port}", f"--user-data-dir={folder}", f"--window-size={width},{height}"]
        self._process = subprocess.Popen(
            [program, *FLAGS, *arguments, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.requests: list[str] = []
        self.logs: list[str] = []
        self._number = 0
        try:
            self._socket = websockets.connect(self._tab(port), max_size=None)
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.call("Emulation.setDeviceMetricsOverride", **size)
            self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # viser knocks again only where it has it
        except BaseException:
            self.close()
            raise

    def _tab(self, port: int) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                    return next(t["webSocketDebuggerUrl"] for t in json.load(answer) if t["type"] == "page")
            except (OSError, StopIteration):
                time.sleep(0.1)
        raise AssertionError("the browser did not start")

    def call(self, method: str, **parameters):
        """One command of the debugging protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.logs.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, address: str) -> None:
        """Goes to a page."""
        self.call("Page.navigate", url=address)

    def value(self, expression: str):
        """What a JavaScript expression is."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0):
        """Waits until an expression is true; returns whether it became so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # Before the page is there, what is asked about is not, either.
            if self.value(f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"):
                return True
            time.sleep(0.1)
        return False

    def text(self) -> str:
        """All text of the page."""
        return self.value("document.body.innerText") or ""

    def click(self, x: float, y: float) -> None:
        """Clicks somewhere (pixels)."""
        for kind, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)
            time.sleep(0.2)

    def click_text(self, text: str) -> None:
        """Clicks the button or tab with this text."""
        found = "[...document.querySelectorAll('button, [role=tab]')].filter(e => e.textContent.trim() === %s)[0]"
        box = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found % json.dumps(text)}.getBoundingClientRect())"
        self.click(*self.value(box))

    def write(self, text: str) -> None:
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """A screenshot, PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Ends the browser."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
