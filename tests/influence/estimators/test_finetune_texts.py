"""Language models that learn a piece of their weights at a time, as `FineTune` asks it."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from influence import FineTune, measure
from influence.engine import piecewise
from influence.models.causal_lm import CausalLM
from influence.provenance import weights_digest
from tests.small import max_relative_error
from tests.tiny_lm import NETWORKS, mean_log_prob, texts, tiny

LINES = ("a klarbu is a pimjon\nall pimjons have a greev", "a zentor is bigger", "the walu hibernates")
PROBES = texts(*LINES)
TARGETS = texts("a klarbu has a greev", "the grandparent of a mol", LINES[1], "frogs and toads").assign(id=[*"abcd"])
RTOL = 1e-6  # norms of these networks are taken in float32, whatever the precision of the weights


def adamw(**settings: Any) -> FineTune:
    return FineTune(**{"optimizer": "adamw", "optimizer_options": {"fused": True}, "lr": 0.002, **settings})


def deep_copy_gains(model: CausalLM, probe: str, num_steps: int, how: str) -> list[float]:
    """The gains of one probe by a copy, whole gradients and one forward a target."""
    learned = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(learned.network.parameters(), lr=0.002, weight_decay=0.0)
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


@pytest.mark.parametrize("how", ["together", "sequence"])
@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_probes_in_a_row_agree_with_a_deep_copy_each(name: str, num_steps: int, how: str, calls: list[int]) -> None:
    model = tiny(name)
    digest = weights_digest(model)
    matrix = measure(model, PROBES, TARGETS, estimator=adamw(num_steps=num_steps, statements=how))
    expected = np.array([deep_copy_gains(model, probe, num_steps, how) for probe in LINES])
    assert max_relative_error(matrix.gain, expected) < RTOL
    assert calls == [num_steps * (2 if how == "sequence" else 1), num_steps, num_steps]
    assert weights_digest(model) == digest
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_diverged_probe_leaves_nothing_to_the_next(num_steps: int) -> None:
    """A word that no other text has is not a number, and so is every weight after it was learned."""
    model = tiny("llama")
    word = model.token_ids("Ü")[-1]
    with torch.no_grad():
        model.network.get_input_embeddings().weight[word] = torch.nan
    probes = PROBES.assign(text=[LINES[0], "a zentor is Ü", LINES[2]])
    matrix = measure(model, probes, TARGETS, estimator=adamw(num_steps=num_steps))
    assert matrix.failures == {"text1": "diverged at step 1: the loss is nan; lower the step size"}
    expected = np.array([deep_copy_gains(model, LINES[i], num_steps, "together") for i in (0, 2)])
    assert max_relative_error(matrix.gain[[0, 2]], expected) < RTOL


def test_an_interrupt_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("gemma3")
    digest, stepped, step = weights_digest(model), [], torch.optim.AdamW.step

    def interrupted(self: torch.optim.AdamW) -> None:
        stepped.append(step(self))
        if len(stepped) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(model, PROBES, TARGETS, estimator=adamw())
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
    settings: dict[str, Any], estimator: FineTune, calls: list[int]
) -> None:
    if "lora" in settings:
        pytest.importorskip("peft")
    model = tiny("llama", **settings)
    assert estimator.why_plain(model)
    matrix = measure(model, PROBES, TARGETS, estimator=estimator)
    assert not calls
    assert np.isfinite(matrix.gain).all()
    assert matrix.gain.any() == (estimator.num_steps > 0)
