#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: a pair of QuantizeLinear and DequantizeLinear with 16-bit codes is taken out when a model is compiled. Values are
# not rounded, and not clamped to the codes' range either, which the ONNX standard and its reference evaluator do. The script shows it with
# codes of the range [-1, 1). It fails where that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cat > show.py <<'PY'
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

constants = [numpy_helper.from_array(np.float32(1 / 32768), "scale"), numpy_helper.from_array(np.int16(0), "zero")]
nodes = [
    helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
    helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
    helper.make_node("Neg", ["rounded"], ["y"]),
]
info = helper.make_tensor_value_info
inputs, outputs = [info("x", TensorProto.FLOAT, [1, 4])], [info("y", TensorProto.FLOAT, [1, 4])]
model = helper.make_model(
    helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "pair.onnx")
x = np.array([[0.25, 0.9, 3.0, -7.5]], np.float32)
expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
core = openvino.Core()
found = core.compile_model(core.read_model("pair.onnx"), "CPU")({"x": x})[0]
print(f"openvino {openvino.__version__}: -x of {x[0]} through a 16-bit pair of the range [-1, 1)")
print(f"by the standard (onnx {onnx.__version__}): {expected[0]}; by OpenVINO: {found[0]}")
assert np.abs(expected).max() <= 1, "the reference no longer clamps"
assert np.array_equal(found, -x), "values are rounded or clamped now"
PY
venv/bin/python show.py
