"""Small networks of one operator family each: every form an output of its own. The cross-check runs them."""

from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

IMAGE = [2, 4, 6, 6]

# What the built-in targets keep in float, and a user's own may list.
FLOAT_BY_DEFAULT = ["Exp", "Log", "Sqrt", "Reciprocal", "Pow", "Erf", "Sin", "Cos", "Floor", "Ceil", "Round", "Sign", "Softmax", "LogSoftmax", "ReduceL2", "ReduceProd"]


@dataclass
class Network:
    """A family: nodes grow, and each marked result is an output."""

    name: str
    opset: int
    shape: list = field(default_factory=lambda: list(IMAGE))
    low: float = -4.0
    high: float = 4.0
    fused: bool = True  # ONNX Runtime's default session runs the exported file
    nodes: list = field(default_factory=list)
    constants: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    known: list = field(default_factory=list)

    def constant(self, values, kind=np.float32):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def node(self, operator, *inputs, **attributes):
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def output(self, operator, *inputs, kind=TensorProto.FLOAT, **attributes):
        name = self.node(operator, *inputs, **attributes)
        self.outputs.append((name, kind))
        return name

    def model(self):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in self.outputs]
        graph = helper.make_graph(self.nodes, self.name, [x], outputs, self.constants, value_info=self.known)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8 if self.opset < 20 else 10)
        model = shape_inference.infer_shapes(model, strict_mode=True)
        checker.check_model(model)
        return model

    def input(self):
        return np.random.default_rng(7).uniform(self.low, self.high, self.shape).astype(np.float32)


def functions():
    """Functions of one tensor, one operator each."""
    net = Network("functions", 20)
    for operator in ["Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Mish", "Exp", "Neg", "Abs", "Erf", "Gelu", "Sin", "Cos", "Softsign", "ThresholdedRelu", "Shrink"]:
        net.output(operator, "x")
    for operator in ["Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid"]:
        net.output(operator, "x", alpha=0.3)
    net.output("Gelu", "x", approximate="tanh")
    net.output("Pow", "x", net.constant(2.0))
    net.output("Pow", "x", net.constant(3, np.int64))
    return [net, functions_above_zero(), steps()]


def functions_above_zero():
    net = Network("functions above zero", 13, low=0.5, high=4.0)
    for operator in ["Log", "Sqrt", "Reciprocal"]:
        net.output(operator, "x")
    for exponent in [0.5, -0.5, 1.7, -2.0]:
        net.output("Pow", "x", net.constant(exponent))
    return net


def steps():
    net = Network("steps", 13)
    for operator in ["Floor", "Ceil", "Round", "Sign"]:
        net.output(operator, "x")
    return net


def blocks():
    """Functions that exporters spell out."""
    nets = []
    for opset in [13, 20]:
        net = Network(f"functions spelled out, operator set {opset}", opset)
        three, six, sixth, zero = (net.constant(v) for v in [3.0, 6.0, 1 / 6, 0.0])
        half, one, root = (net.constant(v) for v in [0.5, 1.0, 2**0.5])
        net.output("Mul", "x", net.node("Sigmoid", "x"))
        clip = lambda: net.node("Clip", net.node("Add", "x", three), zero, six)
        net.output("Div", net.node("Mul", "x", clip()), six)
        net.output("Mul", "x", net.node("Mul", clip(), sixth))
        net.output("Mul", "x", net.node("HardSigmoid", "x", alpha=1 / 6, beta=0.5))
        net.output("Div", clip(), six)
        net.output("Mul", "x", net.node("Tanh", net.node("Softplus", "x")))
        gate = net.node("Add", net.node("Erf", net.node("Div", "x", root)), one)
        net.output("Mul", net.node("Mul", "x", gate), half)
        cube = net.node("Mul", net.node("Pow", "x", three), net.constant(0.044715))
        argument = net.node("Mul", net.node("Add", "x", cube), net.constant((2 / np.pi) ** 0.5))
        gate = net.node("Add", net.node("Tanh", argument), one)
        net.output("Mul", net.node("Mul", "x", half), gate)
        nets.append(net)
    return nets


