"""A quantized network as a `torch.nn.Module`. Importing this imports PyTorch.

Forward and backward run in quantrain, on simulated integers; loss, optimizer and everything around are PyTorch's. Parameters and running statistics
share their memory with the network: what PyTorch writes trains, and nothing is copied.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .batch import Batch
from .commands import Loss
from .errors import InputError, ModelError, StateError
from .network import Network

__all__ = ["Module", "QuantTrainModule", "loss", "straight_through"]


def loss(function: Callable[[Any, Batch], torch.Tensor]) -> Loss:
    """A loss for `quantrain.train` of a function of tensors, whose gradients PyTorch finds.

    The function takes the network's output, or a dictionary of several by name, and the annotations of the batch; it returns one number.
    """

    def with_gradients(outputs: Mapping[str, Any], batch: Batch) -> tuple[float, dict[str, torch.Tensor]]:
        tensors = {name: torch.from_dlpack(array).requires_grad_() for name, array in outputs.items()}
        with torch.enable_grad():
            value = function(next(iter(tensors.values())) if len(tensors) == 1 else tensors, batch)
            gradients = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
        return float(value), {name: gradient for name, gradient in zip(tensors, gradients) if gradient is not None}

    return with_gradients


class Module(torch.nn.Module):
    """A calibrated `Network` as a module: made by `Network.torch()`.

    In training mode a forward trains: ranges and statistics follow the batch until they freeze (`Network.epoch`), under `torch.no_grad()` too. In
    evaluation mode it is what the device computes, without gradients. Each forward in training has one backward, before the next forward.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network._session.learns_ranges():
            raise StateError("learned ranges are parameters of quantrain's own optimizers: use quantrain.SGD, Adam or AdamW, or leave learn_ranges out")
        self.network = network
        self._ticket = 0
        # Weights without strides of their own are copied in before each forward.
        self._copied: list[tuple[str, torch.nn.Parameter]] = []
        self._ordered: list[torch.nn.Parameter] = []
        parameters = network._session.parameters()
        # What is the network's own memory has the same address again.
        for (name, value, _), (_, again, _) in zip(parameters, network._session.parameters()):
            parameter = torch.nn.Parameter(torch.from_dlpack(value))
            if value.address != again.address:
                self._copied.append((name, parameter))
            self._ordered.append(parameter)
            _register(self, name, lambda owner, leaf, p=parameter: owner.register_parameter(leaf, p))
        for name, values in network._session.statistics():
            buffer = torch.from_dlpack(values)
            _register(self, name, lambda owner, leaf, b=buffer: owner.register_buffer(leaf, b))

    def forward(self, *inputs: Any) -> Any:
        """Runs the network; inputs in the order of the file, or a dict of them. One output, or a tuple of them."""
        feeds = self.network._feeds(inputs[0] if len(inputs) == 1 else inputs)
        for name, x in feeds.items():
            if not isinstance(x, torch.Tensor):
                raise InputError(f"input `{name}`: {type(x).__name__} found, a torch.Tensor expected")
            if x.device.type != "cpu":
                raise InputError(f"input `{name}`: a tensor on {x.device} found, one on the CPU expected; quantrain runs there")
        for name, parameter in self._copied:
            self.network._session.set_master(name, parameter.detach())
        if self.training:
            outputs = _Step.apply(self, list(feeds), *feeds.values(), *self._ordered)
        else:
            outputs = self._run(feeds, "simulate")
        return outputs[0] if len(outputs) == 1 else outputs

    def _run(self, feeds: Mapping[str, torch.Tensor], mode: str) -> tuple[torch.Tensor, ...]:
        self._ticket += 1
        found = self.network._session.forward({name: x.detach() for name, x in feeds.items()}, mode)
        narrow = next((x.dtype for x in feeds.values() if x.dtype in (torch.float16, torch.bfloat16)), torch.float32)
        return tuple(torch.from_dlpack(output).to(narrow) for output in found)

    def get_extra_state(self) -> dict[str, Any]:
        """Ranges, and what observers remember: with parameters and statistics, all that training from here on depends on."""
        memory, tensors = self.network._session.state()
        rest = {name: torch.from_dlpack(values).clone() for name, values in tensors if not name.startswith(("parameter/", "statistic/"))}
        return {"memory": memory, "tensors": rest}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_extra_state`."""
        _, tensors = self.network._session.state()
        kept = [(name, values) for name, values in tensors if name.startswith(("parameter/", "statistic/"))]
        self.network._session.load_state(state["memory"], kept + list(state["tensors"].items()))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], *rest: Any, **options: Any) -> "Module":
        moved = fn(torch.zeros(1))
        if moved.device.type != "cpu" or moved.dtype != torch.float32:
            raise StateError(f"parameters on {moved.device} of {moved.dtype} asked for; a quantrain module stays on the CPU in torch.float32")
        return self

    def __deepcopy__(self, memo: Any) -> "Module":
        other = Module(self.network.copy())
        other.train(self.training)
        for copied, parameter in zip(other._ordered, self._ordered):
            copied.requires_grad_(parameter.requires_grad)
        return other


class _Step(torch.autograd.Function):
    """One forward in training, and its backward."""

    @staticmethod
    def forward(ctx: Any, module: Module, names: list[str], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = tensors[: len(names)]
        module.network._session.want_input_gradients(any(ctx.needs_input_grad[2 : 2 + len(names)]))
        outputs = module._run(dict(zip(names, inputs)), "train")
        ctx.set_materialize_grads(False)
        ctx.module, ctx.ticket, ctx.names, ctx.kinds = module, module._ticket, names, [x.dtype for x in inputs]
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        module = ctx.module
        if ctx.ticket != module._ticket:
            raise StateError("another forward of this module ran since; each forward in training has one backward, before the next forward")
        found = module.network._session.backward([None if g is None else g.detach() for g in gradients])
        order = [name for name, _ in module.network._session.inputs()]
        of_input = {name: gradient for name, gradient in zip(order, found)}
        needed = ctx.needs_input_grad[2:]
        inputs = [
            torch.from_dlpack(of_input[name]).to(kind) if wanted else None for name, kind, wanted in zip(ctx.names, ctx.kinds, needed)
        ]
        rows = zip(module.network._session.parameters(), needed[len(ctx.names) :])
        # A copy: the next backward writes the same memory.
        parameters = [torch.from_dlpack(gradient).clone() if wanted else None for (_, _, gradient), wanted in rows]
        return (None, None, *inputs, *parameters)


def _register(root: torch.nn.Module, name: str, register: Callable[[torch.nn.Module, str], None]) -> None:
    """Registers under a dotted name, so that state_dict has the names of the file."""
    *path, leaf = name.split(".")
    owner = root
    for part in path:
        child = owner._modules.get(part)
        if child is None:
            if not part or hasattr(owner, part):
                part += "_"
            child = owner._modules.get(part) or torch.nn.Module()
            owner.add_module(part, child)
        owner = child
    try:
        register(owner, leaf or "_")
    except KeyError:
        # The name of a method.
        register(owner, leaf + "_")


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return function(x.detach())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, gradient


def straight_through(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """`function(x)`, whose derivative is taken for the identity's."""
    y = _StraightThrough.apply(function, x)
    if y.shape != x.shape:
        raise InputError(f"a straight-through function of shape {tuple(y.shape)} found for {tuple(x.shape)}; the shape must stay")
    return y


class QuantTrainModule(Module):
    """A PyTorch module, quantized for training: the devkit's habit.

    Exports `model` to ONNX in memory with the names of its parameters, and calibrates on `dummy_input`, or on `samples`, which should be images
    such as the network will see. `write_back` brings what was trained into a module of the same kind.
    """

    def __init__(self, model: torch.nn.Module, dummy_input: Any, *, samples: Any = None, **settings: Any) -> None:
        settings.setdefault("restore_batch_norm", False)
        inputs = tuple(dummy_input) if isinstance(dummy_input, (tuple, list)) else (dummy_input,)
        network = Network(_exported(model, inputs), **settings)
        network.calibrate([inputs] if samples is None else samples)
        super().__init__(network)

    def write_back(self, model: torch.nn.Module, *, strict: bool = True) -> list[str]:
        """Copies parameters and running statistics into `model`; gives the names of those in it that the network has not.

        With `strict` (the default) every parameter of `model` must be there.
        """
        own, theirs = dict(self.network._session.masters()), model.state_dict()
        missing = [name for name, tensor in theirs.items() if name not in own or tuple(own[name].shape) != tuple(tensor.shape)]
        trained = {name for name, _ in model.named_parameters()}
        lost = [name for name in missing if name in trained]
        if strict and lost:
            raise ModelError(f"parameter `{lost[0]}` of the module is none of the network's; was it exported from another, or fused?")
        with torch.no_grad():
            for name, tensor in theirs.items():
                if name not in missing:
                    tensor.copy_(torch.from_dlpack(own[name]))
        return missing


def _exported(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    """The module as an ONNX file, BatchNormalization and the names of parameters kept."""
    names = [f"input{i}" if i else "input" for i in range(len(inputs))]
    was_training = model.training
    model.eval()
    options: dict[str, Any] = {
        "input_names": names,
        "dynamic_axes": {name: {0: "N"} for name in names},
        "opset_version": 17,
        "do_constant_folding": False,
        # Not EVAL: that folds BatchNormalization into the weights.
        "training": torch.onnx.TrainingMode.PRESERVE,
    }
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    file = io.BytesIO()
    try:
        torch.onnx.export(model, inputs, file, **options)
    finally:
        model.train(was_training)
    return file.getvalue()
