"""Networks of other inputs than one image: `python any_inputs.py [name,…]`.

Token ids with a mask, an image beside a state with two heads, and windows of sensors with several labels at once. Networks and data are made here
from seeds, the networks untrained; `quantrain train` (QUANTRAIN, or the release build) trains them quantized. Its loss must fall, its figures must
be those that NumPy finds on what ONNX Runtime makes of the exported file, and `quantrain verify` must find no code that differs. One line a finding;
exit code 1 where one is wrong.
"""

import json
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
TRAIN, EVAL = 1536, 256


class Network:
    """Grows an ONNX graph; what a method adds has the name it returns."""

    def __init__(self, seed=7):
        self.random, self.nodes, self.constants, self.inputs, self.outputs = np.random.default_rng(seed), [], [], [], []

    def input(self, name, kind, *extents):
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["N", *extents]))
        return name

    def output(self, x, name):
        self.nodes.append(helper.make_node("Identity", [x], [name], name=name))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    def constant(self, values, kind=np.float32):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, *shape, fan=None):
        return self.constant(self.random.standard_normal(shape) * np.sqrt(2 / (fan or np.prod(shape[1:]))))

    def node(self, operator, *inputs, **attributes):
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x, inputs, outputs):
        return self.node("Add", self.node("MatMul", x, self.weights(inputs, outputs, fan=inputs)), self.constant(np.zeros(outputs)))

    def reshape(self, x, *extents):
        return self.node("Reshape", x, self.constant(extents, np.int64))

    def save(self, path):
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)


# Token ids and a mask: a class by which of some words are there.

WORDS, LENGTH, WIDTH, CLASSES = 40, 12, 16, 3


def sentences():
    n = Network()
    ids, mask = n.input("input_ids", TensorProto.INT64, LENGTH), n.input("attention_mask", TensorProto.INT64, LENGTH)
    words = n.node("Gather", n.weights(WORDS, WIDTH, fan=4), ids)
    x = n.node("Add", words, n.constant(n.random.standard_normal((LENGTH, WIDTH)) * 0.1))
    query, key, value = (n.linear(x, WIDTH, WIDTH) for _ in range(3))
    scores = n.node("Mul", n.node("MatMul", query, n.node("Transpose", key, perm=[0, 2, 1])), n.constant(WIDTH**-0.5))
    seen = n.node("Cast", mask, to=TensorProto.FLOAT)
    unseen = n.node("Mul", n.node("Sub", n.constant(1.0), n.reshape(seen, 0, 1, LENGTH)), n.constant(-1e4))
    shares = n.node("Softmax", n.node("Add", scores, unseen), axis=-1)
    x = n.node("Add", x, n.linear(n.node("MatMul", shares, value), WIDTH, WIDTH))
    x = n.node("Relu", n.linear(x, WIDTH, WIDTH))
    column = n.reshape(seen, 0, LENGTH, 1)
    total = n.node("ReduceSum", n.node("Mul", x, column), n.constant([1], np.int64), keepdims=0)
    count = n.node("ReduceSum", seen, n.constant([1], np.int64), keepdims=1)
    n.output(n.linear(n.node("Div", total, count), WIDTH, CLASSES), "logits")
    return n


def sentence_data(random, count):
    length = random.integers(4, LENGTH + 1, count)
    mask = np.arange(LENGTH) < length[:, None]
    # What is padding holds words too, which must not matter.
    ids = random.integers(1, WORDS, (count, LENGTH))
    marks = [((ids % CLASSES == c) & (ids < 24) & mask).sum(1) for c in range(CLASSES)]
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64), "labels": np.argmax(marks, 0)}


# An image and a state, two heads of numbers.

SIDE, STATE = 16, 4


def driver():
    n = Network()
    image, state = n.input("image", TensorProto.FLOAT, 3, SIDE, SIDE), n.input("state", TensorProto.FLOAT, STATE)
    x = n.node("Relu", n.node("Conv", image, n.weights(8, 3, 3, 3), n.constant(np.zeros(8)), strides=[2, 2], pads=[1] * 4))
    x = n.node("Relu", n.node("Conv", x, n.weights(16, 8, 3, 3), n.constant(np.zeros(16)), strides=[2, 2], pads=[1] * 4))
    x = n.node("Flatten", n.node("GlobalAveragePool", x))
    s = n.node("Relu", n.linear(state, STATE, 16))
    x = n.node("Relu", n.linear(n.node("Concat", x, s, axis=1), 32, 32))
    n.output(n.linear(x, 32, 1), "steering")
    n.output(n.linear(x, 32, 2), "speed")
    return n


