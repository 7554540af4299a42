"""One question to an OpenAI-compatible chat server, with all that can go wrong on the way. Knows nothing of keyframes.

A deadline for the whole call, retries with backoff and jitter, bounds on calls a minute, on tokens and on the size of
an answer; usage and cost are counted. The key comes from an environment variable alone and stands in no message.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..config import param
from ..errors import InputError
from ..resources import how_to_install
from .backend import PerceptionError, Usage
from .describing import DescribingConfig, Request

if TYPE_CHECKING:
    from openai import OpenAI

#: Forms of "answer in JSON", the strictest first; a server that refuses one gets the next.
_FORMS = ("json_schema", "json_object", "none")
#: Statuses after which the same request may succeed.
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
#: Statuses by which a server refuses a form of "answer in JSON".
_REFUSED_FORM = (400, 404, 415, 422, 501)
#: Bytes of an answer that are read, and wait after the first failure (s), which doubles.
_MOST_BYTES, _FIRST_WAIT = 1_000_000, 0.5
#: Bytes of a body among which the key is looked for before its beginning is quoted: more than any key has.
_MOST_QUOTED = 4096
#: Wait for the body of a failure (s), and characters of its message that are quoted.
_FAILURE_WAIT, _QUOTED_MESSAGE = 1.0, 160


@dataclass(frozen=True)
class ServerConfig(DescribingConfig):
    """Settings of ``server``."""

    url: str = param(
        "http://127.0.0.1:8000/v1", "address of the server up to /v1 (vLLM, SGLang, llama.cpp, Ollama, cloud)"
    )
    model: str = param("", "model's name at the server; empty: the first that it lists")
    key_variable: str = param("", "name of the environment variable that holds the key; empty: the server wants none")
    form: str = param("auto", "how JSON is asked for; auto: the strictest that it takes", choices=("auto", *_FORMS))
    timeout: float = param(8.0, "longest time for an answer, retries included", unit="s", low=0.1, high=600.0)
    retries: int = param(2, "retries of a call that may succeed yet", low=0, high=10)
    calls_per_minute: int = param(60, "calls a minute at most, retries included", low=1, high=100000)
    most_tokens: int = param(0, "tokens in all, after which it is asked no more; 0: no bound", low=0, high=2**53)
    price_in: float = param(0.0, "price of a million tokens of the prompt, for the cost", low=0.0, high=1e6)
    price_out: float = param(0.0, "price of a million tokens of an answer", low=0.0, high=1e6)
    jpeg_quality: int = param(85, "quality of the pictures that are sent", low=10, high=100)


class ChatServer:
    """Asks one server; thread-safe for one call at a time.

    Attributes:
        usage: calls, tokens and cost since the start.
    """

    def __init__(
        self,
        config: ServerConfig,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Raises:
            InputError: an address or key that cannot be used, or the openai package is missing.
        """
        self.config = config
        self.usage = Usage()
        self._clock, self._sleep = clock, sleep
        self._key = _key(config.key_variable)
        self._client = _client(config, self._key)
        self._model = config.model
        self._form = _FORMS[0] if config.form == "auto" else config.form
        self._calls: deque[float] = deque()
        self._random = random.Random()
        self._lock = threading.Lock()

    def ask(self, request: Request) -> str:
        """The text of the server's answer.

        Raises:
            PerceptionError: none came in time, in one line that names what is wrong and never holds the key.
        """
        with self._lock:
            end = self._clock() + self.config.timeout
            for attempt in range(self.config.retries + 1):
                try:
                    return self._ask_once(request, end)
                except _Passing as error:
                    wait = _FIRST_WAIT * 2.0**attempt * self._random.uniform(0.75, 1.25)
                    wait = max(wait, error.wait * self._random.uniform(1.0, 1.25))  # never before the server wants it
                    if attempt == self.config.retries or self._clock() + wait >= end:
                        raise PerceptionError(self._told(error)) from None
                    self._sleep(wait)
        raise AssertionError("the loop returns or raises")

    def _ask_once(self, request: Request, end: float) -> str:
        """One call, or a few where the server must be asked for its model or refuses a form of "answer in JSON"."""
        form = self._form
        while True:
            if not self._model:
                self._model = self._first_model(end)
            try:
                reply = self._call(end, partial(self._chat, request, form))
            except _Refused as error:
                weaker = _FORMS.index(form) + 1
                if self.config.form != "auto" or error.status not in _REFUSED_FORM or weaker == len(_FORMS):
                    raise PerceptionError(self._told(error)) from None
                form = _FORMS[weaker]
                continue
            self._form = form  # not before: what is refused in every form is refused for another reason
            return self._content(reply)

    def _call(self, end: float, send: Callable[[float], Any]) -> Any:
        """The JSON of a reply: waits for its turn, sends, reads no more and no longer than allowed.

        Raises:
            _Passing, _Refused, PerceptionError.
        """
        import openai

        left = self._turn(end)
        self.usage.calls += 1
        try:
            with send(left) as response:
                body = self._body(response, end)
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except openai.APITimeoutError:
            raise _Passing(f"no answer within {self.config.timeout:g} s") from None
        except PerceptionError:
            raise
        except Exception as error:  # the transport's errors while a body is read have no base that openai names
            cause = error.__cause__ or error
            raise _Passing(f"no connection, or one that broke ({type(cause).__name__}: {cause})") from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise PerceptionError(self._told(f"answered with no JSON: {self._quoted(body)}")) from None

    def _turn(self, end: float) -> float:
        """Waits until a call is allowed; the seconds left until ``end``."""
        if self.config.most_tokens and self.usage.tokens >= self.config.most_tokens:
            raise PerceptionError(f"{self.usage.tokens} tokens are used; server.most_tokens allows no more")
        now = self._clock()
        while self._calls and self._calls[0] <= now - 60.0:
            self._calls.popleft()
        if len(self._calls) >= self.config.calls_per_minute:
            wait = self._calls[0] + 60.0 - now
            if now + wait >= end:
                raise PerceptionError(
                    f"{len(self._calls)} calls in the last minute; server.calls_per_minute allows no more"
                )
            self._sleep(wait)
            self._calls.popleft()
        self._calls.append(self._clock())
        left = end - self._clock()
        if left <= 0:
            raise _Passing(f"no answer within {self.config.timeout:g} s")
        return left

    def _chat(self, request: Request, form: str, left: float) -> Any:
        pictures = [{"type": "image_url", "image_url": {"url": self._jpeg(image)}} for image in request.images]
        more: dict[str, Any] = {}
        if form == "json_schema":
            wanted = {"name": "semantic_delta", "schema": request.schema, "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif form == "json_object":
            more["response_format"] = {"type": "json_object"}
        return self._client.chat.completions.with_streaming_response.create(
            model=self._model,
            messages=[
                {"role": "system", "content": request.system},
                {"role": "user", "content": [*pictures, {"type": "text", "text": request.text}]},
            ],
            max_tokens=self.config.max_tokens,
            temperature=0.0,
            timeout=left,
            **more,
        )

    def _jpeg(self, image: Any) -> str:
        """A picture (HxWx3 uint8 RGB) as a data URL."""
        import cv2

        quality = [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality]
        encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
        return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()

    def _first_model(self, end: float) -> str:
        try:
            reply = self._call(end, lambda left: self._client.models.with_streaming_response.list(timeout=left))
        except _Refused as error:
            what = f"lists no models (status {error.status}{error.message}); give server.model"
            raise PerceptionError(self._told(what)) from None
        try:
            return str(reply["data"][0]["id"])
        except (LookupError, TypeError):
            raise PerceptionError(self._told("lists no models; give server.model")) from None

    def _body(self, response: Any, end: float) -> bytes:
        """The whole body, unless it is too large or drips in too slowly."""
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                raise PerceptionError(self._told(f"answered with more than {_MOST_BYTES} bytes"))
            if self._clock() > end:
                raise PerceptionError(self._told(f"no answer within {self.config.timeout:g} s"))
        return bytes(body)

    def _content(self, reply: Any) -> str:
        """The text of a reply; counts its tokens."""
        used = reply.get("usage") if isinstance(reply, dict) else None
        tokens = [used.get(k) if isinstance(used, dict) else 0 for k in ("prompt_tokens", "completion_tokens")]
        into, out = (t if isinstance(t, int) and t >= 0 else 0 for t in tokens)
        self.usage.prompt_tokens += into
        self.usage.answer_tokens += out
        self.usage.cost += (into * self.config.price_in + out * self.config.price_out) * 1e-6
        try:
            choice = reply["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (LookupError, TypeError, AttributeError):
            raise PerceptionError(self._told("answered with JSON that is no chat completion")) from None
        if reason == "length":
            raise PerceptionError(self._told(f"cut its answer after {out} tokens; raise server.max_tokens"))
        if not isinstance(text, str) or not text.strip():
            raise PerceptionError(self._told(f"answered without a text (finish_reason {str(reason)[:20]})"))
        return text

    def _status(self, error: Any) -> Exception:
        """What a status other than success means."""
        status = int(error.status_code)
        if 300 <= status < 400:
            where = self._without_key(str(error.response.headers.get("location", "elsewhere")))[:100]
            return PerceptionError(self._told(f"sends us on to {where} (status {status}); set server.url to that"))
        if status in (401, 403):
            return PerceptionError(self._told(f"refuses the key (status {status}); see server.key_variable"))
        message = self._message(error.response.extensions.get("beginning", b""))
        if status in _PASSING:
            return _Passing(f"answered with status {status}{message}", _retry_after(error.response.headers))
        return _Refused(status, message)

    def _message(self, body: bytes) -> str:
        """What the body of a failure says, in the forms that servers have, as ``: '...'``; "" for nothing."""
        try:
            said = json.loads(body)
            said = said.get("error", said)
            said = said.get("message", "") if isinstance(said, dict) else said
        except (ValueError, RecursionError, AttributeError):
            return ""
        plain = " ".join(self._without_key(said).split()) if isinstance(said, str) else ""
        return f": {plain[:_QUOTED_MESSAGE]!r}" if plain else ""

    def _told(self, reason: object) -> str:
        """One line for a user, without the key."""
        return self._without_key(" ".join(f"server {self.config.url}: {reason}".split()))[:400]

    def _quoted(self, body: bytes) -> str:
        """The beginning of a body in quotes."""
        return repr(self._without_key(body[:_MOST_QUOTED].decode("utf-8", "replace"))[:60])

    def _without_key(self, text: str) -> str:
        """A text with the key taken out; before it is cut, or a part of the key would stay."""
        return text.replace(self._key, "***") if self._key else text


class _Passing(Exception):
    """A failure that may pass; ``wait``: s after which the server wants to be asked again."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class _Refused(Exception):
    """The server refuses the request."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(f"refuses the request with status {status}{message}; check server.url and server.model")
        self.status, self.message = status, message


def _retry_after(headers: Any) -> float:
    """Seconds of a Retry-After header; 0 without one, or where it is a date."""
    try:
        return min(max(float(headers.get("retry-after", 0.0)), 0.0), 600.0)
    except ValueError:
        return 0.0


def _keep_beginning(response: Any) -> None:
    """Closes a failure; its body may be of any size and never end: only the beginning is kept, as an extension."""
    if response.status_code < 300:
        return
    end = time.monotonic() + _FAILURE_WAIT
    beginning = bytearray()
    # Whatever else breaks, the status is known.
    with suppress(Exception):
        response.request.extensions["timeout"]["read"] = _FAILURE_WAIT
        for part in response.stream:
            beginning += part
            if len(beginning) >= _MOST_QUOTED or time.monotonic() > end:
                break
    response.close()
    response.extensions["beginning"] = bytes(beginning[:_MOST_QUOTED])


def _key(variable: str) -> str:
    """The key in an environment variable; "" for none.

    Raises:
        InputError: no such variable, or what it holds is no key. The message never holds a key, even where one was
            given in place of the variable's name.
    """
    if not variable:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,60}", variable):
        raise InputError(
            "server.key_variable is no name of an environment variable; put the key into one, name that here"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"the environment variable {variable} holds no key; set it, or empty server.key_variable")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"the environment variable {variable} holds no key: only ASCII characters may stand in it")
    return key


def _client(config: ServerConfig, key: str) -> OpenAI:
    """A client that follows no redirects and does not retry by itself."""
    try:
        address = urlsplit(config.url)
        good = (
            address.scheme in ("http", "https")
            and bool(address.hostname)
            and not (address.username or address.password)
        )
        _ = address.port
    except ValueError:
        good = False
    if not good:
        raise InputError("server.url is no address such as http://127.0.0.1:8000/v1 (no name or password in it)")
    try:
        import openai
    except ImportError:
        raise InputError(f"perception 'server' needs openai; {how_to_install('server')}") from None
    hooks = {"response": [_keep_beginning]}
    plain = {"accept-encoding": "identity"}  # so that the beginning of a body can be read, and no body grows
    transport = openai.DefaultHttpxClient(follow_redirects=False, event_hooks=hooks, headers=plain)
    return openai.OpenAI(base_url=config.url, api_key=key or "none", max_retries=0, http_client=transport)
