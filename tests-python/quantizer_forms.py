"""Small quantized networks in the forms that other tools write, as files: `quantrain verify` must run each as ONNX Runtime does.

Weights have 7 bits, so that no sum saturates without VNNI. The cross-check runs them (section forms); `python quantizer_forms.py FOLDER` writes them.
"""

import random
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
SIZE = 8


class Form:
    """A network of quantizers: input [N, 3, 8, 8], a convolution, what stands between pairs, a classifier of ten."""

    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.random = np.random.default_rng(len(name))
        self.constants, self.nodes, self.domain = [], [], ""

    def constant(self, name, values, kind=None):
        values = np.asarray(values)
        if kind:
            stored = helper.make_tensor(name, kind, values.shape, values.flatten().tolist())
        else:
            stored = numpy_helper.from_array(values, name)
        self.constants.append(stored)
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{output}_{op}", **attributes))
        return output

    def numbers(self, name, scale, zero, kind):
        scale = self.constant(f"{name}_scale", np.asarray(scale, np.float32))
        return scale, self.constant(f"{name}_zero", zero, kind)

    def pair(self, x, name, scale, zero=0, kind=TensorProto.UINT8, limits=None, **attributes):
        """QuantizeLinear, with limits a Clip on codes, DequantizeLinear."""
        numbers = self.numbers(name, scale, zero, kind)
        domain = {"domain": self.domain} if self.domain else {}
        codes = self.node("QuantizeLinear", [x, *numbers], f"{name}_codes", **domain, **attributes)
        if limits:
            low, high = (self.constant(f"{name}_{what}", limit, kind) for what, limit in zip(["low", "high"], limits))
            codes = self.node("Clip", [codes, low, high], f"{name}_clipped")
        return self.node("DequantizeLinear", [codes, *numbers], f"{name}_real", **domain, **attributes)

    def codes(self, *shape, limit=63):
        return self.random.integers(-limit, limit + 1, shape)

    def weights(self, name, shape, by_channel=True, kind=TensorProto.INT8, limit=63, axis=0):
        """DequantizeLinear of stored integers; returns its output and the scales."""
        scales = self.random.uniform(0.004, 0.02, shape[axis] if by_channel else ()).astype(np.float32)
        numbers = self.numbers(name, scales, np.zeros(scales.shape, int), kind)
        stored = self.constant(f"{name}_codes", self.codes(*shape, limit=limit), kind)
        domain = {"domain": self.domain} if self.domain else {}
        attributes = {"axis": axis} if by_channel else {}
        return self.node("DequantizeLinear", [stored, *numbers], f"{name}_real", **domain, **attributes), scales

    def rounded_weights(self, name, shape):
        """Float weights through a pair: they are trained, or their tool leaves folding to the runtime."""
        scales = self.random.uniform(0.004, 0.02, shape[0]).astype(np.float32)
        stored = self.constant(name, (self.codes(*shape) * scales.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32))
        return self.pair(stored, f"{name}_pair", scales, np.zeros(shape[0], int), TensorProto.INT8, axis=0), scales

    def bias(self, name, x_scale, scales, count):
        """A DequantizeLinear of 32-bit integers on the scale of the sums."""
        scale = np.asarray(np.float32(x_scale) * scales, np.float32)
        stored = self.constant(f"{name}_codes", self.random.integers(-2000, 2000, count), TensorProto.INT32)
        attributes = {"axis": 0} if scale.ndim else {}
        numbers = self.numbers(name, scale, np.zeros(scale.shape, int), TensorProto.INT32)
        return self.node("DequantizeLinear", [stored, *numbers], f"{name}_real", **attributes)

    def head(self, x, scale=0.05, **pair):
        """Mean of the image and a product with ten columns."""
        x = self.pair(self.node("GlobalAveragePool", [x], "mean"), "mean_pair", scale, **pair)
        x = self.node("Flatten", [x], "row")
        weights, _ = self.weights("classifier", (10, 8), by_channel=False)
        x = self.node("Gemm", [x, weights], "logits", transB=1)
        return self.pair(x, "logits_pair", 0.02, 128 if pair.get("kind", TensorProto.UINT8) == TensorProto.UINT8 else 0, pair.get("kind", TensorProto.UINT8))

    def model(self, output):
        info = helper.make_tensor_value_info
        value = info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        graph = helper.make_graph(self.nodes, "g", [value], [info(output, TensorProto.FLOAT, ["N", 10])], self.constants)
        imports = [helper.make_opsetid("", self.opset), *([helper.make_opsetid(self.domain, 1)] if self.domain else [])]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)


