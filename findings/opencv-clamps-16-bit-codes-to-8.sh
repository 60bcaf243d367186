#!/usr/bin/env bash
# OpenCV 5.0.0, cv2.dnn's classic engine: QuantizeLinear to INT16 gives codes of 8 bits. 0.25 with a step of 1/32768 is code 8192 by the ONNX
# standard; here it is 127, and the dequantized value 0.0039, without a word. (The new engine refuses INT16 with an error.) A file whose
# activations have 16 bits therefore runs in the classic engine and means nothing. The script fails where that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install numpy==2.4.6 onnx==1.23.2 opencv-python-headless==5.0.0.93
cat > show.py <<'PY'
import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

STEP = np.float32(1 / 32768)
constants = [numpy_helper.from_array(STEP, "scale"), numpy_helper.from_array(np.int16(0), "zero")]
nodes = [
    helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
    helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"]),
]
info = helper.make_tensor_value_info
inputs, outputs = [info("x", TensorProto.FLOAT, [1, 4])], [info("y", TensorProto.FLOAT, [1, 4])]
model = helper.make_model(
    helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "pair.onnx")
x = np.array([[0.25, 0.9, 0.001, -0.75]], np.float32)
expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
net = cv2.dnn.readNetFromONNX("pair.onnx", cv2.dnn.ENGINE_CLASSIC)
net.setInput(x)
found = net.forward()
print(f"opencv {cv2.__version__}, classic engine: {x[0]} through a 16-bit pair with a step of 1/32768")
print(f"codes by the standard (onnx {onnx.__version__}): {np.rint(expected / STEP)[0]}; by OpenCV: {np.rint(found / STEP)[0]}")
assert np.abs(expected - x).max() <= STEP, "the reference no longer rounds to 16 bits"
assert np.array_equal(np.rint(found / STEP), np.clip(np.rint(x / STEP), -128, 127)), "the codes are other than those of 8 bits now"
PY
venv/bin/python show.py
