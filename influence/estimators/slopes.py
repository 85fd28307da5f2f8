"""Derivatives of readouts along the steps of probes: what first order is made of, a group of probes at a time."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.autograd import forward_ad

from influence.arrays import Array
from influence.engine import low_rank
from influence.engine.chunks import how_many
from influence.engine.low_rank import Learned
from influence.engine.sample_gradients import Function, Gradients, Method, dense, dot, find_method, split
from influence.engine.texts import Texts
from influence.estimators.low_rank import each
from influence.estimators.protocol import say_once
from influence.estimators.statements import lessons
from influence.isolation import Isolation
from influence.models.causal_lm import CausalLM
from influence.models.protocol import Batch, collate
from influence.readout import Reader

Direction = Callable[[Tensor], Tensor]
"""What an optimiser makes of a gradient, elementwise, at a learning rate of 1."""

TILE = 16
"""Probes that share a backward: enough to be fast, and few to be filled up."""


class TextSlopes:
    """Slopes of readouts along a step of SGD on a language model whose layers are known, from factors of gradients."""

    def __init__(self, model: CausalLM, probes: pd.DataFrame, targets: Reader, *, statements: str) -> None:
        self.model, self.probes, self.targets, self.memory_gb = model, probes, targets, targets.engine.memory_gb / 2
        # Steps of SGD add up to first order: what is learned in a sequence is learned at once.
        whole_P = [pd.concat(lessons(probes.iloc[[position]], statements)) for position in range(len(probes))]
        self.steps_P = [[collate(model, whole)["text"]] for whole in whole_P]

    def groups(self) -> list[list[int]]:
        """Probes about as long as each other."""
        return low_rank.chunks(self.model.network, self.steps_P, memory_gb=self.memory_gb)

    def of(self, group: Sequence[int]) -> tuple[Float64[Array, "P T"], Float64[Array, " P"]]:
        """One backward of all probes and of all targets, each once."""
        samples = self.probes.iloc[list(group)]
        (learned,) = self._learn([self.steps_P[probe] for probe in group])
        slope_PT = self._read(learned, self.targets.batches)
        return slope_PT, _of_themselves(
            slope_PT, samples, self.targets, lambda: self._read(learned, [collate(self.model, samples)]).diagonal()
        )

    def _learn(self, steps: Sequence[Sequence[Texts]]) -> Iterator[Learned]:
        """Steps at a learning rate of 1, which change the weights by minus the gradient of the loss."""
        return low_rank.learn(self.model.network, steps, lr=1.0, memory_gb=self.memory_gb)

    def _read(self, learned: Learned, batches: Sequence[Batch]) -> Float64[Array, "P T"]:
        """The readout of dual numbers, so that it may be any function of the log-probabilities of texts."""

        def totals(texts: Texts) -> Tensor:
            total_PR, slope_PR = torch.zeros(2, len(learned.probes), len(texts.ids_RL), dtype=torch.float64)
            for other in self._learn([[text] for text in each(texts)]):
                total_PR[:, other.probes] = -other.loss_BS[:, 0]
                slope_PR[:, other.probes] = learned.dot(other).cpu()
            num_tokens_R = texts.scored_RL.sum(1)  # the loss is their mean
            total_PR, slope_PR = (sums.to(num_tokens_R.device) * num_tokens_R for sums in (total_PR, slope_PR))
            dual: Tensor = forward_ad.make_dual(total_PR, slope_PR)  # type: ignore[no-untyped-call]
            return dual

        parts = [np.empty((len(learned.probes), 0))]
        with warnings.catch_warnings(), forward_ad.dual_level(), self.model.totals_by(totals):
            warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")  # torch's own affair
            for batch in batches:
                dual_PT = self.targets.readout.read(self.model, batch)
                slope_PT: Tensor = forward_ad.unpack_dual(dual_PT).tangent  # type: ignore[no-untyped-call]
                parts.append(slope_PT.double().cpu().numpy())
        return np.concatenate(parts, axis=1)


class SampleSlopes:
    """Slopes of readouts along a step of any model: products of gradients.

    They are of many samples at once where its layers or `torch.func` give them. Bits depend on the shapes of what is
    computed together. So probes have their gradients and products in tiles of one size, the last filled up: no probe's
    depend on the others.
    """

    def __init__(
        self,
        model: nn.Module,
        probes: pd.DataFrame,
        targets: Reader,
        *,
        statements: str,
        direction: Direction | None,
        parameters: Sequence[nn.Parameter],
    ) -> None:
        self.model, self.probes, self.targets, self.parameters = model, probes, targets, parameters
        self.statements, self.direction = statements, direction
        self.isolation = Isolation(model)
        self.memory_gb = targets.engine.memory_gb / 3  # for steps, for gradients of targets, and for those kept
        self.method, why = self._find_method()
        if why:
            say_once(f"First order takes gradients one by one: {why}.")
        self.at_once = self._at_once()
        self.tile = 1 if self.method is None else min(TILE, self.at_once)

    def groups(self) -> list[list[int]]:
        """Probes in a row, in whole tiles."""
        size = self.at_once // self.tile * self.tile
        return [[*range(len(self.probes))[part]] for part in _parts(len(self.probes), size)]

    def of(self, group: Sequence[int]) -> tuple[Float64[Array, "P T"], Float64[Array, " P"]]:
        """One backward of each tile, and of all targets once."""
        filled = [*group, *[group[-1]] * (-len(group) % self.tile)]
        tiles = [self.probes.iloc[filled[part]] for part in _parts(len(filled), self.tile)]
        with self.isolation.use(learn=self.parameters):
            steps = [self._steps(tile) for tile in tiles]
            slopes = [torch.cat([dot(step, part) for step in steps]).cpu().numpy() for part in self._of_targets()]
            slope_PT = np.concatenate([np.empty((len(filled), 0)), *slopes], axis=1)[: len(group)]

            def read_own() -> Float64[Array, " P"]:
                own = [gradient for tile in tiles for gradient in split(self._gradients(tile))]
                alone = [step for tile in steps for step in split(tile)]
                return np.array([float(dot(*pair)) for pair in zip(alone, own, strict=True)])[: len(group)]

            return slope_PT, _of_themselves(slope_PT, self.probes.iloc[list(group)], self.targets, read_own)

    def _find_method(self) -> tuple[Method | None, str]:
        if not self.targets.engine.fast:
            return None, "the engine is off"
        if "text" in self.probes:
            return None, "a text may hold several statements"
        if len(self.probes) == 0:
            return None, ""
        kept = self.targets.kept
        if self._key("method") not in kept:
            few = self.probes.iloc[[0, -1]]
            with self.isolation.use(learn=self.parameters):
                first_D = self._gradient(_gain, few[:1])
                found = find_method(self.model, self.parameters, _gain, collate(self.model, few), first_D)
            kept[self._key("method")] = found
        method, why = kept[self._key("method")]
        return method, why

    def _key(self, name: str) -> tuple[object, ...]:
        """Under which what is needed again stays with the targets."""
        return name, *map(id, self.parameters)

    def _at_once(self) -> int:
        """Samples whose gradients fit into the memory."""
        whole = float(sum(parameter.nbytes for parameter in self.parameters))
        if self.method is None:
            return how_many(whole, self.memory_gb)
        return how_many(self.method.bytes_a_sample + (self.direction is not None) * 2 * whole, self.memory_gb)

    def _of_targets(self) -> Iterator[Gradients]:
        """Gradients of all targets' readouts, some at a time; kept for the next block where they fit."""
        key = self._key("gradients of targets")
        if key in self.targets.kept:
            yield from self.targets.kept[key]
            return
        held: list[Gradients] = []
        num_bytes = 0
        for part in _parts(len(self.targets.samples), self.at_once):
            gradients = self._gradients(self.targets.samples.iloc[part])
            num_bytes += sum(layer.nbytes for layer in gradients.values())
            if num_bytes <= self.memory_gb * 2**30:
                held.append(gradients)
            yield gradients
        if num_bytes <= self.memory_gb * 2**30:
            self.targets.kept[key] = held

    def _steps(self, samples: pd.DataFrame) -> Gradients:
        """What a learning rate of 1 adds to the parameters."""
        direction = self.direction or (lambda gradient: gradient)
        if self.method is not None:
            gradients = self.method(_gain, collate(self.model, samples))
            return gradients if self.direction is None else {key: direction(dense(gradients[key])) for key in gradients}
        steps = []
        for position in range(len(samples)):
            taught = lessons(samples.iloc[[position]], self.statements)
            directions = [direction(self._gradient(_gain, lesson)) for lesson in taught]
            steps.append(sum(directions[1:], start=directions[0]))
        return {"": torch.stack(steps)}

    def _gradients(self, samples: pd.DataFrame) -> Gradients:
        """Gradients of the readouts of these samples."""
        readout = self.targets.readout.read
        if self.method is None:
            return self._one_by_one(readout, samples)
        return self.method(readout, collate(self.model, samples))

    def _one_by_one(self, function: Function, samples: pd.DataFrame) -> Gradients:
        rows = [self._gradient(function, samples.iloc[[position]]) for position in range(len(samples))]
        return {"": torch.stack(rows)}

    def _gradient(self, function: Function, samples: pd.DataFrame) -> Float[Tensor, " D"]:
        """Gradient of a function summed over samples, all that is learned in one vector."""
        value = function(self.model, collate(self.model, samples)).sum()
        gradients = torch.autograd.grad(value, self.parameters, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in gradients])


def _gain(model: Any, batch: Batch) -> Tensor:
    """Minus the loss: what a step of descent raises."""
    gain: Tensor = -model.loss(batch)
    return gain


def _of_themselves(
    slope_PT: Float64[Array, "P T"],
    samples: pd.DataFrame,
    targets: Reader,
    read: Callable[[], Float64[Array, " P"]],
) -> Float64[Array, " P"]:
    """Slopes of the probes' own readouts: entries where all are targets, else read."""
    positions = [targets.position.get(id, -1) for id in samples["id"]]
    return read() if -1 in positions else slope_PT[np.arange(len(positions)), positions]


def _parts(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
