import numpy as np
import pandas as pd
import pytest
import torch

from influence import FineTune, FirstOrder, measure
from influence.engine import sample_gradients
from influence.engine.chunks import Engine
from influence.estimators import first_order, protocol, slopes
from influence.provenance import weights_digest
from tests.oracles import image_batch
from tests.small import max_relative_error, random_samples, ready, relu_cnn, smooth_cnn


def gradients(function, model, samples: pd.DataFrame, parameters=None) -> np.ndarray:
    """One row a sample: the gradient of `function` by all parameters, flattened."""
    parameters = list(model.parameters()) if parameters is None else parameters
    rows = []
    for i in range(len(samples)):
        parts = torch.autograd.grad(function(image_batch(samples.iloc[[i]])).sum(), parameters, materialize_grads=True)
        rows.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.stack(rows)


def label_logit(model):
    return lambda batch: model.logits(batch)[torch.arange(len(batch["label"])), batch["label"]]


def margin(model):
    def value(batch):
        logits_BC = model.logits(batch)
        rivals = torch.tensor([[c for c in range(7) if c != label] for label in batch["label"].tolist()])
        return label_logit(model)(batch) - logits_BC.gather(1, rivals).max(1).values

    return value


@pytest.mark.parametrize("make", [relu_cnn, smooth_cnn])
def test_it_is_the_inner_product_of_gradients(probes, targets, make):
    model = ready(make)
    digest = weights_digest(model)
    matrix = measure(model, probes, targets, estimator=FirstOrder(lr=0.1))
    g_P, g_T = gradients(model.loss, model, probes), gradients(model.loss, model, targets)
    assert max_relative_error(matrix.gain, 0.1 * g_P @ g_T.T) < 1e-12
    assert max_relative_error(matrix.self_gain, 0.1 * (g_P**2).sum(1)) < 1e-12
    assert weights_digest(model) == digest


@pytest.mark.parametrize(("readout", "value"), [("logit", label_logit), ("margin", margin)])
def test_other_readouts_have_gradients_of_their_own(probes, targets, readout, value):
    model = ready(smooth_cnn)
    mixed = pd.concat([targets, probes[:1]])
    matrix = measure(model, probes, mixed, estimator=FirstOrder(lr=0.1), readout=readout)
    g_P, r_T = gradients(model.loss, model, probes), gradients(value(model), model, mixed)
    assert max_relative_error(matrix.gain, -0.1 * g_P @ r_T.T) < 1e-12
    r_P = gradients(value(model), model, probes)
    assert max_relative_error(matrix.self_gain, -0.1 * (g_P * r_P).sum(1)) < 1e-12


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_follows_the_sign(probes, targets, optimizer):
    model = ready(smooth_cnn)
    matrix = measure(model, probes, targets, estimator=FirstOrder(optimizer=optimizer, lr=0.01))
    g_P, g_T = gradients(model.loss, model, probes), gradients(model.loss, model, targets)
    assert max_relative_error(matrix.gain, 0.01 * (g_P / (np.abs(g_P) + 1e-8)) @ g_T.T) < 1e-12
    one_norm_P = np.abs(g_P).sum(1)
    np.testing.assert_allclose(matrix.self_gain, 0.01 * one_norm_P, rtol=1e-4)  # up to eps


def test_adams_direction_is_its_first_step():
    """Also where the gradient is no larger than eps."""
    gradient = torch.tensor([3.0, -0.2, 1e-8, -5e-9, 0.0], dtype=torch.float64)
    weight = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    weight.grad = gradient.clone()
    torch.optim.Adam([weight], lr=1.0).step()
    torch.testing.assert_close(first_order.adam_direction(gradient), -weight.data, rtol=1e-12, atol=0)


def test_only_the_named_parameters_learn(probes, targets):
    model = ready(smooth_cnn)
    matrix = measure(model, probes, targets, estimator=FirstOrder(lr=0.1, parameters=["output.*", "*1.bias"]))
    learned = [model.convolution1.bias, model.output.weight, model.output.bias]
    g_P, g_T = gradients(model.loss, model, probes, learned), gradients(model.loss, model, targets, learned)
    assert max_relative_error(matrix.gain, 0.1 * g_P @ g_T.T) < 1e-12


