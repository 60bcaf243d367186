"""Images calibrated a second: Quantrain beside onnxruntime.quantization.quantize_static, one after the other, round by round.

    calibration_speed.py --quantrain target/release/quantrain [--rounds 3] [--images 200] [--json]

Both read the images from the parquet file, decode them, calibrate efficientnet_lite0 and write a QDQ file; starting up is counted too.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "../shared/models/efficientnet_lite0.onnx"
DATA = ROOT / "../shared/data/imagenet_sample_500.parquet"
METHODS = {"percentile": "Percentile", "min-max": "MinMax"}


def quantize_static(method, images, out):
    """Runs ONNX Runtime's own calibration; the half that is timed in a process of its own."""
    import io

    import numpy as np
    import pyarrow.parquet as pq
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, quantize_static
    from PIL import Image

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter(pq.read_table(DATA, columns=["img"]).slice(0, images).column("img").to_pylist())

        def get_next(self):
            row = next(self.rows, None)
            if row is None:
                return None
            image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
            left, top = (image.width - 224) // 2, (image.height - 224) // 2
            pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
            return {"input": ((pixels - 127) / 128).transpose(2, 0, 1)[None]}

    method = CalibrationMethod[METHODS[method]]
    quantize_static(str(MODEL), out, Reader(), QuantFormat.QDQ, per_channel=True, reduce_range=True, calibrate_method=method)


def measured(command):
    """Seconds of a command that must succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{errors.decode()}")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantrain", default=ROOT / "target/release/quantrain")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--half", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.half:
        with tempfile.TemporaryDirectory() as folder:
            quantize_static(arguments.half, arguments.images, f"{folder}/q.onnx")
        return

    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            recipe = pathlib.Path(folder, "recipe.toml")
            recipe.write_text(f'[quantization]\nobserver = "{method}"\n')
            own = [arguments.quantrain, "quantize", recipe, "--model", MODEL, "--data", f"{DATA}#0..{arguments.images}"]
            own += ["--calibration-images", arguments.images, "--crop", 224, "--range", 255, "--mean", 127, "--std", 128, "--json"]
            own += ["--out", f"{folder}/run", "--overwrite"]
            theirs = [sys.executable, __file__, "--half", method, "--images", arguments.images]
            seconds = {"quantrain": [], "onnxruntime": []}
            for _ in range(arguments.rounds):
                seconds["onnxruntime"].append(measured([str(part) for part in theirs]))
                seconds["quantrain"].append(measured([str(part) for part in own]))
        rates = {name: arguments.images / statistics.median(times) for name, times in seconds.items()}
        times = rates["quantrain"] / rates["onnxruntime"]
        if arguments.json:
            print(json.dumps({"observer": method, "images": arguments.images, **rates, "times": times}))
        else:
            print(f"{method:<12}quantrain {rates['quantrain']:6.1f}  onnxruntime {rates['onnxruntime']:6.1f} images/s  {times:5.1f} times")


if __name__ == "__main__":
    main()
