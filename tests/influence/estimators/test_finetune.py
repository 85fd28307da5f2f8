import warnings

import numpy as np
import pytest
import torch
from torch import nn

from influence import FineTune, measure
from tests import oracles
from tests.small import SoftmaxRegression, max_relative_error, random_samples, ready, relu_cnn, smooth_cnn

OPTIMIZERS = {
    "sgd": (FineTune(optimizer="sgd", lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (
        FineTune(optimizer="sgd", optimizer_options={"momentum": 0.9}, lr=0.05),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    ),
    "adam": (FineTune(optimizer="adam", lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    "adamw": (
        FineTune(optimizer="adamw", optimizer_options={"weight_decay": 0.1}, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ),
}


def with_steps(estimator: FineTune, num_steps: int) -> FineTune:
    return FineTune(
        optimizer=estimator.optimizer,
        optimizer_options=estimator.optimizer_options,
        lr=estimator.lr,
        num_steps=num_steps,
    )


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("make", [relu_cnn, smooth_cnn])
def test_agrees_with_a_loop_over_probes(probes, targets, make, name, num_steps):
    model = ready(make)
    estimator, make_optimizer = OPTIMIZERS[name]
    matrix = measure(model, probes, targets, estimator=with_steps(estimator, num_steps), batch_size=2)
    expected = oracles.loop_gains(model, probes, targets, make_optimizer, num_steps)
    assert max_relative_error(matrix.gain, expected) < 1e-6
    for i in range(len(probes)):
        itself = oracles.loop_gains(model, probes.iloc[[i]], probes.iloc[[i]], make_optimizer, num_steps)
        assert matrix.self_gain[i] == pytest.approx(itself[0, 0], rel=1e-6)


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_agrees_with_the_trainer(probes, targets, name, num_steps):
    model = ready(smooth_cnn)
    estimator, make_optimizer = OPTIMIZERS[name]
    matrix = measure(model, probes, targets, estimator=with_steps(estimator, num_steps))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the Trainer warns of what one step needs not
        expected = oracles.trainer_gains(model, probes, targets, make_optimizer, num_steps)
    assert max_relative_error(matrix.gain, expected) < 1e-6


def test_agrees_with_softmax_regression_in_closed_form(probes, targets):
    model = ready(SoftmaxRegression)
    matrix = measure(model, probes, targets, estimator=FineTune(lr=0.02))
    weight, bias = (parameter.detach().numpy() for parameter in model.parameters())
    expected = oracles.softmax_regression_gains(weight, bias, probes, targets, lr=0.02)
    assert max_relative_error(matrix.gain, expected) < 1e-10


@pytest.mark.parametrize(
    "estimator", [FineTune(lr=0.1, num_steps=0), FineTune(lr=0.0), FineTune(optimizer="adamw", lr=0.0)]
)
def test_learning_nothing_changes_nothing(probes, targets, estimator):
    matrix = measure(ready(relu_cnn), probes, targets, estimator=estimator)
    assert (matrix.gain == 0).all()
    assert (matrix.self_gain == 0).all()


def test_only_the_named_parameters_learn(probes, targets):
    """The output bias alone: its gradient is p - e_y, so the step moves the logits by lr (e_y - p)."""
    model = ready(relu_cnn)
    matrix = measure(model, probes, targets, estimator=FineTune(lr=0.5, parameters=["output.bias"]))
    logits_P, logits_T = (model.logits(oracles.image_batch(table)).detach().numpy() for table in (probes, targets))
    for i, label in enumerate(probes["label"]):
        residual = np.eye(7)[label] - np.exp(logits_P[i]) / np.exp(logits_P[i]).sum()
        after = logits_T + 0.5 * residual
        gain_T = [
            (after[j, y] - np.log(np.exp(after[j]).sum())) - (logits_T[j, y] - np.log(np.exp(logits_T[j]).sum()))
            for j, y in enumerate(targets["label"])
        ]
        assert matrix.gain[i] == pytest.approx(gain_T, rel=1e-9)


def test_a_diverging_probe_fails_alone(targets):
    probes = random_samples(3, "probe")
    probes.at[1, "image"] = probes["image"][1] * 1e200
    matrix = measure(ready(relu_cnn), probes, targets, estimator=FineTune(lr=1.0, num_steps=3))
    assert np.isnan(matrix.gain[1]).all()
    assert np.isnan(matrix.self_gain[1])
    assert np.isfinite(matrix.gain[[0, 2]]).all()
    assert list(matrix.failures) == ["probe1"]
    assert matrix.failures["probe1"].startswith("diverged")
    assert "lower the step size" in matrix.failures["probe1"]


class WithDropout(SoftmaxRegression):
    def logits(self, batch):
        return self.linear(nn.functional.dropout(batch["image"].flatten(1), 0.5, self.training))


def test_dropout_sleeps_unless_it_is_asked_for(probes, targets):
    model = ready(WithDropout).train()
    asleep = measure(model, probes, targets, estimator=FineTune(lr=0.02))
    weight, bias = (parameter.detach().numpy() for parameter in model.parameters())
    expected = oracles.softmax_regression_gains(weight, bias, probes, targets, lr=0.02)
    assert max_relative_error(asleep.gain, expected) < 1e-10
    awake = measure(model, probes, targets, estimator=FineTune(lr=0.02, train_mode=True))
    assert max_relative_error(awake.gain, expected) > 1e-2


def test_dropout_depends_on_the_probe_not_on_its_place(probes, targets):
    estimator = FineTune(lr=0.02, train_mode=True)
    whole = measure(ready(WithDropout), probes, targets, estimator=estimator, seed=3)
    last = measure(ready(WithDropout), probes.iloc[[2]], targets, estimator=estimator, seed=3)
    other = measure(ready(WithDropout), probes.iloc[[2]], targets, estimator=estimator, seed=4)
    assert (whole.gain[2] == last.gain[0]).all()
    assert (whole.gain[2] != other.gain[0]).any()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "expected either lr or self_gain, got lr=None and self_gain=None"),
        ({"lr": 0.1, "self_gain": 0.3}, "set one and leave the other null"),
        ({"lr": -1.0}, "expected lr to be a finite number of at least 0, got -1.0"),
        ({"lr": float("nan")}, "expected lr to be a finite number"),
        ({"self_gain": 0.0}, "expected self_gain to be a positive number of nats, got 0.0"),
        ({"lr": 0.1, "optimizer": "sdg"}, "expected an optimizer among .*sgd.*, got 'sdg'"),
        (
            {"lr": 0.1, "optimizer_options": {"momemtum": 0.9}},
            "expected optimizer_options of sgd among .*, got 'momemtum'",
        ),
        ({"lr": 0.1, "num_steps": -1}, "expected num_steps of at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        FineTune(**settings)


def test_a_pattern_without_parameters_is_refused(probes):
    with pytest.raises(
        ValueError, match=r"expected a pattern that matches a parameter, got 'head\.\*'; the model has conv"
    ):
        measure(ready(relu_cnn), probes, estimator=FineTune(lr=0.1, parameters=["head.*"]))