def test_a_parameter_that_is_not_used_has_no_influence(probes, targets):
    def with_a_spare():
        model = smooth_cnn()
        model.spare = torch.nn.Parameter(torch.ones(3))
        return model

    plain = measure(ready(smooth_cnn), probes, targets, estimator=FirstOrder(lr=0.1))
    spared = measure(ready(with_a_spare), probes, targets, estimator=FirstOrder(lr=0.1))
    assert max_relative_error(spared.gain, plain.gain) < 1e-12


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fine_tuning_tends_to_it_as_the_step_shrinks(probes, targets, optimizer):
    """The relative error is proportional to lr: each half step halves it."""
    model = ready(smooth_cnn)
    limit = measure(model, probes, targets, estimator=FirstOrder(optimizer=optimizer, lr=1.0))
    start = 0.01 / np.median(limit.self_gain)
    errors = []
    for lr in start / 2.0 ** np.arange(4):
        learned = measure(model, probes, targets, estimator=FineTune(optimizer=optimizer, lr=float(lr)))
        errors.append(np.linalg.norm(learned.gain / lr - limit.gain) / np.linalg.norm(limit.gain))
    assert errors[0] < 0.02
    np.testing.assert_allclose(np.divide(errors[1:], errors[:-1]), 0.5, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_few_gradients_held_at_once_give_the_same_numbers(targets, dtype):
    probes, model = random_samples(7, "probe"), ready(relu_cnn).to(dtype)
    for table in (probes, targets):
        table["image"] = [torch.from_numpy(image).to(dtype).numpy() for image in table["image"]]
    whole = measure(model, probes, targets, estimator=FirstOrder(lr=0.1))
    for engine in (Engine(memory_gb=memory_gb) for memory_gb in (1e-9, 1e-4)):
        parts, again = (measure(model, probes, targets, estimator=FirstOrder(lr=0.1), engine=engine) for _ in range(2))
        np.testing.assert_array_equal(parts.gain, again.gain)
        assert max_relative_error(parts.gain, whole.gain) < 10 * torch.finfo(dtype).eps
        assert max_relative_error(parts.self_gain, whole.self_gain) < 10 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"lr": 0.1, "optimizer": "rmsprop"},
            "expected a first-order optimizer among sgd, adam, adamw, got 'rmsprop'; use",
        ),
        ({"lr": 0.1, "self_gain": 0.3}, "expected either lr or self_gain, got lr=0.1 and self_gain=0.3"),
        ({"lr": -0.1}, "expected lr to be a finite number of at least 0, got -0.1"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        FirstOrder(**settings)


class Unknown(torch.nn.Module):
    """A layer that the engine does not know, nor, where it branches, `torch.func`."""

    def __init__(self, *, branches: bool) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(7))
        self.branches = branches

    def forward(self, x):
        return x * self.scale * (2 if self.branches and float(x.detach().sum()) > 1e9 else 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("branches", [False, True])
def test_other_layers_give_the_same(probes, targets, branches, optimizer):
    def scaled():
        model = smooth_cnn()
        model.output = torch.nn.Sequential(model.output, Unknown(branches=branches))
        return model

    model, estimator = ready(scaled), FirstOrder(optimizer=optimizer, lr=0.1)
    fast = measure(model, probes, targets, estimator=estimator)
    plain = measure(model, probes, targets, estimator=estimator, engine=Engine(fast=False))
    assert max_relative_error(fast.gain, plain.gain) < 1e-12
    assert max_relative_error(fast.self_gain, plain.self_gain) < 1e-12
    g_P, g_T = gradients(model.loss, model, probes), gradients(model.loss, model, targets)
    u_P = g_P if optimizer == "sgd" else g_P / (np.abs(g_P) + 1e-8)
    assert max_relative_error(fast.gain, 0.1 * u_P @ g_T.T) < 1e-12


def test_why_gradients_are_taken_one_by_one_is_said_once(caplog, probes, targets):
    protocol.say_once.cache_clear()
    with caplog.at_level("INFO", logger="influence"):
        for _ in range(2):
            measure(ready(relu_cnn), probes, targets, estimator=FirstOrder(lr=0.1), engine=Engine(fast=False))
    assert [record.message for record in caplog.records] == [
        "First order takes gradients one by one: the engine is off."
    ]


def test_the_same_targets_have_their_gradients_once(monkeypatch, targets):
    """Whatever the number of blocks; and it is found out once how they are taken."""
    probes, sizes, found = random_samples(7, "probe"), [], []
    by_layer = sample_gradients.ByLayer.__call__

    def counted(self, function, batch):
        sizes.append(len(batch["label"]))
        return by_layer(self, function, batch)

    def counted_method(*arguments):
        found.append(sample_gradients.find_method(*arguments))
        return found[-1]

    monkeypatch.setattr(sample_gradients.ByLayer, "__call__", counted)
    monkeypatch.setattr(slopes, "find_method", counted_method)
    measure(ready(relu_cnn), probes, targets, estimator=FirstOrder(lr=0.1), block_size=2)
    assert sizes.count(len(targets)) == 1
    assert len(found) == 1
