"""What observers make of several networks: output SQNR of the simulated integer network, calibrated on disjoint subsets, on images of neither.

    tests-python/setup.sh && .venv/bin/python tests-python/fetch_foreign.py
    .venv/bin/python tests-python/observers.py [--only NAME] [--target NAME] [--observer NAME] [--calibration N] [--subsets N] [--images N]

Builds the program first. The networks are those of ../shared/models and of foreign_files.py; the first subset calibrates, then the second, and so on,
and what comes behind them all judges. An observer is a name of quantization.observer, behind which a percentile may stand (percentile=99.999).
Networks and images that are not there are named and skipped.
"""

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

import fetch_foreign
import foreign_files
from foreign_files import IMAGENET_MEAN, IMAGENET_STD, Network, scaled
from onnxruntime_accuracy import idx_samples, parquet_samples

SHARED = fetch_foreign.ROOT.parent / "shared"
EXAMPLE = fetch_foreign.ROOT / "examples" / "fashion-mnist"
OBSERVERS = ["percentile=99.99", "percentile=99.999", "min-max", "mean-squared-error", "measured"]


def of_parquet(file, box=None):
    """The first images of a file of ../shared/data, as RGB; of each the part in a box, left, upper, right, lower."""

    def first(count):
        samples = islice(parquet_samples(SHARED / "data" / file, 0, count, "RGB"), count)
        images = [Image.fromarray(pixels) for pixels, _ in samples]
        return [image.crop(box) for image in images] if box else images

    return first


def centre(side):
    """The middle of the photographs."""

    def first(count):
        corner = lambda image: ((image.width - side) // 2, (image.height - side) // 2)  # noqa: E731
        images = [(image, *corner(image)) for image in foreign_files.photographs(count)]
        return [image.crop((x, y, x + side, y + side)) for image, x, y in images]

    return first


def fashion(count):
    """The first images of the example's training set."""
    samples = idx_samples(EXAMPLE / "train-images-idx3-ubyte.gz", EXAMPLE / "train-labels-idx1-ubyte.gz")
    return [Image.fromarray(pixels[..., 0]) for pixels, _ in islice(samples, count)]


def gray(mean, std):
    """Pixels of 0 to 255 as (p − mean) / std, with an axis for the channel."""
    return lambda pixels: ((pixels - np.float32(mean)) / np.float32(std))[..., None]


def model(name):
    return str(SHARED / "models" / f"{name}.onnx")


NORMAL = scaled(IMAGENET_MEAN, IMAGENET_STD)
MODELS = [
    Network(model("resnet20_cifar10"), "input", (32, 32), NORMAL, looks_at=of_parquet("cifar10_train.parquet")),
    Network(model("resnet8_cifar10_tiny"), "input", (32, 32), scaled(0, 1), looks_at=of_parquet("cifar10_train.parquet")),
    Network(model("efficientnet_lite0"), "input", (224, 224), scaled(127, 128), looks_at=centre(224)),
    Network(model("mobilenet_v1_025_vww"), "input", (96, 96), scaled(0, 255)),
    Network(model("camvid_mobile_unet"), "input", (176, 240), NORMAL, looks_at=of_parquet("camvid_train.parquet", (0, 2, 240, 178))),
    Network(str(EXAMPLE / "fashion_mobilenet.onnx"), "input", (28, 28), gray(0.2860 * 255, 0.3530 * 255), channels=1, looks_at=fashion),
]


def measure(programs, network, folder, samples, subset, observer, target):
    """The output SQNR of each output in dB, on what lies behind the subsets."""
    raw, (first, end, judged) = folder / "in.bin", subset
    if not raw.exists():
        raw.write_bytes(samples.tobytes())
    shape = f"{network.input}=Nx{'x'.join(map(str, network.shape()))}"
    programs.quantize_raw_values(network.path, raw, len(samples), f"{first}..{end}", folder, observer, target, shape)
    rows = [np.fromfile(folder / name, "<f4").reshape(len(samples), -1)[judged:] for name in ["float.bin", "simulated.bin"]]
    session = foreign_files.reference_session(network)
    lengths = [y.size for y in session.run(None, {network.input: samples[:1]})]
    floats, simulated = (np.split(values, np.cumsum(lengths)[:-1], axis=1) for values in rows)
    return [(o.name, foreign_files.sqnr(a, b)) for o, a, b in zip(session.get_outputs(), floats, simulated)]


def main():
    from cross_check import Programs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="only networks whose file's name holds this; may be given again")
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--observer", action="append", metavar="NAME", help=f"instead of {', '.join(OBSERVERS)}; may be given again")
    parser.add_argument("--calibration", type=int, default=16, help="images of a subset")
    parser.add_argument("--subsets", type=int, default=2)
    parser.add_argument("--images", type=int, default=16, help="other images that judge; eight times as many for networks of few multiplications")
    arguments = parser.parse_args()
    observers = arguments.observer or OBSERVERS
    chosen = [n for n in [*MODELS, *foreign_files.NETWORKS] if not arguments.only or any(part in n.file for part in arguments.only)]
    missing = [n.file for n in chosen if not n.path.exists()]
    if missing:
        print(f"skipped, not there: {', '.join(missing)} (tests-python/fetch_foreign.py)", file=sys.stderr)
    programs, rows = Programs(), [["network", "output", "calibrated on", *observers]]
    for network in [n for n in chosen if n.path.exists()]:
        behind = arguments.calibration * arguments.subsets
        samples = network.samples(behind + arguments.images * network.times)
        for first in range(0, behind, arguments.calibration):
            subset = (first, first + arguments.calibration, behind)
            with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
                of = lambda observer: measure(programs, network, Path(folder), samples, subset, observer, arguments.target)  # noqa: E731, B023
                found = [of(observer) for observer in observers]
            for i, (output, _) in enumerate(found[0]):
                figures = [f"{by_observer[i][1]:.2f}" for by_observer in found]
                rows.append([network.name, output, f"{first}..{subset[1]}", *figures])
                print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    print(foreign_files.table(rows))


if __name__ == "__main__":
    main()
