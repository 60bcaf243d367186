"""C files against the integer program, code for code: on this machine, under its sanitizers, and on a Cortex-M in QEMU.

    tests-python/setup.sh && .venv/bin/python tests-python/c_files.py [--long] [--only NETWORK] [--program FILE]

Each network is calibrated and exported with `quantrain export --style c`; the integer program runs the same run's QDQ file (example `c_codes`).
The quick form takes the network of examples/ and resnet8 with a few images; the long one every network of ../shared, 1,000 images each, and
measures speed. What is not there (../shared, a compiler for Arm, QEMU) is counted as skipped. Exit code 1 where a code differs, a compiler
warns, or a file takes more than is said of it.
"""

import argparse
import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
MODELS, DATA = SHARED / "models", SHARED / "data"
EXAMPLE = ROOT / "examples" / "fashion-mnist"
HERE = Path(__file__).resolve().parent / "c_files"

TARGETS = ["onnxruntime", "onnxruntime-vnni", "tidl-pow2"]
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# The board of QEMU, and how to compile for its processor: without and with an FPU.
BOARDS = {
    "mps2-an385": ["-mcpu=cortex-m3", "-mthumb"],
    "mps2-an386": ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
}
CODE = 8 * 1024  # bytes of code and small constants that a file may take beside what is said of it


