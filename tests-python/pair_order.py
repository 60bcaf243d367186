"""Which products of bytes does ONNX Runtime add in 16 bits, on x86-64 without VNNI? Prints a table and compares it with what the target says; exit code 1 if they differ.

    without_vnni.py python pair_order.py

An output channel has two weights that are not zero, both 127 or both -128, and every input is 255: where the sum comes out smaller, the two
products were added in a pair that saturates. Each pair of an output's products has a channel of its own. With VNNI nothing saturates.
"""

import itertools
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# What targets/onnxruntime.toml and crates/quantrain-graph/src/pairs.rs say.
NEIGHBOURS, NONE = "(0, 1), (2, 3), …", "none"


class Kernel:
    """A product with weights: `weight_shape` without output channels, as the operator's inputs of a group and its kernel."""

    def __init__(self, name, op, x_shape, inputs, kernel=(), expected=NEIGHBOURS, groups=1, **attributes):
        self.name, self.op, self.x_shape, self.inputs, self.kernel = name, op, x_shape, inputs, kernel
        self.expected, self.groups, self.attributes = expected, groups, attributes
        self.products = inputs * int(np.prod(kernel, dtype=int))
        self.pairs = list(itertools.combinations(range(self.products), 2))

    def weights(self, value):
        """A channel for each pair, in each group; products go tap by tap, input by input. Depthwise convolutions have a group for each pair."""
        rows = np.zeros((len(self.pairs), self.products), np.int8)
        for row, pair in zip(rows, self.pairs):
            row[list(pair)] = value
        if self.op == "ConvTranspose":
            return rows.T.reshape(self.products, len(rows), 1, 1).copy()
        if self.op != "Conv":
            return rows if self.attributes.get("transB") else rows.T.copy()
        if self.groups != len(self.pairs):
            rows = np.tile(rows, (self.groups, 1))
        return np.moveaxis(rows.reshape(len(rows), *self.kernel, self.inputs), -1, 1).copy()


