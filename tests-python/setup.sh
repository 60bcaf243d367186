#!/bin/sh
# Makes the virtual environment that the scripts of this folder run in: .venv at the root of the repository.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --quiet --requirement "$root/tests-python/requirements.txt"
