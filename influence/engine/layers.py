"""Layers that learn by factors: each tree of a batch is read with weights of its own, and no weight is written.

The gradient of a loss in the weight of y = W x + b is a sum over the places k that the layer has read,

    dL/dW = sum_k (dL/dy_k) x_k^T,    dL/db = sum_k dL/dy_k,

so that steps of SGD, w_s - w_0 = sum_j c_j g_j, change the layer by the factors d = dL/dy and x alone:

    y = W x + b + sum_k c_k (x . x_k + 1) d_k        (the 1 is that of the bias)

with k over places and steps. The product W x, nearly all of the work, is one for all trees. An embedding is this
layer for one-hot x: x . x_k says whether two ids are the same. Weights of a norm are vectors, and kept.

Suffixes: B trees, each with its own probe; L places; K factors, S steps; I inputs, O outputs, H hidden units.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn


class Layer(ABC):
    """A module's forward with what each probe has learned.

    Attributes:
        module: whose forward it replaces.
        recorded: tensors of the last forward, where gradients are enabled, that `learn` wants the gradients in.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.recorded: list[Tensor] = []

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """What the module does, for each tree under the weights of its own probe."""

    @abstractmethod
    def learn(self, gradients: Sequence[Tensor], scale_S: Float[Tensor, " S"]) -> None:
        """Take a step.

        Args:
            gradients: in what was recorded.
            scale_S: c_j of all steps so far and of this one.
        """

    @abstractmethod
    def dot(self, other: Any) -> Float[Tensor, "P T"]:
        """Inner products of what each probe has changed with what each of another such layer has."""


class Factors:
    """What a weight has learned a tree: sum_k c_k d_k x_k^T.

    Attributes:
        x_BK: inputs [B K I], or ids [B K].
        gradient_BKO: d_k.
        scale_K: c_k.
    """

    def __init__(self, x_BK: Shaped[Tensor, "B 0 ..."], gradient_BKO: Float[Tensor, "B 0 O"]) -> None:
        self.x_BK, self.gradient_BKO, self.scale_K = x_BK, gradient_BKO, gradient_BKO.new_zeros(0)
        self.counts: list[int] = []

    def add(
        self, x_BK: Shaped[Tensor, "B K ..."], gradient_BKO: Float[Tensor, "B K O"], scale_S: Float[Tensor, " S"]
    ) -> None:
        """Take in those of a step."""
        self.x_BK = torch.cat([self.x_BK, x_BK], dim=1)
        self.gradient_BKO = torch.cat([self.gradient_BKO, gradient_BKO], dim=1)
        self.counts.append(x_BK.shape[1])
        self.scale_K = spread(scale_S, self.counts)


class Dense(Layer):
    """`Linear`, or the `Conv1D` of GPT-2, whose weight stands the other way."""

    def __init__(self, module: nn.Module, num_trees: int) -> None:
        super().__init__(module)
        weight = module.get_parameter("weight").detach()
        num_inputs, num_outputs = weight.shape if is_conv1d(module) else weight.shape[::-1]
        self.factors = Factors(weight.new_zeros(num_trees, 0, num_inputs), weight.new_zeros(num_trees, 0, num_outputs))
        self.bias = module.bias is not None

    def forward(self, x: Float[Tensor, "B L I"]) -> Float[Tensor, "B L O"]:
        """W x + b + sum_k c_k (x . x_k + 1) d_k."""
        y = own_forward(self.module)(x)
        y.baddbmm_(similarity(x, self.factors.x_BK, self.factors.scale_K, bias=self.bias), self.factors.gradient_BKO)
        if torch.is_grad_enabled():
            self.recorded, self.x_BLI = [y], x.detach()
        return y

    def learn(self, gradients: Sequence[Tensor], scale_S: Float[Tensor, " S"]) -> None:
        """Keep inputs and gradients of outputs."""
        self.factors.add(self.x_BLI, gradients[0], scale_S)

    def dot(self, other: "Dense") -> Float[Tensor, "P T"]:
        """sum_kl c_k c_l (x_k . x_l + 1) (d_k . d_l)."""
        one, two = self.factors, other.factors
        product_PKTL = outer_products(one.x_BK, one.gradient_BKO, two.x_BK, two.gradient_BKO, bias=self.bias)
        return pair_sums(product_PKTL, one.scale_K, two.scale_K)


