"""The back end ``server`` against a real HTTP server that answers as told, well and badly."""

import json
import threading
import time
from collections import Counter

import numpy as np
import pytest
from box_scene import BOXES, NAMES, camera_pose, in_map_of, keyframe, without_depth
from chat_stub import ChatStub, completion, pictures_of, truth

from embodied_nav import perception
from embodied_nav.errors import InputError
from embodied_nav.perception import MergesSkipped, PerceptionError, ResilienceConfig, ResilientPerception
from embodied_nav.perception.chat_server import ServerConfig

openai = pytest.importorskip("openai", reason="needs openai: the extra 'server'")

KEYS = [keyframe(0, camera_pose()), keyframe(1, camera_pose(yaw=0.3)), keyframe(2, camera_pose(0.6, yaw=0.3))]
EMPTY = {"action": "", "changes": "a room", "relevant": "", "objects": []}


@pytest.fixture
def stub():
    with ChatStub(EMPTY) as stub:
        yield stub


def server(stub, **settings):
    settings = {"url": stub.url, "model": "tiny-vlm", "timeout": 20.0, "image_width": 320} | settings
    return perception.create("server", ServerConfig(**settings))


def refused(backend, key=KEYS[0]):
    with pytest.raises(PerceptionError) as error:
        backend.perceive(None, key, "find the red sofa")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


def test_objects_of_the_first_view_lie_where_they_are(stub):
    stub.answer = truth(KEYS[0], NAMES)
    delta = server(stub).perceive(None, KEYS[0], "find the red sofa")
    assert (delta.source, delta.keyframe_id, delta.previous_id, delta.action) == ("server", 0, -1, "stay")
    assert Counter(o.name for o in delta.objects) == Counter(["red sofa", "blue chair", "green plant"])
    assert len(delta.new) == 3 and not delta.gone
    for o in delta.objects:
        low, high, _ = BOXES[next(i for i, (label, _) in NAMES.items() if label == o.label)]
        assert np.linalg.norm(o.position - (np.array(low) + np.array(high)) / 2) < 0.45, "seen from one side"
        k = delta.objects.index(o) + 1
        inside = KEYS[0].frame.instance_ids[delta.segments == k]
        assert (NAMES.get(int(np.bincount(inside).argmax())) or ("",))[0] == o.label
    assert not perception.resilient.find_nonsense(delta, KEYS[0])


def test_the_first_request_is_of_one_picture_and_later_ones_of_two_with_the_motion(stub):
    backend = server(stub)
    for previous, current in zip((None, *KEYS), KEYS, strict=False):
        backend.perceive(previous, current, "find the red sofa")
    first, second, third = stub.requests
    assert [len(pictures_of(r)) for r in stub.requests] == [1, 2, 2]
    assert np.abs(pictures_of(second)[0].astype(int) - KEYS[0].frame.color).mean() < 6, "the earlier view comes first"
    assert np.abs(pictures_of(third)[1].astype(int) - KEYS[2].frame.color).mean() < 6
    texts = [r["messages"][1]["content"][-1]["text"] for r in stub.requests]
    assert all('"find the red sofa"' in text for text in texts)
    assert "rotate left 17 degrees" in texts[1] and "move forward 0.57 m" in texts[2]
    assert len({r["messages"][0]["content"] for r in stub.requests}) == 1, "the fixed part, which servers keep"
    assert first["response_format"]["json_schema"]["strict"] is True and first["max_tokens"] == 1024


def test_a_view_that_was_skipped_or_failed_is_merged_into_the_next_pair(stub):
    backend = server(stub, retries=0)
    assert isinstance(backend, MergesSkipped)
    backend.perceive(None, KEYS[0], "")
    backend.skip(KEYS[1])
    delta = backend.perceive(KEYS[1], KEYS[2], "")
    text = stub.requests[-1]["messages"][1]["content"][-1]["text"]
    assert "rotate left 17 degrees, then move forward" in text and "1 views" in text
    assert np.abs(pictures_of(stub.requests[-1])[0].astype(int) - KEYS[0].frame.color).mean() < 6
    assert delta.previous_id == 0
    stub.faults = [b"{}"]
    with pytest.raises(PerceptionError):
        backend.perceive(KEYS[2], keyframe(3, camera_pose(0.6)), "")
    backend.perceive(None, keyframe(4, camera_pose(0.9)), "")
    assert len(pictures_of(stub.requests[-1])) == 1, "a new start forgets"


