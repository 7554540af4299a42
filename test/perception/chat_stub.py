"""A real HTTP server that answers as OpenAI's chat completions do: well, slowly, with errors, cut, far too much."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def completion(text, finish="stop", into=100, out=50) -> bytes:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def truth(keyframe, names, least=60) -> dict:
    """The answer of a model that sees as the simulator does: boxes, in thousandths, of the named instances in view."""
    ids = keyframe.frame.instance_ids
    height, width = ids.shape
    things = []
    for instance, (label, color) in names.items():
        v, u = np.nonzero(ids == instance)
        if len(v) >= least:
            box = [u.min() / width, v.min() / height, (u.max() + 1) / width, (v.max() + 1) / height]
            things.append({"label": f"{color} {label}".strip(), "box": [round(1000 * x) for x in box]})
    return {"action": "moved a little", "changes": "a room", "relevant": "", "objects": things}


class ChatStub:
    """Serves on a free port of this machine while entered.

    Attributes:
        answer: the object to answer with; a function of the request's JSON, or a value.
        faults: what the next requests get instead, in order: a status, or ``"cut"``, ``"drip"``, ``"huge"``,
            ``"redirect"``, ``"hang"``, ``"hung_error"``, ``"reset"``, or bytes as the body. Empty: good answers.
        requests: JSON of the chat requests that came, with ``authorization`` as sent.
        refused_forms: types of response_format that get status 400.
        listing: status of the list of models. location: where ``"redirect"`` sends. error: text of a bad status.
        failure: JSON of a bad status; None: the text in OpenAI's form.
    """

    def __init__(self, answer=None, delay=0.0, failing=0.0, nonsense=0.0, seed=0) -> None:
        self.answer, self.delay, self.failing, self.nonsense = answer, delay, failing, nonsense
        self.faults, self.requests, self.refused_forms = [], [], set()
        self.headers = {}
        self.listing, self.location, self.error = 200, "http://127.0.0.1:9/elsewhere", "no"
        self.failure = None
        self._random = random.Random(seed)
        self._closing = threading.Event()

    def __enter__(self) -> ChatStub:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                models = {"object": "list", "data": [{"id": "tiny-vlm", "object": "model"}]}
                self._reply(stub.listing, json.dumps(models).encode())

            def do_POST(self):
                content = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.requests.append(content | {"authorization": self.headers.get("authorization")})
                with contextlib.suppress(ConnectionError):
                    stub._serve(self, content)

            def _reply(self, status, body, **headers):
                self.send_response(status)
                headers = {name.replace("_", "-"): value for name, value in headers.items()}
                for name, value in ({"content-length": len(body)} | stub.headers | headers).items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that hang up are expected
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        return self

    def __exit__(self, *_) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler, content) -> None:
        time.sleep(self.delay)
        fault = self.faults.pop(0) if self.faults else None
        if fault is None and content.get("response_format", {}).get("type") in self.refused_forms:
            fault = 400
        if fault is None and self._random.random() < self.failing:
            fault = 500
        if fault is None:
            answer = self.answer(content) if callable(self.answer) else self.answer
            if self._random.random() < self.nonsense:
                answer = self._random.choice(
                    ["The sofa is red.", {"objects": 7}, {**answer, "objects": [{"label": "x"}]}]
                )
            fault = completion(answer if isinstance(answer, str) else json.dumps(answer))
        if isinstance(fault, int):
            failure = {"error": {"message": self.error}} if self.failure is None else self.failure
            handler._reply(fault, json.dumps(failure).encode())
        elif isinstance(fault, bytes):
            handler._reply(200, fault)
        else:
            getattr(self, f"_{fault}")(handler)

    def _redirect(self, handler) -> None:
        handler._reply(307, b"", location=self.location)

    def _hang(self, handler) -> None:
        self._closing.wait(20)
        handler.close_connection = True

    def _hung_error(self, handler) -> None:
        handler._reply(500, b"", content_length=1000)
        self._hang(handler)

    def _reset(self, handler) -> None:
        handler.close_connection = True
        handler.connection.close()

    def _cut(self, handler) -> None:
        body = completion('{"action": "", ')
        handler._reply(200, body[: len(body) // 2], content_length=len(body))
        handler.close_connection = True
        handler.wfile.flush()
        handler.connection.shutdown(2)

    def _drip(self, handler) -> None:
        handler._reply(200, b"", content_length=1000)
        while not self._closing.wait(0.05):
            handler.wfile.write(b" ")

    def _huge(self, handler) -> None:
        handler._reply(200, b"", content_length=100_000_000)
        for _ in range(100):
            handler.wfile.write(b" " * 1_000_000)

    def _huge_error(self, handler) -> None:
        handler._reply(500, b"", content_length=100_000_000)
        for _ in range(100):
            handler.wfile.write(b" " * 1_000_000)


def pictures_of(request) -> list[np.ndarray]:
    """HxWx3 uint8 RGB of a chat request's JSON."""
    import cv2

    found = []
    for part in request["messages"][1]["content"]:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
            found.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    return found
