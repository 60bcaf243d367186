"""Quantization-aware training of ONNX networks in a training loop of your own.

    import quantrain

    net = quantrain.Network("model.onnx", target="tidl-pow2", weight_bits=4)
    net.calibrate(images)                      # arrays of single precision, [N, C, H, W]
    optimizer = quantrain.AdamW(net, 1e-4)
    for epoch in range(5):
        net.epoch(epoch, of=5)
        for x, labels in batches:
            loss, gradient = my_loss(net(x, train=True), labels)
            net.backward(gradient)
            optimizer.step()
    net.export("model.qdq.onnx")

`help(quantrain.Network)` tells the rest; `quantrain.torch` is the same as a `torch.nn.Module`. Neither NumPy nor PyTorch is needed to import this.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._native import Array, __version__
from .batch import Batch, Box
from .errors import (
    CheckpointError,
    CommandError,
    FileAccessError,
    InputError,
    MissingFileError,
    ModelError,
    NumericError,
    QuantrainError,
    RecipeError,
    StateError,
)
from .network import Calibration, Evaluation, Network, Port, Verification, settings
from .optimizers import SGD, Adam, AdamW
from .straight_through import StraightThrough, ste

if _TYPE_CHECKING:
    from .commands import evaluate, inspect, quantize, sensitivity, train, verify

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Array",
    "Batch",
    "Box",
    "Calibration",
    "CheckpointError",
    "CommandError",
    "Evaluation",
    "FileAccessError",
    "InputError",
    "MissingFileError",
    "ModelError",
    "Network",
    "NumericError",
    "Port",
    "QuantrainError",
    "RecipeError",
    "StateError",
    "StraightThrough",
    "Verification",
    "__version__",
    "evaluate",
    "inspect",
    "quantize",
    "sensitivity",
    "settings",
    "ste",
    "train",
    "verify",
]


_COMMANDS = ("evaluate", "inspect", "quantize", "sensitivity", "train", "verify")


def __getattr__(name: str) -> _Any:
    """Imports `quantrain.torch`, and with it PyTorch, when it is first asked for; the commands too, which want `subprocess`."""
    if name == "torch":
        return _import_module(".torch", __name__)
    if name in _COMMANDS:
        return getattr(_import_module(".commands", __name__), name)
    raise AttributeError(f"module `quantrain` has no attribute `{name}`")