class Rows(Layer):
    """`Embedding`, also one that scales its output by a constant, as Gemma's.

    Attributes:
        tied: rows that the head has learned, where it has the same weight.
    """

    def __init__(self, module: nn.Embedding, num_trees: int) -> None:
        super().__init__(module)
        weight = module.weight.detach()
        self.padding: int | None = module.padding_idx
        self.constant = getattr(module, "embed_scale", weight.new_ones(())).to(weight.dtype)
        no_ids_BK = torch.zeros(num_trees, 0, dtype=torch.long, device=weight.device)
        self.factors = Factors(no_ids_BK, weight.new_zeros(num_trees, 0, weight.shape[1]))
        self.tied: Callable[[Tensor], Tensor] | None = None

    def forward(self, ids_BL: Int[Tensor, "B L"]) -> Float[Tensor, "B L H"]:
        """The rows of W and what they have learned, times the constant."""
        same_BLK = (ids_BL[:, :, None] == self.factors.x_BK[:, None, :]) * self.factors.scale_K
        change_BLH = same_BLK @ self.factors.gradient_BKO
        if self.tied is not None:
            change_BLH = change_BLH + self.tied(ids_BL)
        y = own_forward(self.module)(ids_BL) + self.constant * change_BLH
        if torch.is_grad_enabled():
            y = y.detach().requires_grad_()
            self.recorded, self.ids_BL = [y], ids_BL
        return y

    def learn(self, gradients: Sequence[Tensor], scale_S: Float[Tensor, " S"]) -> None:
        """Keep ids and gradients of rows; torch gives the row of padding none."""
        gradient_BLH = self.constant * gradients[0]
        if self.padding is not None:
            gradient_BLH = gradient_BLH * (self.ids_BL != self.padding)[:, :, None]
        self.factors.add(self.ids_BL, gradient_BLH, scale_S)

    def dot(self, other: "Rows") -> Float[Tensor, "P T"]:
        """sum_kl c_k c_l [id_k = id_l] (d_k . d_l)."""
        one, two = self.factors, other.factors
        product_PKTL = pairs(one.gradient_BKO, two.gradient_BKO) * (one.x_BK[:, :, None, None] == two.x_BK)
        return pair_sums(product_PKTL, one.scale_K, two.scale_K)


class Norm(Layer):
    """`LayerNorm`, or any RMSNorm whose output is elementwise in its weight: each tree has weights of its own."""

    def __init__(self, module: nn.Module, num_trees: int) -> None:
        super().__init__(module)
        self.bare = copy.copy(module)  # keeps its forward
        self.base = {name: parameter.detach() for name, parameter in module.named_parameters()}
        self.weights = [value.expand(num_trees, -1) for value in self.base.values()]
        self.changes = [torch.zeros_like(weight) for weight in self.weights]
        self.gradients: list[list[Tensor]] = [[] for _ in self.weights]

    def forward(self, x: Float[Tensor, "B ... I"]) -> Float[Tensor, "B ... I"]:
        """The module's, with weights that broadcast."""
        weights = self.weights
        if torch.is_grad_enabled():
            weights = self.recorded = [weight.detach().requires_grad_() for weight in weights]
        each = [weight.view(len(weight), *[1] * (x.ndim - 2), -1) for weight in weights]
        if isinstance(self.module, nn.LayerNorm):  # torch's own takes no broadcasting
            normal = F.layer_norm(x, self.module.normalized_shape, eps=self.module.eps)
            return normal * each[0] if len(each) == 1 else normal * each[0] + each[1]
        y: Tensor = torch.func.functional_call(self.bare, dict(zip(self.base, each, strict=True)), (x,))
        return y

    def learn(self, gradients: Sequence[Tensor], scale_S: Float[Tensor, " S"]) -> None:
        """New weights from the gradients of all steps."""
        for steps, gradient in zip(self.gradients, gradients, strict=True):
            steps.append(gradient)
        self.changes = [torch.einsum("s,sbi->bi", scale_S, torch.stack(steps)) for steps in self.gradients]
        self.weights = [value + change for value, change in zip(self.base.values(), self.changes, strict=True)]

    def dot(self, other: "Norm") -> Float[Tensor, "P T"]:
        """Of the vectors."""
        one, two = (torch.cat(norm.changes, dim=1) for norm in (self, other))
        return one @ two.T


