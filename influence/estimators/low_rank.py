"""Rows of fine-tuning by the engine: many probes learned at once without new weights, all targets read under each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from influence.arrays import Array
from influence.engine import low_rank
from influence.engine.chunks import Engine, halving
from influence.engine.low_rank import Learned
from influence.engine.texts import Texts
from influence.engine.tree import Trees, pack
from influence.estimators.protocol import Row, diverged
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
    memory_gb: float,
) -> Iterator[Row]:
    """What `FineTune.rows` gives for SGD, up to rounding; the weights are never touched.

    Probes are learned in an order of their length, so that no row is given before all are there.

    Args:
        model: one whose network `influence.engine.low_rank.why_not` has nothing to say about.
        probes: sample table.
        steps_P: the texts of every step of each probe.
        targets: what is read.
        lr: learning rate.
        momentum: of SGD.
        memory_gb: for what is held at a time.
    """

    def rows_of(group: Sequence[int]) -> list[Row]:
        steps = [steps_P[probe] for probe in group]
        (learned,) = low_rank.learn(model.network, steps, lr=lr, momentum=momentum, memory_gb=memory_gb)
        return _rows(model, learned, probes.iloc[list(group)], targets)

    row_of: dict[int, Row] = {}
    groups = low_rank.chunks(model.network, steps_P, memory_gb=memory_gb)
    for group, rows_of_group, halvings in halving(groups, rows_of):
        row_of |= {probe: replace(row, halvings=halvings) for probe, row in zip(group, rows_of_group, strict=True)}
    yield from (row_of[position] for position in range(len(probes)))


def why_plain(model: CausalLM, engine: Engine, parameters: Sequence[str] | None) -> str:
    """Why what a model learns cannot be kept as factors of each layer, whatever the optimiser; one clause, or ""."""
    if not engine.fast:
        return "the engine is off"
    if parameters is not None or not all(parameter.requires_grad for parameter in model.parameters()):
        return "only a part of the weights is learned"
    return model.reads_padded or low_rank.why_not(model.network)


def _rows(model: CausalLM, learned: Learned, group: pd.DataFrame, targets: Reader) -> list[Row]:
    """Rows of the probes that were learned in one pass."""
    with torch.no_grad():
        gain_BT = _read(model, learned, targets, lambda texts: learned.read(pack(texts))) - targets.before
        position_B = [targets.position.get(id, -1) for id in group["id"]]
        if -1 in position_B:
            itself = Reader(model, group, targets.readout, batch_size=len(group))
            self_gain_B = (
                _read(model, learned, itself, lambda texts: learned.read_own(Trees.of(each(texts)))) - itself.before
            )
        else:
            self_gain_B = gain_BT[np.arange(len(group)), np.array(position_B)]
    return [_row(*of_probe) for of_probe in zip(gain_BT, self_gain_B, learned.loss_BS.numpy(), strict=True)]


def _row(gain_T: Float64[Array, " T"], self_gain: float, loss_S: Float64[Array, " S"]) -> Row:
    failed_S = ~np.isfinite(loss_S)
    if failed_S.any():
        step = int(failed_S.argmax())
        return Row.failed(len(gain_T), diverged(step + 1, loss_S[step]))
    return Row(gain_T=gain_T, self_gain=float(self_gain)).checked()


def _read(
    model: CausalLM, learned: Learned, reader: Reader, totals: Callable[[Texts], Tensor]
) -> Float64[Array, "*B T"]:
    """The readout after each probe, where texts are read by `totals`."""
    with model.totals_by(totals):
        parts = [reader.readout.read(model, batch) for batch in reader.batches]
    if not parts:
        return np.empty((len(learned.probes), 0))
    return torch.cat([part.double() for part in parts], dim=-1).cpu().numpy()


def each(texts: Texts) -> list[Texts]:
    """Every text alone."""
    return [Texts(texts.ids_RL[[row]], texts.scored_RL[[row]]) for row in range(len(texts.ids_RL))]