def convolution(name, channels, kernel, size=9, groups=1, images=1, expected=NEIGHBOURS, **attributes):
    return Kernel(name, "Conv", [images, channels] + [size] * len(kernel), channels // groups, kernel, expected, groups, group=groups, **attributes)


def product(name, op, shape, **attributes):
    return Kernel(name, op, shape, shape[-1], **attributes)


KERNELS = [
    convolution("Conv 1x1, 8 inputs", 8, (1, 1)),
    convolution("Conv 1x1, 7 inputs", 7, (1, 1)),
    convolution("Conv 1x1, 32 inputs, one pixel", 32, (1, 1), size=1),
    convolution("Conv 1x1, stride 2", 8, (1, 1), strides=[2, 2]),
    convolution("Conv 3x3, 4 inputs, 2 images", 4, (3, 3), images=2),
    convolution("Conv 3x3, 3 inputs", 3, (3, 3)),
    convolution("Conv 3x3, padded, stride 2", 4, (3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    convolution("Conv 3x3, dilation 2", 4, (3, 3), dilations=[2, 2]),
    convolution("Conv 5x5, 1 input", 1, (5, 5)),
    convolution("Conv 3x1, 5 inputs", 5, (3, 1)),
    convolution("Conv 3, 5 inputs (1-D)", 5, (3,)),
    convolution("Conv 2x2x2, 3 inputs (3-D)", 3, (2, 2, 2), size=5),
    convolution("Conv 3x3, 2 groups of 3 inputs", 6, (3, 3), groups=2),
    convolution("Conv 1x1, 2 groups of 4 inputs", 8, (1, 1), groups=2),
    convolution("Conv 3x3, 2 groups of 1 input, 36 outputs", 2, (3, 3), groups=2),
    convolution("Conv 3x3, depthwise", 36, (3, 3), groups=36, expected=NONE),
    convolution("Conv 3x3, depthwise, stride 2", 36, (3, 3), groups=36, expected=NONE, strides=[2, 2]),
    convolution("Conv 5x5, depthwise", 300, (5, 5), groups=300, expected=NONE),
    convolution("Conv 3, depthwise (1-D)", 3, (3,), groups=3, expected=NONE),
    Kernel("ConvTranspose 1x1, 8 inputs", "ConvTranspose", [1, 8, 9, 9], 8, (1, 1), NONE),
    product("Gemm, 1 row", "Gemm", [1, 12], transB=1),
    product("Gemm, 6 rows of 13", "Gemm", [6, 13], transB=1),
    product("Gemm, 6 rows", "Gemm", [6, 12]),
    product("MatMul, 1 row", "MatMul", [1, 12]),
    product("MatMul, 7 rows of 11", "MatMul", [7, 11]),
    product("MatMul, 2 matrices of 3 rows", "MatMul", [2, 3, 12]),
]


def model(kernel, weights, signed, to_codes):
    """x → codes → kernel → codes, or floats where `to_codes` is false."""
    byte, kind = (np.int8, "s8") if signed else (np.uint8, "u8")
    channels = weights.shape[0] if kernel.op == "Conv" or kernel.attributes.get("transB") else weights.shape[1]
    axis = 0 if weights.shape[0] == channels else 1
    above = weights.max() > 0
    lowest = np.iinfo(byte).min if above else np.iinfo(byte).max
    constants = {
        "x_scale": np.float32(1), "x_zero": byte(np.iinfo(byte).min), "w": weights, "w_scale": np.ones(channels, np.float32),
        "w_zero": np.zeros(channels, np.int8), "y_scale": np.float32(300), "y_zero": byte(lowest),
    }
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_codes"]),
        node("DequantizeLinear", ["x_codes", "x_scale", "x_zero"], ["x_values"]),
        node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_values"], axis=axis),
        node(kernel.op, ["x_values", "w_values"], ["product" if to_codes else "y"], **kernel.attributes),
    ]
    if to_codes:
        nodes.append(node("QuantizeLinear", ["product", "y_scale", "y_zero"], ["y_codes"]))
        nodes.append(node("DequantizeLinear", ["y_codes", "y_scale", "y_zero"], ["y"]))
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, kind, [value("x", kernel.x_shape)], [value("y", None)], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def saturated(kernel, value, signed, to_codes):
    """The pairs of products whose sum came out smaller than it is."""
    weights = kernel.weights(value)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model(kernel, weights, signed, to_codes).SerializeToString(), options, ["CPUExecutionProvider"])
    y = session.run(None, {"x": np.full(kernel.x_shape, 255, np.float32)})[0]
    # An inner pixel of a convolution, whose window touches no padding.
    pixel = (slice(None), slice(None)) + tuple(extent // 2 for extent in y.shape[2:])
    rows = y[pixel] if kernel.kernel else y.reshape(-1, y.shape[-1])
    smaller = np.abs(rows) < 0.75 * 2 * 255 * abs(value)
    return {kernel.pairs[i % len(kernel.pairs)] for i in np.flatnonzero(smaller.any(axis=0))}


def words(kernel, pairs):
    """The pairs as the table tells them."""
    neighbours = {(i, i + 1) for i in range(0, kernel.products - 1, 2)}
    return NONE if not pairs else NEIGHBOURS if pairs == neighbours else ", ".join(map(str, sorted(pairs)))


def main():
    wrong = 0
    print(f"ONNX Runtime {onnxruntime.__version__}\n{'kernel':44} inputs  saturating pairs")
    for kernel, signed in itertools.product(KERNELS, (False, True)):
        # A convolution whose result is float is computed in float.
        forms = (True,) if kernel.op == "Conv" else (True, False)
        found = {words(kernel, saturated(kernel, value, signed, form)) for value in (127, -128) for form in forms}
        told = " and ".join(sorted(found))
        wrong += found != {kernel.expected}
        print(f"{kernel.name:44} {'s8' if signed else 'u8':6}  {told}{'' if found == {kernel.expected} else '  expected: ' + kernel.expected}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