def operands():
    """Operators of two tensors, with constants on either side."""
    net = Network("operands", 16, low=0.5, high=2.0)
    channels = net.constant(np.linspace(0.5, 1.5, 4).reshape(4, 1, 1))
    row = net.constant(np.linspace(0.7, 1.4, 6))
    other = net.node("Neg", net.node("Sigmoid", "x"))
    for operator in ["Add", "Sub", "Mul", "Div", "Min", "Max"]:
        net.output(operator, "x", other)
        net.output(operator, "x", channels)
        net.output(operator, row, "x")
    net.output("Pow", "x", channels)
    net.output("Pow", row, "x")
    net.output("PRelu", other, channels)
    net.output("PRelu", other, net.constant([0.2]))
    net.output("Max", "x", other, channels)
    net.output("Min", "x", row, channels)
    net.output("Sum", "x", other, channels)
    return [net]


def reductions():
    """Reductions over any axes but the batch, Softmax and ArgMax."""
    nets = []
    for opset in [11, 18]:
        net = Network(f"reductions, operator set {opset}", opset)
        for operator in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd"]:
            for axes, keepdims in [([1], 1), ([2, 3], 0), ([-1], 0), ([1, 2, 3], 1)]:
                by_input = opset >= 13
                inputs = [net.constant(axes, np.int64)] if by_input else []
                attributes = {} if by_input else {"axes": axes}
                net.output(operator, "x", *inputs, keepdims=keepdims, **attributes)
        for axis in [1, 2, -1]:
            net.output("Softmax", "x", axis=axis)
            net.output("LogSoftmax", "x", axis=axis)
        net.output("ArgMax", "x", axis=1, keepdims=0, kind=TensorProto.INT64)
        nets.append(net)
    return nets


def layouts():
    """Operators that move elements."""
    net = Network("layouts", 19)
    ints = lambda values: net.constant(values, np.int64)
    net.output("DepthToSpace", "x", blocksize=2)
    net.output("DepthToSpace", "x", blocksize=2, mode="CRD")
    net.output("SpaceToDepth", "x", blocksize=3)
    net.output("Gather", "x", ints([3, 0, -2]), axis=1)
    net.output("Gather", "x", ints(2), axis=-1)
    net.output("Gather", "x", ints([[0, 1], [5, 4]]), axis=2)
    net.output("Tile", "x", ints([1, 2, 1, 3]))
    net.output("Expand", net.node("Gather", "x", ints([1]), axis=1), ints([1, 5, 1, 6]))
    net.output("Slice", "x", ints([-1, 4]), ints([-9, 0]), ints([1, 3]), ints([-1, -2]))
    for mode in ["constant", "reflect", "edge", "wrap"]:
        net.output("Pad", "x", ints([0, 0, 1, 2, 0, 0, 3, 0]), mode=mode)
    net.output("Reshape", "x", ints([0, -1, 12]))
    net.output("Reshape", "x", ints([2, 4, 36]), allowzero=1)
    net.output("Flatten", "x", axis=-2)
    net.output("Transpose", "x", perm=[0, 3, 1, 2])
    net.output("Squeeze", net.node("Unsqueeze", "x", ints([1, -1])), ints([-1]))
    net.output("Cast", net.node("ArgMax", "x", axis=1), to=TensorProto.FLOAT)
    return [net]


