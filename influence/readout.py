"""Readouts: the number read on a target before and after a probe is learned."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from influence.arrays import Array
from influence.engine.chunks import DEFAULT, Engine
from influence.isolation import random_states_kept
from influence.models.protocol import Batch, collate


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A number a sample, read from a model.

    Attributes:
        name: what the matrix and the axes call it.
        unit: of the number, and so of the gain.
        read: model and batch to B numbers.
        needs: the method of the model that it is read with.
        higher_is_better: whether a positive gain means that the target became more likely; every readout
            here is oriented so.
    """

    name: str
    unit: str
    read: Callable[[Any, Batch], Tensor]
    needs: str = "log_prob"
    higher_is_better: bool = True

    def describe(self) -> dict[str, Any]:
        """What is saved beside a matrix."""
        return {"name": self.name, "unit": self.unit, "higher_is_better": self.higher_is_better}


def _method(name: str) -> Callable[[Any, Batch], Tensor]:
    """What the model's own method reads."""

    def read(model: Any, batch: Batch) -> Tensor:
        values: Tensor = getattr(model, name)(batch)
        return values

    return read


def _logit(model: Any, batch: Batch) -> Tensor:
    logits: Tensor = model.logits(batch).double()
    return logits.gather(1, batch["label"][:, None]).squeeze(1)


def _margin_above_runner_up(model: Any, batch: Batch) -> Tensor:
    logits: Tensor = model.logits(batch).double()
    label = batch["label"][:, None]
    runner_up = logits.scatter(1, label, -torch.inf).amax(1)
    return logits.gather(1, label).squeeze(1) - runner_up


READOUTS = (
    Readout(name="log_prob", unit="nats", read=_method("log_prob"), needs="log_prob"),
    Readout(name="span_log_prob", unit="nats", read=_method("span_log_prob"), needs="span_log_prob"),
    Readout(name="logit", unit="logits", read=_logit, needs="logits"),
    Readout(name="margin", unit="logits", read=_margin_above_runner_up, needs="logits"),
    Readout(name="margin", unit="nats", read=_method("margin"), needs="margin"),
)
"""`log_prob` of the sample, of a text a token; `span_log_prob` of its marked span; `logit` of its label; `margin` of
its label's logit above the runner-up's, or of a text above its foil."""

NAMES = tuple(dict.fromkeys(readout.name for readout in READOUTS))
"""A readout of one name may be taken from models of several kinds."""


def find(readout: str | Readout, model: nn.Module) -> Readout:
    """The readout of that name that the model can give.

    Raises:
        ValueError: there is no such readout, or the model lacks the method that it needs.
    """
    if isinstance(readout, Readout):
        return readout
    named = [known for known in READOUTS if known.name == readout]
    if not named:
        raise ValueError(f"expected a readout among {', '.join(NAMES)}, got {readout!r}")
    given = [known for known in named if callable(getattr(model, known.needs, None))]
    if not given:
        needs = " or ".join(f"{known.needs}(batch)" for known in named)
        raise ValueError(
            f"expected a model with {needs} for the readout {readout!r}, got {type(model).__name__}; "
            "use log_prob or add the method"
        )
    unit = getattr(model, "units", {}).get(readout, given[0].unit)
    return replace(given[0], unit=unit)


class Reader:
    """Reads one set of samples again and again, always in the same chunks and in eval mode.

    The chunks are fixed because floating-point sums depend on them: reading twice gives the same bits. They are of at
    most `batch_size` samples and about equal.

    Attributes:
        samples: what is read.
        engine: how an estimator is to compute what it reads.
        kept: what an estimator needs of the samples under these weights again, for the next block of probes.
        before: the readout of each under the weights the model has when the reader is made.
        position: index of each sample by its id.
    """

    def __init__(
        self,
        model: nn.Module,
        samples: pd.DataFrame,
        readout: Readout,
        *,
        batch_size: int,
        engine: Engine = DEFAULT,
    ) -> None:
        self.model, self.readout, self.samples, self.engine = model, readout, samples, engine
        self.kept: dict[Any, Any] = {}
        self.position = {id: position for position, id in enumerate(samples["id"])}
        num_batches = max(1, math.ceil(len(samples) / batch_size))
        size = max(1, math.ceil(len(samples) / num_batches))  # a short last batch costs more than its share
        self.batches = [collate(model, samples.iloc[start : start + size]) for start in range(0, len(samples), size)]
        self.before = self.read()

    def read(self) -> Float64[Array, " T"]:
        """The readout of every sample under the model's present weights."""
        return read(self.model, self.batches, self.readout.read)


def read(model: nn.Module, batches: list[Batch], function: Callable[[Any, Batch], Tensor]) -> Float64[Array, "T ..."]:
    """`function` of every batch, joined; the model's modes and all random states are left as they were."""
    if not batches:
        return np.empty(0)
    modes = [(module, module.training) for module in model.modules()]
    with random_states_kept(), torch.no_grad():
        try:
            model.eval()
            return torch.cat([function(model, batch).double() for batch in batches]).cpu().numpy()
        finally:
            for module, training in modes:
                module.training = training


class SelfReader:
    """Reads a probe on itself: its entry among the targets where it is one, else by a forward of its own."""

    def __init__(self, probes: pd.DataFrame, row: int, targets: Reader) -> None:
        self.position = targets.position.get(probes["id"].iloc[row])
        if self.position is None:
            self.reader = Reader(targets.model, probes.iloc[row : row + 1], targets.readout, batch_size=1)

    def gain(self, gain_T: Float64[Array, " T"]) -> float:
        """The probe's gain on itself, given the gains of the targets under the same weights."""
        if self.position is not None:
            return float(gain_T[self.position])
        return float((self.reader.read() - self.reader.before)[0])


def class_probabilities(model: nn.Module, samples: pd.DataFrame, *, batch_size: int) -> Float64[Array, "N C"] | None:
    """Softmax of `model.logits`, or None where the model is no classifier."""
    if not callable(getattr(model, "logits", None)):
        return None
    starts = range(0, len(samples), batch_size)
    batches = [collate(model, samples.iloc[start : start + batch_size]) for start in starts]
    return read(model, batches, lambda model, batch: torch.softmax(model.logits(batch).double(), dim=-1))
