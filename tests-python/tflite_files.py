"""TensorFlow Lite files against the integer program, code for code, in the runtimes that they are for.

    tests-python/setup.sh && .venv/bin/python tests-python/tflite_files.py [--images N] [--only NAME] [--target TARGET] [--program FOLDER]

Each network is calibrated and exported with `quantrain export --style tflite`; the integer program runs the same run's QDQ file (example
`c_codes`), and the runtime runs the .tflite file on the same codes: tflite-micro's interpreter for the target tflite-micro, ai-edge-litert with its
default delegate (XNNPACK) for litert. Single operators of random shapes and scales come from the example `random_operators`. What is not there
(../shared, a runtime) is counted as skipped. Exit code 1 where a code differs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from c_files import MODELS, NETWORKS, ROOT, write_codes

# Of the others, one has a linear Resize, which is not written, and one labels that ../shared has no images of.
WITHOUT_ASKING = ["fashion_mobilenet", "resnet8_cifar10_tiny", "resnet20_cifar10"]


def shapes_of(details, elements):
    """The shapes of inputs or outputs, of which tflite-micro tells one at a time and not how many there are: all of them have so many elements."""
    shapes = []
    while elements > 0:
        shapes.append(details(len(shapes))["shape"])
        elements -= int(np.prod(shapes[-1]))
    return shapes


def parts(codes, shapes):
    """Each shape with its part of the codes of a sample."""
    start = 0
    for shape in shapes:
        count = int(np.prod(shape))
        yield shape, codes[start : start + count]
        start += count


def micro(path, given, made):
    """tflite-micro's interpreter: a function from the codes of a sample, all inputs in a row, to those of its outputs, which are so many."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=16 << 20)
    shapes = shapes_of(interpreter.get_input_details, given)
    outputs = len(shapes_of(interpreter.get_output_details, made))

    def run(codes):
        for i, (shape, part) in enumerate(parts(codes, shapes)):
            interpreter.set_input(part.reshape(shape), i)
        interpreter.invoke()
        return np.concatenate([interpreter.get_output(i).reshape(-1) for i in range(outputs)])

    return run


def litert(path, *_):
    """ai-edge-litert's interpreter, with the delegate that it takes by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(codes):
        for given, (shape, part) in zip(inputs, parts(codes, [given["shape"] for given in inputs])):
            interpreter.set_tensor(given["index"], part.reshape(shape))
        interpreter.invoke()
        return np.concatenate([interpreter.get_tensor(output["index"]).reshape(-1) for output in outputs])

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
    write_codes(folder / "examples" / "c_codes", run, network, target, count, codes, outputs)
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
            run = RUNTIMES[target](file, codes.shape[1], expected.shape[1])
        except ImportError as error:
            print(f"skipped  {what}: {error}")
            return None
        found = np.stack([run(sample).reshape(-1) for sample in codes])
    apart = np.abs(found.astype(int) - expected)
    verdict = "right" if not apart.any() else "WRONG"
    print(f"{verdict:8} {what:42} {count} images, {apart.size} codes, {np.count_nonzero(apart)} differ, at most by {apart.max()}", flush=True)
    return not apart.any()


def check_operators(folder, target, networks, samples, only):
    """Compares single operators of random shapes and scales: a result for each operator."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([folder / "examples" / "random_operators", target, out, str(networks), str(samples)], check=True)
        kinds = sorted({file.stem.rsplit("-", 1)[0] for file in Path(out).glob("*.tflite")})
        for kind in (k for k in kinds if only is None or only in k):
            codes, differ, most = 0, 0, 0
            for file in sorted(Path(out).glob(f"{kind}-*.tflite")):
                given, expected = (np.fromfile(file.with_suffix(s), np.int8).reshape(samples, -1) for s in (".in", ".out"))
                try:
                    run = RUNTIMES[target](file, given.shape[1], expected.shape[1])
                except ImportError as error:
                    print(f"skipped  {kind}, {target}: {error}")
                    yield None
                    return
                apart = np.abs(np.stack([run(sample) for sample in given]).astype(int) - expected)
                codes, differ, most = codes + apart.size, differ + np.count_nonzero(apart), max(most, apart.max())
            verdict = "WRONG" if differ else "right"
            print(f"{verdict:8} {f'{kind}, {target}':42} {networks} networks, {codes} codes, {differ} differ, at most by {most}", flush=True)
            yield not differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40, help="images of each network; 0 leaves networks out")
    parser.add_argument("--networks", type=int, default=20, help="networks of each single operator")
    parser.add_argument("--samples", type=int, default=4, help="samples of each of them")
    parser.add_argument("--only", help="part of a network's or an operator's name")
    parser.add_argument("--target", choices=RUNTIMES, help="one runtime only")
    parser.add_argument("--program", type=Path, help="the folder of the built programs [default: built here, release]")
    arguments = parser.parse_args()
    folder = arguments.program or ROOT / "target" / "release"
    if arguments.program is None:
        subprocess.run(["cargo", "build", "--release", "-q", "--bin", "quantrain", "--example", "c_codes", "--example", "random_operators"], cwd=ROOT, check=True)
    wanted = [n for n in NETWORKS if arguments.images and (arguments.only in n.model.stem if arguments.only else n.model.stem in WITHOUT_ASKING)]
    targets = [arguments.target] if arguments.target else list(RUNTIMES)
    results = [check(folder, network, target, arguments.images) for network in wanted for target in targets]
    for target in targets:
        results += check_operators(folder, target, arguments.networks, arguments.samples, arguments.only)
    counts = {word: results.count(result) for word, result in (("right", True), ("WRONG", False), ("skipped", None))}
    print(", ".join(f"{n} {word}" for word, n in counts.items()))
    return 1 if counts["WRONG"] or not counts["right"] else 0


if __name__ == "__main__":
    sys.exit(main())
