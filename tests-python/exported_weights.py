"""Whether a file with Clip nodes should hold a run's float weights or the quantized ones: what a float runtime and an importer make of each.

    exported_weights.py --program target/release/quantrain RUN...

RUN is the directory of a training for tidl-pow2 or another target with one scale a tensor. Each file is run in float, and imported: weights
quantized anew from their own range. Told are the top-1 of the float file, and of how many weights the importer finds another value than was
trained. Prints a table.
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper


def run(arguments, *words):
    done = subprocess.run([arguments.program, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return json.loads(done.stdout)


def weights(path):
    """Of each layer of a QDQ file, by the name of its node, the values of its weights."""
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    layers = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul", "ConvTranspose"):
            codes, scale = (constants[name] for name in producers[node.input[1]].input[:2])
            layers[node.name] = codes.astype(np.float32) * scale
    return layers


def compare(arguments, folder):
    recipe = os.path.join(folder, "recipe.toml")
    trained = weights(os.path.join(folder, "export", "model.qdq.onnx"))
    with open(os.path.join(folder, "summary.json")) as file:
        simulated = json.load(file)["qat"]["top1"]
    for name, flags in [("float", []), ("quantized", ["--quantized-weights"])]:
        with tempfile.TemporaryDirectory() as out:
            run(arguments, "export", folder, "--style", "clip", *flags, "--out", out, "--json")
            file = os.path.join(out, "model.clip.onnx")
            top1 = run(arguments, "evaluate", file, "--recipe", recipe, "--json")["top1"]
            imported = os.path.join(out, "imported")
            run(arguments, "quantize", recipe, "--model", file, "--observer", "min-max", "--out", imported, "--json")
            found = weights(os.path.join(imported, "export", "model.qdq.onnx"))
        differ = sum(int((trained[layer] != found[layer]).sum()) for layer in trained)
        count = sum(values.size for values in trained.values())
        print(f"| `{os.path.basename(folder)}` | {name} | {simulated:.2f} | {top1:.2f} | {differ:,} of {count:,} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/quantrain")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    print("| run | weights written | simulated | the file in float | weights that an importer finds otherwise |")
    print("|---|---|---|---|---|")
    for folder in arguments.runs:
        compare(arguments, folder.rstrip("/"))


if __name__ == "__main__":
    main()
