"""A quantized network: calibrated, run, trained and exported from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from . import _native
from .errors import InputError

if TYPE_CHECKING:
    from .torch import Module

PathLike = Union[str, "os.PathLike[str]"]

__all__ = ["Calibration", "Evaluation", "Network", "Port", "Verification", "settings"]


class Port(NamedTuple):
    """An input or output of a network."""

    name: str
    shape: tuple[int | None, ...]
    """Extents as in ONNX; `None` where the batch decides."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration has seen."""

    images: int
    """Number of samples; 0 where ranges are the file's own."""
    restored_batch_norm: int
    """Layers that got a BatchNormalization."""
    warnings: list[str]


@dataclass(frozen=True)
class Evaluation:
    """What a network is worth; figures in percent that the labels do not tell are `None`."""

    images: int
    top1: float | None = None
    top5: float | None = None
    mean_iou: float | None = None
    pixel_accuracy: float | None = None


@dataclass(frozen=True)
class Verification:
    """What the ways to run the exported file have in common."""

    images: int
    codes: int
    """Codes compared between simulation and integer program."""
    differ_integer: int
    """Codes of the integer program that are not those of the simulation."""
    differ_onnxruntime: int | None
    """Codes of the outputs that ONNX Runtime gives differently; `None` where it was not asked."""
    details: dict[str, Any] = field(repr=False, default_factory=dict)
    """Everything that `quantrain verify --json` tells."""

    @property
    def exact(self) -> bool:
        """Whether simulation and integer program agree in every code."""
        return self.differ_integer == 0


