"""Small networks in the forms that exporters and optimizers write, as files: Quantrain must read each and compute what ONNX Runtime computes.

    tests-python/setup.sh && cargo build --release --example run_float && .venv/bin/python tests-python/exporter_forms.py [--only NAME]

Each is run in float beside ONNX Runtime (outputs within 1e-4), then quantized, exported and run there: its inputs and outputs keep their names,
types and shapes, and what nothing computes its values. One line a network; exit code 1 where one fails.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = Path(ort.__file__).parent
MICROSOFT = "com.microsoft"
TOLERANCE = 1e-4
F = np.float32


class Form:
    """A network that grows: input x of [N, 3, 8, 8]."""

    def __init__(self, opset=17, kind=T.FLOAT):
        self.opset, self.kind = opset, kind
        self.random = np.random.default_rng(opset)
        self.nodes, self.constants, self.outputs = [], [], []

    def constant(self, values, kind=None):
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind or F), name))
        return name

    def weights(self, *shape):
        return self.constant(self.random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 4))

    def ints(self, *values):
        return self.constant(values, np.int64)

    def node(self, operator, *inputs, domain="", outputs=1, **attributes):
        names = [f"{operator.lower()}{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def output(self, name, kind=T.FLOAT):
        self.outputs.append((name, kind))

    def features(self, channels=8):
        """A convolution and its activation."""
        return self.node("Relu", self.node("Conv", "x", self.weights(channels, 3, 3, 3), self.weights(channels), pads=[1, 1, 1, 1]))

    def tokens(self, channels=8):
        """[N, 16, channels] of patches."""
        y = self.node("Conv", "x", self.weights(channels, 3, 2, 2), strides=[2, 2])
        return self.node("Transpose", self.node("Reshape", y, self.ints(0, channels, 16)), perm=[0, 2, 1])

    def batch(self):
        return self.node("Gather", self.node("Shape", "x"), self.ints(0), axis=0)

    def head(self, x):
        """One row of five for each sample, of [N, rows, columns]."""
        y = self.node("ReduceMean", x, axes=[1], keepdims=0) if self.opset < 18 else self.node("ReduceMean", x, self.ints(1), keepdims=0)
        return self.node("Gemm", y, self.weights(5, 8), self.weights(5), transB=1)

    def save(self, path):
        x = helper.make_tensor_value_info("x", self.kind, ["N", 3, 8, 8])
        outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in self.outputs]
        graph = helper.make_graph(self.nodes, "form", [x], outputs, self.constants)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        ir = {24: 12, 25: 13}.get(self.opset, 8 if self.opset < 20 else 10)
        onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=ir), path)


FORMS = {}


def form(opset=17, **more):
    def register(build):
        def make():
            f = Form(opset, **more)
            build(f)
            return f

        FORMS[build.__name__] = make
        return build

    return register


@form()
def floats_cast_to_integers(f):
    y = f.node("Gemm", f.node("Flatten", f.features()), f.weights(5, 512), transB=1)
    y = f.node("Mul", y, f.constant(20.0))
    for kind in (T.INT32, T.INT64, T.INT8):
        f.output(f.node("Cast", y, to=kind), kind)
    f.output(f.node("Cast", f.node("Abs", y), to=T.UINT8), T.UINT8)


@form()
def index_of_a_class_as_a_byte(f):
    y = f.node("Conv", f.features(), f.weights(5, 8, 1, 1))
    f.output(f.node("Cast", f.node("ArgMax", y, axis=1, keepdims=0), to=T.UINT8), T.UINT8)
    f.output(y)


@form()
def place_of_the_greatest(f):
    y = f.node("Reshape", f.node("Conv", f.features(), f.weights(5, 8, 1, 1)), f.ints(0, 5, 64))
    at = f.node("ArgMax", y, axis=2, keepdims=0)
    row = f.node("Div", at, f.constant(8, np.int64))
    f.output(row, T.INT64)
    f.output(f.node("Sub", at, f.node("Mul", row, f.constant(8, np.int64))), T.INT64)
    f.output(f.node("Cast", f.node("Mod", at, f.constant(8, np.int64)), to=T.FLOAT))
    f.output(y)


@form()
def class_token_by_tile(f):
    token = f.weights(1, 1, 8)
    repeats = f.node("Concat", f.batch(), f.ints(1, 1), axis=0)
    y = f.node("Concat", f.node("Tile", token, repeats), f.tokens(), axis=1)
    f.output(f.head(f.node("Add", y, f.weights(1, 17, 8))))


@form()
def class_token_by_constant_of_shape(f):
    shape = f.node("Concat", f.batch(), f.ints(1, 8), axis=0)
    zeros = f.node("ConstantOfShape", shape, value=helper.make_tensor("v", T.FLOAT, [1], [0.0]))
    y = f.node("Concat", f.node("Add", zeros, f.weights(1, 1, 8)), f.tokens(), axis=1)
    f.output(f.head(y))


@form(23)
def normalisations_of_one_scale(f):
    y = f.node("RMSNormalization", f.tokens(), f.constant([1.5]), axis=-1)
    y = f.node("LayerNormalization", y, f.constant([0.5]), f.constant([0.25]), axis=-1)
    f.output(f.head(y))


@form()
def scale_for_each_row(f):
    y = f.node("LayerNormalization", f.tokens(), f.weights(16, 1), f.weights(16, 1), axis=-1)
    f.output(f.head(y))


@form(11)
def upsampling_by_a_whole_shape_of_floats(f):
    y = f.features()
    size = f.node("Cast", f.node("Shape", y), to=T.FLOAT)
    size = f.node("Cast", f.node("Floor", f.node("Mul", size, f.constant([1, 1, 1.5, 1.5]))), to=T.INT64)
    none = f.constant(np.zeros(0))
    f.output(f.node("Resize", y, none, none, size, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"))


@form(11)
def upsampling_by_computed_scales(f):
    y = f.features()
    size = f.node("Cast", f.node("Shape", y), to=T.FLOAT)
    scales = f.node("Div", f.node("Mul", size, f.constant([1, 1, 2, 2])), size)
    f.output(f.node("Resize", y, f.constant(np.zeros(0)), scales, mode="linear", coordinate_transformation_mode="half_pixel"))


@form(11)
def upsampling_by_sizes_in_parts(f):
    y = f.features()
    shape = f.node("Shape", y)
    sides = f.node("Cast", f.node("Slice", shape, f.ints(2), f.ints(4), f.ints(0)), to=T.FLOAT)
    sides = f.node("Cast", f.node("Floor", f.node("Mul", sides, f.constant(2.0))), to=T.INT64)
    size = f.node("Concat", f.node("Slice", shape, f.ints(0), f.ints(2), f.ints(0)), sides, axis=0)
    none = f.constant(np.zeros(0))
    f.output(f.node("Resize", y, none, none, size, mode="linear", coordinate_transformation_mode="pytorch_half_pixel"))


@form()
def constants_and_inputs_handed_out(f):
    f.output(f.constant(np.arange(4), np.int64), T.INT64)
    f.output(f.features())
    f.output("x")
    f.output(f.node("Identity", "x"))
    f.output(f.node("Neg", f.constant([1.5, -2.0])))
    f.output(f.constant(np.array([0.1]), np.float64), T.DOUBLE)
    f.output(f.constant(np.array([True, False]), bool), T.BOOL)


@form(kind=T.FLOAT16)
def half_precision_by_casts(f):
    x = f.node("Cast", "x", to=T.FLOAT)
    y = f.node("Relu", f.node("Conv", x, f.weights(8, 3, 3, 3), f.weights(8), pads=[1, 1, 1, 1]))
    y = f.node("Gemm", f.node("Flatten", y), f.weights(5, 512), transB=1)
    f.output(f.node("Cast", y, to=T.FLOAT16), T.FLOAT16)
    f.output(f.node("ArgMax", y, axis=1), T.INT64)


@form(kind=T.FLOAT16)
def half_precision_throughout(f):
    half = lambda *shape: f.constant(f.random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 4), np.float16)
    y = f.node("Relu", f.node("Conv", "x", half(8, 3, 3, 3), half(8), pads=[1, 1, 1, 1]))
    y = f.node("Gemm", f.node("Flatten", f.node("GlobalAveragePool", y)), half(5, 8), half(5), transB=1)
    f.output(y, T.FLOAT16)
    f.output(f.node("Identity", "x"), T.FLOAT16)


@form(kind=T.DOUBLE)
def double_precision_by_casts(f):
    x = f.node("Cast", "x", to=T.FLOAT)
    y = f.node("Relu", f.node("Conv", x, f.weights(8, 3, 3, 3), f.weights(8), pads=[1, 1, 1, 1]))
    f.output(f.node("Cast", y, to=T.DOUBLE), T.DOUBLE)


@form()
def functions_with_biases(f):
    y = f.tokens()
    for name in ["BiasGelu", "FastGelu"]:
        y = f.node(name, f.node("MatMul", y, f.weights(8, 8)), f.weights(8), domain=MICROSOFT)
    y = f.node("QuickGelu", f.node("Gelu", y, domain=MICROSOFT), domain=MICROSOFT)
    f.output(f.head(y))


@form()
def sums_normalised(f):
    x = f.tokens()
    y = f.node("FusedMatMul", x, f.weights(8, 8), domain=MICROSOFT, transB=1, alpha=0.5)
    y, _, _, s = f.node("SkipLayerNormalization", y, x, f.weights(8), f.weights(8), f.weights(8), domain=MICROSOFT, outputs=4)
    y = f.node("SkipSimplifiedLayerNormalization", y, s, f.weights(8), domain=MICROSOFT)
    y = f.node("SimplifiedLayerNormalization", y, f.weights(8), axis=-1)
    f.output(f.head(y))


@form()
def layers_joined_with_activations(f):
    y = f.node("FusedConv", "x", f.weights(8, 3, 3, 3), f.weights(8), domain=MICROSOFT, pads=[1, 1, 1, 1], activation="LeakyRelu", activation_params=[0.1])
    z = f.node("FusedConv", y, f.weights(8, 8, 1, 1), f.weights(8), y, domain=MICROSOFT, activation="Relu")
    z = f.node("FusedConv", z, f.weights(8, 8, 1, 1), domain=MICROSOFT, activation="Clip", activation_params=[0.0, 6.0])
    z = f.node("FusedGemm", f.node("Flatten", z), f.weights(512, 5), f.weights(5), domain=MICROSOFT, activation="Sigmoid")
    f.output(z)


@form()
def attention_of_one_weight(f):
    y = f.node("Attention", f.tokens(), f.weights(8, 24), f.weights(24), domain=MICROSOFT, num_heads=2)
    y = f.node("Attention", y, f.weights(8, 24), f.weights(24), domain=MICROSOFT, num_heads=2, unidirectional=1)
    f.output(f.head(y))


@form()
def attention_of_three_parts(f):
    x = f.tokens()
    q, k, v = (f.node("MatMul", x, f.weights(8, 8)) for _ in range(3))
    bias = f.constant(np.random.default_rng(4).standard_normal((1, 2, 16, 16)))
    y = f.node("MultiHeadAttention", q, k, v, f.weights(24), "", bias, domain=MICROSOFT, num_heads=2)
    f.output(f.head(y))


@form(21)
def weights_in_blocks(f):
    r = np.random.default_rng(6)
    x = f.tokens()
    q = f.constant(r.integers(-127, 128, (8, 8)), np.int8)
    s = f.constant(r.uniform(0.001, 0.01, (2, 8)))
    y = f.node("MatMul", x, f.node("DequantizeLinear", q, s, axis=0, block_size=4))
    f.output(f.head(y))


@form()
def weights_in_blocks_of_four_bits(f):
    r = np.random.default_rng(7)
    x = f.node("Reshape", f.features(8), f.ints(0, 16, 32))
    b = f.constant(r.integers(0, 256, (8, 2, 8)), np.uint8)
    y = f.node("MatMulNBits", x, b, f.constant(r.uniform(0.02, 0.1, (16))), domain=MICROSOFT, K=32, N=8, bits=4, block_size=16)
    f.output(f.head(y))


@form(11)
def normalised_over_channels(f):
    y = f.node("LRN", f.features(), size=5, alpha=0.5, beta=0.75, bias=1.0)
    y = f.node("LpNormalization", y, axis=1, p=2)
    f.output(f.node("Conv", f.node("LpNormalization", y, axis=1, p=1), f.weights(5, 8, 1, 1)))


@form()
def counted_elements(f):
    """paddle2onnx flattens by a product of extents, Keras counts by Size."""
    y = f.features()
    shape = f.node("Shape", y)
    count = f.node("ReduceProd", f.node("Slice", shape, f.ints(1), f.ints(4)), keepdims=1)
    y = f.node("Reshape", y, f.node("Concat", f.node("Slice", shape, f.ints(0), f.ints(1)), count, axis=0))
    rows = f.node("Unsqueeze", f.node("Div", f.node("Size", y), f.constant(512, np.int64)), f.ints(0))
    y = f.node("Reshape", y, f.node("Concat", rows, f.ints(512), axis=0))
    f.output(f.node("Gemm", y, f.weights(5, 512), transB=1))


@form()
def least_and_rest(f):
    y = f.node("Reshape", f.features(), f.ints(0, 8, 64))
    at = f.node("ArgMin", f.node("Add", y, f.weights(8, 64)), axis=2)
    f.output(at, T.INT64)
    f.output(f.node("Cast", f.node("Mod", at, f.constant(8, np.int64)), to=T.INT32), T.INT32)
    f.output(f.node("Mod", y, f.constant(0.7), fmod=1))


@form()
def channels_last_inside(f):
    """tf2onnx: an image with channels last between Transposes, padding of its own, INT32 shapes."""
    y = f.node("Transpose", f.features(), perm=[0, 2, 3, 1])
    y = f.node("Pad", y, f.ints(0, 0, 0, 0, 0, 1, 1, 0), f.constant(0.0))
    y = f.node("Conv", f.node("Transpose", y, perm=[0, 3, 1, 2]), f.weights(8, 8, 3, 3), strides=[2, 2])
    y = f.node("Transpose", f.node("Mul", y, f.node("Sigmoid", y)), perm=[0, 2, 3, 1])
    shape = f.node("Cast", f.node("Shape", y), to=T.INT32)
    n = f.node("Squeeze", f.node("Slice", shape, f.ints(0), f.ints(1)), f.ints(0))
    parts = [f.node("Unsqueeze", v, f.ints(0)) for v in (n, f.constant(-1, np.int32), f.constant(8, np.int32))]
    to = f.node("Cast", f.node("Concat", *parts, axis=0), to=T.INT64)
    y = f.node("Reshape", y, to)
    y = f.node("BatchNormalization", f.node("Transpose", y, perm=[0, 2, 1]), *[f.constant(np.full(8, v)) for v in (1.5, 0.2, 0.1, 0.9)])
    f.output(f.node("Squeeze", f.node("ReduceMean", y, axes=[2], keepdims=1), f.ints(2)))


@form()
def squeezed_and_excited(f):
    """keras: excitation by Reshape of constants and of a Shape, HardSigmoid by clipping."""
    y = f.features()
    pool = f.node("GlobalAveragePool", y)
    flat = f.node("Reshape", pool, f.node("Concat", f.batch(), f.ints(8), axis=0))
    gate = f.node("Relu", f.node("MatMul", flat, f.weights(8, 4)))
    gate = f.node("Add", f.node("MatMul", gate, f.weights(4, 8)), f.weights(8))
    gate = f.node("Clip", f.node("Add", f.node("Mul", gate, f.constant(0.2)), f.constant(0.5)), f.constant(0.0), f.constant(1.0))
    gate = f.node("Reshape", gate, f.node("Concat", f.batch(), f.ints(8, 1, 1), axis=0))
    f.output(f.node("Conv", f.node("Mul", y, gate), f.weights(5, 8, 1, 1)))


@form(18)
def dynamo_of_pytorch(f):
    """torch.onnx.export(dynamo=True): Shape with limits, Expand of masks, ReduceMean with axes as inputs, Pow by an integer."""
    x = f.tokens()
    n = f.node("Shape", "x", start=0, end=1)
    seen = f.node("Expand", f.constant(np.tril(np.ones((16, 16), bool)), bool), f.node("Concat", n, f.ints(16, 16), axis=0))
    scores = f.node("Div", f.node("MatMul", x, f.node("Transpose", x, perm=[0, 2, 1])), f.constant(2.8284))
    scores = f.node("Where", seen, scores, f.constant(-np.inf))
    y = f.node("MatMul", f.node("Softmax", scores, axis=-1), x)
    mean = f.node("ReduceMean", f.node("Pow", y, f.constant(2, np.int64)), f.ints(-1), keepdims=1)
    y = f.node("Mul", y, f.node("Reciprocal", f.node("Sqrt", f.node("Add", mean, f.constant(1e-6)))))
    left, right = f.node("Split", f.node("Mul", y, f.weights(8)), axis=-1, num_outputs=2, outputs=2)
    y = f.node("Concat", f.node("Neg", right), left, axis=-1)
    f.output(f.head(y))


@form(18)
def positions_from_a_range(f):
    """Positions of tokens by Range over a Shape, looked up in a table; a window by Slice with steps below zero."""
    x = f.tokens()
    length = f.node("Squeeze", f.node("Shape", x, start=1, end=2), f.ints(0))
    positions = f.node("Range", f.constant(0, np.int64), length, f.constant(1, np.int64))
    y = f.node("Add", x, f.node("Gather", f.weights(32, 8), positions, axis=0))
    y = f.node("Slice", y, f.ints(-1), f.ints(-(1 << 62)), f.ints(1), f.ints(-1))
    angles = f.node("MatMul", f.node("Unsqueeze", f.node("Cast", positions, to=T.FLOAT), f.ints(1)), f.weights(1, 8))
    y = f.node("Add", f.node("Mul", y, f.node("Cos", angles)), f.node("Mul", y, f.node("Sin", angles)))
    f.output(f.head(y))


@form(9)
def mxnet_of_old(f):
    """mxnet: parameters as constants of a graph, Flatten and Gemm, activations by Max and Min, BatchNormalization of fixed scales, Upsample."""
    y = f.node("BatchNormalization", "x", *[f.constant(np.full(3, v)) for v in (1.0, 0.0, 0.4, 0.1)], epsilon=2e-5, momentum=0.9)
    y = f.node("PRelu", f.node("Conv", y, f.weights(8, 3, 3, 3), pads=[1, 1, 1, 1]), f.constant(np.full((8, 1, 1), 0.25)))
    y = f.node("Upsample", f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), f.constant([1, 1, 2, 2]), mode="nearest")
    y = f.node("Min", f.node("Max", y, f.constant(0.0)), f.constant(6.0))
    y = f.node("Dropout", f.node("Flatten", f.node("Sum", y, y, y)), ratio=0.5)
    y = f.node("Gemm", y, f.weights(5, 512), f.weights(5), transB=1, alpha=1.0, beta=1.0)
    f.output(f.node("Softmax", f.node("Identity", y), axis=1))


@form()
def boxes_decoded(f):
    """A detector's tail: grids as constants, exponentials of sizes, scores by a product, the best class and its score."""
    y = f.node("Conv", f.features(), f.weights(9, 8, 1, 1), f.weights(9))
    y = f.node("Transpose", f.node("Reshape", y, f.ints(0, 9, 64)), perm=[0, 2, 1])
    grid = f.constant(np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(1, 64, 2))
    centre, size, score, classes = f.node("Split", y, f.ints(2, 2, 1, 4), axis=2, outputs=4)
    centre = f.node("Mul", f.node("Add", f.node("Sigmoid", centre), grid), f.constant(8.0))
    half = f.node("Div", f.node("Mul", f.node("Exp", size), f.constant([[10.0, 20.0]])), f.constant(2.0))
    f.output(f.node("Concat", f.node("Sub", centre, half), f.node("Add", centre, half), axis=2))
    joint = f.node("Mul", f.node("Sigmoid", score), f.node("Sigmoid", classes))
    f.output(f.node("ReduceMax", joint, axes=[2], keepdims=0))
    f.output(f.node("Cast", f.node("ArgMax", joint, axis=2, keepdims=0), to=T.INT32), T.INT32)
    f.output(f.node("Greater", f.node("ReduceMax", joint, axes=[2], keepdims=0), f.constant(0.25)), T.BOOL)


