#!/bin/sh
# Builds the wheel, installs it into environments of its own under target/, and runs the tests: with the interpreter at hand, and, where Debian's
# python3-torch is installed, with Debian's and PyTorch. run.sh WHEEL takes a wheel that is built already; run.sh --module leaves the wheel out:
# the native module as `cargo test --workspace` has compiled it, in the environment of tests-python (what CI does).
set -eu
package=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$package/../.." && pwd)
target=$root/target/python
run_tests() {
    "$1" -m pytest -q -rs -p no:cacheprovider "$2"
}
if [ "${1:-}" = --module ]; then
    # The whole workspace with its tests, or other features are compiled once more.
    (cd "$root" && cargo build --profile test --workspace --lib --tests)
    cp "${CARGO_TARGET_DIR:-$root/target}/debug/libquantrain_native.so" "$package/python/quantrain/_native.abi3.so"
    PYTHONPATH=$package/python run_tests "$root/.venv/bin/python" "$package/tests"
    exit
fi
make_environment() {
    "$2" -m venv ${3:-} "$target/$1"
    "$target/$1/bin/pip" install --quiet --disable-pip-version-check pytest
}
make_environment venv python3
wheel=${1:-}
if [ -z "$wheel" ]; then
    mkdir -p "$target/wheels"
    rm -f "$target"/wheels/*.whl
    "$target/venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$target/wheels" "$package"
    wheel=$(echo "$target"/wheels/*.whl)
fi
ls -l "$wheel"
"$target/venv/bin/pip" install --quiet --disable-pip-version-check numpy onnxruntime
"$target/venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
"$target/venv/bin/pip" check
run_tests "$target/venv/bin/python" "$package/tests"
if /usr/bin/python3 -c 'import torch, numpy' 2>/dev/null; then
    make_environment torch /usr/bin/python3 --system-site-packages
    "$target/torch/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
    run_tests "$target/torch/bin/python" "$package/tests/test_torch.py"
else
    echo "python3-torch is not installed: the tests of PyTorch are skipped"
fi
