"""Runs a command on this machine as on one without VNNI, at full speed: ONNX Runtime then takes its AVX2 kernels, which add products in pairs.

    without_vnni.py quantrain verify run/export/model.qdq.onnx --data images.parquet

x86-64 on Linux with a C compiler (`cc`); `without_vnni.c` says how. Exit code: the command's, or 3 where the machine cannot do it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def run(command):
    """The exit code of a command that sees no VNNI."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "without_vnni.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        return subprocess.run(command, env=os.environ | {"LD_PRELOAD": str(library)}).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
