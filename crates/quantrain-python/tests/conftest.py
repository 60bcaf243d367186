"""What the tests share: the example network and its images, which are in the repository."""

import gzip
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "fashion-mnist"
SHARED = ROOT.parent / "shared"
MODEL = EXAMPLE / "fashion_mobilenet.onnx"


def read_idx(name: str, count: int) -> numpy.ndarray:
    with gzip.open(EXAMPLE / name) as file:
        data = file.read()
    rank = data[3]
    extents = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * rank).reshape(extents)[:count]


@pytest.fixture(scope="session")
def images() -> numpy.ndarray:
    """96 images as the network takes them."""
    pixels = read_idx("train-images-idx3-ubyte.gz", 96).astype(numpy.float32) / 255
    return ((pixels - numpy.float32(0.2860)) / numpy.float32(0.3530))[:, None]


@pytest.fixture(scope="session")
def labels() -> numpy.ndarray:
    return read_idx("train-labels-idx1-ubyte.gz", 96)


def cross_entropy(scores: numpy.ndarray, labels: numpy.ndarray):
    """Its mean, and its gradient."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    probabilities = numpy.exp(shifted) / numpy.exp(shifted).sum(axis=1, keepdims=True)
    rows = numpy.arange(len(labels))
    loss = -numpy.log(probabilities[rows, labels]).mean()
    gradient = probabilities.copy()
    gradient[rows, labels] -= 1
    return float(loss), (gradient / len(labels)).astype(numpy.float32)
