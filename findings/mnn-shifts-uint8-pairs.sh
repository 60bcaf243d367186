#!/usr/bin/env bash
# MNN 3.6.1, its converter from ONNX and its CPU interpreter: what a pair of QuantizeLinear and DequantizeLinear with UINT8 codes gives comes out
# 128 steps too low, whatever the zero point; with INT8 codes it is right. The conversion reports success. Networks with unsigned activations
# (the usual QDQ form of ONNX Runtime's tools) are silently wrong there. The script fails where that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install numpy==2.4.6 onnx==1.23.2 MNN==3.6.1
cat > show.py <<'PY'
import subprocess

import MNN
import MNN.nn
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

STEP = np.float32(1 / 64)
SHAPE = [1, 1, 2, 4]
x = np.linspace(-1.5, 2.2, 8, dtype=np.float32).reshape(SHAPE)


def steps_apart(zero):
    constants = [("scale", STEP), ("zero", zero), ("weight", np.ones((1, 1, 1, 1), np.float32))]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
        helper.make_node("Conv", ["rounded", "weight"], ["y"]),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)
    constants = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "pair.onnx")
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    convert = ["venv/bin/mnnconvert", "-f", "ONNX", "--modelFile", "pair.onnx", "--MNNModel", "pair.mnn", "--bizCode", "x"]
    said = subprocess.run(convert, capture_output=True, text=True, check=True).stdout
    assert "Converted Success" in said, said
    net = MNN.nn.load_module_from_file("pair.mnn", ["x"], ["y"])
    found = net.forward([MNN.expr.const(x.flatten().tolist(), SHAPE, MNN.expr.data_format.NCHW)])[0].read()
    return (np.asarray(found).reshape(SHAPE) - expected) / STEP


print(f"MNN 3.6.1: steps from what the ONNX standard says (onnx {onnx.__version__}), least and most")
for zero, expected in [(np.uint8(0), -128), (np.uint8(100), -128), (np.uint8(128), -128), (np.int8(-28), 0), (np.int8(5), 0)]:
    apart = steps_apart(zero)
    print(f"{type(zero).__name__}, zero point {zero}: {apart.min():.0f}, {apart.max():.0f}")
    assert np.abs(apart - expected).max() < 1e-3, f"{expected} steps were seen before"
PY
venv/bin/python show.py
