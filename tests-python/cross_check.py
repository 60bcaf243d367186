"""Quantrain against ONNX Runtime, on the networks and images of ../shared and on the example in this repository.

    tests-python/setup.sh && .venv/bin/python tests-python/cross_check.py [--only SECTION]

Builds the program first. One line a check; the last line counts them. What ../shared lacks is counted as skipped; what is only noted decides
nothing. Accuracies in ONNX Runtime are taken with exact products (session.x64quantprecision); those of its default session, which may saturate
products of u8 and i8 where the CPU has no VNNI, stand beside them. Exit code 1 where a check fails.

ONNX Runtime rounds half to even, tidl-pow2 half up, and with scales of powers of two ties are frequent. So what is compared is tidl-pow2-even, a
target file that differs from tidl-pow2 in this rounding only; tidl-pow2 itself is noted.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
from onnx.reference import ReferenceEvaluator
from PIL import Image

import check_models
import foreign_files
import layer_networks
import node_tests
import onnxruntime_accuracy
import operator_networks
import quantized_node_tests
import quantizer_forms

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
MODELS, DATA = SHARED / "models", SHARED / "data"
EXAMPLE = ROOT / "examples" / "fashion-mnist"

FLOAT_TOLERANCE = 1e-4  # max|a − b| / max|b|
SIMULATION_TOLERANCE = 0.1  # points; with few images one image more, which near ties can turn
CLIP_TOLERANCE = 1.0  # points: a clip export computes in float, within the trained ranges
CODE_TOLERANCE = 0.01  # share of codes that a near tie may turn by one: functions are computed in other roundings
MEMORY_TOLERANCE = 0.1  # of the peak with fewer images


def png_column(images):
    """Pixels as a column of encoded images."""
    cells = []
    for pixels in images:
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
        cells.append({"bytes": encoded.getvalue(), "path": None})
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


@dataclass
class Images:
    """Which images a network sees, and how."""

    calibration: Path
    evaluation: Path
    first: int = 0
    count: int = 2000
    calibration_rows: str = ""  # START..END of the calibration file
    labels: Path | None = None
    jpeg: bool = False  # the evaluation images are, and decoders differ
    byte: bool = False
    crop: int | None = None
    mean: list = field(default_factory=lambda: [0.0])
    std: list = field(default_factory=lambda: [1.0])

    def files(self):
        return [self.calibration, self.evaluation]

    def of_same_pixels(self, folder):
        """The same images, JPEG decoded into PNG, so that both sides see the same pixels."""
        if not self.jpeg:
            return self
        cells, labels = [], []
        for pixels, label in onnxruntime_accuracy.parquet_samples(self.evaluation, self.first, self.count, "RGB"):
            cells.append(pixels)
            labels.append(label)
        table = pa.table({"img": png_column(cells), "label": pa.array(labels, pa.int64())})
        pq.write_table(table, folder / self.evaluation.name)
        return replace(self, evaluation=folder / self.evaluation.name, first=0, jpeg=False)

    def flags(self):
        """As flags of quantrain."""
        rows = f"#{self.calibration_rows}" if self.calibration_rows else ""
        # Only parquet files are cut by rows; the example's file holds no more than is wanted.
        part = "" if self.labels else f"#{self.first}..{self.first + self.count}"
        words = ["--data", f"{self.calibration}{rows}", "--eval-data", f"{self.evaluation}{part}"]
        words += ["--mean", ",".join(map(str, self.mean)), "--std", ",".join(map(str, self.std))]
        words += ["--range", "255"] if self.byte else []
        return words + (["--crop", str(self.crop)] if self.crop else [])

    def accuracy(self, model, precision):
        """Right answers of `model` in ONNX Runtime, in percent, and the number of images."""
        words = ["--model", str(model), "--data", str(self.evaluation), "--skip", str(self.first), "--limit", str(self.count)]
        words += ["--precision", precision, "--mean", *map(str, self.mean), "--std", *map(str, self.std)]
        words += ["--labels", str(self.labels)] if self.labels else []
        words += ["--range", "byte"] if self.byte else []
        words += ["--crop", str(self.crop), str(self.crop)] if self.crop else []
        report = onnxruntime_accuracy.evaluate(onnxruntime_accuracy.parse(words))
        return 100 * report["top1"]


@dataclass
class Network:
    """A network, its images, and the points that calibration may cost for a target."""

    model: Path
    images: Images
    bars: dict

    def missing(self):
        return [path for path in [self.model, *self.images.files()] if not path.exists()]


CIFAR = dict(calibration=DATA / "cifar10_train.parquet", evaluation=DATA / "cifar10_test.parquet")
IMAGENET = DATA / "imagenet_sample_500.parquet"
NORMAL = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
RESNET20 = Network(MODELS / "resnet20_cifar10.onnx", Images(**CIFAR, **NORMAL), {"onnxruntime": 0.5, "onnxruntime-vnni": 0.5})
FASHION = Network(
    EXAMPLE / "fashion_mobilenet.onnx",
    Images(
        EXAMPLE / "train-images-idx3-ubyte.gz",
        EXAMPLE / "t10k-images-idx3-ubyte.gz",
        labels=EXAMPLE / "t10k-labels-idx1-ubyte.gz",
        mean=[0.2860],
        std=[0.3530],
    ),
    {"onnxruntime": 0.5, "onnxruntime-vnni": 0.5},
)
NETWORKS = [
    FASHION,
    RESNET20,
    Network(MODELS / "resnet8_cifar10_tiny.onnx", Images(**CIFAR, byte=True), {}),
    Network(
        MODELS / "efficientnet_lite0.onnx",
        Images(IMAGENET, IMAGENET, first=100, count=200, calibration_rows="0..100", jpeg=True, byte=True, crop=224, mean=[127.0], std=[128.0]),
        {"onnxruntime": 3.0, "onnxruntime-vnni": 3.0},
    ),
]
TARGETS = ["onnxruntime", "onnxruntime-vnni", "tidl-pow2-even"]


def target(name, folder):
    """A target as quantrain is told it: a name, or a file."""
    if name != "tidl-pow2-even":
        return name
    rules = (ROOT / "crates" / "quantrain-graph" / "targets" / "tidl-pow2.toml").read_text()
    assert 'rounding = "half-up"' in rules
    file = folder / f"{name}.toml"
    file.write_text(rules.replace('rounding = "half-up"', 'rounding = "half-to-even"'))
    return file


class Tally:
    """Prints a line for each check, and counts."""

    def __init__(self):
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def line(self, verdict, what, figures):
        self.counts[verdict] += 1
        print(f"{verdict:8} {what:64} {figures}", flush=True)

    def check(self, passed, what, figures):
        self.line("passed" if passed else "failed", what, figures)

    def note(self, what, figures):
        print(f"{'noted':8} {what:64} {figures}", flush=True)

    def skip(self, what, missing):
        self.line("skipped", what, f"missing: {', '.join(os.path.relpath(path, ROOT) for path in missing)}")

    def summary(self):
        return ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())


# A process begins with the peak of the one that started it, so a small one starts the program.
PEAK_MEMORY = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Programs:
    """What cargo builds."""

    def __init__(self):
        # The program opens what it exports in the library that this script compares with.
        os.environ["ORT_DYLIB_PATH"] = str(Path(ort.__file__).parent)
        examples = ["--example", "run_*", "--example", "quantize_raw"]
        subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "quantrain", *examples], cwd=ROOT, check=True)
        metadata = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, check=True, capture_output=True
        )
        release = Path(json.loads(metadata.stdout)["target_directory"]) / "release"
        self.program = release / "quantrain"
        names = ["run_float", "run_quantized", "run_codes", "quantize_raw"]
        self.run_float, self.run_quantized, self.run_codes, self.quantize_raw = (release / "examples" / name for name in names)

    def quantrain(self, *words):
        """What the program prints with --json."""
        return json.loads(self.run([self.program], words).stdout)

    def quantize_raw_values(self, *words):
        """Calibrates a network on raw values, exports it, and writes what it computes."""
        done = subprocess.run([self.quantize_raw, *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())

    def peak_memory(self, *words):
        """The program's peak memory in bytes."""
        return int(self.run([sys.executable, "-S", "-c", PEAK_MEMORY, self.program], words).stdout) * 1024

    def run(self, program, words):
        done = subprocess.run([*map(str, program), *map(str, words), "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
        return done


def check_float(tally, programs, folder):
    """The float networks on random input, two samples."""
    models = {path.name: path for path in [*sorted(MODELS.glob("*.onnx")), FASHION.model]}
    if len(models) == 1:
        tally.skip("float networks", [MODELS])
    for model in models.values():
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        inputs = check_models.random_inputs(session)
        expected = session.run(None, inputs)
        given, found = folder / "given", folder / "found"
        given.write_bytes(b"".join(x.tobytes() for x in inputs.values()))
        subprocess.run([programs.run_float, model, given, found, "2"], check=True)
        values, difference = np.fromfile(found, "<f4"), 0.0
        for y in expected:
            difference = max(difference, float(np.abs(values[: y.size] - y.ravel()).max() / np.abs(y).max()))
            values = values[y.size :]
        shape = "x".join(map(str, next(iter(inputs.values())).shape))
        passed = values.size == 0 and difference <= FLOAT_TOLERANCE
        tally.check(passed, f"{model.stem}: float outputs", f"{difference:.1e} relative, at most {FLOAT_TOLERANCE:.0e}; input {shape}")


def check_operators(tally, programs, folder):
    """Small networks of every operator: in float, and exported with quantizers, those that the targets keep in float too."""
    rules = (ROOT / "crates" / "quantrain-graph" / "targets" / "onnxruntime.toml").read_text()
    every_function = folder / "every-function.toml"
    names = ", ".join(f'"{name}"' for name in operator_networks.FLOAT_BY_DEFAULT)
    every_function.write_text(rules.replace("quantized = [", f"quantized = [{names}, ", 1))
    for network in [*operator_networks.NETWORKS, *layer_networks.NETWORKS]:
        model, given, found = folder / "operators.onnx", folder / "given", folder / "found"
        onnx.save(network.model(), model)
        x = network.input()
        given.write_bytes(x.tobytes())
        batch = str(x.shape[0])
        subprocess.run([programs.run_float, model, given, found, batch], check=True)
        differences = {}
        for name, ours, theirs in compared(model, x, found):
            differences[name] = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
        worst = max(differences, key=differences.get)
        figures = f"{len(differences)} outputs, worst {differences[worst]:.1e} relative ({worst}), at most {FLOAT_TOLERANCE:.0e}"
        tally.check(differences[worst] <= FLOAT_TOLERANCE, f"operators: {network.name}", figures)
        for target in ["onnxruntime", "tidl-pow2", every_function]:
            exported = folder / "operators.qdq.onnx"
            subprocess.run([programs.run_quantized, model, given, found, batch, target, exported], check=True)
            steps = output_steps(exported)
            # Ties of TIDL's rounding are turned by design, in a chain of operators more than one of them.
            most, share = (2, 1.0) if target == "tidl-pow2" else (1, CODE_TOLERANCE)
            ties = most * max(all_steps(exported)) if target == "tidl-pow2" else 0.0
            turned, codes, wrong = 0, 0, []
            for name, ours, theirs in compared(exported, x, found):
                if name not in steps:
                    if np.abs(ours - theirs).max() > FLOAT_TOLERANCE * np.abs(theirs).max() + ties:
                        wrong.append(name)
                    continue
                apart = np.rint(np.abs(ours - theirs) / steps[name])
                turned, codes = turned + int((apart > 0).sum()), codes + apart.size
                if apart.max() > most or (apart > 0).mean() > share:
                    wrong.append(name)
            figures = f"{turned} of {codes} codes one apart"
            # Of ONNX Runtime's targets also what its default session does with the file.
            if target != "tidl-pow2" and network.fused:
                apart = [np.rint(np.abs(ours - theirs) / steps.get(name, np.inf)) for name, ours, theirs in compared(exported, x, found, True)]
                wrong += ["by default"] if max(a.max() for a in apart) > 1 else []
                figures += f", {sum(int((a > 0).sum()) for a in apart)} by default"
            figures += f", wrong: {' '.join(wrong)}" if wrong else ""
            tally.check(not wrong, f"operators: {network.name}, {Path(target).stem}", figures)


def compared(model, x, found, optimised=False):
    """Name, our values and ONNX Runtime's of every output: each node as it stands, or as its default session fuses them."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ours = np.fromfile(found, "<f4")
    for output, theirs in zip(session.get_outputs(), session.run(None, {"x": x})):
        theirs = theirs.astype(np.float32)
        yield output.name, ours[: theirs.size].reshape(theirs.shape), theirs
        ours = ours[theirs.size :]
    assert ours.size == 0, "both give the same number of values"


def scales_of(graph):
    """The scales of whole tensors, by name."""
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name.endswith("_scale")}
    return {name: array.item() for name, array in arrays.items() if array.size == 1}


def all_steps(model):
    """The scale of every tensor that has one of its own."""
    return scales_of(onnx.load(model).graph).values()


def output_steps(model):
    """The scale of every output that a DequantizeLinear writes."""
    graph = onnx.load(model).graph
    scales = scales_of(graph)
    outputs = {output.name for output in graph.output}
    return {node.output[0]: scales[node.input[1]] for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] in outputs}


def check_accuracy(tally, programs, folder):
    """Calibrated networks: what was simulated, and what the exported file does in ONNX Runtime."""
    for network in NETWORKS:
        name, images = network.model.stem, network.images
        if missing := network.missing():
            tally.skip(f"{name}: accuracy", missing)
            continue
        images, image = images.of_same_pixels(folder), 100 / images.count
        float_accuracy = images.accuracy(network.model, "exact")
        for name_of_target in TARGETS:
            report = quantize(programs, network.model, images, target(name_of_target, folder), folder / f"{name}-{name_of_target}")
            what = f"{name}: {name_of_target}"
            if name_of_target == TARGETS[0]:
                ours = report["float"]["top1"]
                figures = f"{ours:.2f} %, ONNX Runtime {float_accuracy:.2f} %, {images.count} images"
                tally.check(abs(ours - float_accuracy) < 1.5 * image, f"{name}: float accuracy", figures)
            simulated, exact, figures = simulated_and_exported(images, report)
            allowed = SIMULATION_TOLERANCE + image + 1e-6
            tally.check(abs(exact - simulated) <= allowed, f"{what}, simulated and exported", f"{figures}; at most {allowed:.2f} apart")
            if (bar := network.bars.get(name_of_target)) is not None:
                loss = float_accuracy - exact
                tally.check(loss <= bar, f"{what}, loss by calibration", f"{loss:.2f} points, at most {bar:.2f}")


def quantize(programs, model, images, target, run):
    return programs.quantrain("quantize", "--plain", "--model", model, *images.flags(), "--target", target, "--out", run)


def simulated_and_exported(images, report):
    """Accuracies as simulated and of the file in ONNX Runtime, in percent, and both in words."""
    simulated = report["ptq"]["top1"]
    exact, default = (images.accuracy(report["files"][0], precision) for precision in ["exact", "default"])
    return simulated, exact, f"{simulated:.2f} % simulated, ONNX Runtime {exact:.2f} % ({default:.2f} % by default)"


def check_masks(tally, programs, folder):
    """A network that gives each pixel a class: mean IoU as simulated, and of the exported file in ONNX Runtime."""
    model, training, validation = MODELS / "camvid_mobile_unet.onnx", DATA / "camvid_train.parquet", DATA / "camvid_val.parquet"
    name = model.stem
    if missing := [path for path in [model, training, validation] if not path.exists()]:
        return tally.skip(f"{name}: masks", missing)
    pixels, masks = zip(*onnxruntime_accuracy.parquet_samples(validation, 0, 1 << 60, "RGB"))
    images = folder / validation.name
    pq.write_table(pa.table({"img": png_column(pixels), "mask": png_column(masks)}), images)
    mean, std = ([f"{flag}", ",".join(map(str, values))] for flag, values in [("--mean", NORMAL["mean"]), ("--std", NORMAL["std"])])
    recipe = folder / "camvid.toml"
    recipe.write_text("[data]\nignored-label = 11\ncalibration-images = 128\n")

    def runtime(path):
        words = ["--model", str(path), "--data", str(images), "--crop", "176", "240", "--ignore", "11", "--precision", "exact"]
        words += ["--mean", *map(str, NORMAL["mean"]), "--std", *map(str, NORMAL["std"])]
        return 100 * onnxruntime_accuracy.evaluate(onnxruntime_accuracy.parse(words))["miou"]

    for name_of_target in ["onnxruntime", "tidl-pow2-even"]:
        flags = ["--model", model, "--data", training, "--eval-data", images, *mean, *std, "--crop", "176x240"]
        flags += ["--target", target(name_of_target, folder), "--out", folder / f"{name}-{name_of_target}"]
        report = programs.quantrain("quantize", "--plain", recipe, *flags)
        pairs = [("simulated and exported", report["ptq"]["mean_iou"], runtime(report["files"][0]))]
        if name_of_target == "onnxruntime":
            pairs.append(("float", report["float"]["mean_iou"], runtime(model)))
        for what, ours, theirs in pairs:
            figures = f"mean IoU {ours:.2f} %, ONNX Runtime {theirs:.2f} %; at most {SIMULATION_TOLERANCE:.2f} apart"
            tally.check(abs(ours - theirs) <= SIMULATION_TOLERANCE, f"{name}: {name_of_target}, {what}", figures)


def check_clip(tally, programs, folder):
    """tidl-pow2 and its other form of export: float with Clip, import settings, encodings."""
    for network in [FASHION, RESNET20]:
        name, images = network.model.stem, network.images
        if missing := network.missing():
            tally.skip(f"{name}: clip export", missing)
            continue
        run = folder / f"{name}-clip"
        report = quantize(programs, network.model, images, "tidl-pow2", run)
        tally.note(f"{name}: tidl-pow2, simulated and exported", simulated_and_exported(images, report)[2])
        exported = programs.quantrain("export", run, "--style", "clip", "--encodings", "--out", run / "clip")
        files = {Path(path).name: Path(path) for path in exported["files"]}
        model = files["model.clip.onnx"]
        problem = check_models.check(str(model), None)
        accuracy, before = images.accuracy(model, "exact"), report["float"]["top1"]
        figures = problem or f"{accuracy:.2f} % in ONNX Runtime, float {before:.2f} %; at most {CLIP_TOLERANCE:.2f} apart"
        tally.check(problem is None and abs(accuracy - before) <= CLIP_TOLERANCE, f"{name}: tidl-pow2, clip export", figures)
        encodings = json.loads(files["encodings.json"].read_text())
        counts = [len(encodings[key]) for key in ["activation_encodings", "param_encodings"]]
        wanted = sum(report["quantized"]["weights"].values())
        figures = f"{counts[0]} activations, {counts[1]} parameters"
        tally.check(counts[0] > 0 and counts[1] >= wanted, f"{name}: tidl-pow2, encodings", figures)
        settings = files["tidl-import.txt"].read_text()
        tally.check("quantizationStyle" in settings, f"{name}: tidl-pow2, import settings", f"{len(settings.splitlines())} lines")


def check_forms(tally, programs, folder):
    """Networks that other tools quantized: simulation, integer program and ONNX Runtime have the same codes."""
    quantizer_forms.images(folder / "images.npz")
    library = Path(ort.__file__).parent / "capi"
    flags = ["--data", folder / "images.npz", "--mean", "0.5", "--std", "0.25", "--onnxruntime", library, "--exact-session"]
    for name, model in quantizer_forms.forms().items():
        onnx.save(model, folder / "form.onnx")
        report = programs.quantrain("verify", folder / "form.onnx", *flags)
        apart = [report["differ_integer"], report["differ_onnxruntime"]]
        tally.check(apart == [0, 0], f"form: {name}", f"{apart[0]} and {apart[1]} of {report['codes']} codes apart")
    flags[1] = folder / "unlabelled.npz"
    for name, quant, same in quantizer_forms.quants():
        onnx.save(quant, folder / "quant.onnx")
        onnx.save(same, folder / "same.onnx")
        report = programs.quantrain("evaluate", folder / "quant.onnx", "--against", folder / "same.onnx", *flags[:6])
        ratio = report["sqnr"][0]["decibels"]
        tally.check(ratio is None, f"form: {name}", "as in ONNX's own operators" if ratio is None else f"{ratio:.1f} dB from ONNX's own operators")


def check_exports(tally, programs, folder):
    """What may be chosen about an exported file, in ONNX Runtime and in ONNX's own evaluator, which runs pairs from operator set 19 on."""
    name, images, pixels = FASHION.model.stem, FASHION.images, []
    for _, (image, _) in zip(range(16), onnxruntime_accuracy.idx_samples(images.evaluation, images.labels)):
        pixels.append((np.asarray(image, np.float32).reshape(1, 28, 28) / 255 - images.mean[0]) / images.std[0])
    x = np.stack(pixels).astype(np.float32)
    first = None
    for words, opset in [([], 17), (["--opset", 13], 13), (["--opset", 21], 21), (["--uint8", "--opset", 21], 21), (["--weight-bits", 4, "--int4"], 21)]:
        what = f"{name}: exported with {' '.join(map(str, words)) or 'nothing chosen'}"
        flags = ["--target", "tidl-pow2", *words, "--out", folder / f"export{len(words)}{opset}", "--eval-images", 1]
        file = programs.quantrain("quantize", "--plain", "--model", FASHION.model, *images.flags(), *flags)["files"][0]
        model = onnx.load(file)
        found = next(o.version for o in model.opset_import if not o.domain)
        options = ort.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")
        [runtime] = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run(None, {model.graph.input[0].name: x})
        figures, passed = f"operator set {found}", found == opset
        if opset >= 19:
            [reference] = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})
            passed &= np.array_equal(reference, runtime)
            figures += f", {np.count_nonzero(reference != runtime)} of {runtime.size} outputs of the two apart"
        if "--weight-bits" not in words:
            first = runtime if first is None else first
            passed &= np.array_equal(first, runtime)
        tally.check(passed, what, figures)


