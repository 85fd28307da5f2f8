"""Gradients of many samples at once, for any module, kept in the form in which their inner products are cheapest.

The gradient of a sample in the weight of a layer that it passes at K places is G = sum_k d_k x_k^T (inputs x, gradients
in the outputs d; see `influence.engine.layers`), and those of two samples have the inner product

    <G, G'> = sum_kl (x_k . x'_l + 1) (d_k . d'_l)        (the 1 is that of the bias).

That is K L (I + O) products from the factors, and I O from the gradients themselves: a wide layer that is passed once
is kept as factors, a convolution, which passes hundreds of places, as its gradient. Either way one forward and one
backward of the whole batch give them. Where a network has other layers, `torch.func` gives gradients as a whole.

Suffixes: B samples, and P and T where two sets meet; K, L places; I inputs, O outputs, D numbers of a gradient.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, grad, vmap

from influence.engine.layers import outer_products

Function: TypeAlias = Callable[[Any, Any], Tensor]
"""Model and batch to one number a sample."""


@dataclass(frozen=True, eq=False)
class Outer:
    """Gradients in the weight and, where `bias` says so, in the bias of a layer, as factors."""

    x_BKI: Float[Tensor, "B K I"]
    gradient_BKO: Float[Tensor, "B K O"]
    bias: bool

    @property
    def nbytes(self) -> int:
        """Memory that is held."""
        return self.x_BKI.nbytes + self.gradient_BKO.nbytes

    def __len__(self) -> int:
        return len(self.x_BKI)

    def __getitem__(self, samples: list[int]) -> "Outer":
        return Outer(self.x_BKI[samples], self.gradient_BKO[samples], self.bias)

    def is_cheaper(self) -> bool:
        """Whether products of factors take less than those of gradients."""
        (_, num_places, num_inputs), num_outputs = self.x_BKI.shape, self.gradient_BKO.shape[2]
        return num_places**2 * (num_inputs + num_outputs) < num_inputs * num_outputs

    def dense(self) -> Float[Tensor, "B D"]:
        """The gradients themselves."""
        weight_BD = torch.bmm(self.gradient_BKO.transpose(1, 2), self.x_BKI).flatten(1)
        return torch.cat([weight_BD, self.gradient_BKO.sum(1)], dim=1) if self.bias else weight_BD


Gradients: TypeAlias = Mapping[Any, Tensor | Outer]
"""Of several samples: of each layer that has any, [B D] or factors."""


def dense(part: Tensor | Outer) -> Float[Tensor, "B D"]:
    """The gradients of a layer, multiplied out."""
    return part.dense() if isinstance(part, Outer) else part


def split(gradients: Gradients) -> list[Gradients]:
    """Each sample alone."""
    (num_samples,) = {len(part) for part in gradients.values()}
    return [{layer: part[[sample]] for layer, part in gradients.items()} for sample in range(num_samples)]


def dot(one: Gradients, other: Gradients) -> Float64[Tensor, "P T"]:
    """Inner products of the gradients of each sample of one set with each of another."""
    products = []
    for layer, left in one.items():
        if layer not in other:
            continue
        right = other[layer]
        if isinstance(left, Outer) and isinstance(right, Outer):
            factors = left.x_BKI, left.gradient_BKO, right.x_BKI, right.gradient_BKO
            products.append(outer_products(*factors, bias=left.bias).sum((1, 3)).double())
        else:
            products.append((dense(left) @ dense(right).T).double())
    return torch.stack(products).sum(0)


class ByLayer:
    """Factors of each layer, from hooks; of `Linear` and `Conv2d` alone.

    Attributes:
        bytes_a_sample: memory that the first batch took for a sample, about.

    Raises:
        ValueError: a parameter is that of another layer.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        self.model, self.bytes_a_sample = model, 0.0
        self.learned = {id(parameter) for parameter in parameters}
        owners = [module for module in model.modules() if self.learned & set(map(id, module.parameters(False)))]
        for module in owners:
            if type(module) is not nn.Linear and not _is_plain_convolution(module):
                raise ValueError(f"a layer is a {type(module).__name__}")
        self.layers = owners

    def __call__(self, function: Function, batch: Any) -> Gradients:
        """One forward and one backward; the weights' own gradients are not computed."""
        calls: list[tuple[nn.Module, Tensor, GradientEdge]] = []
        with torch.enable_grad(), self._recorded(calls):
            values_B = function(self.model, batch)
        edges = [edge for _, _, edge in calls]
        gradients = torch.autograd.grad(values_B.sum(), edges, allow_unused=True)
        places: dict[nn.Module, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for (layer, x, _), gradient in zip(calls, gradients, strict=True):
            if len(x) != len(values_B):
                raise ValueError("the first axis of a layer's input is not that of samples")
            if gradient is not None:
                places[layer].append(_places(layer, x, gradient))
        parts = {layer: self._part(layer, *map(_joined, zip(*own, strict=True))) for layer, own in places.items()}
        touched = sum(x.nbytes + gradient.nbytes for own in places.values() for x, gradient in own)
        if not self.bytes_a_sample:
            self.bytes_a_sample = (3 * touched + sum(part.nbytes for part in parts.values())) / len(values_B)
        return parts

    def _part(self, layer: nn.Module, x_BKI: Tensor, gradient_BKO: Tensor) -> Tensor | Outer:
        bias = layer.bias is not None and id(layer.bias) in self.learned
        if id(layer.weight) not in self.learned:
            return gradient_BKO.sum(1)
        outer = Outer(x_BKI, gradient_BKO, bias)
        return outer if outer.is_cheaper() else outer.dense()

    @contextmanager
    def _recorded(self, calls: list[tuple[nn.Module, Tensor, GradientEdge]]) -> Iterator[None]:
        """A scope in which every call of a layer is noted: its input, and where gradients reach its output."""

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
            x = inputs[0] if inputs else named["input"]
            calls.append((layer, x.detach(), get_gradient_edge(output)))

        hooks = [layer.register_forward_hook(note, with_kwargs=True) for layer in self.layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class ByVmap:
    """Gradients as a whole, by `torch.func`, of any module that it accepts and whose batches are dicts of tensors.

    Attributes:
        bytes_a_sample: memory that a batch takes for a sample, about.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        learned = {id(parameter) for parameter in parameters}
        self.model = model
        self.parameters = {
            f"model.{name}": parameter.detach()
            for name, parameter in model.named_parameters()
            if id(parameter) in learned
        }
        self.bytes_a_sample = 4.0 * sum(parameter.nbytes for parameter in self.parameters.values())

    def __call__(self, function: Function, batch: Any) -> Gradients:
        """One `vmap` over samples."""
        if not isinstance(batch, dict) or not all(isinstance(value, Tensor) for value in batch.values()):
            raise ValueError("its batches are no dicts of tensors")
        call = _Call(self.model, function)

        def value(parameters: dict[str, Tensor], sample: dict[str, Tensor]) -> Tensor:
            alone = {name: column[None] for name, column in sample.items()}
            result: Tensor = functional_call(call, parameters, (alone,))
            return result

        gradients = vmap(grad(value), in_dims=(None, 0))(self.parameters, batch)
        return {"": torch.cat([gradient.flatten(1) for gradient in gradients.values()], dim=1)}


Method: TypeAlias = ByLayer | ByVmap


class _Call(nn.Module):
    """A function of a model as a module's forward, as `functional_call` wants it."""

    def __init__(self, model: nn.Module, function: Function) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, batch: Any) -> Tensor:
        return self.function(self.model, batch).sum()


def find_method(
    model: nn.Module,
    parameters: Sequence[nn.Parameter],
    function: Function,
    batch: Any,
    first_D: Float[Tensor, " D"],
) -> tuple[Method | None, str]:
    """The fastest method that gives the gradient of a sample as it is, or why there is none, in one clause.

    Args:
        model: in eval mode, its `parameters` and no others requiring a gradient.
        parameters: what is learned.
        function: as will be asked for.
        batch: a few samples together.
        first_D: the gradient of the first of them, taken alone; the square of its norm is compared.
    """
    expected, why = float(first_D @ first_D), ""
    tolerance = torch.finfo(first_D.dtype).eps ** 0.5
    for kind in (ByLayer, ByVmap):
        try:
            method = kind(model, parameters)
            gradients = method(function, batch)
            found = float(dot(gradients, gradients)[0, 0])
        except (RuntimeError, TypeError, ValueError) as error:
            why = str(error).partition("\n")[0]
            continue
        if abs(found - expected) <= tolerance * expected:
            return method, ""
        why = "the gradient of a sample in a batch is not that of the sample alone"
    return None, why


def _is_plain_convolution(module: nn.Module) -> bool:
    """Whether `_patches` gives what it multiplies."""
    return (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _places(layer: nn.Module, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [B K I] and gradients of outputs [B K O] at every place of a call."""
    if isinstance(layer, nn.Conv2d):
        return _patches(layer, x), gradient.flatten(2).transpose(1, 2)
    return x.reshape(len(x), -1, x.shape[-1]), gradient.reshape(len(x), -1, gradient.shape[-1])


def _patches(layer: nn.Conv2d, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K I"]:
    """What the kernel meets at every place: its rows, their columns, their channels.

    A view, and one copy of it: 5 to 15 times as fast as `torch.nn.functional.unfold`, which puts channels first.
    """
    assert not isinstance(layer.padding, str)
    (top, left), (height, width) = layer.padding, layer.kernel_size
    image_BHWC = F.pad(x.movedim(1, -1), (0, 0, left, left, top, top))
    num_images, *size, num_channels = image_BHWC.shape
    rows, columns = (
        (length - apart * (kernel - 1) - 1) // step + 1
        for length, kernel, apart, step in zip(size, layer.kernel_size, layer.dilation, layer.stride, strict=True)
    )
    image, down, across, channel = image_BHWC.stride()
    (step_down, step_across), (apart_down, apart_across) = layer.stride, layer.dilation
    patches = image_BHWC.as_strided(
        (num_images, rows, columns, height, width, num_channels),
        (image, down * step_down, across * step_across, down * apart_down, across * apart_across, channel),
    )
    return patches.reshape(num_images, rows * columns, -1)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The places of all calls."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