def driver_data(random, count):
    image = random.normal(0, 1, (count, 3, SIDE, SIDE)).astype(np.float32) * 0.3
    tint = random.uniform(-1, 1, (count, 3)).astype(np.float32)
    image += tint[:, :, None, None]
    state = random.uniform(-1, 1, (count, STATE)).astype(np.float32)
    steering = (tint[:, :1] - 0.5 * tint[:, 1:2] + state[:, :1]).astype(np.float32)
    speed = np.stack([2 * state[:, 1] + tint[:, 2], state[:, 2] - state[:, 3]], 1).astype(np.float32)
    return {"image": image, "state": state, "steering": steering, "speed": speed}


# Windows of sensors, several labels at once.

SENSORS, TIMES, LABELS = 4, 32, 4


def windows():
    n = Network()
    x = n.input("window", TensorProto.FLOAT, SENSORS, TIMES)
    for inputs, outputs in [(SENSORS, 16), (16, 16)]:
        weights, bias = n.weights(outputs, inputs, 5), n.constant(np.zeros(outputs))
        x = n.node("Relu", n.node("Conv", x, weights, bias, pads=[2, 2], strides=[2]))
    n.output(n.linear(n.node("Flatten", n.node("GlobalMaxPool", x)), 16, LABELS), "events")
    return n


def window_data(random, count):
    events = random.random((count, LABELS)) < 0.4
    window = random.normal(0, 0.3, (count, SENSORS, TIMES))
    for label in range(LABELS):
        at = random.integers(0, TIMES - 6, count)
        for i in np.flatnonzero(events[:, label]):
            window[i, label, at[i] : at[i] + 6] += 1.5
    return {"window": window.astype(np.float32), "events": events}


# What the figures are by their definitions.


def errors(y, t):
    y, t = y.astype(np.float64), t.astype(np.float64).reshape(y.shape)
    r2 = np.mean(1 - ((y - t) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0))
    return {"R²": r2, "MAE": np.abs(y - t).mean(), "RMSE": np.sqrt(((y - t) ** 2).mean())}


def ranking(y, t):
    precisions = []
    for scores, truths in zip(y.T, t.T):
        thresholds, positives = np.unique(scores)[::-1], truths.sum()
        recall = [0.0] + [(truths & (scores >= at)).sum() / positives for at in thresholds]
        precision = [(truths & (scores >= at)).sum() / (scores >= at).sum() for at in thresholds]
        precisions.append(np.diff(recall) @ precision)
    found = y > 0
    f1 = 2 * (found & t).sum() / (found.sum() + t.sum())
    return {"average precision": np.mean(precisions), "F1": f1}


def sentence_figures(outputs, data):
    return {"top1": 100 * np.mean(outputs["logits"].argmax(1) == data["labels"])}


def driver_figures(outputs, data):
    heads = {name: errors(outputs[name], data[name]) for name in ["steering", "speed"]}
    named = {f"{what} of {name}": value for name, head in heads.items() for what, value in head.items()}
    return {"mean": np.mean([head["R²"] for head in heads.values()]), **named}


def window_figures(outputs, data):
    return ranking(outputs["events"], data["events"])


# Name, network, data, figures, and the least that the first figure must come to.
CASES = {
    "sentences": (sentences, sentence_data, sentence_figures, 80),
    "two heads": (driver, driver_data, driver_figures, 0.9),
    "several labels": (windows, window_data, window_figures, 0.9),
}


