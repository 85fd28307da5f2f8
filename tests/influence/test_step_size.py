from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import lambertw

from influence import FineTune, FirstOrder, measure, step_size
from influence.engine.chunks import Engine
from influence.estimators.protocol import Row
from influence.provenance import weights_digest
from influence.step_size import check_step_size, clean_probes, find_step_size, first_order_lr, self_gains
from tests import oracles
from tests.small import random_samples, ready, relu_cnn

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def loop_self_gain(model, probes: pd.DataFrame, optimizer: str, lr: float, num_steps: int) -> float:
    """Median over deep copies, a probe each."""
    return float(
        np.median(
            [
                oracles.loop_gains(model, probe, probe, lambda p: OPTIMIZERS[optimizer](p, lr=lr), num_steps)[0, 0]
                for probe in (probes.iloc[[i]] for i in range(len(probes)))
            ]
        )
    )


@pytest.mark.parametrize("self_gain", [0.03, 0.3, 1.0])
@pytest.mark.parametrize(("optimizer", "num_steps"), [("sgd", 1), ("adam", 1), ("sgd", 4)])
def test_it_is_the_smallest_that_reaches_the_self_gain(probes, optimizer, num_steps, self_gain):
    model = ready(relu_cnn)
    digest = weights_digest(model)
    estimator = FineTune(optimizer=optimizer, num_steps=num_steps, self_gain=self_gain)
    found = find_step_size(model, probes, estimator)
    assert weights_digest(model) == digest
    assert found.median == pytest.approx(self_gain, rel=0.05)
    assert found.median == pytest.approx(loop_self_gain(model, probes, optimizer, found.lr, num_steps), rel=1e-9)
    for lr in found.lr * np.geomspace(0.03, 0.9, 6):
        assert loop_self_gain(model, probes, optimizer, lr, num_steps) < self_gain


def test_to_first_order_it_is_the_formula(probes):
    """lr = self-gain / median |g|^2, in one multiplication and so exactly."""
    model = ready(relu_cnn)
    squares = []
    for i in range(3):
        gradients = torch.autograd.grad(
            model.loss(oracles.image_batch(probes.iloc[[i]])).sum(), list(model.parameters())
        )
        squares.append(sum(float((gradient**2).sum()) for gradient in gradients))
    found = find_step_size(model, probes, FirstOrder(self_gain=0.3))
    assert found.lr == pytest.approx(0.3 / np.median(squares), rel=1e-12)
    assert found.median == pytest.approx(0.3, rel=1e-12)
    assert found.low == pytest.approx(0.3 * min(squares) / np.median(squares), rel=1e-12)
    assert found.high == pytest.approx(0.3 * max(squares) / np.median(squares), rel=1e-12)
    assert found.num_probes == 3
    steps = FineTune(self_gain=0.3, num_steps=5)
    assert first_order_lr(model, probes, steps) == pytest.approx(found.lr / 5, rel=1e-12)


def test_only_clean_probes_are_asked():
    clean, noisy = random_samples(3, "clean"), random_samples(4, "noisy").assign(sigma=1.0)
    noisy["image"] = [3 * image for image in noisy["image"]]
    model, estimator = ready(relu_cnn), FineTune(self_gain=0.3)
    expected = find_step_size(model, clean, estimator)
    assert find_step_size(model, pd.concat([noisy, clean]), estimator) == expected
    assert find_step_size(model, noisy.assign(sigma=0.0), estimator) != expected
    with pytest.raises(ValueError, match=r"expected clean probes \(sigma 0\).*, got none; set estimator.lr"):
        find_step_size(model, noisy, estimator)


def test_many_clean_probes_are_thinned_evenly():
    samples = pd.DataFrame({"id": range(199), "sigma": 0.0})
    assert clean_probes(samples)["id"].tolist() == list(range(0, 199, 2))
    assert len(clean_probes(samples[:100])) == 100
    assert len(clean_probes(samples.drop(columns="sigma")[:7])) == 7


def test_a_probe_that_diverges_counts_as_the_lowest(probes):
    probes.at[1, "image"] = probes["image"][1] * 1e200
    model = ready(relu_cnn)
    found = find_step_size(model, probes, FineTune(self_gain=0.3))
    gains = sorted(loop_self_gain(model, probes.iloc[[i]], "sgd", found.lr, 1) for i in (0, 2))
    assert (found.median, found.low, found.high) == pytest.approx((gains[0], *gains), rel=1e-9)
    assert found.median == pytest.approx(0.3, rel=0.05)


@dataclass(frozen=True)
class Hump:
    """An estimator whose self-gain is lr e^(1 - lr): it rises to 1 nat at lr 1 and falls again."""

    self_gain: float | None
    lr: float | None = None
    name = "hump"

    def with_lr(self, lr):
        return Hump(self_gain=None, lr=lr)

    def describe(self):
        return {"optimizer": "sgd", "parameters": None}

    def rows(self, model, probes, targets, *, seed=0):
        for _ in range(len(probes)):
            yield Row(gain_T=np.empty(0), self_gain=float(self.lr * np.exp(1 - self.lr)))