def test_changes_are_those_of_the_views(stub):
    backend = server(stub)
    stub.answer = truth(KEYS[0], NAMES)
    backend.perceive(None, KEYS[0], "")
    without = keyframe(1, camera_pose(), boxes={i: b for i, b in BOXES.items() if i != 1})
    stub.answer = truth(without, NAMES)
    delta = backend.perceive(KEYS[0], without, "")
    assert [o.name for o in delta.gone] == ["red sofa"] and "gone red sofa" in delta.text and not delta.new


def test_the_model_may_be_the_first_that_the_server_lists(stub):
    server(stub, model="").perceive(None, KEYS[0], "")
    assert stub.requests[-1]["model"] == "tiny-vlm"


def test_a_server_that_refuses_to_list_its_models_is_one_line(stub):
    stub.listing = 404
    assert "lists no models (status 404); give server.model" in refused(server(stub, model=""))


@pytest.mark.parametrize("refused_forms", [{"json_schema"}, {"json_schema", "json_object"}])
def test_a_server_without_schemas_is_asked_in_a_weaker_form(stub, refused_forms):
    stub.refused_forms = refused_forms
    backend = server(stub)
    backend.perceive(None, KEYS[0], "")
    backend.perceive(KEYS[0], KEYS[1], "")
    assert len(stub.requests) == 2 + len(refused_forms), "what it takes is remembered"


def test_what_is_refused_in_every_form_costs_no_form(stub):
    backend = server(stub)
    stub.faults, stub.error = [400] * 3, "the prompt is too long"
    assert "status 400: 'the prompt is too long'; check" in refused(backend)
    backend.perceive(None, KEYS[0], "")
    assert [r.get("response_format", {}).get("type") for r in stub.requests] == [
        "json_schema",
        "json_object",
        None,
        "json_schema",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "image input\nis not supported"}}, "status 503: 'image input is not supported'"),
        ({"object": "error", "message": "busy"}, "status 503: 'busy'"),
        ({"error": "x" * 300}, "status 503: '" + "x" * 160 + "'"),
        ({"error": {"message": 7}}, "status 503"),
        ([], "status 503"),
        ({"error": "x" * 5000}, "status 503"),
    ],
)
def test_a_failure_is_told_with_the_servers_words(stub, body, said):
    stub.faults, stub.failure = [503], body
    assert refused(server(stub, retries=0)).endswith(f"answered with {said}")


def test_the_words_of_a_failure_are_not_waited_for(stub):
    stub.faults, start = ["hung_error"], time.monotonic()
    assert refused(server(stub, retries=0)).endswith("status 500")
    assert time.monotonic() - start < 8.0, "20 s would hang"


def noting(backend):
    """Waits are noted instead of waited for."""
    waits = []
    backend._server._sleep = waits.append
    return waits


@pytest.mark.parametrize("fault", [500, 429, 503, "cut", "reset", "huge_error"])
def test_what_may_pass_is_tried_again(stub, fault):
    stub.faults = [fault, fault]
    backend = server(stub)
    waits = noting(backend)
    assert backend.perceive(None, KEYS[0], "").text
    assert len(waits) == 2 and all(
        abs(wait / wanted - 1) <= 0.25 for wait, wanted in zip(waits, (0.5, 1.0), strict=True)
    )
    assert backend.usage.calls == 3


def test_waits_differ_from_robot_to_robot(stub):
    backends = [server(stub) for _ in range(4)]
    waits = [noting(backend) for backend in backends]
    for backend in backends:
        stub.faults = [500]
        backend.perceive(None, KEYS[0], "")
    assert len({wait for (wait,) in waits}) == 4


