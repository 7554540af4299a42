"""Lets an ONNX graph read its weights from the safetensors file beside it. Knows no network.

The graph then holds no weights: each of its initialisers is a range of bytes of the safetensors file, cast to float32.
So there is one file of weights, in half precision, and torch and onnxruntime read the same numbers.
"""

from __future__ import annotations

import json
from pathlib import Path


def refer(graph: Path, weights: Path, about: dict[str, str]) -> None:
    """Replaces the graph's weights by references to the safetensors file."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(graph))
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    casts, kept = [], []
    for tensor in model.graph.initializer:
        if tensor.name not in header:
            kept.append(tensor)
            continue
        begin, end = header[tensor.name]["data_offsets"]
        half = TensorProto(name=f"{tensor.name}.half", data_type=TensorProto.FLOAT16, dims=tensor.dims)
        half.data_location = TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", 8 + length + begin), ("length", end - begin)):
            half.external_data.add(key=key, value=str(value))
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for key, text in about.items():
        model.metadata_props.add(key=key, value=text)
    model.producer_name, model.doc_string = "embodied_nav", ""
    graph.write_bytes(model.SerializeToString())
