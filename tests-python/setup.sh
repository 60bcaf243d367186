#!/bin/sh
# Makes the virtual environment that the scripts of this folder run in: .venv at the root of the repository.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
# Debian keeps what a virtual environment needs in a package of its own.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    apt-get update -qq
    apt-get install -y -qq python3-venv
fi
# ONNX's own tests of operators; without them cross_check.py says what it skips.
if command -v apt-get >/dev/null && [ ! -d /usr/share/libonnx-testdata ]; then
    apt-get update -qq
    apt-get install -y -qq libonnx-testdata
fi
# A browser for report_page.py, which says that it is skipped without one.
if command -v apt-get >/dev/null && ! command -v chromedriver >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq chromium chromium-driver
fi
python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$root/tests-python/requirements.txt"
