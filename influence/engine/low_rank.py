"""Fine-tuning with SGD, exact and without new weights: many probes in one pass, then all targets under each.

A step of SGD with momentum m, at learning rate lr and without weight decay, on gradients g_1, g_2, ... gives

    w_s - w_0 = sum_{j<=s} c_j g_j,    c_j = -lr (1 + m + ... + m^(s-j)),

and each g_j is a short sum of outer products (`influence.engine.layers`), which is kept instead of the weights. Both
passes read one tree a probe: its statements when it learns, the targets when it is read.

Where the head is tied, its weight is the embedding's too: each sees the factors of both.

Suffixes: B trees, each with its own probe; L places, K scored places, H hidden units, S steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from influence.engine import reading
from influence.engine.chunks import how_many
from influence.engine.layers import Dense, Layer, Norm, Rows, is_dense, is_norm, is_rows
from influence.engine.learned_head import LearnedHead
from influence.engine.texts import Network, Texts
from influence.engine.tree import PLACES, Trees

LENGTHS = 2
"""How many times as long the longest probe of a chunk may be as the shortest: all are padded to its places."""


def why_not(network: Network, *, optimizer: str = "sgd", optimizer_options: Mapping[str, Any] | None = None) -> str:
    """Why steps of this optimiser on this network cannot be kept as factors, in one clause, or ""."""
    options = {name: value for name, value in (optimizer_options or {}).items() if name != "momentum" and value}
    if optimizer != "sgd":
        return f"steps of {optimizer} are of full rank"
    if options:
        return f"SGD has the option {next(iter(options))}"
    if unable := reading.why_not(network):
        return unable
    if network.training:
        return "the network is in train mode"
    for name, module in network.named_modules():
        known = is_dense(module) or is_rows(module) or is_norm(module)
        if list(module.parameters(recurse=False)) and not known:
            return f"{name} is a {type(module).__name__}"
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    num_shared = len(names) - len(list(network.parameters()))
    if num_shared > is_tied(network):
        return "layers share weights beside those of embedding and head"
    return ""


def is_tied(network: Network) -> bool:
    """Whether head and embedding have one weight."""
    return network.get_output_embeddings().weight is network.get_input_embeddings().weight


def learn(
    network: Network,
    lessons: Sequence[Sequence[Texts]],
    *,
    lr: float,
    momentum: float = 0.0,
    memory_gb: float = 2.0,
) -> Iterator["Learned"]:
    """Fine-tune each probe alone from the base weights, many at a time, each once and in an order of length.

    Args:
        network: one for which `reason` has nothing to say; it is never changed.
        lessons: of each probe, of each step, the texts: the loss is the sum over them of the mean over their scored
            tokens of -log p.
        lr: learning rate of SGD.
        momentum: of SGD.
        memory_gb: for what is kept at a time.
    """
    for probes in chunks(network, lessons, memory_gb=memory_gb):
        steps = [Trees.of(texts) for texts in zip(*(lessons[probe] for probe in probes), strict=True)]
        learned = Learned(network, probes, num_factors=sum(trees.place_BS.shape[1] for trees in steps))
        for step, trees in enumerate(steps, start=1):
            powers_S = momentum ** torch.arange(step, dtype=network.dtype, device=network.device)
            learned.step(trees, -lr * powers_S.cumsum(0).flip(0))
        yield learned
        del learned


def chunks(network: Network, lessons: Sequence[Sequence[Texts]], *, memory_gb: float) -> list[list[int]]:
    """Probes to learn together: of as many steps and about as long, as many as fit into that memory."""
    length = [max((1 + int(texts.scored_RL.sum()) for texts in steps), default=1) for steps in lessons]
    found: list[list[int]] = []
    for probe in sorted(range(len(lessons)), key=lambda probe: (len(lessons[probe]), length[probe])):
        places, num_steps = length[probe], len(lessons[probe])
        if (
            not found
            or num_steps != len(lessons[found[-1][0]])
            or places > LENGTHS * length[found[-1][0]]
            or len(found[-1]) >= probes_at_once(network, places=places, num_steps=num_steps, memory_gb=memory_gb)
        ):
            found.append([])
        found[-1].append(probe)
    return found


def probes_at_once(network: Network, *, places: int, num_steps: int, memory_gb: float) -> int:
    """Probes whose factors, gradients and activations fit into that memory.

    A place of a text that is learned has two factors in each layer and step, held twice: while those of a step are
    joined to them, and while the next chunk is learned. The graph of a step takes three times those of the body, and a
    place that is read eight of its widest activations.
    """
    shapes = [module.weight.shape for module in network.base_model.modules() if is_dense(module)]
    body, widest = sum(map(sum, shapes)), max(map(max, shapes))
    head = sum(network.get_output_embeddings().weight.shape)
    numbers = places * (2 * num_steps * (body + head) + 3 * body) + PLACES * 8 * widest
    return how_many(float(network.dtype.itemsize * numbers), memory_gb)


class Learned:
    """Probes that a network has learned, each alone.

    Attributes:
        probes: which ones.
        loss_BS: of each probe before each step, nats.
    """

    def __init__(self, network: Network, probes: Sequence[int], *, num_factors: int) -> None:
        self.network, self.probes, num_trees = network, probes, len(probes)
        head, self.layers = network.get_output_embeddings(), _layers(network, num_trees)
        self.head = LearnedHead(head, reading.cap(network), num_trees=num_trees, num_factors=num_factors)
        if is_tied(network):
            (rows,) = (layer for layer in self.layers if layer.module is network.get_input_embeddings())
            assert isinstance(rows, Rows)
            self.head.tied, rows.tied = rows.factors, self.head.rows
        self.loss_BS = torch.zeros(num_trees, 0, dtype=torch.float64)

    def step(self, trees: Trees, scale_S: Float[Tensor, " S"]) -> None:
        """One step of every probe on its own tree."""
        with torch.enable_grad(), self._installed():
            hidden_BLH = reading.hidden_states(self.network, trees)
            index = torch.arange(len(hidden_BLH), device=hidden_BLH.device)[:, None]
            hidden_BKH = hidden_BLH[index, trees.place_BS]
        with torch.no_grad():
            loss_B, gradient_BKH = self.head.learn(hidden_BKH.detach(), trees, scale_S)
        recorded = [layer.recorded for layer in self.layers]
        gradients = iter(torch.autograd.grad(hidden_BKH, [part for parts in recorded for part in parts], gradient_BKH))
        for layer, parts in zip(self.layers, recorded, strict=True):
            layer.learn([next(gradients) for _ in parts], scale_S)
            layer.recorded = []
        self.loss_BS = torch.cat([self.loss_BS, loss_B[:, None].cpu()], dim=1)

    @torch.no_grad()
    def read(self, trees: Sequence[Trees]) -> Float64[Tensor, "B T"]:
        """Sums of the scored log-probabilities of texts, the same for every probe.

        Args:
            trees: from `influence.engine.tree.pack`.
        """
        num_trees = len(self.loss_BS)
        with self._installed():
            totals = [reading.log_probs(self.network, self.head, tree.repeat(num_trees)) for tree in trees]
        return torch.stack(totals).sum(0).view(num_trees, -1)

    @torch.no_grad()
    def read_own(self, trees: Trees) -> Float64[Tensor, " T"]:
        """Sums of the scored log-probabilities of texts that only the probe of their tree is read on."""
        with self._installed():
            return reading.log_probs(self.network, self.head, trees)

    @torch.no_grad()
    def dot(self, other: "Learned") -> Float64[Tensor, "P T"]:
        """Inner products of the change of all weights by each probe with that by each of others."""
        parts = [layer.dot(its) for layer, its in zip(self.layers, other.layers, strict=True)]
        return torch.stack([part.double() for part in (*parts, self.head.dot(other.head))]).sum(0)

    @contextmanager
    def _installed(self) -> Iterator[None]:
        try:
            for layer in self.layers:
                layer.module.forward = layer.forward
            yield
        finally:
            for layer in self.layers:
                vars(layer.module).pop("forward", None)


def _layers(network: Network, num_trees: int) -> list[Layer]:
    """Of all modules with weights but the head."""
    layers: list[Layer] = []
    for module in network.base_model.modules():
        if is_dense(module):
            layers.append(Dense(module, num_trees))
        elif is_rows(module):
            layers.append(Rows(module, num_trees))
        elif is_norm(module):
            layers.append(Norm(module, num_trees))
    return layers