@pytest.mark.parametrize("start", [1e-3, 0.02, 0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("self_gain", [0.03, 0.3, 0.9])
def test_of_two_roots_the_smaller_is_found_from_any_start(monkeypatch, probes, self_gain, start):
    monkeypatch.setattr(step_size, "first_order_lr", lambda *_, **__: start)
    found = find_step_size(ready(relu_cnn), probes, Hump(self_gain))
    roots = [-lambertw(-self_gain / np.e, branch).real for branch in (0, -1)]
    assert found.median == pytest.approx(self_gain, rel=0.05)
    assert found.lr < 1 < roots[1]
    assert found.lr * np.exp(1 - found.lr) == found.median
    assert found.lr == pytest.approx(roots[0], rel=0.2)


def test_what_no_step_reaches_is_said(monkeypatch, probes):
    monkeypatch.setattr(step_size, "first_order_lr", lambda *_, **__: 1.0)
    sentence = (
        r"expected a learning rate with a median self-gain of 1.2 nats, got at most 1 \(at lr 1\) of \d+ tried; "
        "lower estimator.self_gain or set estimator.lr"
    )
    with pytest.raises(ValueError, match=sentence):
        find_step_size(ready(relu_cnn), probes, Hump(1.2))


class Saturating(Hump):
    """A gain of 2 (1 - exp(-lr)), which never falls again."""

    def with_lr(self, lr):
        return Saturating(self_gain=None, lr=lr)

    def rows(self, model, probes, targets, *, seed=0):
        for _ in range(len(probes)):
            yield Row(gain_T=np.empty(0), self_gain=float(2 - 2 * np.exp(-self.lr)))


def test_a_gain_that_stays_below_the_wanted_ends_the_search(monkeypatch, probes):
    monkeypatch.setattr(step_size, "first_order_lr", lambda *_, **__: 1.0)
    # From 1/8 in doublings: of those from 8 on, three in a row gain less than a hundredth.
    sentence = (
        r"expected .* self-gain of 2.5 nats, got at most 2 \(at lr 64\) of 10 tried; lower estimator.self_gain or"
    )
    with pytest.raises(ValueError, match=sentence):
        find_step_size(ready(relu_cnn), probes, Saturating(2.5))


def test_a_learning_rate_at_which_the_median_probe_fails_has_no_median(probes):
    model = ready(relu_cnn)
    assert check_step_size(model, probes, FineTune(lr=1e200)) is None
    matrix = measure(model, probes, estimator=FineTune(lr=1e200), readout="logit")
    assert "step_size" not in matrix.estimator
    assert np.isnan(matrix.median_self_gain)
    assert len(matrix.failures) == len(probes)


def test_the_search_starts_within_the_memory_that_is_given(monkeypatch, probes):
    engines = []

    def seen(*arguments, engine, **settings):
        engines.append(engine)
        return self_gains(*arguments, engine=engine, **settings)

    monkeypatch.setattr(step_size, "self_gains", seen)
    engine = Engine(fast=False, memory_gb=0.5)
    find_step_size(ready(relu_cnn), probes, FineTune(self_gain=0.3), engine=engine)
    assert len(engines) > 2
    assert set(engines) == {engine}


def test_probes_without_a_gradient_are_refused(probes):
    model = ready(relu_cnn)
    with torch.no_grad():  # so sure of every label that nothing is left to learn
        model.output.bias.copy_(1e3 * torch.eye(7)[3])
    probes["label"] = 3
    with pytest.raises(
        ValueError, match="expected probes that the model can learn from, got a median squared gradient of 0"
    ):
        find_step_size(model, probes, FineTune(self_gain=0.3))


@dataclass(frozen=True)
class Jump(Hump):
    """It unlearns up to lr 1, and learns a nat from there on: no step size gives a third of a nat."""

    def with_lr(self, lr):
        return Jump(self_gain=None, lr=lr)

    def rows(self, model, probes, targets, *, seed=0):
        for _ in range(len(probes)):
            yield Row(gain_T=np.empty(0), self_gain=-1.0 if self.lr < 1 else 1.0)


def test_a_self_gain_that_is_jumped_over_is_said(monkeypatch, probes):
    monkeypatch.setattr(step_size, "first_order_lr", lambda *_, **__: 4.0)
    with pytest.raises(ValueError, match=r"expected a learning rate with a median self-gain of 0\.3 nats, got"):
        find_step_size(ready(relu_cnn), probes, Jump(0.3))


def test_every_trial_is_told(caplog, probes):
    with caplog.at_level("INFO"):
        found = find_step_size(ready(relu_cnn), probes, FineTune(self_gain=0.3))
    last = f"Step size: lr {found.lr:.3g} gives a median self-gain of {found.median:.3g} nats."
    assert len(caplog.messages) > 2
    assert caplog.messages[-1] == last


def test_a_given_learning_rate_is_checked_on_log_prob_where_the_matrix_reads_something_else() -> None:
    model, table = ready(relu_cnn), random_samples(12, "checked")
    estimator = FineTune(optimizer="sgd", lr=1e-2)
    gains = measure(model, table, estimator=estimator).self_gain
    found = measure(model, table, estimator=estimator, readout="logit")
    checked = np.unique(np.linspace(0, 11, 10).round().astype(int))
    assert found.estimator["step_size"] == {
        "lr": 1e-2,
        "median": pytest.approx(np.median(gains[checked])),
        "low": pytest.approx(gains[checked].min()),
        "high": pytest.approx(gains[checked].max()),
        "num_probes": 10,
    }
    assert found.median_self_gain == found.estimator["step_size"]["median"]
    assert found.median_self_gain != np.median(found.self_gain)
