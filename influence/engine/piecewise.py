"""Fine-tuning in place with any elementwise optimiser, as Adam: the same steps, taken a piece of the weights at a time.

The gradient of a weight is a short sum of outer products (`influence.engine.layers`). Written out at once, with the
state of Adam beside it, it is three networks of new memory, which takes longer to be had than to be filled. So it is
written out for one piece at a time, small enough for the cache, and given up when that piece has been stepped; so is
the state of the optimiser after the last step.

Suffixes: B trees, here one; K factors, R rows of a weight, I inputs, O outputs, H hidden units.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from influence.engine.layers import Dense, Norm, Rows, is_conv1d
from influence.engine.low_rank import Learned
from influence.engine.texts import Network, Texts
from influence.engine.tree import Trees

PIECE = 2**20
"""Numbers of a piece, 4 MiB in float32: more leave the cache with their state, and fewer take too many steps."""

Part: TypeAlias = Callable[[Tensor, slice], object]
"""Adds a part of a weight's gradient to that of these rows alone."""


def learn(
    network: Network,
    lessons: Sequence[Texts],
    make_optimizer: Callable[[Sequence[Tensor]], torch.optim.Optimizer],
) -> Iterator[float]:
    """Take a step on each lesson in turn, in place, and give the loss before it.

    Args:
        network: one for which `influence.engine.low_rank.why_not` has nothing to say.
        lessons: of each step, the texts: the loss is the sum over them of the mean over their scored tokens of -log p.
        make_optimizer: gives a fresh one, whose steps are elementwise.
    """
    pieces = [
        (weight, slice(start, stop)) for weight in network.parameters() for start, stop in pairwise(_cuts(weight))
    ]
    views = [weight.detach()[rows] for weight, rows in pieces]
    optimizer = make_optimizer(views)
    (group,) = optimizer.param_groups  # whose parameters are the one piece that is stepped
    for step, texts in enumerate(lessons, start=1):
        trees = Trees.of([texts])
        learned = Learned(network, [0], num_factors=trees.place_BS.shape[1])
        learned.step(trees, torch.ones(1, dtype=network.dtype, device=network.device))
        parts = _gradients(learned)
        for (weight, rows), view in zip(pieces, views, strict=True):
            view.grad = torch.zeros_like(view)
            for add in parts[weight]:
                add(view.grad, rows)
            group["params"] = [view]
            optimizer.step()
            view.grad = None
            if step == len(lessons):
                optimizer.state.pop(view, None)
        yield float(learned.loss_BS)


def _cuts(weight: nn.Parameter) -> list[int]:
    """Where the rows of a weight are cut into pieces."""
    return [*range(0, len(weight), max(1, PIECE * len(weight) // weight.numel())), len(weight)]


def _gradients(learned: Learned) -> Mapping[nn.Parameter, Sequence[Part]]:
    """The parts of every weight's gradient after one step of one probe: two where head and embedding are tied."""
    parts: dict[nn.Parameter, list[Part]] = defaultdict(list)
    head = learned.network.get_output_embeddings()
    linear = [(head, learned.head.input_BKH, learned.head.gradient())]
    for layer in learned.layers:
        if isinstance(layer, Dense):
            linear.append((layer.module, layer.factors.x_BK, layer.factors.gradient_BKO))
        elif isinstance(layer, Rows):
            (ids_K,), (gradient_KH,) = layer.factors.x_BK, layer.factors.gradient_BKO
            parts[layer.module.get_parameter("weight")].append(partial(_add_rows, ids_K, gradient_KH))
        elif isinstance(layer, Norm):
            for parameter, (gradient_BH,) in zip(layer.module.parameters(), layer.gradients, strict=True):
                parts[parameter].append(partial(_add_vector, gradient_BH[0]))
    for module, (x_KI,), (gradient_KO,) in linear:
        outer = (x_KI, gradient_KO) if is_conv1d(module) else (gradient_KO, x_KI)
        parts[module.weight].append(partial(_add_outer, *outer))
        if module.bias is not None:
            parts[module.bias].append(partial(_add_vector, gradient_KO.sum(0)))
    return parts


def _add_outer(
    gradient_KO: Float[Tensor, "K O"], x_KI: Float[Tensor, "K I"], sum_RI: Float[Tensor, "R I"], rows: slice
) -> None:
    """sum_k d_k x_k^T."""
    sum_RI.addmm_(gradient_KO[:, rows].T, x_KI)


def _add_vector(gradient_O: Float[Tensor, " O"], sum_R: Float[Tensor, " R"], rows: slice) -> None:
    """Of a bias, or of a norm."""
    sum_R.add_(gradient_O[rows])


def _add_rows(
    ids_K: Int[Tensor, " K"], gradient_KH: Float[Tensor, "K H"], sum_RH: Float[Tensor, "R H"], rows: slice
) -> None:
    """sum_k onehot(id_k) d_k^T."""
    here_K = (ids_K >= rows.start) & (ids_K < rows.stop)
    sum_RH.index_add_(0, ids_K[here_K] - rows.start, gradient_KH[here_K])