def quantrain(*words):
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    done = subprocess.run([PROGRAM, *map(str, words), "--json"], capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{words[0]}: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def figures_of(score):
    """The figures of a score in a report, by name."""
    named = {figure["name"]: figure["value"] for figure in score.get("figures", [])}
    return named or {name: value for name, value in score.items() if isinstance(value, (int, float))}


def checks(name, folder):
    make, data, figures, least = CASES[name]
    model, run = folder / "model.onnx", folder / "run"
    make().save(model)
    train, held = data(np.random.default_rng(1), TRAIN), data(np.random.default_rng(2), EVAL)
    np.savez(folder / "train.npz", **train)
    np.savez(folder / "eval.npz", **held)
    words = ["--model", model, "--data", folder / "train.npz", "--eval-data", folder / "eval.npz", "--out", run, "--overwrite"]
    words += ["--epochs", 12, "--batch-size", 32, "--optimizer", "adam", "--learning-rate", 0.004, "--target", "onnxruntime-vnni"]
    report = quantrain("train", *words)
    losses = [epoch["loss"] for epoch in report["course"]]
    yield losses[-1] < 0.7 * losses[0], f"{name}: loss {losses[0]:.4f} to {losses[-1]:.4f}"

    exported = run / "export/model.qdq.onnx"
    session = ort.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    kinds = lambda path: [(i.name, i.type, i.shape[1:]) for i in ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()]
    yield kinds(exported) == kinds(model), f"{name}: inputs {kinds(exported)}"
    names = [output.name for output in session.get_outputs()]
    fed = {i.name: held[i.name] for i in session.get_inputs()}
    expected = figures(dict(zip(names, session.run(names, fed))), held)
    found = figures_of(next(epoch["score"] for epoch in report["course"] if epoch["epoch"] == report["best"]))
    first = next(iter(expected))
    yield expected[first] >= least, f"{name}: {first} {expected[first]:.4f}, at least {least}"
    for figure, value in expected.items():
        near = abs(found[figure] - value) < 1e-3 * max(1, abs(value))
        yield near, f"{name}: {figure} {found[figure]:.4f}, by NumPy {value:.4f}"

    verified = quantrain("verify", exported, "--data", folder / "eval.npz")
    apart = verified["differ_integer"], verified["differ_onnxruntime"]
    yield verified["codes"] > 0 and apart == (0, 0), f"{name}: codes that differ, of {verified['codes']}: {apart}"


FEATURES = 3


def table_checks(folder):
    """The same numbers as text and as arrays train the same."""
    n = Network()
    x = n.input("x", TensorProto.FLOAT, FEATURES)
    n.output(n.linear(n.node("Relu", n.linear(x, FEATURES, 16)), 16, 1), "price")
    n.save(folder / "table.onnx")
    random = np.random.default_rng(3)
    for part, count in [("train", TRAIN), ("eval", EVAL)]:
        x = random.normal(0, 1, (count, FEATURES)).astype(np.float32)
        price = (x[:, :1] - 2 * x[:, 1:2] * (x[:, 2:] > 0)).astype(np.float32)
        np.savez(folder / f"{part}.npz", x=x, price=price)
        rows = [f"{a!r},{p!r},{b!r},{c!r},\"no. {i}\"" for i, ((a, b, c), p) in enumerate(zip(x.tolist(), price[:, 0].tolist()))]
        (folder / f"{part}.csv").write_text("\n".join(["f0,paid,f1,f2,note", *rows]) + "\n")
    courses = []
    for kind, columns in [("npz", ""), ("csv", "[data.input.x]\ncolumn = 'f*'\n[data.label.price]\ncolumn = 'paid'\n")]:
        recipe = folder / f"{kind}.toml"
        recipe.write_text(
            f"model = 'table.onnx'\nout = 'run-{kind}'\n[data]\ntrain = 'train.{kind}'\neval = 'eval.{kind}'\n{columns}"
            "[train]\nepochs = 8\nbatch-size = 32\noptimizer = 'adam'\nlearning-rate = 0.01\n"
        )
        courses.append(quantrain("train", recipe)["course"])
    losses = [[epoch["loss"] for epoch in course] for course in courses]
    yield losses[0][-1] < 0.5 * losses[0][0], f"table: loss {losses[0][0]:.4f} to {losses[0][-1]:.4f}"
    yield courses[0] == courses[1], "table: text and arrays train the same"


if __name__ == "__main__":
    right, wanted = True, [word for argument in sys.argv[1:] for word in argument.split(",")]
    for case in [case for case in CASES if not wanted or case in wanted]:
        with tempfile.TemporaryDirectory() as folder:
            for is_right, text in checks(case, Path(folder)):
                right &= bool(is_right)
                print(f"{'right' if is_right else 'WRONG':<8}{text}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for is_right, text in table_checks(Path(folder)) if not wanted or "table" in wanted else []:
            right &= bool(is_right)
            print(f"{'right' if is_right else 'WRONG':<8}{text}", flush=True)
    sys.exit(not right)
