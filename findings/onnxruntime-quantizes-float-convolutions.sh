#!/usr/bin/env bash
# ONNX Runtime 1.32.0, CPU provider, default session: a Conv whose weights the file keeps in float runs with int8 weights where it stands
# between DequantizeLinear and QuantizeLinear. The session's optimizer quantizes them at load, with one scale for all channels, whatever
# their sizes; with the optimizer off they stay float. The script makes such a file, shows the optimized model, and how far codes are apart.
# It fails where that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cat > show.py <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
weights = random.uniform(-1, 1, (2, 4, 3, 3)).astype(np.float32)
weights[1] *= 0.01
constants, nodes = [numpy_helper.from_array(weights, "weights")], []


def pair(tensor, name, scale):
    constants.append(numpy_helper.from_array(np.float32(scale), f"{name}_scale"))
    constants.append(numpy_helper.from_array(np.uint8(128), f"{name}_zero"))
    nodes.append(helper.make_node("QuantizeLinear", [tensor, f"{name}_scale", f"{name}_zero"], [f"{name}_codes"]))
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}_codes", f"{name}_scale", f"{name}_zero"], [name]))


pair("x", "x_rounded", 1 / 32)
nodes.append(helper.make_node("Conv", ["x_rounded", "weights"], ["sums"], pads=[1] * 4))
pair("sums", "y", 1 / 256)
info = helper.make_tensor_value_info
graph = helper.make_graph(
    nodes, "g", [info("x", TensorProto.FLOAT, [1, 4, 8, 8])], [info("y", TensorProto.FLOAT, [1, 2, 8, 8])], constants
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model, full_check=True)
x = random.uniform(-0.2, 0.2, (1, 4, 8, 8)).astype(np.float32)


def run(level, optimized=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 3
    if optimized:
        options.optimized_model_filepath = optimized
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


levels = onnxruntime.GraphOptimizationLevel
apart = np.abs(run(levels.ORT_DISABLE_ALL) - run(levels.ORT_ENABLE_ALL, "optimized.onnx")) * 256
optimized = onnx.load("optimized.onnx").graph
operators = [node.op_type for node in optimized.node]
scales = [list(t.dims) for t in optimized.initializer if "weight_scale" in t.name]
print(f"onnxruntime {onnxruntime.__version__}: the file has Conv with float weights, the session runs {operators}")
print(f"shape of the scales that it gave the weights: {scales}")
print(f"codes apart: at most {apart.max():.0f}, in {100 * (apart > 0.5).mean():.0f} % of the output")
assert "QLinearConv" in operators and "Conv" not in operators, "the convolution runs in float now"
assert scales == [[]] or scales == [[1]], "there is a scale for each channel now"
assert apart.max() > 0.5, "the codes are the same now"
PY
venv/bin/python show.py
