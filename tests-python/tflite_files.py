"""TensorFlow Lite files against the integer program, code for code, in the runtimes that they are for.

    tests-python/setup.sh && .venv/bin/python tests-python/tflite_files.py [--images N] [--only NETWORK] [--program FOLDER]

Each network is calibrated and exported with `quantrain export --style tflite`; the integer program runs the same run's QDQ file (example
`c_codes`), and the runtime runs the .tflite file on the same codes: tflite-micro's interpreter for the target tflite-micro, ai-edge-litert with its
default delegate (XNNPACK) for litert. What is not there (../shared, a runtime) is counted as skipped. Exit code 1 where a code differs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from c_files import MODELS, NETWORKS, ROOT

LONG = ["efficientnet_lite0"]


def micro(path):
    """tflite-micro's interpreter: a function from the codes of a sample to those of its outputs."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=64 << 20)

    def run(codes):
        interpreter.set_input(codes.reshape(interpreter.get_input_details(0)["shape"]), 0)
        interpreter.invoke()
        return interpreter.get_output(0)

    return run


def litert(path):
    """ai-edge-litert's interpreter, with the delegate that it takes by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    given, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(codes):
        interpreter.set_tensor(given["index"], codes.reshape(given["shape"]))
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return run


RUNTIMES = {"tflite-micro": micro, "litert": litert}


def export(folder, network, target, out, count):
    """Calibrates a network, exports it as TensorFlow Lite and as QDQ, and runs the integer program: the file, codes of inputs and of outputs."""
    run = out / "run"
    program = folder / "quantrain"
    flags = ["--target", target, "--calibration-images", "64", "--eval-images", "8", "--out", str(run)]
    subprocess.run([program, "quantize", network.model, *network.flags(), *flags, "--quiet", "--json"], check=True, capture_output=True)
    subprocess.run([program, "export", run, "--style", "tflite", "--quiet", "--json"], check=True, capture_output=True)
    codes, outputs = out / "codes", out / "outputs"
    words = [folder / "examples" / "c_codes", run / "export" / "model.qdq.onnx", target, codes, outputs]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        for sample in network.values(count):
            process.stdin.write(sample)
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError("c_codes failed")
    return next(run.glob("export/*.tflite")), *(np.fromfile(file, np.int8).reshape(count, -1) for file in (codes, outputs))


def check(folder, network, target, count):
    """Compares one network in one runtime; whether all codes are right, `None` where something is not there."""
    what = f"{network.model.stem}, {target}"
    if not network.model.exists() or not network.data.exists():
        print(f"skipped  {what}: not there")
        return None
    with tempfile.TemporaryDirectory() as out:
        file, codes, expected = export(folder, network, target, Path(out), count)
        try:
            run = RUNTIMES[target](file)
        except ImportError as error:
            print(f"skipped  {what}: {error}")
            return None
        found = np.stack([run(sample).reshape(-1) for sample in codes])
    apart = np.abs(found.astype(int) - expected)
    verdict = "right" if not apart.any() else "WRONG"
    print(f"{verdict:8} {what:42} {count} images, {apart.size} codes, {np.count_nonzero(apart)} differ, at most by {apart.max()}", flush=True)
    return not apart.any()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40, help="images of each network")
    parser.add_argument("--only", help="part of a network's name")
    parser.add_argument("--target", choices=RUNTIMES, help="one runtime only")
    parser.add_argument("--program", type=Path, help="the folder of the built programs [default: built here, release]")
    arguments = parser.parse_args()
    folder = arguments.program or ROOT / "target" / "release"
    if arguments.program is None:
        subprocess.run(["cargo", "build", "--release", "-q", "--bin", "quantrain", "--example", "c_codes"], cwd=ROOT, check=True)
    wanted = [n for n in NETWORKS if (arguments.only in n.model.stem if arguments.only else n.model.stem not in LONG)]
    targets = [arguments.target] if arguments.target else list(RUNTIMES)
    results = [check(folder, network, target, arguments.images) for network in wanted for target in targets]
    counts = {word: results.count(result) for word, result in (("right", True), ("WRONG", False), ("skipped", None))}
    print(", ".join(f"{n} {word}" for word, n in counts.items()))
    return 1 if counts["WRONG"] or not counts["right"] else 0


if __name__ == "__main__":
    sys.exit(main())
