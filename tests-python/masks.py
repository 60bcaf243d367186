"""Masks, padding, truths and detector heads in the spellings of exporters: `python masks.py [name,…]`, quantized for `onnxruntime` and `tidl-pow2`.

Small networks of seeded weights. Each is quantized by `quantrain quantize` (QUANTRAIN, or the release build) and run in ONNX Runtime beside the
float file; its figure in dB must come near that of the same network without what the form is about. One line a finding; exit code 1 where one is
wrong.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

PROGRAM = os.environ.get("QUANTRAIN", str(Path(__file__).resolve().parent.parent / "target" / "release" / "quantrain"))
TARGETS = ["onnxruntime", "tidl-pow2"]
SIDE, CHANNELS, TOKENS, IMAGES = 8, 8, 16, 48
MEAN, DEVIATION = 0.5, 0.25
# dB that a form may lie below the one without; masks change which values count, and so the figure of noise that they do not add.
NEAR = 2.0
MARKS = {"1e4": -1e4, "lowest": float(np.finfo(np.float32).min), "inf": -np.inf}
BOXES, SCORES = slice(0, 4), slice(4, None)


class Network:
    """Grows an ONNX graph; what a method adds has the name it returns."""

    def __init__(self, seed=3):
        self.random, self.nodes, self.constants = np.random.default_rng(seed), [], []

    def constant(self, values, kind=np.float32):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def integers(self, *values):
        return self.constant(values, np.int64)

    def weights(self, *shape, scale=1.0):
        return self.constant(self.random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:]))) * scale)

    def node(self, operator, *inputs, outputs=1, **attributes):
        names = [f"{operator}_{len(self.nodes)}_{i}" if i else f"{operator}_{len(self.nodes)}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def convolution(self, x, inputs, outputs, kernel=3, spread=1.0, bias=0.0, **window):
        scale = np.broadcast_to(spread, outputs).reshape(-1, 1, 1, 1)
        bias = self.constant(np.broadcast_to(bias, outputs))
        return self.node("Conv", x, self.weights(outputs, inputs, kernel, kernel, scale=scale), bias, **({"pads": [kernel // 2] * 4} | window))

    def slice(self, x, start, end, axis=1):
        return self.node("Slice", x, *(self.integers(v) for v in (start, end, axis)))

    def reshape(self, x, *extents):
        return self.node("Reshape", x, self.integers(*extents))

    def cast(self, x, kind):
        return self.node("Cast", x, to=kind)

    def model(self, outputs):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        names = [f"y{i}" for i in range(len(outputs))]
        nodes = self.nodes + [helper.make_node("Identity", [y], [name], name=name) for y, name in zip(outputs, names)]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        graph = helper.make_graph(nodes, "form", [x], values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


# Attention: a mask is a function of the network, the scores and the tokens.


def attention(mask):
    n = Network()
    x = n.convolution("x", 3, CHANNELS, 2, strides=[2, 2], pads=[0] * 4)
    tokens = n.node("Transpose", n.reshape(x, 0, CHANNELS, -1), perm=[0, 2, 1])
    query, key, value = (n.node("MatMul", tokens, n.weights(CHANNELS, CHANNELS)) for _ in range(3))
    last = n.weights(CHANNELS, CHANNELS)
    scores = n.node("Mul", n.node("MatMul", query, n.node("Transpose", key, perm=[0, 2, 1])), n.constant(0.35))
    shares = n.node("Softmax", mask(n, scores, tokens), axis=-1)
    return n.model(n.node("MatMul", n.node("MatMul", shares, value), last))


CAUSAL = np.triu(np.ones((1, TOKENS, TOKENS), bool), 1)


def seen(n, tokens):
    """Truths `[N, 1, tokens]` from the image; the first token is always seen."""
    limits = n.constant(np.where(np.arange(TOKENS) == 0, -1e3, -0.1).reshape(1, TOKENS, 1))
    return n.node("Transpose", n.node("Greater", n.node("ReduceMean", tokens, axes=[2]), limits), perm=[0, 2, 1])


def seen_number(n, tokens):
    return n.cast(seen(n, tokens), TensorProto.FLOAT)


def unseen(n, tokens):
    return n.node("Sub", n.constant(1.0), seen_number(n, tokens))


def unseen_truth(n, tokens):
    return n.cast(unseen(n, tokens), TensorProto.BOOL)


def attention_forms():
    yield "attention", None, lambda: attention(lambda n, s, t: s)
    yield "attention seen", None, lambda: attention(lambda n, s, t: n.node("Where", seen(n, t), s, n.constant(-1e4)))
    for label, low in MARKS.items():
        causal = lambda n, low=low: n.constant(np.where(CAUSAL, low, 0))
        mark = lambda n, low=low: n.constant(low)
        forms = {
            "add": lambda n, s, t: n.node("Add", s, causal(n)),
            "add twice": lambda n, s, t: n.node("Add", n.node("Add", s, causal(n)), n.weights(TOKENS, TOKENS, scale=0.1)),
            "where": lambda n, s, t: n.node("Where", n.constant(CAUSAL, bool), mark(n), s),
            "where then scale": lambda n, s, t: n.node("Mul", n.node("Where", n.constant(CAUSAL, bool), mark(n), s), n.constant(1.0625)),
            "trilu": lambda n, s, t: n.node("Add", s, n.node("Trilu", n.constant(np.full((TOKENS, TOKENS), low)), n.constant(1, np.int64))),
        }
        seen_forms = {
            "cast": lambda n, s, t: n.node("Where", unseen_truth(n, t), mark(n), s),
            "equal": lambda n, s, t: n.node("Where", n.node("Equal", seen_number(n, t), n.constant(0.0)), mark(n), s),
            "masked fill": lambda n, s, t: n.node("Add", s, n.node("Where", unseen_truth(n, t), mark(n), unseen(n, t))),
            "choice added": lambda n, s, t: n.node("Add", s, n.node("Where", seen(n, t), n.constant(0.0), mark(n))),
        }
        if np.isfinite(low):
            seen_forms["1 - m times"] = lambda n, s, t: n.node("Add", s, n.node("Mul", unseen(n, t), mark(n)))
            seen_forms["m times, 1 - m times"] = lambda n, s, t: n.node(
                "Add", n.node("Mul", s, seen_number(n, t)), n.node("Mul", unseen(n, t), mark(n))
            )
        for name, form in forms.items():
            yield f"attention {name} {label}", "attention", lambda form=form: attention(form)
        for name, form in seen_forms.items():
            yield f"attention {name} {label}", "attention seen", lambda form=form: attention(form)


# Masks before functions that are flat far below zero.


def gate(function, mask, behind):
    n = Network()
    x = n.node(function, mask(n, n.convolution("x", 3, CHANNELS)))
    return n.model(n.convolution(x, CHANNELS, CHANNELS) if behind else x)


def gate_forms():
    places = np.indices((1, 1, SIDE, SIDE)).sum(0) % 3 == 0
    for function in ["Sigmoid", "Relu", "Tanh", "HardSigmoid", "Elu"]:
        for behind in [False, True]:
            base = f"{function}{' and layer' if behind else ''}"
            yield base, None, lambda function=function, behind=behind: gate(function, lambda n, x: x, behind)
            for label, low in MARKS.items():
                forms = {
                    "add": lambda n, x, low=low: n.node("Add", x, n.constant(np.where(places, low, 0))),
                    "where": lambda n, x, low=low: n.node("Where", n.constant(places, bool), n.constant(low), x),
                }
                for name, form in forms.items():
                    make = lambda function=function, behind=behind, form=form: gate(function, form, behind)
                    yield f"{base}, {name} {label}", base, make


# Truths, from the image, that choose or count.


def chosen(choice):
    n = Network()
    x = n.convolution("x", 3, CHANNELS)
    truth = n.node("Greater", n.slice("x", 0, 1), n.constant(-0.2))
    return n.model(n.convolution(choice(n, x, truth, n.cast(truth, TensorProto.FLOAT)), CHANNELS, CHANNELS))


def truth_forms():
    zero, one = (lambda n: n.constant(0.0)), (lambda n: n.constant(1.0))
    inverse = lambda n, m: n.node("Sub", one(n), m)
    yield "truth", None, lambda: chosen(lambda n, x, t, m: n.node("Where", t, x, zero(n)))
    forms = {
        "cast of 1 - m": lambda n, x, t, m: n.node("Where", n.cast(inverse(n, m), TensorProto.BOOL), zero(n), x),
        "equal 1": lambda n, x, t, m: n.node("Where", n.node("Equal", m, one(n)), x, zero(n)),
        "1 - m above 0": lambda n, x, t, m: n.node("Where", n.node("Greater", inverse(n, m), zero(n)), zero(n), x),
        "at least 1": lambda n, x, t, m: n.node("Where", n.node("GreaterOrEqual", m, one(n)), x, zero(n)),
        "product": lambda n, x, t, m: n.node("Mul", x, m),
        "compared and multiplied": lambda n, x, t, m: n.node("Where", n.node("Equal", m, one(n)), n.node("Mul", x, m), zero(n)),
    }
    for name, form in forms.items():
        yield f"truth, {name}", "truth", lambda form=form: chosen(form)


# Padding before a MaxPool.


def padded(form, behind):
    n = Network()
    x = form(n, n.convolution("x", 3, CHANNELS))
    return n.model(n.convolution(x, CHANNELS, CHANNELS) if behind else x)


def pad(n, x, fill, *pads):
    return n.node("Pad", x, n.integers(*(pads or [0, 0, 1, 1, 0, 0, 1, 1])), n.constant(fill))


def pool(n, x, pads=0):
    return n.node("MaxPool", x, kernel_shape=[3, 3], pads=[pads] * 4, strides=[2, 2])


def padding_forms():
    rows, columns = (0, 0, 1, 0, 0, 0, 1, 0), (0, 0, 0, 1, 0, 0, 0, 1)
    last, first = {"perm": [0, 2, 3, 1]}, {"perm": [0, 3, 1, 2]}
    for behind in [False, True]:
        base = f"pool{' and layer' if behind else ''}"
        yield base, None, lambda behind=behind: padded(lambda n, x: pool(n, x, 1), behind)
        for label, low in {"20": -20.0, **MARKS}.items():
            forms = {
                "pad": lambda n, x, low=low: pool(n, pad(n, x, low)),
                "two pads": lambda n, x, low=low: pool(n, pad(n, pad(n, x, low, *rows), low, *columns)),
                "turned": lambda n, x, low=low: pool(n, n.node("Transpose", n.node("Transpose", pad(n, x, low), **last), **first)),
                "halves": lambda n, x, low=low: pool(
                    n, n.node("Concat", *(pad(n, pad(n, n.slice(x, i, i + 4), low, *rows), low, *columns) for i in (0, 4)), axis=1)
                ),
                "clip": lambda n, x, low=low: pool(n, n.node("Clip", pad(n, x, low), "", n.constant(100.0))),
            }
            for name, form in forms.items():
                yield f"{base}, {name} {label}", base, lambda form=form, behind=behind: padded(form, behind)


# Detector heads: four boxes and five scores along axis 1 of the first output.


def two_layers(n):
    x = n.node("Relu", n.convolution("x", 3, 16))
    boxes, scores = n.convolution(x, 16, 4, 1), n.convolution(x, 16, 5, 1, spread=2.0, bias=-3.0)
    return n.node("Mul", n.node("Sigmoid", boxes), n.constant(640.0)), n.node("Sigmoid", scores)


def one_layer(n, box=1.0):
    x = n.node("Relu", n.convolution("x", 3, 16))
    return n.convolution(x, 16, 9, 1, spread=[box] * 4 + [2.0] * 5, bias=[0.0] * 4 + [-3.0] * 5)


def factors(n):
    return n.constant(np.reshape([640.0] * 4 + [1.0] * 5, (1, 9, 1, 1)))


def joined(n):
    return n.node("Concat", *two_layers(n), axis=1)


def head_forms():
    def scaled(n):
        return n.node("Mul", n.node("Sigmoid", one_layer(n)), factors(n))

    def summed(n):
        boxes, scores = two_layers(n)
        return n.node("Add", pad(n, boxes, 0.0, 0, 0, 0, 0, 0, 5, 0, 0), pad(n, scores, 0.0, 0, 4, 0, 0, 0, 0, 0, 0))

    def split(n):
        boxes, logits = n.node("Split", one_layer(n, 200.0), n.integers(4, 5), outputs=2, axis=1)
        return n.node("Concat", boxes, n.node("Sigmoid", logits), axis=1)

    def sliced(n):
        y = one_layer(n, 200.0)
        identity = n.constant(np.eye(4).reshape(4, 4, 1, 1))
        return n.node("Concat", n.node("Conv", n.slice(y, 0, 4), identity), n.node("Sigmoid", n.slice(y, 4, 9)), axis=1)

    def parts(n):
        mine, others = (n.constant(np.reshape(v, (1, 9, 1, 1))) for v in ([640.0] * 4 + [0.0] * 5, [0.0] * 4 + [1.0] * 5))
        y = n.node("Sigmoid", one_layer(n))
        return n.node("Add", n.node("Mul", y, mine), n.node("Mul", y, others))

    yield "head", None, lambda: (lambda n: n.model(joined(n)))(Network())
    forms = {
        "factors": scaled,
        "factors and offsets": lambda n: n.node("Sub", scaled(n), n.constant(np.reshape([20.0] * 4 + [0.0] * 5, (1, 9, 1, 1)))),
        "zeros around": summed,
        "split": split,
        "a layer behind a slice": sliced,
        "factors of 0": parts,
        "mean": lambda n: n.node("GlobalAveragePool", joined(n)),
        "average pool": lambda n: n.node("AveragePool", joined(n), kernel_shape=[2, 2]),
        "resize": lambda n: n.node("Resize", joined(n), "", n.constant([1, 1, 2, 2]), mode="linear"),
        "mean of factors": lambda n: n.node("GlobalAveragePool", scaled(n)),
    }
    for name, form in forms.items():
        yield f"head, {name}", "head", lambda form=form: (lambda n: n.model(form(n)))(Network())


def forms():
    """Of each form its name, that of the form without what it is about, and what makes the network."""
    for family in [attention_forms, gate_forms, truth_forms, padding_forms, head_forms]:
        yield from family()


def images():
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    wave = lambda f, at: f(at * random.uniform(0.1, 1) + random.uniform(0, 6))[..., None] * random.uniform(-1, 1, 3)
    made = [127 + 70 * wave(np.sin, x) + 70 * wave(np.cos, y) + random.normal(0, 25, (SIDE, SIDE, 3)) for _ in range(IMAGES)]
    return np.clip(made, 0, 255).astype(np.uint8)


def run(model, pixels):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    x = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)
    return session.run(None, {"x": x.transpose(0, 3, 1, 2)})[0]


def decibels(right, other):
    right, other = right.astype(np.float64), other.astype(np.float64)
    return float(10 * np.log10((right**2).sum() / max(1e-30, ((right - other) ** 2).sum())))


def figure(folder, name, model, target, pixels):
    """The lowest SQNR of the exported file's output, or of its boxes and scores; None and a message where it fails."""
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "data.npz", images=pixels)
    words = ["quantize", "--plain", "--model", folder / "model.onnx", "--data", folder / "data.npz", "--mean", MEAN, "--std", DEVIATION]
    words += ["--target", target, "--out", folder / "run", "--overwrite", "-q"]
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        return None, f"exit {done.returncode}: {done.stderr.strip()}"
    try:
        right, made = run(folder / "model.onnx", pixels), run(folder / "run/export/model.qdq.onnx", pixels)
    except Exception as error:  # Whatever ONNX Runtime throws is a finding.
        return None, f"ONNX Runtime: {error}"
    parts = [BOXES, SCORES] if name.startswith("head") else [slice(None)]
    return min(decibels(right[:, part], made[:, part]) for part in parts), ""


def checks(wanted=()):
    """Every form whose name holds one of `wanted`, and both targets: (right, text) for each finding."""
    pixels, found = images(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, base, make in forms():
            if base and wanted and not any(word in name for word in wanted):
                continue
            for target in TARGETS:
                reached, message = figure(Path(folder), name, make(), target, pixels)
                found[name, target] = reached
                bar = found.get((base, target)) if base else None
                if reached is None:
                    yield False, f"{name}, {target}: {message}"
                elif bar is None:
                    yield True, f"{name}, {target}: {reached:.1f} dB"
                else:
                    yield reached >= bar - NEAR, f"{name}, {target}: {reached:.1f} dB, without {bar:.1f}"


if __name__ == "__main__":
    right = True
    for is_right, text in checks([word for argument in sys.argv[1:] for word in argument.split(",")]):
        right &= is_right
        print(f"{'right' if is_right else 'WRONG':<8}{text}", flush=True)
    sys.exit(not right)
