"""A new user's first hour: folders of pictures, a small network, and what goes wrong.

    tests-python/setup.sh && .venv/bin/python tests-python/first_hour.py [--program PATH]

Builds the program first, unless one is given. Makes a network of ten classes with a fixed batch, and photographs in class folders; two folders are too
many, one is empty. Then it does what a new user does, step by step: each step has to end right, or with the line that says what to do next. One line a
step, `right` or `WRONG`; the last line counts them. Exit code 1 where one is wrong.
"""

import argparse
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
SIDE = 32
MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
NORMALIZE = ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
FREE = ["--input-shape", "image=Nx3x32x32"]
QUICK = ["--batch-size", "16", "--train-images", "160", "--weight-bits", "4", "--lr", "1e-4"]
CLASSES = ["apple", "birch", "cloud", "daisy", "ember", "fjord", "grape", "heron", "iris", "jade"]


def photograph(kind, rng):
    """A picture of a class: stripes of its own width and direction in its own colour, under noise. A tenth of them is grey."""
    hue = np.array([np.cos(2 * np.pi * (kind / 10 + third / 3)) for third in range(3)])
    y, x = np.mgrid[:SIDE, :SIDE]
    angle, width = kind * np.pi / 10, 2.0 + kind % 3
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / width + rng.uniform(0, 2 * np.pi))
    pixels = 128 + 70 * hue + 40 * stripes[..., None] + rng.normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_photographs(folder, classes, count, rng):
    for name in classes:
        place = folder / name
        place.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(photograph(CLASSES.index(name), rng)).save(place / f"{i:03}.jpg" if i % 2 else place / f"{i:03}.png", quality=95)


def normalized(pixels):
    return ((pixels.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def network(path, rng, batch=1):
    """Two convolutions with random weights and a classifier that is fitted to pictures: trained enough for a first hour."""
    weights = {
        "backbone.stage1.0.conv.weight": rng.normal(0, 0.25, (16, 3, 3, 3)),
        "backbone.stage1.0.conv.bias": rng.normal(0, 0.1, 16),
        "backbone.stage2.0.depthwise.weight": rng.normal(0, 0.4, (16, 1, 3, 3)),
        "backbone.stage2.0.depthwise.bias": rng.normal(0, 0.1, 16),
        "backbone.stage2.0.pointwise.weight": rng.normal(0, 0.25, (48, 16, 1, 1)),
        "backbone.stage2.0.pointwise.bias": rng.normal(0, 0.3, 48),
        "classifier.weight": np.zeros((10, 48)),
        "classifier.bias": np.zeros(10),
    }
    nodes = [
        helper.make_node("Conv", ["image", *list(weights)[0:2]], ["a"], name="/backbone/stage1/stage1.0/conv/Conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], name="/backbone/stage1/stage1.0/act/Relu"),
        helper.make_node("Conv", ["b", *list(weights)[2:4]], ["c"], name="/backbone/stage2/stage2.0/depthwise/Conv", pads=[1] * 4, group=16),
        helper.make_node("Relu", ["c"], ["d"], name="/backbone/stage2/stage2.0/act1/Relu"),
        helper.make_node("Conv", ["d", *list(weights)[4:6]], ["e"], name="/backbone/stage2/stage2.0/pointwise/Conv"),
        helper.make_node("Relu", ["e"], ["f"], name="/backbone/stage2/stage2.0/act2/Relu"),
        helper.make_node("GlobalAveragePool", ["f"], ["g"], name="/pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["g"], ["features"], name="/Flatten"),
        helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"], name="/classifier/Gemm", transB=1),
    ]

    def save(where, extent, outputs):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [extent, 3, SIDE, SIDE])
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [extent, width]) for name, width in outputs]
        constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
        graph = helper.make_graph(nodes, "main_graph", [image], infos, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="first hour")
        helper.set_model_props(model, {"mean": str(MEAN), "std": str(STD)})
        onnx.save(model, where)

    scratch = path.with_suffix(".features.onnx")
    save(scratch, "n", [("features", 48), ("logits", 10)])
    kinds = np.arange(600) % 10
    pixels = np.stack([normalized(photograph(kind, rng)) for kind in kinds])
    features = ort.InferenceSession(str(scratch), providers=["CPUExecutionProvider"]).run(["features"], {"image": pixels})[0]
    scratch.unlink()
    ones = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)
    fitted = np.linalg.solve(ones.T @ ones + 0.1 * np.eye(49), ones.T @ (8 * np.eye(10)[kinds]))
    weights["classifier.weight"], weights["classifier.bias"] = fitted[:48].T, fitted[48]
    save(path, batch, [("logits", 10)])


