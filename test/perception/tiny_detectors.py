"""Detectors of transformers with a few thousand random weights, saved as their big relatives are."""

from __future__ import annotations

import json
from pathlib import Path

CLOSED = ("rt_detr_v2", "d_fine")
OPEN = ("owlv2", "grounding-dino")
NAMES = {0: "N/A", 1: "chair", 2: "couch", 3: "tv_monitor"}
WORDS = ("chair", "lamp", "red", "sofa", "coffee", "machine", "a", "photo", "of", ".", "table")


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """Writes a model of a kind, and its processor, into a folder."""
    import torch

    torch.manual_seed(seed)
    make = {"rt_detr_v2": _rt_detr, "d_fine": _d_fine, "owlv2": _owlv2, "grounding-dino": _grounding}[kind]
    model, processors = make()
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    return folder


def _small() -> dict:
    return {
        "d_model": 16, "encoder_hidden_dim": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 20,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 2, "decoder_n_points": 2,
        "id2label": NAMES, "label2id": {v: k for k, v in NAMES.items()}, "num_denoising": 0,
    }  # fmt: skip


def _image_processor(size: int = 64):
    from transformers import RTDetrImageProcessorPil

    return RTDetrImageProcessorPil(size={"height": size, "width": size})


def _rt_detr():
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrV2Config(
        backbone_config=backbone, encoder_in_channels=[8, 16, 16], decoder_in_channels=[16, 16, 16], **_small()
    )
    return RTDetrV2ForObjectDetection(config), [_image_processor()]


def _d_fine():
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config

    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 16], stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 16, 16], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True], stage_light_block=[False] * 4, stage_kernel_size=[3] * 4,
        hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], embedding_size=8,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DFineConfig(
        backbone_config=backbone, encoder_in_channels=[16, 16, 16], decoder_in_channels=[16, 16, 16],
        **_small() | {"decoder_n_points": [2, 2, 2]},
    )  # fmt: skip
    return DFineForObjectDetection(config), [_image_processor()]


def _owlv2():
    from transformers import (
        CLIPTokenizer,
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessorPil,
        Owlv2Processor,
    )

    letters = "abcdefghijklmnopqrstuvwxyz."
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: k for k, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="!" if "!" in vocabulary else "<|endoftext|>")
    tokenizer.model_max_length = 32
    text = {"vocab_size": len(tokens), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 32, "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"], "pad_token_id": vocabulary["<|endoftext|>"]}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 64, "patch_size": 16}  # fmt: skip
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=16))
    images = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    return model, [Owlv2Processor(image_processor=images, tokenizer=tokenizer)]


def _grounding():
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        SwinConfig,
    )

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={token: k for k, token in enumerate(tokens)})
    text = BertConfig(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    backbone = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=20,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_text_len=64,
    )  # fmt: skip
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    return GroundingDinoForObjectDetection(config), [GroundingDinoProcessor(images, tokenizer)]


def rewrite(folder: Path, **changes: object) -> None:
    """Changes entries of a model's config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
