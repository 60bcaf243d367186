"""Checks ONNX files: onnx.checker with shape inference, loading in ONNX Runtime, one run on random input.

    check_models.py [--same-as REFERENCE.onnx] FILE...

With --same-as the outputs must equal those of a reference file bit for bit. Exit code 1 where a file fails.
"""

import argparse
import sys

import numpy as np
import onnx
import onnxruntime as ort


def random_inputs(session, seed=0):
    """Seeded standard-normal inputs, two samples where the batch is free."""
    generator = np.random.default_rng(seed)
    inputs = {}
    for value in session.get_inputs():
        shape = [extent if isinstance(extent, int) else 2 for extent in value.shape]
        inputs[value.name] = generator.standard_normal(shape).astype(np.float32)
    return inputs


def run(path, optimized=True):
    """The outputs of a file on random input."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, random_inputs(session))


def check(path, reference):
    """What is wrong with a file, or None."""
    try:
        onnx.checker.check_model(path, full_check=True)
        outputs = run(path)
    except Exception as error:  # Every library has its own errors; each means that the file fails.
        return str(error).splitlines()[0]
    if not all(np.isfinite(y).all() for y in outputs):
        return "outputs are not finite"
    if reference is not None:
        expected = run(reference)
        if len(expected) != len(outputs) or any(a.tobytes() != b.tobytes() for a, b in zip(expected, outputs)):
            return f"outputs differ from {reference}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--same-as", metavar="REFERENCE")
    arguments = parser.parse_args()
    failed = 0
    for path in arguments.files:
        problem = check(path, arguments.same_as)
        print(f"{path}: {problem or 'ok'}")
        failed += problem is not None
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
