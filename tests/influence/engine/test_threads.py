"""Steps of few parameters take one thread, and leave as many as there were."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import influence
from influence.engine.threads import FEW, threads_for
from tests.small import SoftmaxRegression, random_samples, ready


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """As many threads as a test that runs beside others may take to have more than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("size", "threads"), [(FEW, 1), (FEW + 1, 2)])
def test_one_thread_takes_steps_of_few_parameters(size: int, threads: int) -> None:
    with threads_for([torch.zeros(size - 3), torch.zeros(3)]):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


def test_a_step_that_fails_leaves_the_threads() -> None:
    with pytest.raises(ZeroDivisionError), threads_for([torch.zeros(3)]):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2


def test_a_probe_is_learned_by_one_thread_and_targets_are_read_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = ready(SoftmaxRegression), random_samples(4, "image")
    seen: list[tuple[bool, int]] = []
    forward = nn.Linear.forward

    def noted(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        seen.append((torch.is_grad_enabled(), torch.get_num_threads()))
        return forward(self, x)

    monkeypatch.setattr(nn.Linear, "forward", noted)
    influence.measure(model, samples[:2], samples, estimator=influence.FineTune(lr=0.1))
    assert set(seen) == {(True, 1), (False, 2)}
