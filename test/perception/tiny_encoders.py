"""Vision encoders of a few thousand random weights, saved as their big relatives are: config, weights, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit", "clip", "siglip", "siglip2")
#: Pixels along a patch's side, components of a feature.
PATCH = {"dinov2": 14, "dinov2_with_registers": 14, "dinov3_vit": 16, "clip": 16, "siglip": 16, "siglip2": 16}
DIM = {"clip": 12}


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """Writes a model of a kind into a folder, as ``from_pretrained`` reads it."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = _config(kind)
    model = transformers.AutoModel.from_config(config)
    # Fresh models have norms of ones and zeros, by which a wrong order of steps would not show.
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    if kind in ("clip", "siglip", "siglip2"):
        _tokenizer(kind).save_pretrained(folder)
    return folder


def _config(kind: str):
    import transformers as t

    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
              "patch_size": PATCH[kind]}  # fmt: skip
    text = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": 300, "max_position_embeddings": 64, "bos_token_id": 256, "eos_token_id": 257,
            "pad_token_id": 257}  # fmt: skip
    if kind == "dinov2":
        return t.Dinov2Config(**vision, image_size=56)
    if kind == "dinov2_with_registers":
        return t.Dinov2WithRegistersConfig(**vision, image_size=56, num_register_tokens=3)
    if kind == "dinov3_vit":
        return t.DINOv3ViTConfig(**vision, image_size=64, num_register_tokens=3)
    if kind == "clip":
        return t.CLIPConfig(text_config=text, vision_config={**vision, "image_size": 64}, projection_dim=12)
    if kind == "siglip":
        return t.SiglipConfig(text_config={**text, "projection_size": 24}, vision_config={**vision, "image_size": 64})
    return t.Siglip2Config(text_config={**text, "projection_size": 24}, vision_config={**vision, "num_patches": 16})


def _tokenizer(kind: str):
    """Bytes as tokens, and one at either end; letters in SigLIP2's own, which newer transformers insist on."""
    import transformers

    if kind == "siglip2" and hasattr(transformers, "Siglip2Tokenizer"):
        words = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz")
        return transformers.Siglip2Tokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<s>", "</s>", "<unk>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