def test_it_comes_back_when_the_server_says(stub):
    stub.faults, stub.headers = [429], {"retry-after": "7"}
    backend = server(stub)
    waits = noting(backend)
    backend.perceive(None, KEYS[0], "")
    for backend in [server(stub) for _ in range(8)]:
        stub.faults = [429]
        backend._server._sleep = waits.append
        backend.perceive(None, KEYS[0], "")
    assert len(waits) == 9 and all(7.0 <= wait <= 7.0 * 1.25 for wait in waits), "never before the server wants it"
    stub.faults, stub.headers = [429], {"retry-after": "60"}
    assert "status 429" in refused(backend)
    assert len(waits) == 9, "a minute is later than an answer is of use"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (b"<html>hello</html>", "no JSON"),
        (b"[" * 100000, "no JSON"),
        (b"[]", "no chat completion"),
        (b'{"choices": []}', "no chat completion"),
        (b'{"choices": [{"message": null}]}', "no chat completion"),
        (completion(None), "without a text"),
        (completion("", "content_filter"), "content_filter"),
        (completion('{"act', "length"), "raise server.max_tokens"),
        (completion("The sofa is red."), "not as asked for: no JSON"),
        (completion(json.dumps({"objects": 7})), "not as asked for: the answer lacks"),
        ("redirect", "sends us on to http://127.0.0.1:9/elsewhere (status 307); set server.url"),
        ("huge", "more than 1000000 bytes"),
        (401, "refuses the key"),
        (404, "check server.url and server.model"),
    ],
)
def test_a_bad_answer_is_one_line_and_not_asked_for_again(stub, fault, said):
    stub.faults = [fault] * 3
    backend = server(stub, form="json_schema")
    waits = noting(backend)
    assert said in refused(backend)
    assert len(stub.requests) == 1 and not waits


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_slow_answer_ends_with_the_time_it_has(stub, fault):
    stub.faults = [fault]
    start = time.monotonic()
    assert "no answer within 1 s" in refused(server(stub, timeout=1.0, retries=0))
    assert 0.9 < time.monotonic() - start < 10.0, "20 s would hang"


def test_an_unreachable_server_is_one_line():
    backend = perception.create("server", ServerConfig(url="http://127.0.0.1:9/v1", model="m", retries=0))
    assert "server http://127.0.0.1:9/v1: no connection" in refused(backend)


def test_calls_tokens_and_cost_are_counted_and_bounded(stub):
    backend = server(stub, price_in=2.0, price_out=10.0, most_tokens=300)
    backend.perceive(None, KEYS[0], "")
    backend.perceive(KEYS[0], KEYS[1], "")
    assert (backend.usage.calls, backend.usage.tokens, backend.usage.cost) == (2, 300, pytest.approx(0.0014))
    assert "server.most_tokens" in refused(backend)
    backend = server(stub, calls_per_minute=1)
    backend.perceive(None, KEYS[0], "")
    assert "server.calls_per_minute" in refused(backend)


def test_the_key_comes_from_the_environment_and_stands_in_no_message(stub, monkeypatch, caplog):
    secret = "sk-" + "4711" * 8
    caplog.set_level("DEBUG")
    monkeypatch.setenv("MY_KEY", f" {secret}\n")
    backend = server(stub, key_variable="MY_KEY", form="json_schema")
    backend.perceive(None, KEYS[0], "")
    assert stub.requests[-1]["authorization"] == f"Bearer {secret}"
    half = secret[: len(secret) // 2]
    assert "Sending HTTP Request" in caplog.text and half not in caplog.text, "nor in the client's own log"
    assert backend._server._client.api_key == secret, "what follows is about the key in use"
    for before in ("no such key: ", "x" * 40, "x" * (200 + len(secret))):  # whole, cut where the quotation ends, beyond
        stub.faults = [(before + secret).encode()]
        assert half not in (said := refused(backend)) and before[:12] in said
    stub.faults, stub.location = ["redirect"], "http://127.0.0.1:9/" + "x" * 60 + secret
    assert half not in (said := refused(backend)) and "sends us on to http://127.0.0.1:9/xxx" in said
    stub.faults, stub.error = [401, 404], f"no such key: {secret}"
    assert "refuses the key" in (said := refused(backend)) and half not in said
    assert "status 404" in (said := refused(backend)) and half not in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key_variable": "NOT_SET"}, "the environment variable NOT_SET holds no key"),
        ({"key_variable": "sk-47114711"}, "no name of an environment variable"),
        ({"url": "127.0.0.1:8000"}, "server.url is no address"),
        ({"url": "http://me:47114711@cloud/v1"}, "server.url is no address"),
        ({"url": "file:///etc/passwd"}, "server.url is no address"),
        ({"prompts": "/no/such/folder"}, "cannot be read"),
    ],
)
def test_bad_settings_are_one_line_without_secrets(monkeypatch, settings, said):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(InputError) as error:
        perception.create("server", ServerConfig(**settings))
    assert said in str(error.value) and "47114711" not in str(error.value)


