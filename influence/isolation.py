"""Measuring never changes what is measured: a model put back bit for bit."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def random_states_kept() -> Iterator[None]:
    """A scope after which the random states of Python, NumPy and torch are as they were, whatever happened."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - models may draw from the global state
    try:
        in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        with torch.random.fork_rng(devices=None if in_use else []):  # to count none takes long
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def seed_torch(seed: int) -> None:
    """`torch.manual_seed`, which notes down the whole stack of calls where no CUDA device is in use."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


class Isolation:
    """Remembers a model and puts it back after every use, also after an exception or an interrupt.

    Weights, buffers, gradients, `requires_grad` flags, train or eval mode of every module, and the random
    states of Python, NumPy and torch are the same after `with isolation.use(...)` as before it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.state: list[tuple[Tensor, Tensor]] = [
            (tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())
        ]

    @contextmanager
    def use(self, *, train_mode: bool = False, learn: Sequence[nn.Parameter] = ()) -> Iterator[None]:
        """A scope in which the model may be changed at will.

        Args:
            train_mode: keep dropout and batch statistics alive; otherwise the model is in eval mode.
            learn: the parameters that require a gradient inside; all others do not.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        gradients = [(parameter, parameter.requires_grad, parameter.grad) for parameter in self.model.parameters()]
        with random_states_kept():
            try:
                self.model.train(train_mode)
                for parameter, _, _ in gradients:
                    parameter.grad = None
                    parameter.requires_grad_(False)
                for parameter in learn:
                    parameter.requires_grad_(True)
                yield
            finally:
                with torch.no_grad():
                    for tensor, saved in self.state:
                        tensor.copy_(saved)
                for parameter, requires_grad, gradient in gradients:
                    parameter.requires_grad_(requires_grad)
                    parameter.grad = gradient
                for module, training in modes:
                    module.training = training


def select_parameters(model: nn.Module, patterns: Sequence[str] | None) -> list[nn.Parameter]:
    """The parameters whose names match any of the shell patterns; for None those that require a gradient.

    Raises:
        ValueError: a pattern matches no parameter.
    """
    named = dict(model.named_parameters())
    if patterns is None:
        return [parameter for parameter in named.values() if parameter.requires_grad]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            raise ValueError(
                f"expected a pattern that matches a parameter, got {pattern!r}; the model has {', '.join(named)}"
            )
    return [parameter for name, parameter in named.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]
