"""The commands of `quantrain`, each in a process of its own, with its report as a dataclass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import CommandError

__all__ = ["Report", "evaluate", "inspect", "quantize", "sensitivity", "train", "verify"]

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


def inspect(model: str | os.PathLike[str], **flags: Any) -> Report:
    """What a network is made of, what will be quantized and what not, and why; `flags` are those of `quantrain inspect`."""
    return _run("inspect", model, flags)


def quantize(recipe: str | os.PathLike[str] | None = None, **flags: Any) -> Report:
    """Calibrates and exports a network; `flags` are those of `quantrain quantize`, such as `model=`, `data=`, `out=`."""
    return _run("quantize", recipe, flags)


def train(recipe: str | os.PathLike[str] | None = None, **flags: Any) -> Report:
    """Calibrates, trains and exports a network by a recipe; `resume=True` goes on after a break, to the same bits."""
    return _run("train", recipe, flags)


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
    arguments = [sys.executable, "-m", "quantrain", command]
    if positional is not None:
        arguments.append(os.fspath(positional))
    for name, value in flags.items():
        arguments.extend(_flag(name, value))
    done = subprocess.run([*arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if not done.stdout.strip():
        message = done.stderr.strip().splitlines()
        raise CommandError(message[-1] if message else f"quantrain {command} ended with code {done.returncode}", done.returncode)
    return Report(command, json.loads(done.stdout))


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    if value is None or value is False:
        return []
    if isinstance(value, (list, tuple)):
        return [flag, ",".join(str(item) for item in value)]
    return [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
