import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from influence import FineTune, measure
from influence.engine import piecewise
from influence.engine.low_rank import why_not
from influence.engine.texts import Texts
from influence.estimators.finetune import OPTIMIZERS
from influence.models.causal_lm import CausalLM
from influence.provenance import weights_digest
from tests import oracles
from tests.influence.engine.networks import PROBES, learned_alone, make
from tests.small import max_relative_error
from tests.tiny_lm import NETWORKS, mean_log_prob, texts, tiny

STEPS = [PROBES[2], PROBES[0], PROBES[1]]
LR = 0.002

LINES = ("a klarbu is a pimjon\nall pimjons have a greev", "a zentor is bigger", "the walu hibernates")
SAMPLES = texts(*LINES)
TARGETS = texts("a klarbu has a greev", "the grandparent of a mol", LINES[1], "frogs and toads").assign(id=[*"abcd"])


@pytest.fixture(params=[100, piecewise.PIECE], ids=["many pieces", "whole weights"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piecewise, "PIECE", request.param)


def learned(
    network: nn.Module, steps: Sequence[Sequence[Sequence[int]]], kind: type[torch.optim.Optimizer], **options: Any
) -> tuple[nn.Module, list[float]]:
    """A copy that has learned a piece at a time, and the losses."""
    copied = copy.deepcopy(network)
    given = [Texts.padded(statements) for statements in steps]
    return copied, list(piecewise.learn(copied, given, partial(kind, **options)))


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


def adamw(**settings: Any) -> FineTune:
    return FineTune(**{"optimizer": "adamw", "optimizer_options": {"fused": True}, "lr": LR, **settings})


def gains_alone(model: CausalLM, probe: str, num_steps: int, how: str) -> list[float]:
    """The gains of one probe by a copy, whole gradients and one forward a target."""
    learned = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(learned.network.parameters(), lr=LR, weight_decay=0.0)
    statements = probe.split("\n")
    for lesson in ([statements] if how == "together" else [[each] for each in statements]) * num_steps:
        optimizer.zero_grad()
        sum(-mean_log_prob(learned, statement) for statement in lesson).backward()
        optimizer.step()
    return [(mean_log_prob(learned, line) - mean_log_prob(model, line)).item() for line in TARGETS["text"]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of steps that were taken a piece at a time."""
    taken: list[int] = []
    learn: Callable[..., Any] = piecewise.learn

    def counted(network: Any, lessons: Any, make_optimizer: Any) -> Any:
        taken.append(len(lessons))
        return learn(network, lessons, make_optimizer)

    monkeypatch.setattr(piecewise, "learn", counted)
    return taken


@pytest.mark.usefixtures("pieces")
class TestLearn:
    @pytest.mark.parametrize("num_steps", [1, 3])
    def test_adamw_agrees_with_a_whole_gradient(self, network: nn.Module, num_steps: int) -> None:
        assert why_not(network) == ""
        options = {"kind": torch.optim.AdamW, "lr": LR, "weight_decay": 0.1}
        assert_same(
            network,
            learned(network, STEPS[:num_steps], **options),
            learned_alone(network, STEPS[:num_steps], **options),
        )

    @pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"adafactor"}))
    def test_every_elementwise_optimizer_agrees_with_a_whole_gradient(self, name: str) -> None:
        network = make("gemma3")
        options = {"kind": OPTIMIZERS[name], "lr": LR}
        assert_same(network, learned(network, STEPS, **options), learned_alone(network, STEPS, **options))

    @pytest.mark.parametrize("option", ["fused", "amsgrad", "maximize", "foreach"])
    def test_options_of_adam_are_kept(self, option: str) -> None:
        network = make("llama tied, with biases")
        options = {"kind": torch.optim.Adam, "lr": LR, option: True}
        assert_same(network, learned(network, STEPS, **options), learned_alone(network, STEPS, **options))

    @pytest.mark.parametrize("num_steps", [1, 3])
    def test_only_one_piece_has_a_gradient_at_a_time_and_no_state_is_left(self, num_steps: int) -> None:
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


class TestFineTune:
    @pytest.mark.parametrize("how", ["together", "sequence"])
    @pytest.mark.parametrize("num_steps", [1, 3])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_probes_in_a_row_agree_with_a_deep_copy_each(
        self, name: str, num_steps: int, how: str, calls: list[int]
    ) -> None:
        model = tiny(name)
        digest = weights_digest(model)
        matrix = measure(model, SAMPLES, TARGETS, estimator=adamw(num_steps=num_steps, statements=how))
        expected = np.array([gains_alone(model, probe, num_steps, how) for probe in LINES])
        assert max_relative_error(matrix.gain, expected) < 1e-8
        assert calls == [num_steps * (2 if how == "sequence" else 1), num_steps, num_steps]
        assert weights_digest(model) == digest
        assert all(weight.grad is None for weight in model.parameters())

    def test_in_float32_is_as_near_to_the_truth_as_a_loop(self) -> None:
        single = tiny("gemma3").float()
        plain = oracles.PlainLM(single.network)
        job = {"collate": partial(oracles.text_batch, single.tokenizer), "num_steps": 1}
        step = partial(torch.optim.AdamW, lr=LR, weight_decay=0.0)
        true, naive = (
            oracles.loop_gains(plain, SAMPLES, TARGETS, step, **job, learned=learned)
            for learned in (copy.deepcopy(plain).double(), copy.deepcopy(plain))
        )
        measured = measure(single, SAMPLES, TARGETS, estimator=adamw()).gain
        error, naive_error = (np.sqrt(np.mean((gains - true) ** 2)) for gains in (measured, naive))
        assert 0 < error <= 2 * naive_error

    @pytest.mark.parametrize("num_steps", [1, 3])
    def test_a_diverged_probe_leaves_nothing_to_the_next(self, num_steps: int) -> None:
        """A word that no other text has is not a number, and so is every weight after it was learned."""
        model = tiny("llama")
        word = model.token_ids("Ü")[-1]
        with torch.no_grad():
            model.network.get_input_embeddings().weight[word] = torch.nan
        probes = SAMPLES.assign(text=[LINES[0], "a Ü is bigger", LINES[2]])
        matrix = measure(model, probes, TARGETS, estimator=adamw(num_steps=num_steps))
        assert matrix.failures == {"text1": "diverged at step 1: the loss is nan; lower the step size"}
        expected = np.array([gains_alone(model, LINES[i], num_steps, "together") for i in (0, 2)])
        assert max_relative_error(matrix.gain[[0, 2]], expected) < 1e-8

    def test_an_interrupt_leaves_everything_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = tiny("gemma3")
        digest, stepped, step = weights_digest(model), [], torch.optim.AdamW.step

        def interrupted(self: torch.optim.AdamW) -> None:
            stepped.append(step(self))
            if len(stepped) == 5:
                raise KeyboardInterrupt

        monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure(model, SAMPLES, TARGETS, estimator=adamw())
        assert weights_digest(model) == digest
        assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
        assert not any("forward" in vars(module) for module in model.modules())

    @pytest.mark.parametrize(
        ("settings", "estimator"),
        {
            "adapters": ({"lora": {"r": 2}}, adamw()),
            "without the engine": ({"engine": False}, adamw()),
            "a part of the weights": ({}, adamw(parameters=["*.norm.weight"])),
            "train mode": ({}, adamw(train_mode=True)),
            "not elementwise": ({}, FineTune(optimizer="adafactor", lr=0.01)),
            "no step": ({}, adamw(num_steps=0)),
        }.values(),
    )
    def test_what_cannot_be_learned_so_takes_the_plain_way(
        self, settings: dict[str, Any], estimator: FineTune, calls: list[int]
    ) -> None:
        if "lora" in settings:
            pytest.importorskip("peft")
        model = tiny("llama", **settings)
        assert estimator.why_plain(model)
        matrix = measure(model, SAMPLES, TARGETS, estimator=estimator)
        assert not calls
        assert np.isfinite(matrix.gain).all()
        assert matrix.gain.any() == (estimator.num_steps > 0)