def convolution(form, x, weights, *bias):
    return form.node("Conv", [x, weights, *bias], "sums", pads=[1] * 4)


def static(name, kind=TensorProto.UINT8, zero=128, by_channel=True):
    """ONNX Runtime's quantize_static; NNCF writes the same with all types, AIMET and torchao with INT8 alone."""
    form = Form(name)
    x = form.pair("x", "x_pair", 1 / 64, zero, kind)
    weights, scales = form.weights("w", (8, 3, 3, 3), by_channel)
    x = convolution(form, x, weights, form.bias("b", 1 / 64, scales, 8))
    x = form.pair(x, "sums_pair", 1 / 32, 0 if kind == TensorProto.UINT8 else -128, kind)
    return form.model(form.head(x, kind=kind))


def float_weights():
    """AIMET, and PyTorch after quantization-aware training: float weights through a pair, the product's behind a Transpose."""
    form = Form("float weights through a pair")
    x = form.pair("x", "x_pair", 1 / 64, 0, TensorProto.INT8)
    weights, _ = form.rounded_weights("w", (8, 3, 3, 3))
    x = form.pair(form.node("Relu", [convolution(form, x, weights)], "relu"), "relu_pair", 1 / 32, -128, TensorProto.INT8)
    x = form.pair(form.node("GlobalAveragePool", [x], "mean"), "mean_pair", 0.05, -128, TensorProto.INT8)
    weights, _ = form.rounded_weights("classifier", (10, 8))
    x = form.node("MatMul", [form.node("Flatten", [x], "row"), form.node("Transpose", [weights], "turned", perm=[1, 0])], "logits")
    return form.model(form.pair(x, "logits_pair", 0.02, 0, TensorProto.INT8))


def brevitas():
    """QCDQ: fewer bits by a Clip on codes, of activations and of stored weights."""
    form = Form("Clip on codes")
    x = form.pair("x", "x_pair", 1 / 8, 0, TensorProto.INT8, limits=(-8, 7))
    # Float sums are exact, as ONNX Runtime has no integer kernel for clipped codes.
    numbers = form.numbers("w", 1 / 16, 0, TensorProto.INT8)
    stored = form.constant("w_codes", form.codes(8, 3, 3, 3, limit=12), TensorProto.INT8)
    low, high = (form.constant(f"w_{what}", limit, TensorProto.INT8) for what, limit in [("low", -7), ("high", 7)])
    clipped = form.node("Clip", [stored, low, high], "w_clipped")
    x = convolution(form, x, form.node("DequantizeLinear", [clipped, *numbers], "w_real"))
    x = form.pair(form.node("Relu", [x], "relu"), "relu_pair", 0.25, 0, limits=(0, 15))
    return form.model(form.head(x))


def unsorted():
    """AMD Quark's XINT8: powers of two, and nodes in any order."""
    model = static("nodes in any order")
    nodes = list(model.graph.node)
    random.Random(0).shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def contributed(name, activations, weights, limit):
    """quantize_static with types that ONNX has since operator set 21 only, or with UseQDQContribOps: ONNX Runtime's own pair."""
    form = Form(name)
    form.domain = MICROSOFT
    zero = 32768 if activations == TensorProto.UINT16 else 128
    x = form.pair("x", "x_pair", 1 / 64, zero, activations)
    w, _ = form.weights("w", (8, 3, 3, 3), by_channel=False, kind=weights, limit=limit)
    x = form.pair(convolution(form, x, w), "sums_pair", 1 / 32, 0, activations)
    return form.model(form.head(x))


def scales_of_channels():
    """NNCF before depthwise convolutions: a scale for each channel of the activation."""
    form = Form("activations with scales of channels")
    x = form.pair("x", "x_pair", 1 / 64, 128)
    weights, _ = form.weights("w", (8, 3, 3, 3))
    scales = np.linspace(0.01, 0.08, 8, dtype=np.float32)
    # With a Conv directly before or behind it, ONNX Runtime 1.32's default session makes an operator of the pair that it then refuses to run.
    x = form.node("Sigmoid", [convolution(form, x, weights)], "sigmoid")
    x = form.node("Neg", [form.pair(x, "sums_pair", scales, np.full(8, 100), axis=1)], "negative")
    weights, _ = form.weights("depthwise", (8, 1, 3, 3))
    x = form.node("Conv", [x, weights], "depthwise_sums", pads=[1] * 4, group=8)
    return form.model(form.head(form.pair(x, "depthwise_pair", 1 / 32, 128)))


