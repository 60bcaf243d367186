"""The cases of ../shared/cases: inputs that failed once, from what people report, each with its right value.

    tests-python/setup.sh && .venv/bin/python tests-python/cases.py [--only NAME]

Builds the program first. A case makes its network and data in a folder of its own. Most judge themselves and print `right` or `WRONG`; those that only
make their input are judged here, by the right value that their head states. One line a finding; the last line counts them. Exit code 1 where one is
wrong. What cannot run here is counted as skipped, with the reason.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
CASES = SHARED / "cases"
PROGRAM = ROOT / "target" / "release" / "quantrain"
RUNTIME = Path(ort.__file__).parent / "capi"
CIFAR = f"{SHARED / 'data' / 'cifar10_test.parquet'}#0..16"
SECONDS = 600


@dataclass
class Finding:
    """One thing looked at: `right` is None where it could not be."""

    right: bool | None
    text: str

    def __str__(self):
        word = {True: "right", False: "WRONG", None: "skipped"}[self.right]
        return f"{word:<8}{self.text}"


class Folder:
    """Where a case makes its input, and the program runs on it."""

    def __init__(self, path):
        self.path = Path(path)
        self.environment = {**os.environ, "QUANTRAIN": str(PROGRAM), "ORT_DYLIB_PATH": str(RUNTIME)}

    def command(self, *words):
        return subprocess.run([*map(str, words)], cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=SECONDS)

    def quantrain(self, *words):
        """Exit code, what was printed as JSON (or None), and standard error."""
        done = self.command(PROGRAM, *words, "--json")
        try:
            return done.returncode, json.loads(done.stdout), done.stderr.strip()
        except ValueError:
            return done.returncode, None, (done.stdout + done.stderr).strip()

    def peak(self, *words):
        """Exit code and the largest resident memory of the program, in MiB."""
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([str(PROGRAM), *map(str, words)], cwd=self.path, env=self.environment, stdout=quiet, stderr=quiet)
        _, status, usage = os.wait4(process.pid, 0)
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024

    def outputs(self, model, samples):
        """All outputs of a model in ONNX Runtime, sample by sample."""
        session = ort.InferenceSession(str(self.path / model), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        parts = [session.run(None, {name: x[None]}) for x in samples]
        return {o.name: np.stack([p[i] for p in parts]) for i, o in enumerate(session.get_outputs())}

    def images(self, archive):
        """The images of an npz file as networks read them: 0 to 1, channels first."""
        pixels = np.load(self.path / archive)["images"].astype(np.float32) / 255
        return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)

    def sqnr(self, model, archive, out):
        """Of each output of the exported file, in dB, in ONNX Runtime."""
        samples = self.images(archive)
        right, made = self.outputs(model, samples), self.outputs(f"{out}/export/model.qdq.onnx", samples)
        return {name: decibels(right[name], made[name]) for name in right}


def decibels(right, other):
    right, other = right.astype(np.float64), other.astype(np.float64)
    return float(10 * np.log10((right**2).sum() / max(1e-30, ((right - other) ** 2).sum())))


def refused(what, code, message):
    return Finding(False, f"{what}: exit {code}: {message.splitlines()[-1] if message else ''}")


def batch_of_one(folder):
    code, _, message = folder.quantrain("train", "one.toml", "--out", "run")
    if code:
        # A refusal is right where it says that one value a channel has no variance.
        return [Finding("varianc" in message, f"train: {message.splitlines()[-1]}")]
    lines = [json.loads(line) for line in (folder.path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "epoch"]
    return [Finding(max(losses) < 3, f"loss of each epoch {', '.join(f'{loss:.2f}' for loss in losses)}, near 2.3 expected")]


def verified(folder, file, exact):
    words = ["verify", file, "--data", CIFAR, "--onnxruntime", RUNTIME] + (["--exact-session"] if exact else [])
    code, report, message = folder.quantrain(*words)
    if report is None:
        return refused(file, code, message)
    apart = report["differ_integer"], report["differ_onnxruntime"]
    return Finding(code == 0 and apart == (0, 0), f"{file}: codes apart {apart[0]} in the integer program, {apart[1]} in ONNX Runtime")


def clip_between_pairs(folder):
    return [verified(folder, file, exact=True) for file in ["clip_exact.onnx", "clip_inexact.onnx"]]


def clip_on_codes(folder):
    return [verified(folder, f"qcdq_{kind}.onnx", exact=True) for kind in ["w", "a", "wa", "none"]]


def calibrated(folder, model, calibration, evaluation=None, out="run", least=None):
    """Finding of `quantize` and the SQNR of each output of its file."""
    code, _, message = folder.quantrain("quantize", "--model", model, "--data", calibration, "--eval-data", evaluation or calibration, "--out", out)
    if code:
        return refused(model, code, message), {}
    reached = folder.sqnr(model, evaluation or calibration, out)
    words = ", ".join(f"{name} {value:.1f} dB" for name, value in reached.items())
    return Finding(least is None or min(reached.values()) >= least, f"{model}: {words}" + (f", at least {least} expected" if least else "")), reached


def clip_with_computed_limit(folder):
    return [calibrated(folder, "top_db.onnx", "g16.npz", least=20)[0]]


def position_embedding(folder):
    return [calibrated(folder, "position.onnx", "c64.npz", least=20)[0]]


def detector_scores(folder):
    found, _ = calibrated(folder, "detector.onnx", "cal.npz", "ev.npz")
    if not found.right:
        return [found]
    samples = folder.images("ev.npz")
    right, made = (folder.outputs(m, samples)["output0"][:, 0] for m in ["detector.onnx", "run/export/model.qdq.onnx"])
    boxes, scores = decibels(right[:, :4], made[:, :4]), decibels(right[:, 4:], made[:, 4:])
    return [Finding(boxes >= 25 and scores >= 25, f"boxes {boxes:.1f} dB, scores {scores:.1f} dB, at least 25 expected")]


def folder_without_a_class(folder):
    findings = []
    code, report, message = folder.quantrain("quantize", "--model", "quadrants.onnx", "--data", "all", "--eval-data", "without_01", "--out", "run")
    top1 = report and report["float"].get("top1")
    findings.append(Finding(code == 0 and top1 == 100, f"training folder all, evaluation folder without_01: top-1 {top1}") if report else refused("quantize", code, message))
    for data in ["all", "without_01", "empty_01"]:
        code, report, message = folder.quantrain("evaluate", "quadrants.onnx", "--data", data)
        top1 = report and report.get("top1")
        said = bool(code or message)
        findings.append(Finding(top1 == 100 or (said and data == "without_01"), f"{data}: top-1 {top1}{', with a word' if said else ''}"))
    return findings


def exif_orientation(folder):
    findings = []
    for orientation in [1, 3, 6, 8]:
        code, report, message = folder.quantrain("evaluate", "quadrants.onnx", "--data", f"exif{orientation}")
        findings.append(Finding(report["top1"] == 100, f"orientation {orientation}: top-1 {report['top1']}") if report else refused("evaluate", code, message))
    return findings


def head_in_pixels(folder):
    calibration, reached = calibrated(folder, "heads.onnx", "heads.npz", out="calibrated")
    code, _, message = folder.quantrain("train", "heads.toml", "--out", "run")
    if code:
        return [calibration, refused("train", code, message)]
    trained = folder.sqnr("heads.onnx", "heads.npz", "run")
    return [Finding(trained[name] >= reached[name] - 1, f"{name}: calibrated {reached[name]:.1f} dB, trained {trained[name]:.1f} dB") for name in reached]


def layer_norm_in_parts(folder):
    findings, reached = [], []
    for model in ["ln_op.onnx", "ln_parts.onnx"]:
        found, values = calibrated(folder, model, "cal.npz", "ev.npz", out=f"run_{model}")
        findings.append(found)
        reached += values.values()
    if len(reached) == 2:
        findings.append(Finding(abs(reached[0] - reached[1]) <= 0.5, f"operator {reached[0]:.1f} dB, in parts {reached[1]:.1f} dB, within 0.5 expected"))
    return findings


def verify_within_memory(folder):
    images = lambda count: np.random.default_rng(0).integers(0, 256, (count, 224, 320, 3)).astype(np.uint8)
    np.savez(folder.path / "cal.npz", images=images(6))
    np.savez(folder.path / "ev.npz", images=images(3))
    model, out = "PP-OCRv6_det_small.onnx", "run/export/model.qdq.onnx"
    code, quantize = folder.peak("quantize", "--model", model, "--input-shape", "x=Nx3x224x320", "--data", "cal.npz", "--out", "run")
    if code:
        return [refused("quantize", code, "")]
    code, verify = folder.peak("verify", out, "--data", "ev.npz", "--onnxruntime", RUNTIME)
    text = f"peak of quantize {quantize} MiB, of verify with 3 images {verify} MiB; at most 512, or that of quantize, expected"
    return [Finding(code == 0 and verify <= max(quantize, 512), text)]


# Those that print no `right` or `WRONG` of their own.
JUDGES = {
    "batch_of_one_ruins_running_statistics": batch_of_one,
    "clip_between_pairs_is_dropped": clip_between_pairs,
    "clip_on_codes": clip_on_codes,
    "clip_with_computed_limit": clip_with_computed_limit,
    "detector_scores_lost_in_joined_output": detector_scores,
    "eval_folder_without_a_class_shifts_labels": folder_without_a_class,
    "exif_orientation_ignored": exif_orientation,
    "head_in_pixels_ruins_label_free_training": head_in_pixels,
    "layer_norm_in_parts": layer_norm_in_parts,
    "position_embedding_resized_from_constant": position_embedding,
    "verify_takes_gigabytes_for_few_images": verify_within_memory,
}


def judged(case, folder):
    """What a case finds: by itself, or by its judge."""
    judge = JUDGES.get(case.stem)
    runner, words = ("sh", []) if case.suffix == ".sh" else (sys.executable, [] if judge else [folder.path])
    done = folder.command(runner, case, *words)
    if done.returncode and case.suffix == ".sh":
        return [Finding(None, "its file could not be fetched")]
    if done.returncode:
        return [Finding(False, f"ended with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")]
    if judge:
        return judge(folder)
    lines = [line.strip() for line in done.stdout.splitlines()]
    found = [Finding(line.startswith("right"), line.split(maxsplit=1)[1]) for line in lines if line.startswith(("right", "WRONG"))]
    return found or [Finding(False, "judges nothing, and has no judge here")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the cases whose name holds this")
    arguments = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "quantrain"], cwd=ROOT, check=True)
    cases = sorted(path for path in CASES.glob("*.*") if path.suffix in (".py", ".sh") and (arguments.only or "") in path.stem)
    if not cases:
        print("../shared/cases: no case of this name" if arguments.only else "../shared/cases is not here")
    counts = {True: 0, False: 0, None: 0 if cases else 1}
    for case in cases:
        print(case.stem)
        with tempfile.TemporaryDirectory() as folder:
            for finding in judged(case, Folder(folder)):
                counts[finding.right] += 1
                print(f"  {finding}", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed, {counts[None]} skipped")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