def check_memory(tally, programs, folder):
    """Calibration streams: its memory does not grow with the number of images."""
    network, what = RESNET20, "resnet20_cifar10: peak memory of calibration"
    if missing := network.missing():
        return tally.skip(what, missing)
    flags = ["--model", network.model, "--data", network.images.calibration, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    # The same images judge both: without them a share of the calibration's would, in smaller batches where they are few.
    flags += ["--eval-data", network.images.evaluation, "--eval-images", "64"]
    peaks = {}
    for images in [200, 5000]:
        peaks[images] = programs.peak_memory("quantize", *flags, "--calibration-images", images, "--out", folder / f"memory-{images}")
    few, many = peaks.values()
    figures = ", ".join(f"{peak / 2**20:.0f} MiB with {images} images" for images, peak in peaks.items())
    tally.check(abs(many - few) <= MEMORY_TOLERANCE * few, what, f"{figures}; at most {MEMORY_TOLERANCE:.0%} apart")


def check_foreign(tally, programs, folder):
    """Networks of other exporters, the small ones: foreign_files.py has them all."""
    for network in [n for n in foreign_files.NETWORKS if n.name in foreign_files.SMALL]:
        if missing := [path for path in [network.path, foreign_files.PHOTOGRAPHS] if not path.exists()]:
            tally.skip(f"{network.name}: float and integers", missing)
            continue
        outputs = foreign_files.check(programs, network, folder, calibration=4, evaluation=2)
        error, ratio = max(o.float_error for o in outputs), min(o.exported for o in outputs)
        figures = f"float {error:.1e} relative, at most {FLOAT_TOLERANCE:.0e}; exported at least {ratio:.1f} dB"
        tally.check(error <= FLOAT_TOLERANCE, f"{network.name}: float and integers", figures)


def check_nodes(tally, programs, folder):
    """ONNX's own tests of operators."""
    if not node_tests.DATA.is_dir():
        return tally.skip("ONNX's tests of operators", [node_tests.DATA])
    counts, lines = node_tests.run_all(programs.run_float)
    print(*lines, sep="\n", end="\n" if lines else "")
    tally.check(counts["failed"] == 0, "ONNX's tests of operators", node_tests.summary(counts))
    counts, lines = quantized_node_tests.run_all(programs.run_codes)
    print(*lines, sep="\n", end="\n" if lines else "")
    tally.check(counts["failed"] == 0, "ONNX's tests of quantized operators", quantized_node_tests.summary(counts))


SECTIONS = {
    "float": check_float,
    "operators": check_operators,
    "accuracy": check_accuracy,
    "masks": check_masks,
    "clip": check_clip,
    "forms": check_forms,
    "exports": check_exports,
    "memory": check_memory,
    "foreign": check_foreign,
    "nodes": check_nodes,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="only this section; may be given again")
    only = parser.parse_args().only or list(SECTIONS)
    programs, tally = Programs(), Tally()
    for name in only:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
            try:
                SECTIONS[name](tally, programs, Path(folder))
            except Exception as error:  # Whatever ends a section, the others are still run and the failure counts.
                tally.check(False, f"{name}: ended early", f"{type(error).__name__}: {error}")
        print(f"-- {name}: {time.monotonic() - started:.0f} s", flush=True)
    print(tally.summary())
    sys.exit(1 if tally.counts["failed"] or not tally.counts["passed"] else 0)


if __name__ == "__main__":
    main()