def on_codes(name, operators, zero=True):
    """Operators on the codes between QuantizeLinear and DequantizeLinear; the numbers may have no zero point."""
    form = Form(name)
    x = form.pair("x", "x_pair", 1 / 64, 128)
    weights, _ = form.weights("w", (8, 3, 3, 3))
    numbers = form.numbers("sums", 1 / 32, 0, TensorProto.INT8) if zero else [form.constant("sums_scale", np.float32(1 / 32))]
    codes = form.node("QuantizeLinear", [convolution(form, x, weights), *numbers], "codes")
    for at, (op, limit, attributes) in enumerate(operators):
        limits = [] if limit is None else [form.constant(f"limit{at}", limit, TensorProto.INT8)]
        codes = form.node(op, [codes, *limits], f"codes{at}", **attributes)
    return form.model(form.head(form.node("DequantizeLinear", [codes, *numbers], "sums_real")))


BETWEEN = {
    "Relu": lambda f, x: f.node("Relu", [x], "between"),
    "Clip of codes' values": lambda f, x: f.node("Clip", [x, f.constant("low", np.float32(0)), f.constant("high", np.float32(1.5))], "between"),
    "Clip between codes": lambda f, x: f.node("Clip", [x, f.constant("low", np.float32(-0.33)), f.constant("high", np.float32(1.51))], "between"),
    "Min": lambda f, x: f.node("Min", [x, f.constant("limit", np.float32(1.25))], "between"),
    "Max": lambda f, x: f.node("Max", [x, f.constant("limit", np.float32(-0.5))], "between"),
    "LeakyRelu": lambda f, x: f.node("LeakyRelu", [x], "between", alpha=0.25),
    "MaxPool": lambda f, x: f.node("MaxPool", [x], "between", kernel_shape=[2, 2], strides=[2, 2]),
    "Identity": lambda f, x: f.node("Identity", [x], "between"),
    "Transpose": lambda f, x: f.node("Transpose", [x], "between", perm=[0, 1, 3, 2]),
    "Neg": lambda f, x: f.node("Neg", [x], "between"),
}


def between_pairs(op, kind, zero):
    """An operator between two pairs of the same scale and zero point."""
    form = Form(f"{op} between pairs of {TensorProto.DataType.Name(kind)}, zero point {zero}")
    x = form.pair("x", "x_pair", 1 / 64, zero, kind)
    weights, _ = form.weights("w", (8, 3, 3, 3))
    x = form.pair(convolution(form, x, weights), "sums_pair", 1 / 32, zero, kind)
    x = form.pair(BETWEEN[op](form, x), "between_pair", 1 / 32, zero, kind)
    return form.name, form.model(form.head(x, kind=kind))


def forms():
    """Every form, by name."""
    four = contributed("ONNX Runtime's pair, weights of 4 bits", TensorProto.UINT8, TensorProto.INT4, 7)
    sixteen = contributed("ONNX Runtime's pair, activations of 16 bits", TensorProto.UINT16, TensorProto.INT8, 63)
    named = {
        "UINT8 and scales of channels": static("uint8"),
        "INT8 and one scale": static("int8", TensorProto.INT8, 0, by_channel=False),
        "float weights through a pair": float_weights(),
        "Clip on codes": brevitas(),
        "nodes in any order": unsorted(),
        "ONNX Runtime's pair, weights of 4 bits": four,
        "ONNX Runtime's pair, activations of 16 bits": sixteen,
        "activations with scales of channels": scales_of_channels(),
        "Relu on codes": on_codes("relu", [("Relu", None, {})]),
        "Min and Max on codes": on_codes("extremes", [("Min", 7, {}), ("Max", -7, {})]),
        "MaxPool of codes without a zero point": on_codes("pool", [("MaxPool", None, {"kernel_shape": [2, 2]})], zero=False),
    }
    types = [(TensorProto.UINT8, 0), (TensorProto.UINT8, 128), (TensorProto.INT8, 0), (TensorProto.INT8, -20)]
    return named | dict(between_pairs(op, kind, zero) for op in BETWEEN for kind, zero in types)


