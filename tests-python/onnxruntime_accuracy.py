"""Accuracy of an ONNX file (float or QDQ) in ONNX Runtime's CPU provider, as one line of JSON.

    onnxruntime_accuracy.py --model M.onnx --data cifar10_test.parquet --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
    onnxruntime_accuracy.py --model M.onnx --data t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz --mean 0.286 --std 0.353
    onnxruntime_accuracy.py --model M.onnx --data camvid_val.parquet --crop 176 240 --ignore 11 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225

Parquet files hold encoded images (column `img` or `image`) and `label` (classification) or `mask` (segmentation); IDX files hold pixels.
A pixel p becomes (p/255 - mean) / std, or with --range byte (p - mean) / std, each step in float32 as in quantrain-data. Classification prints top1, top5 and images; segmentation miou, pixel_accuracy, images.
"""

import argparse
import gzip
import io
import json

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
from PIL import Image


def read_idx(path):
    """The array of an IDX file, compressed or not."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def idx_samples(images, labels):
    """Pairs of pixels (height, width, 1) and label."""
    for pixels, label in zip(read_idx(images), read_idx(labels)):
        yield pixels[..., None], int(label)


def decoded(cell, mode):
    """The pixels of an encoded image, in the bands of `mode`, or as stored where it is None."""
    image = Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell))
    return np.asarray(image if mode is None else image.convert(mode))


def parquet_samples(path, first, count, mode):
    """Pairs of pixels (height, width, bands) and label, or mask (height, width)."""
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    image = next(name for name in ("img", "image") if name in names)
    target = next(name for name in ("mask", "label") if name in names)
    row = 0
    for batch in file.iter_batches(256, columns=[image, target]):
        for cell, wanted in zip(batch[image], batch[target]):
            if first <= row < first + count:
                pixels = decoded(cell.as_py(), mode)
                yield pixels[..., None] if pixels.ndim == 2 else pixels, decoded(wanted.as_py(), None) if target == "mask" else wanted.as_py()
            row += 1


def centre_crop(pixels, extents):
    """The middle `extents` (height, width) of an image or mask."""
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape, extents))
    return pixels[top : top + extents[0], left : left + extents[1]]


def open_session(path, precise):
    """A session; `precise` keeps U8S8 products exact where the CPU has no VNNI (ONNX Runtime's session.x64quantprecision)."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Classification:
    """Counts how often the right class is first, and among the first five."""

    def __init__(self):
        self.top1 = self.top5 = self.images = 0

    def add(self, logits, labels):
        ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        hits = ranked == np.asarray(labels)[:, None]
        self.top1 += int(hits[:, 0].sum())
        self.top5 += int(hits.any(axis=1).sum())
        self.images += len(labels)

    def report(self):
        share = lambda count: round(count / max(self.images, 1), 6)
        return {"top1": share(self.top1), "top5": share(self.top5), "images": self.images}


class Segmentation:
    """A confusion matrix over all pixels but the ignored."""

    def __init__(self, ignore):
        self.ignore, self.matrix, self.images = ignore, None, 0

    def add(self, logits, masks):
        classes = logits.shape[1]
        if self.matrix is None:
            self.matrix = np.zeros((classes, classes), np.int64)
        wanted, found = np.stack(masks).astype(np.int64), logits.argmax(axis=1)
        counted = wanted < classes
        if self.ignore is not None:
            counted &= wanted != self.ignore
        pairs = wanted[counted] * classes + found[counted]
        self.matrix += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        self.images += len(masks)

    def report(self):
        right = np.diag(self.matrix)
        union = self.matrix.sum(0) + self.matrix.sum(1) - right
        miou = (right[union > 0] / union[union > 0]).mean()
        return {"miou": round(float(miou), 6), "pixel_accuracy": round(float(right.sum() / self.matrix.sum()), 6), "images": self.images}


def evaluate(arguments):
    session = open_session(arguments.model, arguments.precision == "exact")
    value = session.get_inputs()[0]
    mode = "L" if value.shape[1] == 1 else "RGB"
    count = arguments.limit if arguments.limit is not None else 1 << 60
    if arguments.labels:
        samples = list(idx_samples(arguments.data, arguments.labels))[arguments.skip : arguments.skip + count]
    else:
        samples = parquet_samples(arguments.data, arguments.skip, count, mode)
    mean, std = np.float32(arguments.mean), np.float32(arguments.std)
    white = np.float32(255 if arguments.range == "unit" else 1)
    metric = None
    pending = []

    def flush():
        pixels = np.stack([p for p, _ in pending])
        x = (pixels.astype(np.float32) / white - mean) / std
        logits = session.run(None, {value.name: np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32)})[0]
        metric.add(logits, [t for _, t in pending])
        pending.clear()

    for pixels, target in samples:
        if arguments.crop:
            pixels = centre_crop(pixels, arguments.crop)
            target = centre_crop(target, arguments.crop) if isinstance(target, np.ndarray) else target
        metric = metric or (Segmentation(arguments.ignore) if isinstance(target, np.ndarray) else Classification())
        pending.append((pixels, target))
        if len(pending) == arguments.batch:
            flush()
    if pending:
        flush()
    return metric.report() if metric else {"images": 0}


def parse(words=None):
    """The arguments; `words` stands for the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="parquet file, or IDX file of images")
    parser.add_argument("--labels", help="IDX file of labels")
    parser.add_argument("--mean", type=float, nargs="+", default=[0.0], help="one number, or one for each band")
    parser.add_argument("--std", type=float, nargs="+", default=[1.0], help="one number, or one for each band")
    parser.add_argument("--range", choices=["unit", "byte"], default="unit", help="pixels before mean and std: 0 to 1, or 0 to 255")
    parser.add_argument("--crop", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="centre crop")
    parser.add_argument("--ignore", type=int, help="class of mask pixels that do not count")
    parser.add_argument("--skip", type=int, default=0, help="samples left out at the beginning")
    parser.add_argument("--limit", type=int, help="at most this many samples")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=["default", "exact"], default="default", help="exact: session.x64quantprecision = 1")
    return parser.parse_args(words)


if __name__ == "__main__":
    print(json.dumps(evaluate(parse())))
