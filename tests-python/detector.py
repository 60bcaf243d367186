"""A YOLO-style detector, quantized with 8 bits: are boxes and scores still there?

    tests-python/setup.sh && .venv/bin/python tests-python/detector.py [folder]

Backbone, neck and three heads with seeded weights; boxes in pixels and scores from 0 to 1 are decoded and joined in one output, in the three forms that
exporters write. Runs `quantrain quantize` (QUANTRAIN, or the release build) and judges the exported file in ONNX Runtime; one line a finding. Exit code 1
where one is wrong.
"""

import functools
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
SIZE, CLASSES, BINS = 128, 5, 8
STRIDES = [8, 16, 32]
# Of weights, whose deviation is 1: around 0 a layer of random signs multiplies any noise, which trained ones do not.
MEAN = 0.7
MEAN_PIXEL, DEVIATION_PIXEL = 0.45, 0.25
IMAGES, CALIBRATION = 24, 16
# dB that the exported file has to reach in ONNX Runtime.
BARS = {"onnxruntime": {"boxes": 35, "scores": 30}, "tidl-pow2": {"boxes": 35, "scores": 25}}
# Scores that count as a detection, and how much lower one may be for the same object.
DETECTION, NEAR = 0.25, 0.05


class Network:
    """Grows an ONNX graph; what a method adds has the name it returns."""

    def __init__(self, batch, seed=5):
        self.batch, self.random = batch, np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def constant(self, values, kind=np.float32):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def node(self, operator, *inputs, outputs=1, **attributes):
        names = [f"{operator}_{len(self.nodes)}_{i}" if i else f"{operator}_{len(self.nodes)}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def convolution(self, x, inputs, outputs, kernel=1, stride=1, spread=1.0, bias=0.0):
        """A layer whose channels have a mean of `bias` and a deviation of `spread` on the scenes, as BatchNormalization would leave them."""
        weights = (self.random.standard_normal((outputs, inputs, kernel, kernel)) + MEAN).astype(np.float32)
        window = {"strides": [stride] * 2, "pads": [kernel // 2] * 4}
        values = self.values(helper.make_node("Conv", [x, "w"], ["y"], **window), weights)
        deviation = values.std((0, 2, 3)) / spread
        bias = np.broadcast_to(bias, outputs) - values.mean((0, 2, 3)) / deviation
        return self.node("Conv", x, self.constant(weights / deviation.reshape(-1, 1, 1, 1)), self.constant(bias), **window)

    def values(self, node, weights):
        """What a node gives on some scenes."""
        x = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        constants = self.constants + [numpy_helper.from_array(weights, "w")]
        graph = helper.make_graph(self.nodes + [node], "part", [x], [y], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return run(model.SerializeToString(), scenes()[:4])

    def layer(self, x, inputs, outputs, kernel=1, stride=1):
        return self.node("Relu", self.convolution(x, inputs, outputs, kernel, stride, bias=0.3))

    def silu(self, x, inputs, outputs, kernel=1, stride=1):
        y = self.convolution(x, inputs, outputs, kernel, stride, bias=0.3)
        return self.node("Mul", y, self.node("Sigmoid", y))

    def stage(self, x, channels):
        """Two halves, one through a residual block, joined."""
        left, right = self.node("Split", x, outputs=2, axis=1)
        inner = self.layer(right, channels // 2, channels // 2, 3)
        return self.layer(self.node("Concat", left, right, self.node("Add", right, inner), axis=1), channels * 3 // 2, channels)

    def features(self):
        x = self.layer("images", 3, 16, 3, 2)
        x = self.layer(x, 16, 24, 3, 2)
        small = self.stage(self.layer(x, 24, 32, 3, 2), 32)
        middle = self.layer(small, 32, 48, 3, 2)
        pools = [self.layer(middle, 48, 48, 3, 2)]
        for _ in range(2):
            pools.append(self.node("MaxPool", pools[-1], kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1]))
        large = self.layer(self.node("Concat", *pools, axis=1), 144, 64)
        middle = self.layer(self.node("Concat", self.up(large), middle, axis=1), 112, 48)
        small = self.layer(self.node("Concat", self.up(middle), small, axis=1), 80, 32)
        return [(small, 32), (middle, 48), (large, 64)]

    def up(self, x):
        return self.node("Resize", x, "", self.constant([1, 1, 2, 2]), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def reshape(self, x, *extents):
        """To [batch, extents…]; where the batch is free, as exporters write it: from the Shape of what is reshaped."""
        if self.batch is not None:
            return self.node("Reshape", x, self.constant([self.batch, *extents], np.int64))
        first = self.node("Gather", self.node("Shape", x), self.constant([0], np.int64), axis=0)
        return self.node("Reshape", x, self.node("Concat", first, self.constant(extents, np.int64), axis=0))

    def logits(self, x, channels):
        return self.convolution(self.silu(x, channels, 32, 3), 32, CLASSES, spread=2, bias=-5.0)

    def distances(self):
        """Heads whose boxes are distances to four sides, each an expectation over bins: boxes and logits are joined, then taken apart."""
        heads = []
        for x, channels in self.features():
            sides = self.convolution(self.silu(x, channels, 32, 3), 32, 4 * BINS)
            heads.append(self.reshape(self.node("Concat", sides, self.logits(x, channels), axis=1), 4 * BINS + CLASSES, -1))
        joined = self.node("Concat", *heads, axis=2)
        sides, logits = self.node("Split", joined, self.constant([4 * BINS, CLASSES], np.int64), outputs=2, axis=1)
        bins = self.node("Softmax", self.node("Transpose", self.reshape(sides, 4, BINS, anchors()), perm=[0, 2, 1, 3]), axis=1)
        weights = self.constant(np.arange(BINS).reshape(1, BINS, 1, 1))
        sides = self.reshape(self.node("Conv", bins, weights), 4, anchors())
        first, second = (self.node("Slice", sides, *(self.constant([v], np.int64) for v in (start, start + 2, 1))) for start in (0, 2))
        centres = self.constant(grid()[None])
        first, second = self.node("Sub", centres, first), self.node("Add", centres, second)
        middle = self.node("Div", self.node("Add", first, second), self.constant(2.0))
        boxes = self.node("Concat", middle, self.node("Sub", second, first), axis=1)
        boxes = self.node("Mul", boxes, self.constant(np.repeat(STRIDES, rows())[None]))
        return self.node("Concat", boxes, self.node("Sigmoid", logits), axis=1), boxes

    def anchored(self):
        """Heads of one convolution whose sigmoid is scaled: centres by a grid, sizes by a square; the heads are joined last."""
        heads = []
        for (x, channels), stride in zip(self.features(), STRIDES):
            side = SIZE // stride
            spread, bias = (np.concatenate([np.full(4, box), np.full(CLASSES, score)]) for box, score in [(0.5, 2), (0, -5)])
            y = self.convolution(x, channels, 4 + CLASSES, spread=spread, bias=bias)
            y = self.node("Sigmoid", self.node("Transpose", self.reshape(y, 4 + CLASSES, side * side), perm=[0, 2, 1]))
            centre, size, scores = self.node("Split", y, self.constant([2, 2, CLASSES], np.int64), outputs=3, axis=2)
            cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(1, -1, 2) - 0.5
            centre = self.node("Mul", self.node("Add", self.node("Mul", centre, self.constant(2.0)), self.constant(cells)), self.constant(stride))
            size = self.node("Mul", self.node("Pow", self.node("Mul", size, self.constant(2.0)), self.constant(2.0)), self.constant(stride * 2))
            heads.append(self.node("Concat", centre, size, scores, axis=2))
        return self.node("Transpose", self.node("Concat", *heads, axis=1), perm=[0, 2, 1]), None

    def plain(self):
        """Heads that join boxes and scores themselves; the reader of the output decodes."""
        heads = []
        for (x, channels), stride in zip(self.features(), STRIDES):
            sides = self.node("Mul", self.node("Relu", self.convolution(x, channels, 4, bias=2.0)), self.constant(stride))
            joined = self.node("Concat", sides, self.node("Sigmoid", self.logits(x, channels)), axis=1)
            heads.append(self.reshape(joined, 4 + CLASSES, -1))
        return self.node("Concat", *heads, axis=2), None

    def model(self, form):
        output, _ = getattr(self, form)()
        self.nodes.append(helper.make_node("Identity", [output], ["output0"], name="output0"))
        batch = "N" if self.batch is None else self.batch
        x = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])
        y = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 4 + CLASSES, anchors()])
        graph = helper.make_graph(self.nodes, form, [x], [y], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def rows():
    return [(SIZE // stride) ** 2 for stride in STRIDES]


def anchors():
    return sum(rows())


def grid():
    """Centres of all cells, in cells."""
    sides = [SIZE // stride for stride in STRIDES]
    return np.concatenate([np.stack(np.meshgrid(np.arange(s) + 0.5, np.arange(s) + 0.5)).reshape(2, -1) for s in sides], 1)


@functools.cache
def scenes():
    """Rectangles of one colour on waves."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    made = np.empty((IMAGES, SIZE, SIZE, 3))
    for image in made:
        wave = np.sin(x * random.uniform(0.02, 0.2) + y * random.uniform(-0.1, 0.1) + random.uniform(0, 6))
        image[:] = 110 + 60 * wave[..., None] * random.uniform(-1, 1, 3) + random.normal(0, 12, image.shape)
        for _ in range(random.integers(2, 6)):
            top, left = random.integers(0, SIZE - 24, 2)
            height, width = random.integers(12, 56, 2)
            image[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return np.clip(made, 0, 255).astype(np.uint8)


def run(model, images):
    """The first output of a file, or of a file's bytes, image by image."""
    session = ort.InferenceSession(model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"])
    samples = (images.astype(np.float32) / 255 - np.float32(MEAN_PIXEL)) / np.float32(DEVIATION_PIXEL)
    samples = samples.transpose(0, 3, 1, 2)
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: x[None]})[0] for x in samples])


def decibels(right, other):
    right, other = right.astype(np.float64), other.astype(np.float64)
    return float(10 * np.log10((right**2).sum() / max(1e-30, ((right - other) ** 2).sum())))


def overlap(box, boxes):
    """Intersection over union of boxes given by centre and size."""
    low, high = (np.maximum if sign < 0 else np.minimum for sign in (-1, 1))
    inner = high(box[:2] + box[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2) - low(box[:2] - box[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    shared = np.clip(inner, 0, None).prod(1)
    return shared / np.maximum(box[2:].prod() + boxes[:, 2:].prod(1) - shared, 1e-9)


def detections(output, least):
    """Class and box of what is left after non-maximum suppression of one image."""
    boxes, scores = output[:4].T, output[4:].T
    found = []
    for anchor, kind in sorted(np.argwhere(scores >= least).tolist(), key=lambda at: -scores[tuple(at)]):
        same = np.array([box for other, box in found if other == kind]).reshape(-1, 4)
        if not (overlap(boxes[anchor], same) > 0.5).any():
            found.append((kind, boxes[anchor]))
    return found


def lost(right, made):
    """Detections of the float network, and how many of them the other has not."""
    count = missing = 0
    for a, b in zip(right, made):
        candidates = detections(b, DETECTION - NEAR)
        for kind, box in detections(a, DETECTION):
            same = np.array([other for k, other in candidates if k == kind]).reshape(-1, 4)
            count, missing = count + 1, missing + (not (overlap(box, same) > 0.5).any())
    return count, missing


def judge(folder, form, batch, target, images):
    """Quantizes one network; yields (right, text)."""
    name = f"{form}, batch {batch or 'free'}, {target}"
    model, out = folder / "model.onnx", folder / "run"
    onnx.save(Network(batch).model(form), model)
    np.savez(folder / "calibration.npz", images=images[:CALIBRATION])
    np.savez(folder / "evaluation.npz", images=images[CALIBRATION:])
    words = ["quantize", "--plain", "--model", model, "--data", folder / "calibration.npz", "--eval-data", folder / "evaluation.npz"]
    words += ["--mean", MEAN_PIXEL, "--std", DEVIATION_PIXEL, "--target", target, "--out", out, "--overwrite", "--json"]
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        yield False, f"{name}: exit {done.returncode}: {done.stderr.strip()}"
        return
    report = json.loads(done.stdout)
    right, made = run(model, images[CALIBRATION:]), run(out / "export/model.qdq.onnx", images[CALIBRATION:])
    for part, rows_of in [("boxes", slice(0, 4)), ("scores", slice(4, None))]:
        reached, bar = decibels(right[:, rows_of], made[:, rows_of]), BARS[target][part]
        yield reached >= bar, f"{name}: {part} {reached:.1f} dB, at least {bar} expected"
    if form != "plain":
        count, missing = lost(right, made)
        # Powers of two leave no bit to spare: told, not judged.
        yield count > 0 and (missing == 0 or target == "tidl-pow2"), f"{name}: {missing} of {count} detections lost"
    parts = report["ptq"]["sqnr"][0].get("parts", [])
    yield len(parts) > 1, f"{name}: {len(parts)} parts reported"


def checks(folder=None):
    """Every form, batch and target: (right, text) for each finding."""
    folder = Path(folder or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    images = scenes()
    for form in ["distances", "anchored", "plain"]:
        for batch in [1, None]:
            for target in BARS:
                yield from judge(folder, form, batch, target, images)


if __name__ == "__main__":
    findings = list(checks(*sys.argv[1:]))
    for right, text in findings:
        print(f"{'right' if right else 'WRONG':<8}{text}")
    sys.exit(not all(right for right, _ in findings))