QONNX = "qonnx.custom_op.general"
# How qonnx 1.0.0 rounds, in ONNX's operators, of a value that is clamped already.
ROUNDINGS = {
    "ROUND": lambda f, t: f.step("Round", t),
    "CEIL": lambda f, t: f.step("Ceil", t),
    "FLOOR": lambda f, t: f.step("Floor", t),
    "UP": lambda f, t: f.away(t, "Ceil", 0),
    "DOWN": lambda f, t: f.away(t, "Floor", 0),
    "HALF_UP": lambda f, t: f.away(t, "Floor", 0.5),
    "HALF_DOWN": lambda f, t: f.away(t, "Ceil", -0.5),
}


class Quant(Form):
    """A network of Quant, or of the same in ONNX's own operators."""

    def __init__(self, name, in_onnx):
        super().__init__(name)
        self.in_onnx, self.domain = in_onnx, "" if in_onnx else QONNX

    def step(self, op, *inputs):
        return self.node(op, list(inputs), f"step{len(self.nodes)}")

    def away(self, t, op, half):
        size = self.step("Add", self.step("Abs", t), self.constant(f"half{len(self.nodes)}", np.float32(half)))
        return self.step("Mul", self.step("Sign", t), self.step(op, size))

    def quant(self, x, name, scale, zero, bits, signed, narrow, mode):
        values = {"scale": scale, "zero": zero, "bits": bits}
        number = {what: self.constant(f"{name}_{what}", np.asarray(value, np.float32)) for what, value in values.items()}
        if not self.in_onnx:
            attributes = dict(signed=signed, narrow=narrow, rounding_mode=mode, domain=QONNX)
            return self.node("Quant", [x, *number.values()], name, **attributes)
        limits = [narrow - 2 ** (bits - 1), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1 - narrow]
        limits = [self.constant(f"{name}_{what}", np.float32(limit)) for what, limit in zip(["low", "high"], limits)]
        t = self.step("Add", self.step("Div", x, number["scale"]), number["zero"])
        t = ROUNDINGS[mode](self, self.step("Clip", t, *limits))
        return self.node("Mul", [self.step("Sub", t, number["zero"]), number["scale"]], name)


def quants():
    """Networks of Quant, each beside the same in ONNX's own operators."""
    for mode in ROUNDINGS:
        for zero, signed, by_channel in [(0, 0, False), (0, 1, False), (4, 1, False), (3, 0, False), (0, 0, True)]:
            yield f"Quant, {mode}, zero point {zero}{', signed' * signed}{', by channel' * by_channel}", *(
                quant_network(mode, zero, signed, by_channel, in_onnx) for in_onnx in [False, True]
            )


def quant_network(mode, zero, signed, by_channel, in_onnx):
    form = Quant("quant", in_onnx)
    weights = form.constant("w", form.random.uniform(-1, 1, (8, 3, 3, 3)).astype(np.float32))
    powers = 2.0 ** form.random.integers(-1, 2, 8)
    x = form.quant("x", "x_quant", 1 / 8, 0, 8, 1, 0, "ROUND")
    x = convolution(form, x, form.quant(weights, "w_quant", powers.reshape(8, 1, 1, 1) / 8, 0, 4, 1, 1, mode))
    scale = powers.reshape(1, 8, 1, 1) / 4 if by_channel else 0.25
    x = form.quant(form.step("Relu", x), "relu_quant", scale, zero, 4, signed, 0, mode)
    x = form.step("Flatten", form.step("GlobalAveragePool", x))
    classifier = form.constant("classifier", form.random.uniform(-1, 1, (10, 8)).astype(np.float32))
    return form.model(form.node("Gemm", [x, classifier], "logits", transB=1))


def images(path):
    """Images for all of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), np.uint8)
    np.savez(path, images=pixels, labels=np.arange(12) % 10)
    np.savez(path.with_name("unlabelled.npz"), images=pixels)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    images(folder / "images.npz")
    for at, (name, model) in enumerate(forms().items()):
        onnx.save(model, folder / f"{at:02}.onnx")
        print(f"{at:02}.onnx: {name}")