def choices():
    """Truths of activations, choices by them, and limits that are computed."""
    net = Network("choices", 16)
    other, limit = net.node("Neg", net.node("Sigmoid", "x")), net.constant(0.3)
    truths = [net.node(operator, "x", limit) for operator in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"]]
    truths += [net.node(operator, truths[0], net.node("Less", "x", other)) for operator in ["And", "Or", "Xor"]]
    truths += [net.node("Not", truths[0]), net.node("IsNaN", "x"), net.node("IsInf", "x", detect_negative=0)]
    mask = net.constant(np.tri(6), bool)
    for truth in [*truths, mask]:
        net.output("Where", truth, "x", other)
    net.output("Softmax", net.node("Where", mask, "x", net.constant(-8.0)), axis=-1)
    net.output("Cast", net.node("And", truths[2], mask), to=TensorProto.FLOAT)
    top = net.node("ReduceMax", "x", keepdims=0)
    net.output("Clip", "x", net.node("Sub", top, net.constant(2.0)))
    net.output("Clip", "x", net.constant(-1.0), net.node("Mul", top, limit))
    return [net]


def joined_constants():
    """Constants among what is joined, along every axis and at every place."""
    net = Network("joined constants", 13)
    for axis, extents in [(1, [2, 3, 6, 6]), (2, [2, 4, 1, 6]), (-1, [2, 4, 6, 2])]:
        constant = net.constant(np.random.default_rng(axis + 9).normal(size=extents))
        net.output("Concat", constant, "x", axis=axis)
        net.output("Concat", "x", constant, "x", constant, axis=axis)
    return [net]


def pools():
    """Windows that hang over their input, padding that counts, dilations."""
    net = Network("pools", 19)
    for operator in ["AveragePool", "MaxPool"]:
        for kernel, stride, pad in [(3, 2, 0), (3, 2, 1), (4, 3, 0), (5, 2, 2)]:
            window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": 1}
            net.output(operator, "x", **window)
            if operator == "AveragePool":
                net.output(operator, "x", **window, count_include_pad=1)
        net.output(operator, "x", kernel_shape=[2, 3], dilations=[2, 1], pads=[0, 1, 0, 1])
    return [net]


def composed():
    """Operators that are read as several others."""
    net = Network("composed", 14, low=0.5, high=2.0)
    other = net.node("Neg", "x")
    net.output("Mean", "x", other, net.constant(0.5))
    for axes, keepdims in [([1], 1), ([2, 3], 0)]:
        for operator in ["ReduceL1", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"]:
            net.output(operator, "x", axes=axes, keepdims=keepdims)
    for upper, k in [(1, 0), (0, 0), (1, 2), (0, -1)]:
        net.output("Trilu", "x", net.constant(k, np.int64), upper=upper)
    weights, rows = net.constant(np.random.default_rng(5).normal(size=[4, 5])), net.constant(np.linspace(-1, 1, 6))
    net.output("Einsum", "x", weights, equation="nchw,cd->ndhw")
    net.output("Einsum", weights, "x", equation="cd,nchw->nhwd")
    net.output("Einsum", "x", other, equation="nchw,nchv->ncwv")
    net.output("Einsum", "x", other, equation="nchw,nchv->nvcw")
    net.output("Einsum", "x", other, equation="nchw,ndhw->ncd")
    net.output("Einsum", "x", rows, equation="nchw,w->nwch")
    net.output("Einsum", "x", equation="nchw->wn")
    return [net]


def recurrent():
    """Recurrent layers: every cell and direction, each result, starts and shorter sequences."""
    nets, random, hidden, width = [], np.random.default_rng(3), 5, 4
    for operator, gates in [("LSTM", 4), ("GRU", 3), ("RNN", 1)]:
        net = Network(operator, 14, [6, 3, width], low=-2.0, high=2.0)
        draw = lambda *shape: net.constant(random.normal(0, 0.4, shape))
        for direction, count in [("forward", 1), ("reverse", 1), ("bidirectional", 2)]:
            weights = [draw(count, gates * hidden, width), draw(count, gates * hidden, hidden), draw(count, 2 * gates * hidden)]
            attributes = {"hidden_size": hidden, "direction": direction}
            starts = [draw(count, 3, hidden) for _ in range(2 if operator == "LSTM" else 1)]
            net.output(operator, "x", *weights, **attributes)
            net.output(operator, "x", *weights, net.constant([6, 2, 4], np.int32), *starts, **attributes)
            states = [f"{operator}_{direction}_{i}" for i in range(3 if operator == "LSTM" else 2)]
            net.nodes.append(helper.make_node(operator, ["x", *weights], states, name=states[0], **attributes))
            net.outputs += [(name, TensorProto.FLOAT) for name in states]
            if operator == "GRU":
                net.output(operator, "x", *weights, linear_before_reset=1, **attributes)
        nets.append(net)
    return nets


NETWORKS = [*functions(), *blocks(), *operands(), *reductions(), *layouts(), *choices(), *joined_constants(), *pools(), *composed(), *recurrent()]
