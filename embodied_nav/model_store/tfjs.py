"""Converts a TensorFlow.js graph model to ONNX. Knows nothing of what the network is for.

The operations are those of convolutional detectors; control flow is cut off by naming inputs behind it and outputs
before it. Layout stays as in the graph (channels last): onnxruntime takes out the transpositions around convolutions.
Needs ``onnx``, of the extra ``convert``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..resources import how_to_install
from .tfjs_graph import Graph, Node, producer, read_graph

#: ONNX's operator set and file version, which onnxruntime 1.17 reads.
_OPSET, _IR = 18, 9
#: One operation of TensorFlow that is one of ONNX with the same inputs.
_SAME = {
    "Add": "Add", "AddV2": "Add", "BiasAdd": "Add", "Sub": "Sub", "Mul": "Mul", "RealDiv": "Div", "Div": "Div",
    "Maximum": "Max", "Minimum": "Min", "AddN": "Sum", "Relu": "Relu", "Sigmoid": "Sigmoid", "Exp": "Exp",
    "Tanh": "Tanh", "Sqrt": "Sqrt", "Neg": "Neg", "Softmax": "Softmax", "Identity": "Identity", "Shape": "Shape",
    "Reshape": "Reshape",
}  # fmt: skip
#: NHWC to NCHW and back.
_FIRST, _LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def check_converter() -> None:
    """Raises InputError if what converting needs is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise InputError(f"converting a model needs onnx, once; {how_to_install('convert')}")


