"""Gradients of many samples at once against autograd's, one sample at a time."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from influence.engine.sample_gradients import ByLayer, ByVmap, Outer, dot, find_method, split
from influence.models.base import initialise


class Convolutions(nn.Module):
    """A stride, kernels that differ in their two axes, a layer that is passed twice and an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, (3, 2), stride=2, padding=1, dilation=(1, 3))
        self.second = nn.Conv2d(3, 3, 3, padding=(1, 2), dilation=(1, 2), bias=False)
        self.wide = nn.Linear(48, 40)
        self.last = nn.Linear(40, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.first(x), inplace=True)
        x = self.second(self.second(x)).flatten(1)
        return self.last(torch.tanh(self.wide(x)))


class Sequences(nn.Module):
    """Layers that pass several places of a sample, one of them called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(8, 30), nn.Linear(30, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(input=x.flatten(1, 2)))).sum(1)


class Normed(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).repeat(1, 1, 1, 1).flatten(1)
        return self.last(torch.tanh(self.wide(x)))


def value(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return model(batch["x"]).log_softmax(-1).gather(1, batch["y"][:, None])[:, 0]


def batch(count: int = 6) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, 8, 8, generator=random, dtype=torch.float64)
    return {"x": x, "y": torch.randint(5, (count,), generator=random)}


def ready(kind: Callable[[], nn.Module]) -> nn.Module:
    return initialise(kind, seed=0).double().eval()


def one_by_one(model: nn.Module, parameters: list[nn.Parameter], samples: dict[str, Tensor]) -> Tensor:
    rows = []
    for i in range(len(samples["y"])):
        alone = {name: column[[i]] for name, column in samples.items()}
        gradients = torch.autograd.grad(value(model, alone).sum(), parameters, materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


@pytest.mark.parametrize("way", [ByLayer, ByVmap])
@pytest.mark.parametrize("kind", [Convolutions, Sequences])
def test_products_are_those_of_gradients_one_by_one(kind: type[nn.Module], way: type) -> None:
    model, samples = ready(kind), batch()
    parameters = list(model.parameters())
    expected = one_by_one(model, parameters, samples)
    gradients = way(model, parameters)(value, samples)
    torch.testing.assert_close(dot(gradients, gradients), expected @ expected.T, rtol=1e-11, atol=0)
    few = split(gradients)
    assert len(few) == 6
    torch.testing.assert_close(dot(few[2], gradients)[0], (expected @ expected.T)[2], rtol=1e-11, atol=0)


def test_a_wide_layer_is_kept_as_factors_and_a_convolution_is_not() -> None:
    model = ready(Convolutions)
    gradients = ByLayer(model, list(model.parameters()))(value, batch())
    assert isinstance(gradients[model.wide], Outer)
    assert isinstance(gradients[model.first], Tensor)
    assert gradients[model.first].shape == (6, 3 * 6 + 3)
    assert all(
        part.device.type == "cpu" and part.dtype == torch.float64
        for part in gradients.values()
        if isinstance(part, Tensor)
    )


@pytest.mark.parametrize("names", [["wide.weight"], ["wide.bias", "first.bias"], ["second.weight", "last.bias"]])
def test_a_part_of_the_parameters_may_learn(names: list[str]) -> None:
    model = ready(Convolutions)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    parameters = [model.get_parameter(name) for name in names]
    expected = one_by_one(model, parameters, batch())
    for way in (ByLayer, ByVmap):
        gradients = way(model, parameters)(value, batch())
        torch.testing.assert_close(dot(gradients, gradients), expected @ expected.T, rtol=1e-11, atol=0)


class TestFindMethod:
    def find(self, model: nn.Module) -> tuple[object, str]:
        parameters, samples = list(model.parameters()), batch(2)
        return find_method(model, parameters, value, samples, one_by_one(model, parameters, samples)[0])

    def test_by_layers_where_all_are_known(self) -> None:
        assert isinstance(self.find(ready(Convolutions))[0], ByLayer)

    def test_by_torch_func_where_one_is_not(self) -> None:
        assert isinstance(self.find(ready(Normed))[0], ByVmap)

    def test_by_torch_func_where_weights_are_used_outside_their_layer(self) -> None:
        class Tied(Convolutions):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) + self.wide.weight.sum() * x.sum((1, 2, 3))[:, None] * torch.arange(5.0)

        assert isinstance(self.find(ready(Tied))[0], ByVmap)

    def test_says_why_there_is_none(self) -> None:
        class Branching(Normed):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) * (2 if float(x.sum()) > 0 else 1)

        class Mixing(Normed):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) + x.mean() * torch.arange(5.0)

        method, why = self.find(ready(Branching))
        assert method is None
        assert why.startswith("vmap: It looks like you're either (1) calling .item() on a Tensor")
        assert isinstance(self.find(ready(Mixing))[0], ByVmap)  # each sample alone

    def test_leaves_the_model_as_it_was(self) -> None:
        model = ready(Convolutions)
        before = copy.deepcopy(model.state_dict())
        self.find(model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not any(module._forward_hooks for module in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())
