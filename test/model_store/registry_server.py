"""Stands for npm's registry, a package index and the hub: an http server over files that a test may change."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RegistryServer:
    """Serves ``pages`` (path -> bytes); ``cut`` sends half of a page and closes, ``slow`` waits between pieces (s)."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut = False
        self.slow = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                page = outer.pages.get(self.path.partition("?")[0])
                if page is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(page)))
                kind = "text/html" if page[:1] == b"<" else "application/json" if page[:1] in b"{[" else "x/y"
                self.send_header("Content-Type", kind)
                for name, value in outer.headers(self.path).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                body = page[: len(page) // 2] if outer.cut and page[:1] not in b"{[<" else page
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                    for start in range(0, len(body), 1 << 14):
                        self.wfile.write(body[start : start + (1 << 14)])
                        time.sleep(outer.slow)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.commit = "1" * 40
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def headers(self, path: str) -> dict[str, str]:
        if "/resolve/" not in path:
            return {}
        return {"ETag": f'"{hash(self.pages[path.partition("?")[0]]):x}"', "X-Repo-Commit": self.commit}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_npm(self, name: str, version: str, files: dict[str, bytes]) -> bytes:
        """A package of npm; returns its .tgz."""
        packed = tgz({f"package/{path}": data for path, data in files.items()} | {"package/package.json": json.dumps(
            {"name": name, "version": version}).encode()})  # fmt: skip
        about = {"name": name, "version": version, "dist": {"tarball": f"{self.url}/files/{name}-{version}.tgz"}}
        self.pages[f"/files/{name}-{version}.tgz"] = packed
        self.pages[f"/{name}/{version}"] = json.dumps(about).encode()
        whole = {"name": name, "dist-tags": {"latest": version}, "versions": {version: about}}
        self.pages[f"/{name}"] = json.dumps(whole).encode()
        return packed

    def add_wheel(self, name: str, version: str, files: dict[str, bytes]) -> bytes:
        """A package of the index below /simple; returns its wheel."""
        under = name.replace("-", "_")
        file = f"{under}-{version}-py3-none-any.whl"
        info = f"{under}-{version}.dist-info"
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as wheel:
            for path, data in files.items():
                wheel.writestr(path, data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        self.pages[f"/simple/{name}/"] = f'<a href="{self.url}/files/{file}">{file}</a>'.encode()
        self.pages[f"/files/{file}"] = held.getvalue()
        return held.getvalue()

    def add_repository(self, name: str, files: dict[str, bytes]) -> None:
        """A repository of the hub at ``commit``, where its branch main is."""
        about = {"id": name, "sha": self.commit, "siblings": [{"rfilename": path} for path in files]}
        for revision in ("main", self.commit):
            self.pages[f"/api/models/{name}/revision/{revision}"] = json.dumps(about).encode()
        for path, data in files.items():
            self.pages[f"/{name}/resolve/{self.commit}/{path}"] = data


def tgz(files: dict[str, bytes]) -> bytes:
    """A .tgz of files by path."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as packed:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return held.getvalue()