def test_without_the_package_it_says_how_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(InputError, match="needs openai; install it with: "):
        perception.create("server", ServerConfig())


def test_with_failures_and_nonsense_the_agent_has_geometry_meanwhile():
    keys = [keyframe(i, camera_pose(yaw=0.05 * i)) for i in range(24)]
    with ChatStub(truth(keys[0], NAMES), failing=0.2, nonsense=0.2, seed=3) as stub:
        wrapped = ResilientPerception(server(stub, retries=0), 30.0, config=ResilienceConfig(retry_first=0.0))
        for previous, current in zip((None, *keys), keys, strict=False):
            delta = wrapped.perceive(previous, current, "find the red sofa")
            assert delta.source == ("geometric" if delta.stale else "server")
            assert any(o.name == "red sofa" for o in delta.objects) or delta.stale
    assert 10 <= wrapped.counts["good"] <= 20 and wrapped.counts["error"] == 24 - wrapped.counts["good"]


def test_it_can_be_told_of_skipped_views_while_it_asks(stub):
    backend = server(stub)
    backend.perceive(None, KEYS[0], "")
    stub.delay = 0.3
    asking = threading.Thread(target=backend.perceive, args=(KEYS[0], KEYS[1], ""))
    asking.start()
    time.sleep(0.1)
    backend.skip(KEYS[2])
    asking.join()
    backend.perceive(KEYS[2], keyframe(3, camera_pose(0.6)), "")
    text = stub.requests[-1]["messages"][1]["content"][-1]["text"]
    assert "move forward 0.57 m and move right 0.18 m, then rotate right 17 degrees" in text


def motion_told(request):
    return request["messages"][1]["content"][-1]["text"].partition("new one: ")[2].partition(".\n")[0]


def test_a_map_need_not_lie_level(stub):
    backend, keys = server(stub), [in_map_of(KEYS[0], key) for key in KEYS]
    deltas = [backend.perceive(before, key, "") for before, key in zip((None, *keys), keys, strict=False)]
    assert [d.action for d in deltas] == ["stay", "rotate left", "move forward"]
    assert motion_told(stub.requests[1]) == "rotate left 17 degrees"
    assert motion_told(stub.requests[2]).startswith("move forward 0.57 m and move right 0.18 m")


def test_a_start_without_depth_still_begins_a_new_history(stub):
    backend = server(stub)
    stub.answer = truth(KEYS[0], NAMES)
    backend.perceive(None, KEYS[0], "")
    emptied = keyframe(1, camera_pose(), boxes={i: b for i, b in BOXES.items() if i != 1})
    assert "needs colour, and depth" in refused(backend, without_depth(emptied))
    stub.answer = truth(emptied, NAMES)
    delta = backend.perceive(emptied, emptied, "")
    assert delta.gone == () and delta.previous_id == -1 and len(pictures_of(stub.requests[-1])) == 1
    turned = keyframe(2, camera_pose(yaw=0.3))
    with pytest.raises(PerceptionError):
        backend.perceive(emptied, without_depth(turned), "")
    backend.perceive(turned, keyframe(3, camera_pose(0.6, yaw=0.3)), "")
    assert "rotate left 17 degrees, then move forward" in motion_told(stub.requests[-1]), "it counts as skipped"


def test_what_was_skipped_before_the_first_picture_is_on_no_way(stub):
    backend = server(stub)
    stub.faults = [b"{}"]
    refused(backend, keyframe(0, camera_pose(yaw=1.0)))
    backend.perceive(KEYS[0], KEYS[0], "")
    backend.perceive(KEYS[0], KEYS[1], "")
    assert len(pictures_of(stub.requests[1])) == 1 and motion_told(stub.requests[2]) == "rotate left 17 degrees"


def test_depth_beyond_the_limits_is_no_thing(stub):
    stub.answer = truth(KEYS[0], NAMES)
    delta = server(stub, max_depth=3.3).perceive(None, KEYS[0], "")
    assert [o.name for o in delta.objects] == ["red sofa", "blue chair"]
    assert KEYS[0].frame.depth[delta.segments > 0].max() < 3.3 + 0.15
