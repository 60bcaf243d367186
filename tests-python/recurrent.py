"""LSTM and GRU classifiers trained for real: `python recurrent.py [lstm,gru]`.

Windows of three sensors, made here: the class is the order in which two bumps come, which no average over the window tells. One network is a
convolution with BatchNormalization before a LSTM, the other a bidirectional GRU; each begins with the Transposes that exporters write. `quantrain
train` (QUANTRAIN, or the release build) trains them in float, then quantized from there; the quantized one must stay within half a point, ONNX
Runtime must find the same on the exported file, and `quantrain verify` no class that differs. The recurrent layer itself runs in float. One line a
finding; exit code 1 where one is wrong.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto

from any_inputs import Network, quantrain

SENSORS, TIMES, CLASSES, HIDDEN = 3, 24, 4, 16
TRAIN, EVAL = 1024, 512
WITHIN = 0.5  # points


def recurrent(n, operator, x, inputs, gates, direction):
    """The state of the last step, of `x` [N, inputs, times]."""
    count = 2 if direction == "bidirectional" else 1
    draw = lambda *shape: n.constant(n.random.uniform(-1, 1, shape) * HIDDEN**-0.5)
    weights = draw(count, gates * HIDDEN, inputs), draw(count, gates * HIDDEN, HIDDEN), draw(count, 2 * gates * HIDDEN)
    steps = n.node("Transpose", x, perm=[2, 0, 1])
    y = n.node(operator, steps, *weights, hidden_size=HIDDEN, direction=direction)
    n.nodes[-1].output[:] = [f"{y}_all", y]
    return n.node("Reshape", n.node("Transpose", y, perm=[1, 0, 2]), n.constant([0, count * HIDDEN], np.int64)), count * HIDDEN


def lstm():
    n = Network()
    x = n.input("window", TensorProto.FLOAT, SENSORS, TIMES)
    x = n.node("Conv", x, n.weights(8, SENSORS, 3), pads=[1, 1])
    x = n.node("BatchNormalization", x, *[n.constant(np.full(8, v)) for v in [1.0, 0.0, 0.0, 1.0]])
    state, width = recurrent(n, "LSTM", n.node("Relu", x), 8, 4, "forward")
    n.output(n.linear(state, width, CLASSES), "logits")
    return n


def gru():
    n = Network()
    x = n.input("window", TensorProto.FLOAT, SENSORS, TIMES)
    state, width = recurrent(n, "GRU", x, SENSORS, 3, "bidirectional")
    n.output(n.linear(state, width, CLASSES), "logits")
    return n


def data(random, count):
    """Two bumps, one each in two of the sensors: the first sensor's, before or behind that of another."""
    labels = random.integers(0, CLASSES, count)
    window = random.normal(0, 0.5, (count, SENSORS, TIMES))
    for i, label in enumerate(labels):
        first, second = sorted(random.choice(TIMES // 3 - 1, 2, replace=False) * 3)
        own, other = (first, second) if label % 2 == 0 else (second, first)
        window[i, 0, own : own + 3] += 1.5
        window[i, 1 + label // 2, other : other + 3] += 1.5
    return {"window": window.astype(np.float32), "labels": labels}


def top1(path, held):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return 100 * np.mean(session.run(None, {"window": held["window"]})[0].argmax(1) == held["labels"])


def checks(name, make, folder):
    operator = name.upper()
    train, held = data(np.random.default_rng(1), TRAIN), data(np.random.default_rng(2), EVAL)
    np.savez(folder / "train.npz", **train)
    np.savez(folder / "eval.npz", **held)
    make().save(folder / "model.onnx")
    shared = ["--data", folder / "train.npz", "--eval-data", folder / "eval.npz", "--overwrite", "--batch-size", 32, "--optimizer", "adam"]
    shared += ["--target", "onnxruntime-vnni"]
    report = quantrain("train", "--model", folder / "model.onnx", *shared, "--out", folder / "float", "--float", "--epochs", 30, "--learning-rate", 0.01)
    losses = [epoch["loss"] for epoch in report["course"]]
    yield losses[-1] < 0.3 * losses[0], f"{name}: float loss {losses[0]:.4f} to {losses[-1]:.4f}"
    trained = next((folder / "float/export").glob("*.onnx"))
    in_float = top1(trained, held)
    yield in_float >= 95, f"{name}: float top1 {in_float:.2f} in ONNX Runtime, at least 95"

    run = folder / "int8"
    quantrain("train", "--model", trained, *shared, "--out", run, "--epochs", 3, "--learning-rate", 0.001)
    exported = run / "export/model.qdq.onnx"
    quantized = top1(exported, held)
    yield quantized >= in_float - WITHIN, f"{name}: int8 top1 {quantized:.2f} in ONNX Runtime, float {in_float:.2f}"
    verified = quantrain("verify", exported, "--data", folder / "eval.npz")
    codes = verified["differ_integer"], verified["differ_onnxruntime"]
    classes = verified["predictions_differ_integer"], verified["predictions_differ_onnxruntime"]
    yield verified["codes"] > 0 and classes == (0, 0), f"{name}: classes that differ, of {EVAL}: {classes}; codes, of {verified['codes']}: {codes}"
    yield any(operator in what for what in verified["float_operators"]), f"{name}: in float, as verify says: {verified['float_operators']}"


def main():
    wrong = 0
    networks = {"lstm": lstm, "gru": gru}
    for name in sys.argv[1].split(",") if sys.argv[1:] else networks:
        with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
            for right, what in checks(name, networks[name], Path(folder)):
                wrong += not right
                print("right" if right else "WRONG", what, flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
