"""The commands of `quantrain`, each in a process of its own, with its report as a dataclass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import _native
from .batch import Batch
from .errors import CommandError

__all__ = ["Loss", "Metric", "Report", "evaluate", "inspect", "quantize", "sensitivity", "train", "verify"]

INTERRUPTED = 130


@dataclass(frozen=True)
class Report(Mapping[str, Any]):
    """What a command found: a mapping of all that it prints with `--json`, whose keys are attributes too."""

    command: str
    values: dict[str, Any] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"the report of {self.__dict__.get('command')} has no `{name}`") from None

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __iter__(self) -> Any:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


class Loss(Protocol):
    """A loss of the caller's: of the outputs by name and the annotations of a batch, its value and its gradients."""

    def __call__(self, outputs: Mapping[str, _native.Array], batch: Batch, /) -> tuple[Any, Any]: ...


class Metric(Protocol):
    """What a network is worth, more being better."""

    def reset(self) -> object: ...
    def update(self, outputs: Mapping[str, _native.Array], batch: Batch, /) -> object: ...
    def compute(self) -> Any: ...


def inspect(model: str | os.PathLike[str], **flags: Any) -> Report:
    """What a network is made of, what will be quantized and what not, and why; `flags` are those of `quantrain inspect`."""
    return _run("inspect", model, flags)


def quantize(recipe: str | os.PathLike[str] | None = None, **flags: Any) -> Report:
    """Calibrates and exports a network; `flags` are those of `quantrain quantize`, such as `model=`, `data=`, `out=`."""
    return _run("quantize", recipe, flags)


def train(
    recipe: str | os.PathLike[str] | None = None,
    *,
    loss: Loss | None = None,
    metric: Metric | None = None,
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    **flags: Any,
) -> Report:
    """Calibrates, trains and exports a network by a recipe; `resume=True` goes on after a break, to the same bits.

    Data, order, schedules, checkpoints and the run directory are the recipe's. A `loss` of the caller's takes the outputs, arrays by name, and the
    annotations of a batch; it returns the loss and its gradients, by name too, or one array where there is one output. A `metric` has `reset()`,
    `update(outputs, batch)` and `compute()`, which returns a number or a dictionary of numbers, of which the first decides; more is better.
    `on_epoch` is called with epoch, step, loss and score after each epoch. An exception of theirs ends the training, and is raised here.
    `quantrain.torch.loss` makes such a loss of a function of tensors.
    """
    if loss is None and metric is None and on_epoch is None:
        return _run("train", recipe, flags)
    text, code = _native.train(["quantrain", *_arguments("train", recipe, flags)], loss, metric, on_epoch)
    if code == INTERRUPTED:
        raise KeyboardInterrupt(text)
    if code:
        raise CommandError(text, code)
    return Report("train", json.loads(text))


def sensitivity(recipe: str | os.PathLike[str] | None = None, **flags: Any) -> Report:
    """What each quantizer costs; `flags` are those of `quantrain sensitivity`."""
    return _run("sensitivity", recipe, flags)


def evaluate(model: str | os.PathLike[str], **flags: Any) -> Report:
    """What a network is worth on images; `flags` are those of `quantrain evaluate`, such as `recipe=`."""
    return _run("evaluate", model, flags)


def verify(model: str | os.PathLike[str], **flags: Any) -> Report:
    """Simulation, integer program and ONNX Runtime on a quantized file, code for code; `flags` are those of `quantrain verify`."""
    return _run("verify", model, flags)


def _run(command: str, positional: str | os.PathLike[str] | None, flags: dict[str, Any]) -> Report:
    arguments = [sys.executable, "-m", "quantrain", *_arguments(command, positional, flags), "--json"]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if not done.stdout.strip():
        message = done.stderr.strip().splitlines()
        raise CommandError(message[-1] if message else f"quantrain {command} ended with code {done.returncode}", done.returncode)
    return Report(command, json.loads(done.stdout))


def _arguments(command: str, positional: str | os.PathLike[str] | None, flags: dict[str, Any]) -> list[str]:
    arguments = [command] if positional is None else [command, os.fspath(positional)]
    for name, value in flags.items():
        arguments.extend(_flag(name, value))
    return arguments


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    if value is None or value is False:
        return []
    if isinstance(value, (list, tuple)):
        return [flag, ",".join(str(item) for item in value)]
    return [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
