"""Learned influence: fine-tune on one probe, read every target, start again (Matelsky et al. 2024, Eqs. 4 and 7)."""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor, nn

from influence.engine import piecewise
from influence.engine.chunks import DEFAULT, Engine
from influence.engine.low_rank import why_not
from influence.engine.texts import Texts
from influence.engine.threads import threads_for
from influence.estimators import low_rank
from influence.estimators.protocol import Row, check_step_size, diverged, say_once
from influence.estimators.statements import check_statements, lessons
from influence.isolation import Isolation, seed_torch, select_parameters
from influence.models.causal_lm import CausalLM
from influence.models.protocol import Batch, collate, collate_each
from influence.readout import Reader, SelfReader
from influence.seeds import derive

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): optimizer
    for name, optimizer in vars(torch.optim).items()
    if isinstance(optimizer, type)
    and issubclass(optimizer, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "Muon", "SparseAdam")
}
"""The optimisers of `torch.optim` by their names in lower case, but for those that cannot step any dense model."""


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Gain of target j after `num_steps` optimiser steps on probe i alone, from the base weights w.

    M_ij = readout_j(w') - readout_j(w), w' the weights after the steps on loss_i; zero steps or lr = 0 give
    exactly 0. To first order in one step of SGD this is lr g_i . g_j with g the gradients of the loss.

    Args:
        optimizer: a key of `OPTIMIZERS`: "sgd", "adam", "adamw", ...; its state is fresh for every probe.
        optimizer_options: its further arguments, e.g. {"momentum": 0.9}; weight decay is 0 unless given.
        lr: learning rate; or
        self_gain: the median self-gain, nats, that the learning rate is to be searched for.
        num_steps: optimiser steps on the probe; where its statements are learned in sequence, on each of them.
        statements: how a probe of several statements is learned, a key of `STATEMENTS`.
        parameters: shell patterns of the parameter names to learn; None for all that require a gradient.
        train_mode: learn with dropout and batch statistics alive; by default in eval mode.

    Raises:
        ValueError: an unknown optimiser, option or way to learn statements, a negative number of steps, or not exactly
            one step size.
    """

    optimizer: str = "sgd"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    lr: float | None = None
    self_gain: float | None = None
    num_steps: int = 1
    statements: str = "together"
    parameters: Sequence[str] | None = None
    train_mode: bool = False
    name = "finetune"

    def __post_init__(self) -> None:
        check_step_size(self.lr, self.self_gain)
        check_statements(self.statements)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"expected an optimizer among {', '.join(sorted(OPTIMIZERS))}, got {self.optimizer!r}")
        known = set(inspect.signature(OPTIMIZERS[self.optimizer]).parameters) - {"params", "lr"}
        unknown = sorted(set(self.optimizer_options) - known)
        if unknown:
            raise ValueError(
                f"expected optimizer_options of {self.optimizer} among {', '.join(sorted(known))}, got {unknown[0]!r}"
            )
        if self.num_steps < 0:
            raise ValueError(f"expected num_steps of at least 0, got {self.num_steps}")

    def describe(self) -> dict[str, Any]:
        """Name and settings, as saved beside a matrix."""
        return {"name": self.name, **asdict(self)}

    def with_lr(self, lr: float) -> Self:
        """The same estimator at that learning rate."""
        return replace(self, lr=lr, self_gain=None)

    def make_optimizer(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimiser over `parameters`."""
        options = dict(self.optimizer_options)
        kind = OPTIMIZERS[self.optimizer]
        if "weight_decay" in inspect.signature(kind).parameters:
            options.setdefault("weight_decay", 0.0)
        return kind(parameters, lr=self.lr, **options)  # type: ignore[call-arg]

    def learn(
        self, model: Any, batches: Sequence[Batch], parameters: Sequence[nn.Parameter], engine: Engine = DEFAULT
    ) -> str:
        """Take `num_steps` steps on each batch in turn, in place; return why they failed, or ""."""
        for number, loss in enumerate(self._losses(model, batches, parameters, engine), start=1):
            if not math.isfinite(loss):
                return diverged(number, loss)
        return ""

    def rows(self, model: nn.Module, probes: pd.DataFrame, targets: Reader, *, seed: int = 0) -> Iterator[Row]:
        """Learn each probe alone from the base weights and read every target.

        A probe whose loss or readout is not finite gives a failed row; the others go on. Unless `why_plain` speaks
        against it, a language model learns by the engine, to the same numbers: with SGD many probes at once, with
        other optimisers a piece of the weights at a time.
        """
        if isinstance(model, CausalLM):
            if why := self.why_plain(model, targets.engine):
                say_once(f"Fine-tuning takes the plain loop: {why}.")
            elif why := self._why_full_rank(model):
                say_once(f"Fine-tuning takes one probe after the other: {why}.")
            else:
                yield from self._low_rank_rows(model, probes, targets)
                return
        parameters = select_parameters(model, self.parameters)
        isolation, taught = Isolation(model), self._taught(model, probes)
        for position, probe_id in enumerate(probes["id"]):
            itself = SelfReader(probes, position, targets)
            with isolation.use(train_mode=self.train_mode, learn=parameters):
                seed_torch(derive(seed, "finetune", probe_id))
                failure = self.learn(model, next(taught), parameters, targets.engine)
                if failure:
                    row = Row.failed(len(targets.before), failure)
                else:
                    gain_T = targets.read() - targets.before
                    row = Row(gain_T=gain_T, self_gain=itself.gain(gain_T))
            yield row.checked()

    def why_plain(self, model: CausalLM, engine: Engine = DEFAULT) -> str:
        """Why the engine cannot take the steps, so that all weights have gradients at once; one clause, or ""."""
        if not self.lr or not self.num_steps:
            return "no step is taken"
        if self.train_mode:
            return "the probe is learned in train mode"
        if self.optimizer == "adafactor":
            return "the steps of adafactor are not elementwise"
        return low_rank.why_plain(model, engine, self.parameters)

    def _why_full_rank(self, model: CausalLM) -> str:
        """Why the steps cannot be kept as factors; one clause, or ""."""
        return why_not(model.network, optimizer=self.optimizer, optimizer_options=self.optimizer_options)

    def _low_rank_rows(self, model: CausalLM, probes: pd.DataFrame, targets: Reader) -> Iterator[Row]:
        """Of many probes at once."""
        steps_P = [self._texts(model, probes.iloc[[position]]) for position in range(len(probes))]
        assert self.lr is not None
        momentum = self.optimizer_options.get("momentum", 0.0)
        yield from low_rank.rows(
            model, probes, steps_P, targets, lr=self.lr, momentum=momentum, memory_gb=targets.engine.memory_gb
        )

    def _losses(
        self, model: Any, batches: Sequence[Batch], parameters: Sequence[nn.Parameter], engine: Engine
    ) -> Iterator[float]:
        """The loss of every step, which has been taken."""
        steps = [batch for _ in range(self.num_steps) for batch in batches]
        if isinstance(model, CausalLM) and not self.why_plain(model, engine):
            yield from piecewise.learn(model.network, [batch["text"] for batch in steps], self.make_optimizer)
        elif steps:
            optimizer = self.make_optimizer(parameters)
            for batch in steps:
                with threads_for(parameters):
                    loss = optimizer.step(partial(_descend, model, batch, optimizer))
                yield loss

    def _taught(self, model: nn.Module, probes: pd.DataFrame) -> Iterator[list[Batch]]:
        """What each probe is learned from."""
        if "text" not in probes:
            yield from ([batch] for batch in collate_each(model, probes))
            return
        for position in range(len(probes)):
            taught = lessons(probes.iloc[position : position + 1], self.statements)
            yield [collate(model, lesson) for lesson in taught]

    def _texts(self, model: CausalLM, probe: pd.DataFrame) -> list[Texts]:
        """The texts of every step."""
        batches = [model.collate(lesson) for lesson in lessons(probe, self.statements)]
        return [batch["text"].to(model.device) for _ in range(self.num_steps) for batch in batches]


def _descend(model: Any, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
    """Fresh gradients of the summed loss of a batch, and the loss."""
    optimizer.zero_grad()
    loss = model.loss(batch).sum()
    loss.backward()
    return float(loss.detach())
