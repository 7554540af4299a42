"""Options that name a back end and its model are checked before anything is started."""

import argparse
import json
import sys

import pytest

from embodied_nav.cli import names
from embodied_nav.errors import InputError


def test_detector_is_the_short_form_of_a_setting(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_text("")
    given = ["memory.carve=false"]
    for perception in ("detector", None):
        assert names.with_detector(given, str(file), perception) == [*given, f"detector.file={file}"]
    assert names.with_detector(["a=1"], None, "geometric") == ["a=1"]
    folder = names.with_detector([], str(tmp_path), "detector")
    assert folder == [f"detector.file={tmp_path}"], "of transformers' form"
    assert names.with_detector([], "PekingU/rtdetr", "auto") == ["detector.file=PekingU/rtdetr"], "an id of the hub"
    with pytest.raises(InputError, match="there is no such file"):
        names.with_detector([], "models/net.onnx", "detector")
    with pytest.raises(InputError, match=r"--detector /no/such\.onnx: there is no such file"):
        names.with_detector([], "/no/such.onnx", "detector")


def test_a_detector_is_not_ignored_by_a_back_end_that_uses_none(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_text("")
    for perception in ("geometric", "compact", "vlm"):
        with pytest.raises(InputError, match=f"'{perception}' takes none; give --perception detector"):
            names.with_detector([], str(file), perception)


def test_a_back_end_that_cannot_be_made_is_refused_unless_there_is_a_fallback():
    names.check_perception("geometric", {})
    with pytest.raises(InputError, match="did you mean detector"):
        names.check_perception("detecter", {})
    with pytest.raises(InputError, match="needs a model"):
        names.check_perception("detector", {})
    with pytest.raises(InputError, match="there is no such file"):
        names.check_perception("detector", {"detector.file": "/no/such.onnx", "memory.carve": True})
    names.check_perception("detector", {"detector.file": "/no/such.onnx", "perception.fallback": "geometric"})
    with pytest.raises(InputError, match="there is no such file"):
        names.check_perception("detector", {"detector.file": "/no/such.onnx", "perception.fallback": "none"})


def test_a_model_behind_a_server_must_have_what_it_needs(monkeypatch):
    pytest.importorskip("openai", reason="needs openai: the extra 'server'")
    monkeypatch.delenv("MY_KEY", raising=False)
    names.check_perception("server", {"server.url": "http://127.0.0.1:9/v1"})  # it may come later
    given = {"server.key_variable": "MY_KEY"}
    with pytest.raises(InputError, match="the environment variable MY_KEY holds no key"):
        names.check_perception("server", given)
    names.check_perception("server", given | {"perception.fallback": "geometric"})
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match="needs openai; install it with"):
        names.check_perception("server", {})


def test_of_a_model_in_the_node_all_but_its_weights_is_looked_at(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="needs torch: the extra 'vlm'")
    pytest.importorskip("transformers", reason="needs transformers: the extra 'vlm'")
    with pytest.raises(InputError, match=r"vlm\.model is empty"):
        names.check_perception("vlm", {})
    with pytest.raises(InputError, match=r"there is no config\.json"):
        names.check_perception("vlm", {"vlm.model": str(tmp_path)})
    config = {"model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    good = {"vlm.model": str(tmp_path), "vlm.device": "cpu"}
    names.check_perception("vlm", good)
    with pytest.raises(InputError, match="/no/such"):
        names.check_perception("vlm", good | {"vlm.prompts": "/no/such"})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="needs transformers; install it with"):
        names.check_perception("vlm", good)


def test_what_is_named_in_a_command_must_be_made_unless_geometry_may_replace_it():
    assert names.must_be_made({"a": 1}) == {"a": 1, "perception.fallback": "none"}
    assert names.must_be_made({"perception.fallback": "geometric"}) == {"perception.fallback": "geometric"}


def chosen(perception, settings=(), detector=None, simulated=False):
    args = argparse.Namespace(perception=perception, settings=list(settings), detector=detector)
    given, why = names.settle_perception(args, simulated=simulated)
    assert bool(why) is (perception == "auto"), "one line where it was left open"
    return args.perception, given


def test_auto_becomes_a_back_end_before_anything_is_started(tmp_path, monkeypatch):
    file = tmp_path / "detector" / "coco-ssd-300.onnx"
    file.parent.mkdir()
    file.touch()
    assert chosen("auto", ["a=1"]) == ("geometric", ["a=1"])
    assert chosen("auto", detector=str(file)) == ("detector", [f"detector.file={file}"])
    assert chosen("auto", [f"detector.file={file}"]) == ("detector", [f"detector.file={file}"])
    assert chosen("auto", ["compact.weights=/w.onnx"], simulated=True)[0] == "compact"
    monkeypatch.setenv("EMBODIED_NAV_MODELS", str(tmp_path))
    assert chosen("auto") == ("detector", [f"detector.file={file}"]), "so the report says which"
    assert chosen("detector") == ("detector", [f"detector.file={file}"])
    assert chosen("geometric") == ("geometric", [])
    with pytest.raises(InputError, match="did you mean detector"):
        chosen("detecter")


def test_name_of_auto_is_that_of_perception():
    from embodied_nav.perception import AUTO

    assert names.AUTO == AUTO
