"""ONNX's own tests of operators, those of Debian's package libonnx-testdata, through Quantrain's reader and its float engine.

    apt-get install libonnx-testdata
    tests-python/setup.sh && .venv/bin/python tests-python/node_tests.py [--only NAME] [--verbose]

Every test is run whose operators docs/operators.md lists, in an operator set that is read. What Quantrain wants to be constant is fixed to the values of the test first: all inputs that
are no floats, and, where that is not enough, all but the first. Where everything is constant, the folded result is added to an input of zeros. A
test that is not passed must have a row in EXEMPT that says why, and a row whose test passes is an error too. Exit code 1 where a test fails.
"""

import argparse
import fnmatch
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("/usr/share/libonnx-testdata/data")
OPSETS = range(7, 24)
SUITES = ["node", "simple", "pytorch-operator", "pytorch-converted"]
TOLERANCE = 1e-4  # max|a − b| / max(|b|, 1)

# The quantized operators are compared code for code elsewhere.
QUANTIZED = {"QuantizeLinear", "DequantizeLinear"}

HALF = "values of other types are computed in float32 and not rounded to theirs"
INTEGERS = "a network of integers: activations are floats"
EMPTY = "a tensor without elements"
TRAINING = "the form of training, inference only is read"
THREE_AXES = "three spatial axes"

# Patterns of tests, and why they are not passed.
EXEMPT = {
    "node/test_averagepool_3d_default": THREE_AXES,
    "node/test_batchnorm_*_training_mode": TRAINING,
    "node/test_cast_BFLOAT16_to_FLOAT": "the data set says that its values are UINT16",
    "node/test_cast_*_to_FLOAT16": HALF,
    "node/test_cast_FLOAT_to_BFLOAT16": HALF,
    "node/test_cast_*STRING*": "texts",
    "node/test_castlike_BFLOAT16_to_FLOAT*": "the data set says that its values are UINT16",
    "node/test_castlike_*_to_FLOAT16*": HALF,
    "node/test_castlike_FLOAT_to_BFLOAT16*": HALF,
    "node/test_castlike_*STRING*": "texts",
    "node/test_constantofshape_int_shape_zero": EMPTY,
    "node/test_convtranspose_3d": THREE_AXES,
    "node/test_edge_pad": INTEGERS,
    "node/test_einsum_batch_diagonal": "a diagonal, by an index that an operand has twice",
    "node/test_maxpool_2d_uint8": INTEGERS,
    "node/test_maxpool_3d_default": THREE_AXES,
    "node/test_pow_types_float": INTEGERS,
    "node/test_pow_types_int32_float32": INTEGERS,
    "node/test_pow_types_int64_float32": INTEGERS,
    "node/test_reflect_pad": INTEGERS,
    "node/test_reshape_allowzero_reordered": EMPTY,
    "node/test_resize_downsample_scales_*_align_corners": "the data set is of an older definition, in which output sizes were fractions; "
    "ONNX Runtime gives what Quantrain gives",
    "node/test_resize_tf_crop_and_resize": "cropping by a Resize",
    "node/test_slice_start_out_of_bounds": EMPTY,
    "node/test_split_zero_size_splits": EMPTY,
    "node/test_tri?_zero": EMPTY,
    "node/test_training_dropout*": TRAINING,
}


def operators():
    """The operators that are read."""
    page = (ROOT / "docs" / "operators.md").read_text()
    return set(re.findall(r"^\| ([A-Z]\w+) \|", page, re.MULTILINE))


def tensor(path):
    """A value of a data set as it is stored and as an array, or None where it is no tensor."""
    proto = TensorProto()
    try:
        proto.ParseFromString(path.read_bytes())
        return proto, numpy_helper.to_array(proto)
    except Exception:  # Sequences and optional values are stored under the same name.
        return None


