"""ONNX's own tests of quantized operators, those of Debian's package libonnx-testdata, through Quantrain's reader, simulation and integer program.

    apt-get install libonnx-testdata
    tests-python/setup.sh && .venv/bin/python tests-python/quantized_node_tests.py

A network of Quantrain has float inputs and outputs, so a QuantizeLinear with the test's own numbers goes before an input of codes and a
DequantizeLinear behind an output of codes; every code must be that of the test. Weights, scales and zero points are fixed to the test's values.
A test that is not passed must have a row in EXEMPT that says why, and a row whose test passes is an error too. Exit code 1 where a test fails.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("/usr/share/libonnx-testdata/data/node")
QUANTIZED = re.compile(r"QLinear|[Qq]uantize|Integer")

# For each operator, the inputs that are codes of activations with the positions of their numbers, and the positions of the output's numbers.
NUMBERS = {
    "QuantizeLinear": ({}, (1, 2)),
    "DequantizeLinear": ({0: (1, 2)}, None),
    "QLinearConv": ({0: (1, 2)}, (6, 7)),
    "QLinearMatMul": ({0: (1, 2), 3: (4, 5)}, (6, 7)),
}

DYNAMIC = "a part of dynamic quantization, with scales computed while it runs; Quantrain's are known before, and such networks are not read"
EXEMPT = {
    "test_basic_convinteger": DYNAMIC,
    "test_convinteger_with_padding": DYNAMIC,
    "test_convinteger_without_padding": DYNAMIC,
    "test_matmulinteger": DYNAMIC,
    "test_dynamicquantizelinear": DYNAMIC,
    "test_dynamicquantizelinear_expanded": DYNAMIC,
    "test_dynamicquantizelinear_max_adjusted": DYNAMIC,
    "test_dynamicquantizelinear_max_adjusted_expanded": DYNAMIC,
    "test_dynamicquantizelinear_min_adjusted": DYNAMIC,
    "test_dynamicquantizelinear_min_adjusted_expanded": DYNAMIC,
}


def tensor(path):
    proto = TensorProto()
    proto.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(proto)


def tests():
    for folder in sorted(DATA.glob("test_*")):
        model = onnx.load(folder / "model.onnx")
        if any(QUANTIZED.search(node.op_type) for node in model.graph.node):
            yield folder, model


def by_channel(numbers, rank):
    """One number, or one for each element of axis 1."""
    return numbers.reshape(-1, *[1] * (rank - 2)) if numbers.size > 1 else numbers


def run(runner, folder, model, scratch):
    """None where every code is the test's, else what went wrong."""
    [node] = model.graph.node
    if node.op_type not in NUMBERS:
        return f"{node.op_type} is not read"
    data = folder / "test_data_set_0"
    values = {name: tensor(data / f"input_{i}.pb") for i, name in enumerate(node.input)}
    expected = tensor(data / "output_0.pb")
    codes, to = NUMBERS[node.op_type]
    nodes, inputs, fed = [], [], []
    for position, name in enumerate(node.input):
        # A second matrix of two axes is weights; the first extent of an input is the batch.
        if position in codes and (position == 0 or values[name].ndim > 2):
            scale, zero = (by_channel(values[node.input[i]], values[name].ndim) for i in codes[position])
            real = (values[name].astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
            nodes.append(helper.make_node("QuantizeLinear", [f"{name}_real", *(node.input[i] for i in codes[position])], [name]))
            inputs.append(f"{name}_real")
            fed.append(real.astype(np.float32))
            del values[name]
        elif position == 0:
            inputs.append(name)
            fed.append(values.pop(name))
    nodes.append(node)
    output = node.output[0]
    if to:
        scale, zero = (by_channel(values[node.input[i]], expected.ndim) for i in to)
        nodes.append(helper.make_node("DequantizeLinear", [output, *(node.input[i] for i in to)], ["result"]))
        output = "result"
    shaped = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *x.shape[1:]]) for n, x in zip(inputs, fed)]
    stored = [numpy_helper.from_array(value.reshape(()) if value.size == 1 and value.ndim == 1 else value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "test", shaped, [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], stored)
    onnx.save(helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), scratch / "model.onnx")
    (scratch / "input").write_bytes(b"".join(x.astype("<f4").tobytes() for x in fed))
    command = [runner, *(scratch / name for name in ["model.onnx", "input", "output"]), str(fed[0].shape[0])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    found = np.frombuffer((scratch / "output").read_bytes(), "<f4").reshape(expected.shape)
    if to:
        found = np.rint(found / scale.astype(np.float32)).astype(np.int64) + zero.astype(np.int64)
    different = np.count_nonzero(found != expected)
    return f"{different} of {expected.size} differ" if different else None


def run_all(runner, verbose=False):
    """Runs every test with the example `run_codes`; returns how many passed, failed and are exempt, and the lines about them."""
    counts, lines = {"passed": 0, "failed": 0, "exempt": 0}, []
    with tempfile.TemporaryDirectory() as scratch:
        for folder, model in tests():
            problem = "several nodes" if len(model.graph.node) > 1 else run(runner, folder, model, Path(scratch))
            reason = EXEMPT.get(folder.name)
            verdict = "exempt" if problem and reason else "failed" if problem or reason else "passed"
            counts[verdict] += 1
            if verdict == "failed" or verbose:
                told = {"exempt": reason, "failed": problem or "it passes; drop its row", "passed": ""}[verdict]
                lines.append(f"{verdict:8} {folder.name:56} {told}".rstrip())
    return counts, lines


def summary(counts):
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def main():
    if not DATA.is_dir():
        print(f"skipped: no {DATA}; install libonnx-testdata")
        return 0
    subprocess.run(["cargo", "build", "-q", "--release", "-p", "quantrain", "--example", "run_codes"], cwd=ROOT, check=True)
    counts, lines = run_all(ROOT / "target" / "release" / "examples" / "run_codes", verbose=True)
    print(*lines, summary(counts), sep="\n")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