def similarity(
    x_BLI: Float[Tensor, "B L I"], x_BKI: Float[Tensor, "B K I"], scale_K: Float[Tensor, " K"], *, bias: bool
) -> Float[Tensor, "B L K"]:
    """c_k (x . x_k + 1), or without the 1."""
    product_BLK = x_BLI @ x_BKI.transpose(1, 2)
    return (product_BLK + 1 if bias else product_BLK) * scale_K


def outer_products(
    x_PKI: Float[Tensor, "P K I"],
    d_PKO: Float[Tensor, "P K O"],
    x_TLI: Float[Tensor, "T L I"],
    d_TLO: Float[Tensor, "T L O"],
    *,
    bias: bool,
) -> Float[Tensor, "P K T L"]:
    """<d_k x_k^T, d_l x_l^T> = (x_k . x_l) (d_k . d_l) of every two places; a bias adds 1 to x_k . x_l."""
    return (pairs(x_PKI, x_TLI) + bias).mul_(pairs(d_PKO, d_TLO))


def pairs(a_PKI: Float[Tensor, "P K I"], b_TLI: Float[Tensor, "T L I"]) -> Float[Tensor, "P K T L"]:
    """a_k . b_l."""
    product = a_PKI.flatten(0, 1) @ b_TLI.flatten(0, 1).T
    return product.view(*a_PKI.shape[:2], *b_TLI.shape[:2])


def pair_sums(
    product_PKTL: Float[Tensor, "P K T L"], scale_K: Float[Tensor, " K"], scale_L: Float[Tensor, " L"]
) -> Float[Tensor, "P T"]:
    """Sum over the places of both, weighted by c_k c_l."""
    return torch.einsum("pktl,k,l->pt", product_PKTL, scale_K, scale_L)


def spread(scale_S: Float[Tensor, " S"], counts: Sequence[int]) -> Float[Tensor, " K"]:
    """The weight of each step for each of its factors."""
    return scale_S.repeat_interleave(torch.tensor(counts, device=scale_S.device))


def own_forward(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward of the module's class."""
    forward: Any = type(module).forward
    return lambda x: forward(module, x)


def is_dense(module: nn.Module) -> bool:
    """Whether `Dense` can stand for it."""
    return type(module) is nn.Linear or is_conv1d(module)


def is_conv1d(module: nn.Module) -> bool:
    """Whether it is the Conv1D of transformers, which is an extra."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def is_rows(module: nn.Module) -> bool:
    """Whether `Rows` can stand for it."""
    if not isinstance(module, nn.Embedding) or module.max_norm is not None or module.scale_grad_by_freq:
        return False
    return type(module) is nn.Embedding or isinstance(getattr(module, "embed_scale", None), Tensor)


def is_norm(module: nn.Module) -> bool:
    """Whether `Norm` can stand for it."""
    if type(module) is nn.LayerNorm:
        return len(module.normalized_shape) == 1
    is_rms = type(module).__name__.endswith("RMSNorm") and type(module) is not nn.RMSNorm
    return is_rms and [(name, value.ndim) for name, value in module.named_parameters()] == [("weight", 1)]
