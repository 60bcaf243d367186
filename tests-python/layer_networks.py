"""Small networks of layers: convolutions, pools, normalisations, products and what moves elements. The cross-check runs them."""

import numpy as np
from onnx import TensorProto, helper

from operator_networks import Network

SIGNAL = [2, 4, 12]


class Layers(Network):
    """A network with weights and nodes of several outputs."""

    def weights(self, *shape, low=-0.6, high=0.6):
        return self.constant(np.random.default_rng(len(self.constants)).uniform(low, high, shape))

    def parameters(self, channels):
        """γ, β, μ and σ² of a BatchNormalization."""
        return [self.weights(channels, low=low, high=high) for low, high in [(0.5, 1.5), (-0.5, 0.5), (-0.5, 0.5), (0.5, 2.0)]]

    def integers(self, *values):
        return self.constant(values, np.int64)

    def parts(self, operator, count, *inputs, **attributes):
        names = [f"{operator}{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        self.outputs += [(name, TensorProto.FLOAT) for name in names]


def transposed_convolutions():
    nets = []
    for opset in [7, 13, 22]:
        net = Layers(f"transposed convolutions, operator set {opset}", opset)
        dense, bias = net.weights(4, 3, 3, 3), net.weights(3)
        net.output("ConvTranspose", "x", net.weights(4, 3, 2, 2), bias, strides=[2, 2])
        net.output("ConvTranspose", "x", net.weights(4, 3, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
        net.output("ConvTranspose", "x", dense, bias, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
        net.output("ConvTranspose", "x", dense, pads=[0, 1, 2, 0], dilations=[1, 2])
        net.output("ConvTranspose", "x", net.weights(4, 3, 3, 2), group=2, strides=[3, 1])
        net.output("ConvTranspose", "x", net.weights(4, 1, 4, 4), group=4, strides=[2, 2], pads=[1, 1, 1, 1])
        net.output("ConvTranspose", "x", dense, strides=[2, 2], output_shape=[12, 12])
        net.output("ConvTranspose", "x", dense, strides=[2, 2], output_shape=[13, 14], output_padding=[0, 1])
        for auto_pad in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
            net.output("ConvTranspose", "x", dense, strides=[2, 2], auto_pad=auto_pad)
        net.output("ConvTranspose", "x", net.weights(4, 3, 1, 1), strides=[2, 2], auto_pad="SAME_UPPER")
        y = net.node("ConvTranspose", "x", net.weights(4, 5, 2, 2), strides=[2, 2])
        net.output("Relu", net.node("BatchNormalization", y, *net.parameters(5)))
        nets.append(net)
    return nets


def convolutions():
    net = Layers("convolutions and their padding", 13)
    dense = net.weights(5, 4, 3, 3)
    for auto_pad in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        net.output("Conv", "x", dense, strides=[2, 2], auto_pad=auto_pad)
        net.output("Conv", "x", net.weights(3, 4, 2, 4), auto_pad=auto_pad)
    net.output("Conv", "x", dense, pads=[0, 1, 2, 3], strides=[1, 2])
    net.output("Conv", "x", net.weights(8, 1, 3, 2), group=4, pads=[1, 1, 0, 0])
    return [net]


def signals():
    nets = []
    for opset in [8, 17]:
        net = Layers(f"signals, operator set {opset}", opset, shape=list(SIGNAL))
        y = net.node("Conv", "x", net.weights(6, 4, 3), net.weights(6), pads=[1, 1])
        y = net.node("BatchNormalization", y, *net.parameters(6))
        y = net.output("Relu", y)
        z = net.node("Conv", y, net.weights(6, 1, 3), group=6, auto_pad="SAME_UPPER")
        z = net.output("Add", z, y)
        net.output("ConvTranspose", z, net.weights(6, 2, 4), strides=[2], pads=[1, 1])
        net.output("MaxPool", z, kernel_shape=[3], strides=[2], pads=[1, 0])
        net.output("AveragePool", z, kernel_shape=[2], strides=[2])
        net.output("GlobalAveragePool", z)
        net.output("GlobalMaxPool", z)
        net.output("Transpose", z, perm=[0, 2, 1])
        net.output("InstanceNormalization", z, net.weights(6), net.weights(6))
        if opset >= 13:
            net.output("Resize", z, "", net.constant([1.0, 1.0, 1.5]), mode="linear")
        nets.append(net)
    return nets


def pools():
    net = Layers("pools", 19)
    for attributes in [
        dict(kernel_shape=[2, 2], strides=[2, 2]),
        dict(kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
        dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        dict(kernel_shape=[3, 3], strides=[2, 1], pads=[0, 1, 1, 0]),
        dict(kernel_shape=[2, 2], dilations=[2, 3]),
        dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        dict(kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
    ]:
        net.output("MaxPool", "x", **attributes)
        net.output("AveragePool", "x", **attributes)
        if "auto_pad" not in attributes:
            net.output("AveragePool", "x", count_include_pad=1, **attributes)
    net.output("GlobalMaxPool", "x")
    net.output("GlobalAveragePool", "x")
    return [net]


def normalisations():
    net = Layers("normalisations", 21)
    net.output("LayerNormalization", "x", net.weights(6), net.weights(6))
    net.output("LayerNormalization", "x", net.weights(4, 6, 6), axis=1, epsilon=0.01)
    net.output("LayerNormalization", net.node("Flatten", "x"), net.weights(144), net.weights(144))
    net.output("InstanceNormalization", "x", net.weights(4), net.weights(4), epsilon=0.01)
    group = net.node("GroupNormalization", "x", net.weights(4), net.weights(4), num_groups=2)
    # Shape inference of this operator is unfinished.
    net.output("Reshape", group, net.integers(2, 4, 6, 6))
    alone = Layers("batch normalisations that no block takes", 15)
    alone.output("Relu", alone.node("BatchNormalization", "x", *alone.parameters(4), epsilon=0.01))
    joined = alone.node("Concat", "x", alone.node("Sigmoid", "x"), axis=1)
    alone.output("BatchNormalization", joined, *alone.parameters(8))
    alone.output("BatchNormalization", alone.node("Add", "x", alone.node("Relu", "x")), *alone.parameters(4))
    older = Layers("normalisations of groups, operator set 18", 18)
    group = older.node("GroupNormalization", "x", older.weights(2), older.weights(2), num_groups=2)
    older.output("Reshape", group, older.integers(2, 4, 6, 6))
    return [net, alone, older]


def products():
    net = Layers("products", 13)
    turned = net.node("Transpose", "x", perm=[0, 1, 3, 2])
    net.output("MatMul", "x", turned)
    net.output("MatMul", "x", net.node("Slice", turned, net.integers(0), net.integers(1), net.integers(1)))
    net.output("MatMul", "x", net.weights(6, 5))
    net.output("MatMul", "x", net.weights(4, 6, 3))
    net.output("MatMul", net.weights(3, 6), "x")
    net.output("MatMul", "x", net.weights(6))
    rows = net.node("Reshape", "x", net.integers(0, -1, 6))
    net.output("MatMul", rows, net.node("Transpose", rows, perm=[0, 2, 1]))
    net.output("MatMul", rows, net.weights(6, 5))
    flat = net.node("Reshape", "x", net.integers(0, -1))
    square = net.node("MatMul", flat, net.node("Transpose", flat))
    weights = net.weights(144, 3)
    net.output("Gemm", flat, weights, net.weights(3))
    net.output("Gemm", flat, net.weights(3, 144), net.weights(1, 3), transB=1, alpha=0.5, beta=2.0)
    net.output("Gemm", flat, weights, net.constant(0.5))
    net.output("Gemm", flat, weights, net.weights(2, 1), beta=0.5)
    net.output("Gemm", flat, weights, alpha=-1.5)
    net.output("Gemm", square, net.weights(2, 3), transA=1)
    net.output("Gemm", flat, flat, square, transB=1, alpha=0.1, beta=0.2)
    net.output("Gemm", net.weights(2, 3), square, transA=1)
    return [net]


def resizes():
    nets = []
    modes = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]
    for opset in [11, 13, 19]:
        net = Layers(f"resizes, operator set {opset}", opset)
        roi = "" if opset >= 13 else net.constant(np.zeros(0))
        up, down = net.constant([1.0, 1.0, 2.0, 1.5]), net.constant([1.0, 1.0, 0.6, 0.5])
        own = {11: ["tf_half_pixel_for_nn"], 13: [], 19: ["half_pixel_symmetric"]}[opset]
        for coordinates in modes + own:
            named = dict(coordinate_transformation_mode=coordinates)
            for scales in [up, down]:
                if coordinates != "tf_half_pixel_for_nn":
                    net.output("Resize", "x", roi, scales, mode="linear", **named)
                    net.output("Resize", "x", roi, scales, mode="cubic", **named)
                others = ["round_prefer_ceil", "ceil"] if coordinates != "tf_half_pixel_for_nn" else []
                for nearest in ["round_prefer_floor", "floor", *others]:
                    net.output("Resize", "x", roi, scales, mode="nearest", nearest_mode=nearest, **named)
        sizes = net.integers(2, 4, 9, 11)
        empty = "" if opset >= 13 else net.constant(np.zeros(0))
        net.output("Resize", "x", roi, empty, sizes, mode="linear")
        net.output("Resize", "x", roi, empty, sizes, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)
        if opset >= 18:
            net.output("Resize", "x", "", "", net.integers(9, 10), mode="linear", axes=[2, 3])
            net.output("Resize", "x", "", net.constant([2.0]), mode="linear", axes=[-1])
            for policy in ["not_larger", "not_smaller"]:
                net.output("Resize", "x", "", "", net.integers(7, 9), mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
        nets.append(net)
    for opset in [7, 9]:
        net = Layers(f"upsamples, operator set {opset}", opset)
        for mode in ["nearest", "linear"]:
            # By two, a linear value is the middle of two codes, and any noise turns it.
            factors = [1.0, 1.0, 2.0, 3.0] if mode == "nearest" else [1.0, 1.0, 3.0, 3.0]
            if opset < 9:
                net.output("Upsample", "x", scales=factors, mode=mode)
            else:
                net.output("Upsample", "x", net.constant(factors), mode=mode)
        nets.append(net)
    net = Layers("resizes, operator set 10", 10)
    net.output("Resize", "x", net.constant([1.0, 1.0, 2.0, 2.0]), mode="nearest")
    net.output("Resize", "x", net.constant([1.0, 1.0, 3.0, 3.0]), mode="linear")
    return [*nets, net]


def moves():
    nets = []
    for opset in [8, 11, 13, 18, 23]:
        net = Layers(f"moves, operator set {opset}", opset)
        by_input = opset >= 13

        def with_axes(operator, x, *axes):
            """Axes are an attribute before operator set 13."""
            return net.output(operator, x, net.integers(*axes)) if by_input else net.output(operator, x, axes=list(axes))

        if by_input:
            net.parts("Split", 2, "x", net.integers(1, 3), axis=1)
            net.parts("Split", 3, "x", net.integers(1, 2, 3), axis=-1)
        else:
            net.parts("Split", 2, "x", split=[1, 3], axis=1)
        if opset < 18:
            net.parts("Split", 3, "x", axis=2)
        else:
            net.parts("Split", 3, "x", axis=2, num_outputs=3)
        wide = with_axes("Unsqueeze", "x", *([1, -1] if opset >= 11 else [1, 5]))
        with_axes("Squeeze", wide, *([-1] if opset >= 11 else [5]))
        net.output("Squeeze", wide)
        net.output("Transpose", "x")
        net.output("Transpose", "x", perm=[0, 2, 3, 1])
        dropout = net.node("Dropout", "x", net.constant(0.3), net.constant(False, bool)) if opset >= 12 else net.node("Dropout", "x", ratio=0.3)
        net.output("Relu", dropout)
        net.output("Flatten", "x", axis=2)
        nets.append(net)
    return nets


NETWORKS = [
    *transposed_convolutions(),
    *convolutions(),
    *signals(),
    *pools(),
    *normalisations(),
    *products(),
    *resizes(),
    *moves(),
]
