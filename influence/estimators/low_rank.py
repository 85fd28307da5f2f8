"""Rows of fine-tuning by the engine: many probes learned at once without new weights, all targets read under each."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from influence.arrays import Array
from influence.engine import low_rank
from influence.engine.low_rank import Learned
from influence.engine.texts import Texts
from influence.engine.tree import Trees, pack
from influence.estimators.protocol import Row
from influence.models.causal_lm import CausalLM
from influence.readout import Reader


def rows(
    model: CausalLM,
    probes: pd.DataFrame,
    steps_P: Sequence[Sequence[Texts]],
    targets: Reader,
    *,
    lr: float,
    momentum: float,
) -> Iterator[Row]:
    """What `FineTune.rows` gives for SGD, up to rounding; the weights are never touched.

    Probes are learned in an order of their length, so that no row is given before all are there.

    Args:
        model: one whose network `influence.engine.low_rank.reason` has nothing to say about.
        probes: sample table.
        steps_P: the texts of every step of each probe.
        targets: what is read.
        lr: learning rate.
        momentum: of SGD.
    """
    row_of: dict[int, Row] = {}
    for learned in low_rank.learn(model.network, steps_P, lr=lr, momentum=momentum):
        group = probes.iloc[list(learned.probes)]
        row_of |= zip(learned.probes, _rows(model, learned, group, targets), strict=True)
    yield from (row_of[position] for position in range(len(probes)))


def _rows(model: CausalLM, learned: Learned, group: pd.DataFrame, targets: Reader) -> list[Row]:
    """Of the probes of one pass."""
    with torch.no_grad():
        gain_BT = _read(model, learned, targets, lambda texts: learned.read(pack(texts))) - targets.before
        position_B = [targets.position.get(id, -1) for id in group["id"]]
        if -1 in position_B:
            itself = Reader(model, group, targets.readout, batch_size=len(group))
            self_gain_B = (
                _read(model, learned, itself, lambda texts: learned.read_own(Trees.of(_each(texts)))) - itself.before
            )
        else:
            self_gain_B = gain_BT[np.arange(len(group)), np.array(position_B)]
    return [_row(*of_probe) for of_probe in zip(gain_BT, self_gain_B, learned.loss_BS.numpy(), strict=True)]


def _row(gain_T: Float64[Array, " T"], self_gain: float, loss_S: Float64[Array, " S"]) -> Row:
    diverged = ~np.isfinite(loss_S)
    if diverged.any():
        step = int(diverged.argmax())
        return Row.failed(len(gain_T), f"diverged at step {step + 1}: the loss is {loss_S[step]}; lower the step size")
    if not (np.isfinite(gain_T).all() and np.isfinite(self_gain)):
        return Row.failed(len(gain_T), "diverged: a readout is not finite; lower the step size")
    return Row(gain_T=gain_T, self_gain=float(self_gain))


def _read(
    model: CausalLM, learned: Learned, reader: Reader, totals: Callable[[Texts], Tensor]
) -> Float64[Array, "*B T"]:
    """The readout after each probe, where texts are read by `totals`."""
    with model.totals_by(totals):
        parts = [reader.readout.read(model, batch) for batch in reader.batches]
    if not parts:
        return np.empty((len(learned.probes), 0))
    return torch.cat([part.double() for part in parts], dim=-1).cpu().numpy()


def _each(texts: Texts) -> list[Texts]:
    """Every text alone."""
    return [Texts(texts.ids_RL[[row]], texts.scored_RL[[row]]) for row in range(len(texts.ids_RL))]