class NodeTest:
    """A model with its inputs and its first expected output."""

    def __init__(self, folder):
        self.name = f"{folder.parent.name}/{folder.name}"
        self.model = onnx.load(folder / "model.onnx")
        data = folder / "test_data_set_0"
        graph = self.model.graph
        self.inputs = [tensor(data / f"input_{i}.pb") for i in range(len(graph.input))] if data.is_dir() else []
        expected = tensor(data / "output_0.pb") if data.is_dir() else None
        self.expected = expected and expected[1]

    def operators(self):
        return {node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}" for node in self.model.graph.node}

    def is_of_known_set(self):
        return all(opset.version in OPSETS for opset in self.model.opset_import if opset.domain in ("", "ai.onnx"))

    def is_tensors(self):
        return self.expected is not None and all(value is not None for value in self.inputs)

    def variants(self):
        """Models with more and more inputs fixed, and the values of those that are left."""
        floats = [value.dtype in (np.float32, np.float64, np.float16) for _, value in self.inputs]
        tried = set()
        for free in [floats, [f and i == 0 for i, f in enumerate(floats)], [False] * len(floats)]:
            if tuple(free) not in tried:
                tried.add(tuple(free))
                yield self.fixed(free)

    def fixed(self, free):
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        inputs = list(graph.input)
        del graph.input[:]
        values = []
        # A graph's own initializers give defaults of inputs.
        initialized = {t.name for t in graph.initializer}
        for value, (stored, array), is_free in zip(inputs, self.inputs, free):
            if is_free:
                graph.input.append(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, array.shape))
                values.append(array.astype(np.float32))
            elif value.name not in initialized:
                graph.initializer.append(stored)
                graph.initializer[-1].name = value.name
        del graph.output[1:]
        if not values:
            # The folded result becomes visible where a network's input is added to it.
            result = graph.output[0].name
            graph.input.append(helper.make_tensor_value_info("zeros", TensorProto.FLOAT, self.expected.shape))
            graph.node.append(helper.make_node("Cast", [result], ["result_as_float"], to=TensorProto.FLOAT))
            graph.node.append(helper.make_node("Add", ["zeros", "result_as_float"], ["result_and_zeros"]))
            graph.output[0].name = "result_and_zeros"
            values.append(np.zeros(self.expected.shape, np.float32))
        return model, values

    def run(self, program, folder):
        """What is wrong, or None."""
        problems = []
        for model, values in self.variants():
            path, given, found = folder / "model.onnx", folder / "given", folder / "found"
            path.write_bytes(model.SerializeToString())
            given.write_bytes(b"".join(np.ascontiguousarray(value).tobytes() for value in values))
            done = subprocess.run([program, path, given, found, "1"], capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                problems.append(done.stderr.strip().splitlines()[0].replace(str(path), "model.onnx") if done.stderr else f"exit code {done.returncode}")
                if done.returncode not in (0, 1):
                    return f"it crashed: {problems[-1]}"
                continue
            got, want = np.fromfile(found, "<f4"), self.expected.astype(np.float32).ravel()
            if got.size != want.size:
                return f"{got.size} values found, {want.size} expected"
            error = np.abs(got - want) / np.maximum(np.abs(want), 1) if got.size else np.zeros(1)
            same = (got == want) | (np.isnan(got) & np.isnan(want)) if got.size else np.ones(1, bool)
            worst = float(np.where(same, 0, error).max())
            return None if worst <= TOLERANCE else f"off by {worst:.1e}"
        return problems[-1] if len(problems) == 1 else f"{problems[0]}; with constants: {problems[-1]}"


def exemption(name):
    """The row of EXEMPT that a test falls under."""
    return next((pattern for pattern in EXEMPT if fnmatch.fnmatch(name, pattern)), None)


def tests():
    for suite in SUITES:
        for folder in sorted((DATA / suite).glob("test_*")):
            if (folder / "model.onnx").exists():
                yield NodeTest(folder)


def run_all(program, only=None, verbose=False):
    """Runs every test; returns counts and the lines about failures."""
    listed, lines = operators() - QUANTIZED, []
    counts = {"passed": 0, "exempted": 0, "failed": 0, "older": 0}
    matched = set()
    with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
        for test in tests():
            if (only and only not in test.name) or not test.is_tensors() or not test.operators() <= listed:
                continue
            if not test.is_of_known_set():
                counts["older"] += 1
                continue
            problem, pattern = test.run(program, Path(folder)), exemption(test.name)
            crashed = problem is not None and problem.startswith("it crashed")
            matched |= {pattern} if pattern and problem else set()
            verdict = "passed" if problem is None else "exempted" if pattern and not crashed else "failed"
            counts[verdict] += 1
            if verdict == "failed" or verbose:
                lines.append(f"{verdict:8} {test.name:64} {problem or ''}{f' ({EXEMPT[pattern]})' if pattern else ''}")
    stale = [] if only else [pattern for pattern in EXEMPT if pattern not in matched]
    counts["failed"] += len(stale)
    lines += [f"failed   {pattern:64} every test of this row of EXEMPT passes; remove it" for pattern in stale]
    return counts, lines


def summary(counts):
    tests = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ["passed", "exempted", "failed"])
    return f"{tests}; {counts['older']} of operator sets before {OPSETS.start} left out"


def main():
    from cross_check import Programs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="only tests whose name holds this")
    parser.add_argument("--verbose", action="store_true", help="a line for every test")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: {DATA} is missing (apt-get install libonnx-testdata)")
    counts, lines = run_all(Programs().run_float, arguments.only, arguments.verbose)
    print(*lines, sep="\n")
    print(summary(counts))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