class Hour:
    """The folder of a new user, the program, and what was found."""

    def __init__(self, folder, program):
        self.folder, self.program, self.wrong, self.steps = folder, program, 0, 0
        self.environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.environment["ORT_DYLIB_PATH"] = str(Path(ort.__file__).parent / "capi")

    def judge(self, holds, what, seen=""):
        self.steps += 1
        self.wrong += not holds
        print(f"{'right' if holds else 'WRONG':<8}{what}", flush=True)
        if not holds and seen:
            print("\n".join("          " + line for line in seen.strip().splitlines()[-30:]), flush=True)

    def run(self, *words):
        done = subprocess.run([str(self.program), *map(str, words)], cwd=self.folder, env=self.environment, capture_output=True, timeout=SECONDS)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def json(self, *words):
        code, out, err = self.run(*words, "--json")
        return (json.loads(out) if code == 0 else {}), err

    def refused(self, what, words, *parts):
        """The command ends with exit code 2 and one line that has these parts."""
        code, out, err = self.run(*words)
        lines = [line for line in err.splitlines() if line.startswith("quantrain: ")]
        holds = code == 2 and len(lines) == 1 and out == "" and all(part in lines[0] for part in parts)
        self.judge(holds, f"{what}: {lines[0] if lines else f'exit code {code}'}", out + err)

    def on_terminal(self, columns, *words):
        """Exit code, and what a terminal of so many columns shows of standard output and error."""
        primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([str(self.program), *map(str, words)], cwd=self.folder, env=self.environment, stdout=secondary, stderr=secondary, stdin=secondary)
        os.close(secondary)
        shown = b""
        while True:
            try:
                part = os.read(primary, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        os.close(primary)
        return process.wait(SECONDS), shown.decode(errors="replace").replace("\r\n", "\n")


def first_look(hour):
    code, out, _ = hour.run("--help")
    hour.judge(code == 0 and "quantize" in out and "train" in out, "--help names the commands", out)
    report, err = hour.json("inspect", "net.onnx")
    shapes = [report.get(key, [{}])[0].get("shape") for key in ("inputs", "outputs")]
    hour.judge(shapes == [["N", 3, SIDE, SIDE], ["N", 10]] or shapes == [[1, 3, SIDE, SIDE], [1, 10]], f"inspect: shapes are arrays, {shapes}", err)
    hour.judge(report.get("images", {}).get("mean") == str(MEAN), "inspect: what the file says of its images", str(report.get("images")))
    code, shown = hour.on_terminal(80, "inspect", "net.onnx")
    widest = max(map(len, shown.splitlines()), default=0)
    hour.judge(code == 0 and widest <= 80 and "…" in shown, f"inspect on 80 columns: the widest line has {widest}", shown)
    script = f"('{hour.program}' inspect net.onnx; echo $? > code) | head -1"
    done = subprocess.run(["sh", "-c", script], cwd=hour.folder, env=hour.environment, capture_output=True, text=True, timeout=SECONDS)
    code = (hour.folder / "code").read_text().strip()
    hour.judge(code == "0" and done.stdout.count("\n") == 1 and done.stderr == "", f"inspect | head -1: exit code {code}", done.stderr)
    hour.refused("a parquet file for a network", ["inspect", "notes.parquet"], "notes.parquet: a parquet file found", "a network in ONNX")
    hour.refused("no images", ["quantize", "net.onnx"], "no images for calibration", "--data")


def own_folders(hour):
    hour.refused("two folders too many", ["quantize", "net.onnx", "--data", "photos", "--eval-data", "photos", *NORMALIZE], "photos", "12", "10", "data.classes")
    listed = ["--classes", ",".join(CLASSES)]
    hour.refused(
        "the classes listed, the two still there", ["quantize", "net.onnx", "--data", "photos", "--eval-data", "photos", *listed, *NORMALIZE], "weeds", "data.classes"
    )
    for extra in ("weeds", "zebra"):
        shutil.move(hour.folder / "photos" / extra, hour.folder / extra)
    report, err = hour.json("quantize", "net.onnx", "--data", "photos", "--eval-data", "photos", "--out", "first", *NORMALIZE)
    top1 = (report.get("float") or {}).get("top1", 0)
    hour.judge(top1 > 90, f"an empty folder keeps its number: float {top1} %", str(report) + err)


def preprocessing(hour):
    report, err = hour.json("quantize", "net.onnx", "--data", "photos", "--eval-data", "photos", "--out", "wrong", "--mean", "-2", "--std", "0.1")
    warnings = " ".join(report.get("warnings", []))
    hour.judge("check range, mean, std, channel order" in warnings, "a wrong mean: the warning says what to check", warnings + err)
    notes = " ".join(report.get("notes", []))
    hour.judge("the model's file says `mean`" in notes, "and what the model's file says of it", notes + err)
    report, err = hour.json("evaluate", "net.onnx", "--data", "photos", *NORMALIZE)
    quiet = not report.get("warnings") and "the model's file says" not in " ".join(report.get("notes", []))
    hour.judge(report.get("top1", 0) > 90 and quiet, "the right mean: nothing to say of it", str(report) + err)
    # Some photographs are stored grey, and some are not what their name says.
    place = hour.folder / "photos" / CLASSES[2]
    Image.open(place / "001.jpg").convert("L").save(place / "grey.png")
    code, out, err = hour.run("evaluate", "net.onnx", "--data", "photos", *NORMALIZE)
    hour.judge(code == 0 and "top-1" in out, "a grey picture among others is converted", out + err)
    (place / "torn.jpg").write_bytes((place / "001.jpg").read_bytes()[:60])
    hour.refused("a damaged picture", ["quantize", "net.onnx", "--data", "photos", "--out", "torn", *NORMALIZE], "torn.jpg")
    code, out, err = hour.run("quantize", "net.onnx", "--data", "photos", "--out", "torn", "--on-bad-sample", "skip", *NORMALIZE)
    hour.judge(code == 0 and "torn.jpg" in out, "and left out where that is asked for, by name", out + err)
    (place / "torn.jpg").unlink()


def recipes(hour):
    code, out, err = hour.run("init", "net.onnx", "--data", "photos", "--eval-data", "photos", *NORMALIZE, "--write", "recipes/mine.toml")
    text = (hour.folder / "recipes" / "mine.toml").read_text() if code == 0 else ""
    hour.judge(code == 0 and "written to recipes/mine.toml" in out and 'train = "' in text, "init --write", out + err)
    hour.refused("a recipe that is there is not overwritten", ["init", "net.onnx", "--write", "recipes/mine.toml"], "mine.toml", "remove it")
    hour.refused("lr for learning-rate", ["train", "recipes/mine.toml", "--set", "lr=0.1"], "did you mean `train.learning-rate`?")
    hour.refused("a key for a flag", ["train", "recipes/mine.toml", "--momentum", "0.8"], "--set train.momentum=VALUE")
    (hour.folder / "recipes" / "slip.toml").write_text(text.replace("learning-rate = ", "lr = "))
    hour.refused("lr in a recipe", ["train", "recipes/slip.toml"], "slip.toml:", "did you mean `learning-rate`?")


def training(hour):
    """Without a terminal: lines, Ctrl-C, and the command that goes on."""
    hour.refused("more than one image at a time", ["train", "recipes/mine.toml", *QUICK], "--input-shape image=Nx3x32x32")
    words = ["train", "recipes/mine.toml", *FREE, *QUICK, "--epochs", "40", "--out", "run", "--set", "train.checkpoint-every=5"]
    log = hour.folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([str(hour.program), *words], cwd=hour.folder, env=hour.environment, stdout=subprocess.PIPE, stderr=stderr)
        ends = time.monotonic() + SECONDS
        while "epoch 2/40" not in log.read_text() and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    text = log.read_text()
    epoch = re.search(r"^epoch 1/40: loss [\d.]+, top-1 [\d.]+", text, re.MULTILINE)
    hour.judge(bool(epoch) and "(best)" in text and "\x1b" not in text, "no terminal: a plain line for each epoch, with its score", text)
    advice = re.search(r"quantrain: stopped; `quantrain (train .* --resume)` goes on from step", text)
    hour.judge(process.returncode == 130 and advice is not None, "Ctrl-C: the line says how to go on", text)
    hour.refused("train again by accident", ["train", "run"], "a trained run found", "--resume")
    report, err = hour.json(*(advice[1].split() if advice else ["train", "run", "--resume"]))
    hour.judge(len(report.get("course", [])) == 40 and report["steps"] < 400, f"resumed to the end, {report.get('steps')} steps", err)
    exported = ((report.get("exported") or {}).get("score") or {}).get("top1", 0)
    hour.judge(exported > 85, f"what is exported: {exported} %", str(report.get("exported")))
    evaluated, err = hour.json("evaluate", "run")
    hour.judge(evaluated.get("top1") == exported, f"evaluate RUN: {evaluated.get('top1')} %", err)
    code, out, err = hour.run("verify", "run", "--images", "16")
    hour.judge(code == 0 and "0 of" in out, "verify RUN", out + err)
    inspected, err = hour.json("inspect", "run/export/model.qdq.onnx")
    operators = (inspected.get("quantized") or {}).get("operators", 0)
    hour.judge(0 < operators <= 10, f"inspect of what was exported: {operators} operators, no QuantizeLinear among them", err)


def second_target(hour):
    code, out, err = hour.run("export", "first", "--target", "tidl-pow2")
    hour.judge(code == 0 and "int8 power of two" in out, "a second target has its own widths", out + err)
    later = re.search(r"exported: top-1 ([\d.]+)", out)
    report, err = hour.json("quantize", "net.onnx", "--data", "photos", "--eval-data", "photos", "--target", "tidl-pow2", "--plain", "--out", "direct", *NORMALIZE)
    direct = (report.get("ptq") or {}).get("top1", 0)
    same = [hour.folder / "first/export/tidl-pow2/model.qdq.onnx", hour.folder / "direct/export/model.qdq.onnx"]
    hour.judge(all(p.exists() for p in same) and same[0].read_bytes() == same[1].read_bytes(), "and the bits of a run for it", err)
    hour.judge(later is not None and abs(float(later[1]) - direct) < 0.005, f"and its figure is told: {later and later[1]} %, {direct} %", out)


def on_a_terminal(hour):
    code, shown = hour.on_terminal(80, "train", "recipes/mine.toml", *FREE, *QUICK, "--epochs", "2", "--out", "shown")
    # What a bar draws over itself is one line at a time.
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for line in shown.splitlines() for part in line.split("\r")]
    widest = max(map(len, lines), default=0)
    hour.judge(code == 0 and any(line.startswith("epoch 2/2: loss") for line in lines), "a terminal: each epoch's score stays there", shown)
    start = next((i for i, line in enumerate(lines) if line.startswith("network ")), len(lines))
    table = lines[start : start + 6]
    told = [line for line in lines if line.startswith("epoch ")]
    hour.judge(len(table) == 6 and max(map(len, table + told)) <= 80, f"80 columns: no table wraps, no epoch (the widest line of all has {widest})", shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, help="the program [default: the release build, made first]")
    arguments = parser.parse_args()
    program = arguments.program or ROOT / "target" / "release" / "quantrain"
    if not arguments.program:
        subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "quantrain"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(7)
        network(folder / "net.onnx", rng)
        write_photographs(folder / "photos", [c for c in CLASSES if c != "ember"], 24, rng)
        (folder / "photos" / "ember").mkdir()
        for extra in ("weeds", "zebra"):
            shutil.copytree(folder / "photos" / "apple", folder / "photos" / extra)
        (folder / "recipes").mkdir()
        (folder / "notes.parquet").write_bytes(b"PAR1....PAR1")
        hour = Hour(folder, program.resolve())
        for part in (first_look, own_folders, preprocessing, recipes, training, second_target, on_a_terminal):
            part(hour)
    print(f"{hour.steps - hour.wrong} right, {hour.wrong} wrong")
    return 1 if hour.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