class Network:
    """A float network with quantizers, from an ONNX file.

    Arrays go in and come out in ONNX's shapes, `[N, C, H, W]` for images: NumPy arrays, or anything on the CPU with `__dlpack__`, of single
    precision. Outputs are NumPy arrays (`quantrain.Array` where NumPy is not installed), one for each output of the network.
    """

    def __init__(self, model: PathLike | bytes | None = None, *, recipe: PathLike | None = None, **settings: Any) -> None:
        """Reads `model`, the path of an ONNX file or the bytes of one, and places quantizers.

        `settings` are `target`, `threads`, `input_shape`, and every key of a recipe's [quantization] with underscores: `weight_bits=4`,
        `learn_ranges="lsq"`, `layer=[{"name": "*/head/*", "float": True}]`; `quantrain.settings()` lists them. They go before those of the file
        `recipe`, which may name the model too.
        """
        self._arguments = (model, recipe, dict(settings))
        data = bytes(model) if isinstance(model, (bytes, bytearray, memoryview)) else None
        path = "<bytes>" if data is not None else model
        self._session = _native.Session(path, data, recipe, settings)
        self._inputs = [name for name, _ in self._session.inputs()]

    @property
    def inputs(self) -> list[Port]:
        """The network's inputs, in the order of the file."""
        return [Port(name, tuple(shape)) for name, shape in self._session.inputs()]

    @property
    def outputs(self) -> list[Port]:
        """The network's outputs, in the order of the file."""
        return [Port(name, tuple(shape)) for name, shape in self._session.outputs()]

    @property
    def target(self) -> str:
        """The runtime that it is quantized for."""
        return self._session.target()

    @property
    def calibrated(self) -> bool:
        """Whether every quantizer has a range."""
        return self._session.is_calibrated()

    def _feeds(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Mapping):
            return dict(x)
        if isinstance(x, (tuple, list)):
            if len(x) != len(self._inputs):
                raise InputError(f"{len(x)} arrays found, one for each of the inputs {', '.join(self._inputs)} expected")
            return dict(zip(self._inputs, x))
        if len(self._inputs) != 1:
            raise InputError(f"one array found, a dict of them for the inputs {', '.join(self._inputs)} expected")
        return {self._inputs[0]: x}

    def calibrate(self, samples: Iterable[Any], *, limit: int | None = None) -> Calibration:
        """Finds the range of every quantizer.

        Each of `samples` is a batch: an array, a dict of arrays by input, or a tuple of them in the order of the inputs. They may be asked for
        up to three times; where `samples` can be walked through only once, they are kept in memory. `limit` ends it after so many batches.
        """
        if not self._session.begin_calibration():
            samples = []
        once = iter(samples) is samples
        kept: list[dict[str, Any]] = []
        batches: Iterator[Any] = iter(samples)
        while True:
            for number, batch in enumerate(batches):
                if limit is not None and number >= limit:
                    break
                feeds = self._feeds(batch)
                if once and batches is samples:
                    kept.append(feeds)
                self._session.calibrate_on(feeds)
            found = self._session.end_calibration_pass()
            if found is not None:
                images, restored, warnings = found
                return Calibration(images, restored, warnings)
            batches = iter(kept) if once else iter(samples)

    def forward(self, x: Any, mode: str = "simulate", *, input_gradients: bool = False) -> list[Any]:
        """Runs forward and gives every output as an array.

        `mode` is "simulate" (the device's integers, for evaluation), "float" (the float network), or "train" (simulated integers; ranges and
        statistics follow the batch until they freeze, and `backward` may follow). With `input_gradients`, that gives the gradients of the
        inputs.
        """
        if mode == "train":
            self._session.want_input_gradients(input_gradients)
        return [_as_numpy(output) for output in self._session.forward(self._feeds(x), mode)]

    def __call__(self, x: Any, *, train: bool = False) -> Any:
        """Runs forward, for training or as the device would; gives the output, or a tuple where there are several."""
        outputs = self.forward(x, "train" if train else "simulate")
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def backward(self, gradients: Any) -> list[Any]:
        """Runs backward from the gradient of the loss by each output (an array, a list of them, or a dict by output; `None` for 0).

        Leaves the gradients of the parameters in `gradients()`. Gives those of the inputs, where the forward was asked for them.
        """
        names = [name for name, _ in self._session.outputs()]
        if isinstance(gradients, Mapping):
            unknown = [name for name in gradients if name not in names]
            if unknown:
                raise InputError(f"no output is named `{unknown[0]}`, one of {', '.join(names)} expected")
            ordered = [gradients.get(name) for name in names]
        elif isinstance(gradients, (list, tuple)):
            ordered = list(gradients)
        else:
            ordered = [gradients]
        return [_as_numpy(gradient) for gradient in self._session.backward(ordered)]

    def parameters(self) -> dict[str, Any]:
        """The float masters by name, in ONNX's shapes: views, so that what is written there trains."""
        return {name: _as_numpy(value) for name, value, _ in self._session.parameters()}

    def gradients(self) -> dict[str, Any]:
        """The gradients of the parameters by the last backward: views, which the next one overwrites."""
        return {name: _as_numpy(gradient) for name, _, gradient in self._session.parameters()}

    def statistics(self) -> dict[str, Any]:
        """The running statistics of BatchNormalization by name: views."""
        return {name: _as_numpy(values) for name, values in self._session.statistics()}

    @property
    def ranges(self) -> dict[str, tuple[float, float] | None]:
        """The range of each quantizer of activations, by tensor; `None` before calibration."""
        return {name: None if limits is None else (limits[0], limits[1]) for name, limits in self._session.ranges()}

    def epoch(self, epoch: int, *, of: int) -> None:
        """Says that epoch `epoch`, from 0, of `of` begins: BatchNormalization and ranges freeze, and widths step down, as in a recipe."""
        self._session.epoch(epoch, of)

    def state_dict(self) -> dict[str, Any]:
        """Copies of parameters and running statistics under the names of the ONNX file."""
        return {name: _as_numpy(value) for name, value in self._session.masters()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Takes parameters and statistics by name. With `strict`, every one must be there, and no other."""
        names = [name for name, _ in self._session.masters()]
        if strict:
            missing = [name for name in names if name not in state]
            if missing:
                raise InputError(f"`{missing[0]}` is missing, and {len(missing) - 1} others" if missing[1:] else f"`{missing[0]}` is missing")
        for name, value in state.items():
            if strict or name in names:
                self._session.set_master(name, value)

    def save(self, path: PathLike) -> None:
        """Writes everything that training from here on depends on: parameters, statistics, ranges, observers. An optimizer has a state of its own."""
        self._session.save(path)

    def load(self, path: PathLike) -> None:
        """Goes on from a file of `save`, of the same network and settings."""
        self._session.load(path)

    def copy(self) -> "Network":
        """Another network of the same file and settings that stands where this one does."""
        model, recipe, settings = self._arguments
        other = Network(model, recipe=recipe, **settings)
        other._session.load_state(*self._session.state())
        return other

    def __deepcopy__(self, memo: Any) -> "Network":
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("a quantrain.Network cannot be pickled; keep `save`, or the state_dict of `torch()`")

    def export(
        self,
        path: PathLike,
        *,
        style: str | None = None,
        quantized_weights: bool | None = None,
        encodings: bool | None = None,
        opset: int | None = None,
        int4: bool | None = None,
        uint8: bool | None = None,
    ) -> list[str]:
        """Writes the network, as QDQ, (`style="clip"`) for TIDL's import, (`style="c"`) as C or
        (`style="tflite"`) for TensorFlow Lite; gives the files written.

        The rest are keys of a recipe's [export].
        """
        written = self._session.export(path, style, quantized_weights, encodings, opset, int4, uint8)
        return [os.fspath(file) for file in written]

    def evaluate(self, images: Any, labels: Any = None, *, float_network: bool = False, ignored: int | None = None) -> Evaluation:
        """Judges the network, as the device runs it: by a class for each sample, or one for each pixel, `[N, H, W]`.

        `images` and `labels` are arrays of one batch; or `images` gives batches of both, and `labels` is left out.
        """
        mode = "float" if float_network else "simulate"
        batches = [(images, labels)] if labels is not None else images
        self._session.begin_evaluation(ignored)
        for x, y in batches:
            self._session.evaluate_on(self._feeds(x), y, mode)
        found = self._session.end_evaluation()
        if found is None:
            raise InputError("no sample was judged; is there a batch, and has every sample a label?")
        figures, count = found
        return Evaluation(count, **dict(figures))

    def verify(self, samples: Any, *, onnxruntime: PathLike | bool | None = None) -> Verification:
        """Compares simulation, integer program and ONNX Runtime on the exported file, code for code. For networks of one image input.

        `onnxruntime` is the path of its library; without it, that of the package `onnxruntime` is taken where that is installed, with `False`
        none.
        """
        library = _onnxruntime() if onnxruntime is None or onnxruntime is True else onnxruntime or None
        batches = [self._feeds(x) for x in samples] if _is_iterable_of_batches(samples) else [self._feeds(samples)]
        found = json.loads(self._session.verify(batches, library))
        return Verification(found["images"], found["codes"], found["differ_integer"], found["differ_onnxruntime"], found)

    def torch(self, **options: Any) -> "Module":
        """This network as a `torch.nn.Module`; see `quantrain.torch.Module`."""
        from .torch import Module

        return Module(self, **options)

    def __repr__(self) -> str:
        ports = ", ".join(f"{p.name} {list(p.shape)}" for p in self.inputs)
        return f"quantrain.Network({ports}; target={self.target!r}, calibrated={self.calibrated})"


def settings() -> dict[str, tuple[str, str]]:
    """Every setting of a `Network`: what it does, and what holds without it."""
    return {name: (doc, default) for name, doc, default in _native.setting_names()}


def _as_numpy(array: _native.Array) -> Any:
    try:
        import numpy
    except ImportError:
        return array
    return numpy.asarray(array)


def _is_iterable_of_batches(samples: Any) -> bool:
    return not (hasattr(samples, "__dlpack__") or hasattr(samples, "__array_interface__") or isinstance(samples, Mapping))


def _onnxruntime() -> str | None:
    """The library of the installed package onnxruntime."""
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "capi"
    libraries = sorted(folder.glob("libonnxruntime.so*")) + sorted(folder.glob("libonnxruntime*.dylib")) + sorted(folder.glob("onnxruntime.dll"))
    return str(libraries[0]) if libraries else None