def convert(model: Path, target: Path, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> None:
    """Writes an ONNX file.

    Args:
        model: the model.json, its weight files beside it.
        inputs: nodes that become inputs (float32), with their shapes. outputs: nodes that become outputs.

    Raises:
        InputError: onnx is missing, the model cannot be read, or holds an operation that is not known.
    """
    check_converter()
    import onnx

    graph = read_graph(model)
    try:
        onnx.save(_Writer(graph).model(inputs, outputs), str(target))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{model}: {error}") from None
        raise InputError(f"{model}: cannot be converted ({type(error).__name__}: {error})") from None


class _Writer:
    """Writes nodes of a graph as ONNX's."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._count = 0

    def model(self, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> Any:
        """The ONNX model between inputs and outputs."""
        from onnx import TensorProto, helper

        for node in self._graph.before(outputs, inputs):
            self._write(node)
        taken = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(shape)) for n, shape in inputs.items()]
        given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        graph = helper.make_graph(self._nodes, "graph", taken, given, list(self._constants.values()))
        opsets = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="embodied_nav")

    def _write(self, node: Node) -> None:
        if node.op in ("Const", "NoOp"):
            return  # a constant is written where it is used, in the form that is wanted there
        if node.op in _SAME:
            self._op(_SAME[node.op], [self._tensor(i) for i in node.inputs if i[0] != "^"], node.name)
            return
        handler = _HANDLERS.get(node.op)
        if handler is None:
            raise InputError(f"'{node.name}' is a {node.op}, which is not known; give inputs or outputs beside it")
        handler(self, node)

    def _op(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or self._fresh()
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _fresh(self) -> str:
        self._count += 1
        return f"value_{self._count}"

    def _constant(self, value: Any, name: str = "") -> str:
        """The name of a constant, which is added."""
        from onnx import numpy_helper

        name = name or self._fresh()
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def _tensor(self, reference: str) -> str:
        """The name of an input, which is added where it is a constant."""
        name = producer(reference)
        if ":" in reference and not reference.endswith(":0"):
            raise InputError(f"'{reference}' is the second output of a node, which is not known")
        weight = self._graph.weights.get(name)
        return name if weight is None else self._constant(weight, name)

    def _value(self, reference: str) -> np.ndarray:
        """The value of an input that must be constant."""
        name = producer(reference)
        if name not in self._graph.weights:
            raise InputError(f"'{name}' must be constant")
        return self._graph.weights[name]

    def _integers(self, reference: str) -> list[int]:
        return [int(n) for n in np.atleast_1d(self._value(reference))]

    def convolution(self, node: Node) -> None:
        """Conv2D and DepthwiseConv2dNative, alone or with bias and activation fused in."""
        weights = self._value(node.inputs[1]).astype(np.float32)  # height, width, in, out (depthwise: in, multiplier)
        height, width, channels, last = weights.shape
        if "epthwise" in node.op:
            kernel, groups = weights.transpose(2, 3, 0, 1).reshape(channels * last, 1, height, width), channels
        else:
            kernel, groups = weights.transpose(3, 2, 0, 1), 1
        self._channels_last(node)
        fused = node.texts("fused_ops")
        inputs = [self._op("Transpose", [self._tensor(node.inputs[0])], perm=_FIRST), self._constant(kernel)]
        if "BiasAdd" in fused:
            inputs.append(self._constant(self._value(node.inputs[2]).astype(np.float32).reshape(-1)))
        found = self._op(
            "Conv",
            inputs,
            strides=node.numbers("strides")[1:3],
            dilations=(node.numbers("dilations") or [1, 1, 1, 1])[1:3],
            group=groups,
            auto_pad=self._padding(node),
        )
        for name in fused:
            if name != "BiasAdd":
                found = self._activation(name, found, "", node.number("leakyrelu_alpha", 0.2))
        self._op("Transpose", [found], node.name, perm=_LAST)

    def pooling(self, node: Node) -> None:
        """MaxPool and AvgPool."""
        self._channels_last(node)
        kind = {"MaxPool": "MaxPool", "AvgPool": "AveragePool"}[node.op]
        found = self._op(
            kind,
            [self._op("Transpose", [self._tensor(node.inputs[0])], perm=_FIRST)],
            kernel_shape=node.numbers("ksize")[1:3],
            strides=node.numbers("strides")[1:3],
            auto_pad=self._padding(node),
        )
        self._op("Transpose", [found], node.name, perm=_LAST)

    def normalization(self, node: Node) -> None:
        """FusedBatchNorm, as a factor and an offset a channel."""
        scale, offset, mean, variance = (self._value(i).astype(np.float32) for i in node.inputs[1:5])
        factor = scale / np.sqrt(variance + np.float32(node.number("epsilon", 1e-4)))
        scaled = self._op("Mul", [self._tensor(node.inputs[0]), self._constant(factor)])
        self._op("Add", [scaled, self._constant(offset - mean * factor)], node.name)

    def activation(self, node: Node) -> None:
        """Relu6 and LeakyRelu."""
        self._activation(node.op, self._tensor(node.inputs[0]), node.name, node.number("alpha", 0.2))

    def concatenation(self, node: Node) -> None:
        """ConcatV2: the last input is the axis."""
        self._op(
            "Concat", [self._tensor(i) for i in node.inputs[:-1]], node.name, axis=self._integers(node.inputs[-1])[0]
        )

    def pack(self, node: Node) -> None:
        """Pack: joins along a new axis."""
        axis = int(node.number("axis"))
        axes = self._constant(np.array([axis], np.int64))
        parts = [self._op("Unsqueeze", [self._tensor(i), axes]) for i in node.inputs]
        self._op("Concat", parts, node.name, axis=axis)

    def squeeze(self, node: Node) -> None:
        """Squeeze, of named axes or of all that are 1."""
        axes = node.numbers("squeeze_dims")
        more = [self._constant(np.array(axes, np.int64))] if axes else []
        self._op("Squeeze", [self._tensor(node.inputs[0]), *more], node.name)

    def expand(self, node: Node) -> None:
        """ExpandDims."""
        axes = self._constant(np.array(self._integers(node.inputs[1]), np.int64))
        self._op("Unsqueeze", [self._tensor(node.inputs[0]), axes], node.name)

    def transposition(self, node: Node) -> None:
        """Transpose."""
        self._op("Transpose", [self._tensor(node.inputs[0])], node.name, perm=self._integers(node.inputs[1]))

    def mean(self, node: Node) -> None:
        """Mean over axes."""
        axes = self._constant(np.array(self._integers(node.inputs[1]), np.int64))
        self._op("ReduceMean", [self._tensor(node.inputs[0]), axes], node.name, keepdims=int(node.flag("keep_dims")))

    def padding(self, node: Node) -> None:
        """Pad with zeros."""
        pads = self._constant(self._value(node.inputs[1]).T.reshape(-1).astype(np.int64))
        self._op("Pad", [self._tensor(node.inputs[0]), pads], node.name)

    def strided_slice(self, node: Node) -> None:
        """StridedSlice from constant bounds, without new axes and without an ellipsis."""
        if node.number("new_axis_mask") or node.number("ellipsis_mask"):
            raise InputError(f"'{node.name}' slices with new axes, which is not known")
        begin, end, step = (self._integers(i) for i in node.inputs[1:4])
        masks = {key: int(node.number(f"{key}_mask")) for key in ("begin", "end", "shrink_axis")}
        squeezed = [k for k in range(len(begin)) if masks["shrink_axis"] >> k & 1]
        far = np.iinfo(np.int64).max
        for k in range(len(begin)):
            if k in squeezed:
                end[k], step[k] = begin[k] + 1 if begin[k] != -1 else far, 1
                continue
            if masks["begin"] >> k & 1:
                begin[k] = 0 if step[k] > 0 else far
            if masks["end"] >> k & 1:
                end[k] = far if step[k] > 0 else -far
        bounds = [self._constant(np.array(v, np.int64)) for v in (begin, end, range(len(begin)), step)]
        found = self._op("Slice", [self._tensor(node.inputs[0]), *bounds], "" if squeezed else node.name)
        if squeezed:
            self._op("Squeeze", [found, self._constant(np.array(squeezed, np.int64))], node.name)

    def _activation(self, kind: str, value: str, output: str, alpha: float) -> str:
        if kind == "Relu6":
            return self._op("Clip", [value, self._constant(np.float32(0)), self._constant(np.float32(6))], output)
        if kind == "LeakyRelu":
            return self._op("LeakyRelu", [value], output, alpha=alpha)
        if kind == "Relu":
            return self._op("Relu", [value], output)
        raise InputError(f"the activation {kind} is not known")

    def _channels_last(self, node: Node) -> None:
        if node.text("data_format", "NHWC") != "NHWC":
            raise InputError(f"'{node.name}' has its channels first, which is not known")

    def _padding(self, node: Node) -> str:
        padding = node.text("padding")
        if padding not in ("SAME", "VALID"):
            raise InputError(f"'{node.name}' is padded by {padding or 'nothing said'}, which is not known")
        return "SAME_UPPER" if padding == "SAME" else "VALID"


_HANDLERS: dict[str, Callable[[_Writer, Node], None]] = {
    "Conv2D": _Writer.convolution,
    "_FusedConv2D": _Writer.convolution,
    "DepthwiseConv2dNative": _Writer.convolution,
    "FusedDepthwiseConv2dNative": _Writer.convolution,
    "MaxPool": _Writer.pooling,
    "AvgPool": _Writer.pooling,
    "FusedBatchNorm": _Writer.normalization,
    "FusedBatchNormV3": _Writer.normalization,
    "Relu6": _Writer.activation,
    "LeakyRelu": _Writer.activation,
    "ConcatV2": _Writer.concatenation,
    "Pack": _Writer.pack,
    "Squeeze": _Writer.squeeze,
    "ExpandDims": _Writer.expand,
    "Transpose": _Writer.transposition,
    "Mean": _Writer.mean,
    "Pad": _Writer.padding,
    "StridedSlice": _Writer.strided_slice,
}