@dataclass
class Network:
    """A network and images of its kind: height, width and channels; a real value is (pixel / range − mean) / std."""

    model: Path
    data: Path
    size: tuple
    calibrate: list = field(default_factory=list)
    range: float = 255.0
    mean: tuple = (0.0,)
    std: tuple = (1.0,)

    def flags(self):
        words = ["--data", str(self.data), "--mean", ",".join(map(str, self.mean)), "--std", ",".join(map(str, self.std))]
        return words + (["--range", "255"] if self.range == 1.0 else []) + self.calibrate

    def values(self, count):
        """Samples as 32-bit floats, one after the other; images over again, mirrored and turned, where there are fewer."""
        height, width, channels = self.size
        made = 0
        for turn in range(count):
            for pixels in images(self.data, channels):
                if made == count:
                    return
                pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.BILINEAR))
                pixels = pixels.reshape(height, width, channels)[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
                real = (pixels.astype(np.float32) / self.range - np.float32(self.mean)) / np.float32(self.std)
                yield real.astype("<f4").tobytes()
                made += 1


NORMAL = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
FASHION = Network(EXAMPLE / "fashion_mobilenet.onnx", EXAMPLE / "t10k-images-idx3-ubyte.gz", (28, 28, 1), mean=(0.286,), std=(0.353,))
RESNET8 = Network(MODELS / "resnet8_cifar10_tiny.onnx", DATA / "cifar10_test.parquet", (32, 32, 3), range=1.0)
NETWORKS = [
    FASHION,
    RESNET8,
    Network(MODELS / "resnet20_cifar10.onnx", DATA / "cifar10_test.parquet", (32, 32, 3), **NORMAL),
    Network(MODELS / "mobilenet_v1_025_vww.onnx", DATA / "imagenet_sample_500.parquet", (96, 96, 3), ["--resize", "96x96"]),
    Network(MODELS / "camvid_mobile_unet.onnx", DATA / "camvid_val.parquet", (176, 240, 3), ["--resize", "176x240"], **NORMAL),
    Network(
        MODELS / "efficientnet_lite0.onnx",
        DATA / "imagenet_sample_500.parquet",
        (224, 224, 3),
        ["--resize", "224x224"],
        range=1.0,
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
    ),
]


def images(path, channels):
    """The images of a parquet or an IDX file."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            count, height, width = np.frombuffer(file.read(16), ">i4")[1:]
            yield from np.frombuffer(file.read(), np.uint8).reshape(count, height, width)
        return
    file = pq.ParquetFile(path)
    column = next(n for n in ("img", "image") if n in file.schema_arrow.names)
    for batch in file.iter_batches(64, columns=[column]):
        for cell in batch.column(0).to_pylist():
            yield np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("RGB" if channels == 3 else "L"))


class Tally:
    """Prints a line for each check, and counts."""

    def __init__(self):
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def line(self, verdict, what, figures):
        self.counts[verdict] += 1
        print(f"{verdict:8} {what:52} {figures}", flush=True)

    def check(self, passed, what, figures):
        self.line("passed" if passed else "failed", what, figures)


@dataclass
class Exported:
    """The C files of a run, and what they must give."""

    source: Path
    footprint: dict
    codes: Path
    outputs: Path

    @property
    def name(self):
        return self.source.stem

    def driver(self):
        """A program that runs samples until there are none, by the prototype and the sizes of the header."""
        header = self.source.with_suffix(".h").read_text()
        parameters = re.search(rf"int {self.name}_run\((.*)\);", header)[1].split(", ")
        lines = ['#include "driver.h"', f'#include "{self.name}.h"']
        inputs, outputs = [], []
        for parameter in parameters:
            kind, name = re.fullmatch(r"(?:const )?(\w+) \*(\w+)", parameter).groups()
            (inputs if parameter.startswith("const") else outputs).append(name)
            lines.append(f"static {kind} {name}[{self.name.upper()}_{name.upper()}_COUNT];")
        lines += ["int main(void)", "{", "    for (;;) {"]
        lines += [f"        if (!read_bytes({x}, sizeof {x})) {{ return 0; }}" for x in inputs]
        lines += [f"        if ({self.name}_run({', '.join(inputs + outputs)}) != 0) {{ return 1; }}"]
        lines += [f"        if (!write_bytes({y}, sizeof {y})) {{ return 2; }}" for y in outputs]
        return "\n".join([*lines, "    }", "}", ""])

    def build(self, folder, compiler, flags, machine, name):
        """Compiles the file for a machine; every warning is an error."""
        driver = folder / "driver.c"
        driver.write_text(self.driver())
        program = folder / name
        words = [compiler, *WARNINGS, *flags, "-I", HERE, "-I", self.source.parent, "-o", program, driver, HERE / f"{machine}.c", self.source]
        subprocess.run([*words, "-lm"], check=True)
        return program


def export(program, codes, network, target, folder, count):
    """Calibrates a network, exports it as C and as QDQ, and runs the integer program on `count` samples."""
    run = folder / "run"
    flags = ["--target", target, "--calibration-images", "64", "--eval-images", "8", "--out", str(run)]
    subprocess.run([program, "quantize", network.model, *network.flags(), *flags, "--quiet", "--json"], check=True, capture_output=True)
    done = subprocess.run([program, "export", run, "--style", "c", "--quiet", "--json"], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    source = next(run.glob("export/*.c"))
    exported = Exported(source, report["c"], folder / "codes", folder / "outputs")
    write_codes(codes, run, network, target, count, exported.codes, exported.outputs)
    return exported


def write_codes(program, run, network, target, count, codes, outputs):
    """Runs the integer program of a run's QDQ file on `count` samples, and writes the codes of inputs and of outputs to files."""
    words = [program, run / "export" / "model.qdq.onnx", target, codes, outputs]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        for sample in network.values(count):
            process.stdin.write(sample)
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError("c_codes failed")


def apart(expected, found, whole):
    """How many bytes of a file are not those of another, and how many there are; a part is enough where not `whole`."""
    differ, total = 0, 0
    with open(expected, "rb") as a, open(found, "rb") as b:
        while block := b.read(1 << 24):
            ours, theirs = np.frombuffer(block, np.uint8), np.frombuffer(a.read(len(block)), np.uint8)
            if theirs.size != ours.size:
                return -1, total
            differ, total = differ + int((ours != theirs).sum()), total + ours.size
        return (-1 if total == 0 or whole and a.read(1) else differ), total


def head(exported, folder, samples, count):
    """A file of the first samples' codes."""
    size = exported.codes.stat().st_size // count
    with open(exported.codes, "rb") as file:
        (folder / "head").write_bytes(file.read(size * samples))
    return folder / "head"


def on_this_machine(tally, what, exported, folder, count, sanitized):
    """Compiled plainly and for speed, all samples; under sanitizers, some."""
    ways = [("-O2", ["-O2"], count), ("-O3 -march=native", ["-std=gnu11", "-O3", "-march=native"], count), ("sanitizers", SANITIZED, sanitized)]
    for name, flags, samples in ways:
        program = exported.build(folder, "gcc", flags, "host", "program")
        found = folder / "found"
        started = time.monotonic()
        with open(head(exported, folder, samples, count), "rb") as given, open(found, "wb") as file:
            subprocess.run([program], stdin=given, stdout=file, check=True)
        seconds = time.monotonic() - started
        differ, total = apart(exported.outputs, found, samples == count)
        tally.check(differ == 0, f"{what}: gcc {name}", f"{differ} of {total:,} bytes apart, {samples} images, {1000 * seconds / samples:.2f} ms each")


def on_a_board(tally, what, exported, folder, board, count, samples):
    """On a Cortex-M in QEMU, and what it takes there."""
    if not which("arm-none-eabi-gcc") or not which("qemu-system-arm"):
        return tally.line("skipped", f"{what}: {board}", "missing: arm-none-eabi-gcc or qemu-system-arm (Debian: gcc-arm-none-eabi, qemu-system-arm)")
    small = ["-Os", "-ffunction-sections", *BOARDS[board]]
    # The driver's own code may do without the last warnings.
    linked = ["-nostartfiles", "-Wno-pedantic", "-T", HERE / "cortex_m.ld", "--specs=nano.specs"]
    program = exported.build(folder, "arm-none-eabi-gcc", [*small, *linked], "cortex_m", "board.elf")
    head(exported, folder, samples, count).rename(folder / "codes.board")
    board_folder = folder / "board"
    board_folder.mkdir(exist_ok=True)
    (folder / "codes.board").rename(board_folder / "codes")
    words = ["qemu-system-arm", "-M", board, "-kernel", program, "-nographic", "-monitor", "none", "-semihosting-config", "enable=on,target=native"]
    subprocess.run(words, check=True, cwd=board_folder, timeout=600, stdin=subprocess.DEVNULL)
    differ, total = apart(exported.outputs, board_folder / "found", False)
    tally.check(differ == 0, f"{what}: {board}", f"{differ} of {total:,} bytes apart, {samples} images")
    unit = folder / "unit.o"
    subprocess.run(["arm-none-eabi-gcc", *WARNINGS, *small, "-c", "-o", unit, exported.source], check=True)
    sizes = subprocess.run(["arm-none-eabi-size", unit], check=True, capture_output=True, text=True).stdout.splitlines()[1].split()
    flash, ram = int(sizes[0]) + int(sizes[1]), int(sizes[1]) + int(sizes[2])
    said = exported.footprint
    figures = f"flash {flash:,} bytes, {said['weights']:,} of weights; RAM {ram:,}, bound {said['ram_bound']:,}"
    fits = said["flash"] <= flash <= said["flash"] + CODE and said["ram"] <= ram <= said["ram"] + 8
    within = flash <= said["weights"] + 30 * 1024 and ram <= 1.1 * said["ram_bound"]
    tally.check(fits and within, f"{what}: what it takes on {board}", figures)


def check(tally, program, codes, network, target, long):
    what = f"{network.model.stem}, {target}"
    missing = [path for path in (network.model, network.data) if not path.exists()]
    if missing:
        return tally.line("skipped", what, f"missing: {', '.join(path.name for path in missing)}")
    small = network in (FASHION, RESNET8)
    count = 1000 if long else 32
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        exported = export(program, codes, network, target, folder, count)
        on_this_machine(tally, what, exported, folder, count, 32 if small else 2)
        if small:
            for board in BOARDS:
                on_a_board(tally, what, exported, folder, board, count, 16 if long else 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="every network, 1,000 images each")
    parser.add_argument("--only", help="one network, by its file's stem")
    parser.add_argument("--target", choices=TARGETS, help="one target")
    parser.add_argument("--program", type=Path, help="a quantrain that is built already, examples/c_codes beside it")
    arguments = parser.parse_args()
    program = arguments.program
    if program is None:
        subprocess.run(["cargo", "build", "--release", "-q", "--bin", "quantrain", "--example", "c_codes"], cwd=ROOT, check=True)
        program = ROOT / "target" / "release" / "quantrain"
    tally = Tally()
    for network in NETWORKS if arguments.long or arguments.only else [FASHION, RESNET8]:
        if arguments.only in (None, network.model.stem):
            for target in [arguments.target] if arguments.target else TARGETS if arguments.long else ["onnxruntime", "tidl-pow2"]:
                check(tally, program, program.parent / "examples" / "c_codes", network, target, arguments.long)
    print(", ".join(f"{count} {verdict}" for verdict, count in tally.counts.items()))
    return tally.counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
