import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from influence.engine import piecewise
from influence.engine.low_rank import reason
from influence.engine.texts import Texts
from influence.estimators.finetune import OPTIMIZERS
from tests.influence.engine.networks import PROBES, learned_alone, make

STEPS = [PROBES[2], PROBES[0], PROBES[1]]
LR = 0.002


@pytest.fixture(params=[100, 2**19], ids=["many pieces", "whole weights"], autouse=True)
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piecewise, "PIECE", request.param)


def learned(
    network: nn.Module, steps: Sequence[Sequence[Sequence[int]]], kind: type[torch.optim.Optimizer], **options: Any
) -> tuple[nn.Module, list[float]]:
    """A copy that has learned a piece at a time, and the losses."""
    copied = copy.deepcopy(network)
    texts = [Texts.padded(statements) for statements in steps]
    return copied, list(piecewise.learn(copied, texts, partial(kind, **options)))


def assert_same(
    network: nn.Module, given: tuple[nn.Module, list[float]], expected: tuple[nn.Module, list[float]]
) -> None:
    """Weights and losses agree, every weight has moved, and no gradient is left."""
    assert given[1] == pytest.approx(expected[1], rel=1e-12)
    weights = zip(network.parameters(), given[0].parameters(), expected[0].parameters(), strict=True)
    for before, weight, truth in weights:
        # A bias of keys has no gradient but rounding, 1e-17, which Adam divides by its epsilon, 1e-8.
        torch.testing.assert_close(weight, truth, rtol=0, atol=1e-7 * LR)
        assert not torch.equal(before, truth)
        assert weight.grad is None


@pytest.mark.parametrize("num_steps", [1, 3])
def test_adamw_agrees_with_a_whole_gradient(network: nn.Module, num_steps: int) -> None:
    assert reason(network) == ""
    options = {"kind": torch.optim.AdamW, "lr": LR, "weight_decay": 0.1}
    assert_same(
        network, learned(network, STEPS[:num_steps], **options), learned_alone(network, STEPS[:num_steps], **options)
    )


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"adafactor"}))
def test_every_elementwise_optimizer_agrees_with_a_whole_gradient(name: str) -> None:
    network = make("gemma3")
    options = {"kind": OPTIMIZERS[name], "lr": LR}
    assert_same(network, learned(network, STEPS, **options), learned_alone(network, STEPS, **options))


@pytest.mark.parametrize("option", ["fused", "amsgrad", "maximize", "foreach"])
def test_options_of_adam_are_kept(option: str) -> None:
    network = make("llama tied, with biases")
    options = {"kind": torch.optim.Adam, "lr": LR, option: True}
    assert_same(network, learned(network, STEPS, **options), learned_alone(network, STEPS, **options))


@pytest.mark.parametrize("num_steps", [1, 3])
def test_only_one_piece_has_a_gradient_at_a_time_and_no_state_is_left(num_steps: int) -> None:
    """What is held is what limits the memory: one piece, and between steps the state."""
    network = make("gemma3")
    made: list[torch.optim.Optimizer] = []
    sizes: list[int] = []
    held: list[int] = []

    def make_optimizer(pieces: Sequence[Tensor]) -> torch.optim.Optimizer:
        def before_step(*_: object) -> None:
            sizes.extend(piece.grad.numel() for piece in pieces if piece.grad is not None)
            held.append(len(made[0].state))

        made.append(torch.optim.AdamW(pieces, lr=LR))
        made[0].register_step_pre_hook(before_step)
        return made[0]

    list(piecewise.learn(network, [Texts.padded(STEPS[0])] * num_steps, make_optimizer))
    num_pieces = len(held) // num_steps
    assert len(sizes) == len(held)
    assert sum(sizes) == num_steps * sum(weight.numel() for weight in network.parameters())
    assert max(sizes) <= piecewise.PIECE
    assert max(held) == (0 if num_steps == 1 else num_pieces)
    assert not made[0].state
    assert len(made) == 1
