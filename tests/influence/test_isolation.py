import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from influence import FineTune, measure
from influence.isolation import Isolation, random_states_kept, seed_torch, select_parameters
from tests.small import random_samples

ROOT = Path(__file__).parents[2]


class Fragile(nn.Module):
    """Batch statistics, dropout and a gradient of its own: everything that measuring could disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(64, 7), nn.BatchNorm1d(7, momentum=0.5)
        self.interrupt: BaseException | None = None

    def logits(self, batch):
        features = nn.functional.dropout(batch["image"].flatten(1).float(), 0.5, self.training)
        return self.norm(self.linear(features))

    def loss(self, batch):
        if self.interrupt is not None and self.linear.weight.requires_grad:
            self.linear.weight.data.add_(1.0)
            raise self.interrupt
        # Batch statistics need two rows in train mode.
        twice = {name: value.repeat_interleave(2, 0) for name, value in batch.items() if name in ("image", "label")}
        return nn.functional.cross_entropy(self.logits(twice), twice["label"], reduction="none")[::2]

    def log_prob(self, batch):
        return -nn.functional.cross_entropy(self.logits(batch), batch["label"], reduction="none").double()


@pytest.fixture
def model() -> Fragile:
    torch.manual_seed(0)
    model = Fragile().train()
    model.norm.eval()
    model.linear.bias.requires_grad_(False)
    model.linear.weight.grad = torch.full_like(model.linear.weight, 2.0)
    return model


def everything(model: Fragile) -> list:
    """All that must stay: weights, buffers, gradients, flags, modes and the random states of torch and NumPy."""
    return [
        [tensor.detach().clone() for tensor in model.state_dict().values()],
        [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()],
        [parameter.requires_grad for parameter in model.parameters()],
        [module.training for module in model.modules()],
        torch.get_rng_state(),
        torch.from_numpy(np.random.get_state()[1].astype(np.int64)),  # noqa: NPY002 - the global state is the point
    ]


def assert_same(before, after) -> None:
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    else:
        assert before == after


def test_measuring_leaves_everything_as_it_was(model):
    before = everything(model)
    matrix = measure(model, random_samples(3, "probe"), estimator=FineTune(lr=0.1, num_steps=2, train_mode=True))
    assert (matrix.gain != 0).any()
    assert_same(before, everything(model))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_an_interrupt_leaves_everything_as_it_was(model, interrupt):
    model.interrupt = interrupt
    before = everything(model)
    with pytest.raises(type(interrupt)):
        measure(model, random_samples(3, "probe"), estimator=FineTune(lr=0.1, train_mode=True))
    assert_same(before, everything(model))


DRAWS_FROM_PYTHON = """
import random
from influence import FineTune, measure
from tests.small import SoftmaxRegression, random_samples, ready

class Drawing(SoftmaxRegression):
    def loss(self, batch):
        random.random()
        return super().loss(batch)

before = random.getstate()
measure(ready(Drawing), random_samples(3, "probe"), estimator=FineTune(lr=0.1))
assert random.getstate() == before, "Python's random state has moved"
"""


def test_pythons_own_randomness_is_left_alone():
    """In a process of its own: the type checks of the tests draw from Python's generator themselves."""
    done = subprocess.run([sys.executable, "-c", DRAWS_FROM_PYTHON], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_scope_lets_the_named_parameters_alone_learn(model):
    with Isolation(model).use(learn=[model.linear.bias]):
        assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, False, False]
        assert not any(module.training for module in model.modules())
        model.linear.bias.data.fill_(float("nan"))
    assert torch.isfinite(model.linear.bias).all()


def test_frozen_parameters_stay_frozen_unless_they_are_named(model):
    named = dict(model.named_parameters())
    assert {id(parameter) for parameter in select_parameters(model, None)} == {
        id(parameter) for name, parameter in named.items() if name != "linear.bias"
    }
    assert select_parameters(model, ["linear.bias"])[0] is named["linear.bias"]


@pytest.mark.parametrize("in_use", [False, True])
def test_seeding_is_torchs_own(in_use, monkeypatch):
    seed = torch.manual_seed
    with random_states_kept():
        expected = [seed(17), torch.rand(5)][1]
        seen = []
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
        monkeypatch.setattr(torch, "manual_seed", lambda number: seen.append(number) or seed(number))
        seed_torch(17)
        assert torch.equal(torch.rand(5), expected)
        assert seen == [17] * in_use  # which seeds the devices too
