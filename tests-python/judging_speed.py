"""What a user waits for: networks judged, quantized, looked at and refined, beside ONNX Runtime and beside another build.

    judging_speed.py --quantrain target/release/quantrain [--against OTHER] [--only NAME ...] [--rounds 1] [--json]

Each line is a process of its own, one after the other: reading and decoding are counted, starting up too. `seconds` is the clock's, `cpu` what
all threads together used, which says more on a machine that is shared; `MB` the most that the process held. Both sides have two threads. ONNX
Runtime judges with one image at a time and with eight, and the better one counts.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS, DATA = ROOT / "../shared/models", ROOT / "../shared/data"
LITE, IMAGES = MODELS / "efficientnet_lite0.onnx", DATA / "imagenet_sample_500.parquet"
LITE_PIXELS = ["--crop", 224, "--range", 255, "--mean", 127, "--std", 128]
CIFAR_PIXELS = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
BATCHES = [1, 8]


def images(first, count):
    """Pixels of ImageNet as efficientnet_lite0 takes them, [3, 224, 224], with their labels."""
    import io

    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(IMAGES).slice(first, count)
    column = next(name for name in ("img", "image") if name in table.column_names)
    for cell, label in zip(table.column(column), table.column("label")):
        image = Image.open(io.BytesIO(cell.as_py()["bytes"])).convert("RGB")
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
        yield ((pixels - 127) / 128).transpose(2, 0, 1), label.as_py()


def their_evaluation(model, first, count, batch):
    """Top-1 by ONNX Runtime's session."""
    import itertools

    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name, right, samples = session.get_inputs()[0].name, 0, images(first, count)
    while part := list(itertools.islice(samples, batch)):
        scores = session.run(None, {name: np.stack([pixels for pixels, _ in part])})[0]
        right += sum(int(row.argmax()) == label for row, (_, label) in zip(scores, part))
    print(right)


def their_quantization(calibrates, judges, batch, out):
    """quantize_static by percentile, and both networks judged."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.samples = images(0, calibrates)

        def get_next(self):
            sample = next(self.samples, None)
            return sample and {"input": sample[0][None]}

    method = CalibrationMethod.Percentile
    quantize_static(str(LITE), out, Reader(), QuantFormat.QDQ, per_channel=True, reduce_range=True, calibrate_method=method)
    their_evaluation(LITE, calibrates, judges, batch)
    their_evaluation(out, calibrates, judges, batch)


def measured(command):
    """Seconds, seconds of all threads and MB of a command that must succeed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{errors.read().decode()}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def theirs(*arguments):
    return [sys.executable, __file__, "--half", *arguments]


def jobs(folder, judges):
    """By name: our arguments, and the commands of ONNX Runtime, of which the fastest counts."""
    calibrates = 100
    exported = f"{folder}/export/export/model.qdq.onnx"
    data = ["--data", f"{IMAGES}#0..{calibrates}", "--calibration-images", calibrates, *LITE_PIXELS, "--threads", 2, "--overwrite"]
    judged = ["--eval-data", f"{IMAGES}#{calibrates}..{calibrates + judges}"]
    evaluate = ["--data", f"{IMAGES}#0..{judges}", *LITE_PIXELS, "--threads", 2]
    percentile = ["--observer", "percentile", "--unchecked"]
    cifar = ["--data", f"{DATA / 'cifar10_train.parquet'}#0..64", "--eval-data", DATA / "cifar10_test.parquet", *CIFAR_PIXELS]
    camvid = ["--data", f"{DATA / 'camvid_train.parquet'}#0..8", "--eval-data", DATA / "camvid_val.parquet", "--ignored-label", 11]
    camvid += ["--crop", "176x240", *CIFAR_PIXELS]
    steps = ["--epochs", 1, "--batch-size", 8, "--train-images", 8, "--threads", 2, "--overwrite", "--unchecked", "--out", f"{folder}/train"]
    small = ["--calibration-images", 8, "--observer", "min-max", *steps]
    return {
        "evaluate float": (["evaluate", LITE, *evaluate], [theirs("evaluate", LITE, 0, judges, b) for b in BATCHES]),
        "evaluate exported": (["evaluate", exported, *evaluate], [theirs("evaluate", exported, 0, judges, b) for b in BATCHES]),
        "quantize": (
            ["quantize", "--model", LITE, *data, *judged, *percentile, "--out", f"{folder}/quantize"],
            [theirs("quantize", calibrates, judges, b, f"{folder}/static.onnx") for b in BATCHES],
        ),
        "train resnet20": (["train", "--model", MODELS / "resnet20_cifar10.onnx", *cifar, *small], []),
        "train CamVid": (["train", "--model", MODELS / "camvid_mobile_unet.onnx", *camvid, *small], []),
        "sensitivity": (["sensitivity", "--model", LITE, *data[:-1], *percentile, "--images", 8], []),
        "adaround": (
            ["quantize", "--model", LITE, *data, *percentile, "--set", 'refine.steps=["adaround"]', "--out", f"{folder}/adaround"],
            [],
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantrain", default=ROOT / "target/release/quantrain")
    parser.add_argument("--against", help="another build of quantrain, run in turn")
    parser.add_argument("--only", nargs="*", help="names of lines, as they are printed")
    parser.add_argument("--images", type=int, default=400, help="images that judge efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--half", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.half:
        what, *rest = arguments.half
        if what == "evaluate":
            their_evaluation(rest[0], *map(int, rest[1:]))
        else:
            their_quantization(*map(int, rest[:3]), rest[3])
        return

    with tempfile.TemporaryDirectory() as folder:
        export = [f"{IMAGES}#0..100", "--calibration-images", 100, *LITE_PIXELS, "--observer", "percentile", "--unchecked"]
        measured([arguments.quantrain, "quantize", "--model", LITE, "--data", *export, "--out", f"{folder}/export"])
        for name, (own, others) in jobs(folder, arguments.images).items():
            if arguments.only and name not in arguments.only:
                continue
            commands = {"quantrain": [[arguments.quantrain, *own]]}
            commands |= {"against": [[arguments.against, *own]]} if arguments.against else {}
            commands |= {"onnxruntime": others} if others else {}
            rounds = [{who: min(measured(c) for c in some) for who, some in commands.items()} for _ in range(arguments.rounds)]
            found = {who: [statistics.median(r[who][i] for r in rounds) for i in range(3)] for who in commands}
            if arguments.json:
                print(json.dumps({"what": name, **{w: dict(zip(("seconds", "cpu", "MB"), f)) for w, f in found.items()}}))
                continue
            ours = found["quantrain"]
            for who, (seconds, cpu, memory) in found.items():
                ratio = "" if who == "quantrain" else f"  ours is {ours[0] / seconds:.2f} of its time, {ours[1] / cpu:.2f} of its cpu"
                print(f"{name:<18} {who:<12} {seconds:7.1f} s {cpu:7.1f} s cpu {memory:6.0f} MB{ratio}", flush=True)


if __name__ == "__main__":
    main()
