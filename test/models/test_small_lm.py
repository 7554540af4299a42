"""The small language model: words to numbers and back, and onnxruntime equal to torch."""

import dataclasses
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.models.small_lm import END, PAD, UNKNOWN, SmallLM, SmallLMConfig, Tokenizer
from embodied_nav.models.small_lm.generation import metadata
from embodied_nav.models.small_lm.tokenizer import split

TEXT = (
    "Task: find the red sofa, don't stop\nIn: bedroom 70% seen.\nOptions:\n"
    "A. explore 3.5 m ahead left; unknown floor 4 m2\n"
    "<think>bed not found. nearer</think><answer>A</answer>"
)
TOKENIZER = Tokenizer.of([TEXT], ["B", "12 m"])


def test_numbers_tags_letters_and_ends_of_lines_are_words():
    words = split(TEXT)
    assert {"3.5 m", "4 m2", "70%", "A", "<think>", "</answer>", "\n", "don't", "task"} <= set(words)
    assert "Task" not in words


def test_texts_are_read_back_but_for_capitals():
    told = TOKENIZER.decode(TOKENIZER.encode(TEXT))
    assert told == TEXT.replace("Task", "task").replace("In:", "in:").replace("Options", "options")


@given(st.lists(st.sampled_from(TOKENIZER.words[3:]), max_size=40))
def test_any_words_are_read_back_as_the_same_numbers(words):
    numbers = [TOKENIZER.number(word) for word in words]
    assert TOKENIZER.encode(TOKENIZER.decode(numbers)) == numbers


def test_unknown_words_are_unknown_and_ends_end():
    assert TOKENIZER.decode(TOKENIZER.encode("find the hippogriff")) == f"find the {UNKNOWN}"
    numbers = [TOKENIZER.number(w) for w in ("find", PAD, "the", END, "sofa")]
    assert TOKENIZER.decode(numbers) == "find the"


def test_a_tokenizer_is_known_by_its_words():
    assert TOKENIZER.version == Tokenizer(TOKENIZER.words).version != Tokenizer((*TOKENIZER.words, "zebra")).version
    for words in (("a", "b"), (PAD, END, UNKNOWN, "a", "a")):
        with pytest.raises(InputError):
            Tokenizer(words)


def test_heads_must_fit_the_width():
    with pytest.raises(InputError, match="heads"):
        SmallLMConfig(width=100, heads=3)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 40, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 9) + b'{"a": [1}']
)
def test_what_is_no_file_of_weights_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="small language model"):
        metadata(path)
    with pytest.raises(InputError, match=r"x\.safetensors"):
        metadata(tmp_path / "none" / "x.safetensors")


# --- against torch ---

SHAPE = SmallLMConfig(width=32, layers=2, heads=2, hidden=48, context=64)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch = pytest.importorskip("torch", reason="needs torch (extra train)")
    pytest.importorskip("onnx", reason="needs onnx (extra train)")
    from embodied_nav.models.small_lm.network import Network
    from embodied_nav.training.reasoner.export import export, load

    torch.manual_seed(3)
    network = Network(SHAPE, len(TOKENIZER))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    graph = export(network, TOKENIZER, tmp_path_factory.mktemp("lm"), "tiny", {"situation": "1"})
    return SmallLM(graph), load(graph.with_suffix(".safetensors"))[0].eval()


def torch_logits(network, ids):
    import torch

    with torch.no_grad():
        hidden, _ = network(torch.tensor([ids]))
        return network.logits(hidden)[0].numpy()


def test_onnxruntime_equals_torch_with_and_without_words_before(exported):
    model, network = exported
    ids = TOKENIZER.encode(TEXT)[:30]
    wanted = torch_logits(network, ids)
    state = model.start(ids[:11])
    np.testing.assert_allclose(state.logits, wanted[10], atol=2e-5)
    state = state.after(ids[11:29])
    np.testing.assert_allclose(state.logits, wanted[28], atol=2e-5)
    np.testing.assert_allclose(state.after(ids[29:]).logits, wanted[29], atol=2e-5)
    assert state.length == 29 and state.room == 64 - 29
    assert json.loads(model.about["words"]) == list(TOKENIZER.words)


def test_the_likeliest_words_follow_and_stop_where_they_should(exported):
    model, network = exported
    ids = TOKENIZER.encode(TEXT)[:20]
    told, _ = model.generate(model.start(ids), 8)
    expected = list(ids)
    for k, number in enumerate(told.ids):
        logits = torch_logits(network, expected)[-1]
        assert number == int(logits.argmax())
        log = logits[number] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        assert told.log_probabilities[k] == pytest.approx(log, abs=1e-4)
        expected.append(number)
    assert model.generate(model.start(ids), 8, stop=told.ids[0])[0].ids == told.ids[:1]
    allowed = [TOKENIZER.number("A"), TOKENIZER.number("B")]
    assert set(model.generate(model.start(ids), 3, allowed=allowed)[0].ids) <= set(allowed)


def test_a_prompt_longer_than_the_context_is_refused_and_answers_end_at_it(exported):
    model, _ = exported
    with pytest.raises(InputError, match="64"):
        model.start([5] * 65)
    told, state = model.generate(model.start([5] * 60), 100)
    assert len(told.ids) <= 4 and state.room >= 0


def test_a_prompt_shared_by_answers_is_as_each_alone(exported):
    import torch

    _, network = exported
    rows = [TOKENIZER.encode(TEXT)[:9], TOKENIZER.encode(TEXT)[3:16]]
    padded = torch.tensor([rows[0] + [0] * 4, rows[1]])
    answers = [[5, 6, 7], [8, 9, 4], [7, 7, 5], [6, 5, 4]]
    with torch.no_grad():
        _, prompt = network(padded)
        lengths = torch.tensor([9, 13])
        before = torch.tensor([row[-6:] for row in rows]).repeat_interleave(2, dim=0)
        first, past = network(torch.tensor(answers)[:, :2], None, prompt, lengths, before)
        before = torch.cat([before, torch.tensor(answers)[:, :2]], dim=1)[:, -6:]
        second, _ = network(torch.tensor(answers)[:, 2:], past, prompt, lengths, before)
        together = network.logits(torch.cat([first, second], dim=1)).numpy()
    for k, answer in enumerate(answers):
        alone = torch_logits(network, rows[k // 2] + answer)[-3:]
        np.testing.assert_allclose(together[k], alone, atol=2e-5)


def test_what_followed_some_words_is_copied_without_being_learned():
    torch = pytest.importorskip("torch", reason="needs torch (extra train)")
    from embodied_nav.models.small_lm.network import Network

    torch.manual_seed(0)
    network, chance = Network(SHAPE, len(TOKENIZER)), np.random.default_rng(0)
    words = chance.permutation(np.arange(3, len(TOKENIZER)))[:24]
    for k in range(6, 23):  # all words are different
        ids = [*words.tolist(), *words[k - 6 : k].tolist()]
        assert int(torch_logits(network, ids)[-1].argmax()) == words[k]


def test_a_network_that_does_not_copy_is_another_one():
    pytest.importorskip("torch", reason="needs torch (extra train)")
    from embodied_nav.models.small_lm.network import Network

    plain = dataclasses.replace(SHAPE, copies=False)
    assert plain.kept == 2 and SHAPE.kept == 4
    names = {name for name, _ in Network(SHAPE, 40).named_parameters()}
    without = {name for name, _ in Network(plain, 40).named_parameters()}
    assert {name for name in names if name.startswith("copying")} == names - without


def test_a_graph_without_its_weights_is_refused(exported, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="beside"):
        SmallLM(tmp_path / "x.onnx")
