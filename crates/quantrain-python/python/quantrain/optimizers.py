"""The optimizers of a recipe, for a loop without PyTorch."""

from __future__ import annotations

from typing import Any

from . import _native
from .network import Network

__all__ = ["SGD", "Adam", "AdamW"]


class _Optimizer:
    def __init__(self, network: Network, rate: float, native: _native.Optimizer) -> None:
        self.network = network
        self.rate = rate
        """The learning rate of the next step; it may be changed at any time."""
        self._native = native

    def step(self) -> float:
        """Changes the network's parameters by the gradients of its last backward; gives the norm of the gradient before clipping."""
        return self._native.step(self.network._session, self.rate)

    def state_dict(self) -> dict[str, Any]:
        """What the next steps depend on: the rate, the number of steps, and moments by name."""
        steps, tensors = self._native.state()
        return {"rate": self.rate, "steps": steps, "tensors": dict(tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""
        self.rate = state["rate"]
        self._native.load_state(state["steps"], list(state["tensors"].items()))


class SGD(_Optimizer):
    """Gradient descent with momentum, as PyTorch's with `dampening=0`. `clip` is the largest norm of the gradient."""

    def __init__(
        self,
        network: Network,
        rate: float,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip: float | None = None,
    ) -> None:
        native = _native.Optimizer("sgd", momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, clip=clip)
        super().__init__(network, rate, native)


class Adam(_Optimizer):
    """Adam; weight decay is added to the gradient."""

    _kind = "adam"

    def __init__(
        self,
        network: Network,
        rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        clip: float | None = None,
    ) -> None:
        first, second = betas
        native = _native.Optimizer(self._kind, beta1=first, beta2=second, epsilon=epsilon, weight_decay=weight_decay, clip=clip)
        super().__init__(network, rate, native)


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    _kind = "adamw"
