"""Tiny ONNX files with the inputs and outputs of detectors: whatever the image, they give the arrays made with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_model(
    path: Path,
    outputs: dict[str, np.ndarray],
    shape=(1, 3, 64, 64),
    *,
    inputs: dict[str, tuple] | None = None,
    names: str = "",
) -> str:
    """Writes a model of one image (float32 of a shape), and further int64 inputs by name; ``names``: metadata."""
    from onnx import TensorProto, helper, numpy_helper, save

    given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    given += [helper.make_tensor_value_info(n, TensorProto.INT64, s) for n, s in (inputs or {}).items()]
    constants = [numpy_helper.from_array(np.ascontiguousarray(v), f"made_{n}") for n, v in outputs.items()]
    nodes = [helper.make_node("Identity", [f"made_{n}"], [n]) for n in outputs]
    made = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in outputs.items()
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "detector", given, made, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    if names:
        helper.set_model_props(model, {"names": names})
    save(model, path)
    return str(path)
