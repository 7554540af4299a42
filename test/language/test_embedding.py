"""The sentence encoder against the same network in plain loops, and the real model against published figures."""

import json
import math
import sys

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.language import embedding
from embodied_nav.language.embedding import SentenceEncoder, Shape

D, HEADS, LAYERS, WIDE, WORDS, LONGEST = 6, 2, 2, 10, 9, 8


def tiny_weights(seed=0):
    """Random arrays by BERT's names, some of them far from what an identity would be."""
    rng = np.random.default_rng(seed)

    def linear(name, out, into):
        return {name + ".weight": rng.normal(0, 0.7, (out, into)), name + ".bias": rng.normal(0, 0.5, out)}

    def norm(name):
        return {name + ".weight": rng.normal(1, 0.3, D), name + ".bias": rng.normal(0, 0.3, D)}

    w = {f"embeddings.{n}_embeddings.weight": rng.normal(0, 1, (k, D))
         for n, k in (("word", WORDS), ("position", LONGEST), ("token_type", 2))}  # fmt: skip
    w |= norm("embeddings.LayerNorm")
    for k in range(LAYERS):
        layer = f"encoder.layer.{k}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            w |= linear(layer + name, D, D)
        w |= linear(layer + "intermediate.dense", WIDE, D) | linear(layer + "output.dense", D, WIDE)
        w |= norm(layer + "attention.output.LayerNorm") | norm(layer + "output.LayerNorm")
    return {name: a.astype(np.float32) for name, a in w.items()}


def in_plain_loops(w, ids):
    """BERT's forward pass (Devlin et al., 2019) one number after the other; D floats of unit length."""

    def linear(x, name):
        weight, bias = w[name + ".weight"], w[name + ".bias"]
        return [sum(float(weight[o, i]) * x[i] for i in range(len(x))) + float(bias[o]) for o in range(len(bias))]

    def norm(x, name):
        mean = sum(x) / D
        deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / D + 1e-12)
        scale, bias = w[name + ".weight"], w[name + ".bias"]
        return [(v - mean) / deviation * float(scale[i]) + float(bias[i]) for i, v in enumerate(x)]

    def attend(tokens, layer):
        q, k, v = ([linear(x, layer + "attention.self." + n) for x in tokens] for n in ("query", "key", "value"))
        size, out = D // HEADS, []
        for a in range(len(tokens)):
            mixed = [0.0] * D
            for head in range(HEADS):
                part = range(head * size, (head + 1) * size)
                e = [math.exp(sum(q[a][i] * k[b][i] for i in part) / math.sqrt(size)) for b in range(len(tokens))]
                for i in part:
                    mixed[i] = sum(e[b] / sum(e) * v[b][i] for b in range(len(tokens)))
            out.append(linear(mixed, layer + "attention.output.dense"))
        return out

    names = [f"embeddings.{n}_embeddings.weight" for n in ("word", "position", "token_type")]
    tokens = [
        norm(
            [float(w[names[0]][t, i] + w[names[1]][p, i] + w[names[2]][0, i]) for i in range(D)], "embeddings.LayerNorm"
        )
        for p, t in enumerate(ids)
    ]
    for k in range(LAYERS):
        layer = f"encoder.layer.{k}."
        mixed = attend(tokens, layer)
        tokens = [norm([a + b for a, b in zip(x, y, strict=True)], layer + "attention.output.LayerNorm")
                  for x, y in zip(tokens, mixed, strict=True)]  # fmt: skip
        for t, x in enumerate(tokens):
            wide = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in linear(x, layer + "intermediate.dense")]
            added = linear(wide, layer + "output.dense")
            tokens[t] = norm([a + b for a, b in zip(x, added, strict=True)], layer + "output.LayerNorm")
    mean = [sum(x[i] for x in tokens) / len(tokens) for i in range(D)]
    return np.array(mean) / math.sqrt(sum(v * v for v in mean))


def ids_of(text):
    return [int(letter) for letter in text]


@pytest.fixture
def encoder():
    return SentenceEncoder(tiny_weights(), Shape(HEADS, LAYERS), ids_of)


@pytest.mark.parametrize("text", ["3", "12", "1284567", "00000000"])
def test_embeddings_are_those_of_plain_loops(encoder, text):
    found = encoder.encode([text])
    assert found.shape == (1, D) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], in_plain_loops(tiny_weights(), ids_of(text)), atol=2e-6)


def test_a_text_has_one_embedding_whatever_stands_beside_it(encoder):
    together = encoder.encode(["12", "1284567", "3"])
    np.testing.assert_array_equal(together[0], encoder.encode(["12"])[0])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    assert np.abs(encoder.encode(["12"]) - encoder.encode(["21"])).max() > 0.01, "the order of words counts"


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(embedding, "PACKAGE", "no_such_package_of_a_model")
    assert embedding.installed_model() is None and not embedding.available()
    with pytest.raises(InputError, match="no sentence-embedding model is installed; install it with: "):
        SentenceEncoder.load()


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json; give the folder of a sentence-embedding model"):
        SentenceEncoder.load(tmp_path)


def test_files_that_hold_no_such_model_are_refused_in_one_line(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed (make setup EXTRAS=language)")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed (make setup EXTRAS=language)")
    from safetensors.numpy import save_file

    config = {"num_attention_heads": 2, "num_hidden_layers": 1, "layer_norm_eps": 1e-12}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    save_file({"some.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="cannot be read") as refused:
        SentenceEncoder.load(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not embedding.available(), reason="the model is not installed (make setup EXTRAS=language)")
def test_the_real_model_gives_the_cosine_that_its_authors_publish(monkeypatch):
    """0.7553: sentence-transformers' own example of semantic textual similarity with all-MiniLM-L6-v2."""
    monkeypatch.setitem(sys.modules, "torch", None)  # whoever imports it fails
    a, b = SentenceEncoder.load().encode(["A man is eating food.", "A man is eating a piece of bread."])
    assert a @ b == pytest.approx(0.7553, abs=2e-4)


@pytest.mark.skipif(not embedding.available(), reason="the model is not installed (make setup EXTRAS=language)")
def test_texts_of_any_length_are_taken():
    encoder = SentenceEncoder.load()
    found = encoder.encode(["", "sofa " * 2000, "\u00e9\u4e2d\U0001f6cb"])
    assert found.shape == (3, 384) and np.isfinite(found).all()