@form()
def whitened_inside(f):
    """Preprocessing inside the network: channels turned around, mean and deviation, of pixels."""
    y = f.node("Gather", "x", f.ints(2, 1, 0), axis=1)
    y = f.node("Div", f.node("Sub", y, f.constant(np.array([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))), f.constant(np.array([0.2, 0.3, 0.25]).reshape(3, 1, 1)))
    y = f.node("Concat", *f.node("Split", y, axis=1, outputs=3), axis=1)
    y = f.node("Relu", f.node("Conv", y, f.weights(8, 3, 3, 3), auto_pad="SAME_UPPER"))
    y = f.node("Mul", y, f.node("HardSigmoid", y, alpha=1 / 6, beta=0.5))
    f.output(f.node("Reshape", f.node("ReduceSum", y, f.ints(2, 3), keepdims=1), f.ints(-1, 8)))


@form()
def recurrent_of_pixels(f):
    """PaddleOCR's neck: columns as steps."""
    y = f.node("Transpose", f.node("Squeeze", f.node("MaxPool", f.features(), kernel_shape=[8, 1]), f.ints(2)), perm=[0, 2, 1])
    y = f.node("MatMul", y, f.weights(8, 24))
    y = f.node("Reshape", y, f.node("Concat", f.batch(), f.ints(-1, 3, 2, 4), axis=0))
    y = f.node("Transpose", y, perm=[2, 0, 3, 1, 4])
    q, k, v = (f.node("Gather", y, f.constant(i, np.int64), axis=0) for i in range(3))
    scores = f.node("MatMul", f.node("Mul", q, f.constant(0.5)), f.node("Transpose", k, perm=[0, 1, 3, 2]))
    y = f.node("Transpose", f.node("MatMul", f.node("Softmax", scores, axis=3), v), perm=[0, 2, 1, 3])
    f.output(f.node("Softmax", f.node("Add", f.node("MatMul", f.node("Reshape", y, f.ints(0, -1, 8)), f.weights(8, 6)), f.weights(6)), axis=2))


def run(path, x):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # As the file says: the optimizer may join what is looked at here.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kind = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(session.get_inputs()[0].type, F)
    interface = [(v.name, v.type) for v in [*session.get_inputs(), *session.get_outputs()]]
    return session.run(None, {"x": x.astype(kind)}), interface


def check(name, folder, arguments):
    f = FORMS[name]()
    path = folder / f"{name}.onnx"
    f.save(path)
    x = np.random.default_rng(1).uniform(0, 1, (2, 3, 8, 8)).astype(F)
    if f.kind == T.FLOAT16:
        x = x.astype(np.float16).astype(F)
    expected, interface = run(path, x)
    # Outputs that nothing computes are not run.
    inputs = {t.name for t in f.constants} | {"x"}
    made = {n.output[0]: n for n in f.nodes}

    def passes(output):
        while output in made and made[output].op_type in ("Identity", "Neg") and made[output].input[0] in inputs | set(made):
            output = made[output].input[0]
        return output in inputs

    computed = [e for e, (output, _) in zip(expected, f.outputs) if not passes(output)]
    x.tofile(folder / "in.bin")
    program = [str(arguments.run_float), str(path), str(folder / "in.bin"), str(folder / "out.bin"), "2"]
    done = subprocess.run(program, capture_output=True, text=True)
    if done.returncode:
        return f"not read: {done.stderr.strip()}"
    found = np.fromfile(folder / "out.bin", F)
    wanted = np.concatenate([np.asarray(e, np.float64).ravel() for e in computed])
    if found.shape != wanted.shape:
        return f"{found.size} values, {wanted.size} expected"
    error = np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)) if wanted.size else 0.0
    if not error <= (2e-3 if f.kind == T.FLOAT16 else TOLERANCE):
        return f"differs by {error:.2g}"
    images = folder / "images.npz"
    np.savez(images, images=np.random.default_rng(2).integers(0, 256, (24, 8, 8, 3)).astype(np.uint8), labels=np.zeros(24, np.int64))
    out = folder / f"run_{name}"
    program = [str(arguments.quantrain), "quantize", "--model", str(path), "--data", str(images), "--out", str(out), "--quiet"]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "ORT_DYLIB_PATH": str(RUNTIME)})
    if done.returncode:
        return f"not quantized: {done.stderr.strip()}"
    exported, kept = run(out / "export" / "model.qdq.onnx", x)
    if kept != interface:
        return f"{kept} exported, {interface} expected"
    for (output, _), before, after in zip(f.outputs, expected, exported):
        if before.shape != after.shape or before.dtype != after.dtype:
            return f"output {output} is {after.dtype} {after.shape}, {before.dtype} {before.shape} expected"
        if passes(output) and not np.array_equal(before, after):
            return f"output {output} is no longer what it was"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only")
    parser.add_argument("--quantrain", type=Path, default=ROOT / "target" / "release" / "quantrain")
    parser.add_argument("--run-float", type=Path, default=ROOT / "target" / "release" / "examples" / "run_float")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        names = [name for name in FORMS if arguments.only in (None, name)]
        for name in names:
            problem = check(name, Path(folder), arguments)
            failed += problem is not None
            print(f"{'WRONG' if problem else 'right'}  {name}{': ' + problem if problem else ''}", flush=True)
    print(f"{len(names) - failed} of {len(names)} right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
