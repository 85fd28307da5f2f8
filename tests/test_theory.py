"""What theory says of gains: one SGD step to second order, its symmetry, and a kernel that is constant.

With g and H the gradient and the Hessian of a sample's loss, one step of SGD on sample i gives sample j the gain
M_ij = lr g_i.g_j - lr^2/2 g_i'H_j g_i + O(lr^3). The readout is minus the loss, in float64.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from influence import FineTune, FirstOrder, InfluenceMatrix, measure
from influence.data.vision import load
from influence.desiderata.symmetry import asymmetry_index
from influence.models.cnn import CNN
from influence.seeds import derive
from tests.oracles import image_batch
from tests.small import random_samples, ready, smooth_cnn


@pytest.fixture
def samples() -> pd.DataFrame:
    return random_samples(8, "sample")


def learned(model: nn.Module, samples: pd.DataFrame, self_gain: float, **settings) -> InfluenceMatrix:
    """Fine-tuned at the learning rate that gives about that median self-gain to first order."""
    unit = np.median(measure(model, samples, estimator=FirstOrder(lr=1.0, **settings)).self_gain)
    return measure(model, samples, estimator=FineTune(lr=float(self_gain / unit), **settings))


def asymmetry(matrix: InfluenceMatrix) -> float:
    return asymmetry_index(matrix.gain, ~np.eye(len(matrix.gain), dtype=bool)).value


def slope_of_asymmetry(model: nn.Module, samples: pd.DataFrame, low: float, high: float) -> float:
    """Of log AI against log median self-gain."""
    matrices = [learned(model, samples, self_gain) for self_gain in np.geomspace(low, high, 7)]
    medians = [np.median(matrix.self_gain) for matrix in matrices]
    return np.polyfit(np.log(medians), np.log([asymmetry(matrix) for matrix in matrices]), 1)[0]


def test_asymmetry_of_a_smooth_network_grows_with_the_square_of_the_step(samples):
    assert slope_of_asymmetry(ready(smooth_cnn), samples, 1e-4, 1e-1) == pytest.approx(2, abs=0.05)


def test_asymmetry_of_the_default_network_grows_so_too_within_its_kinks():
    """ReLU and maximum pooling, briefly trained on rotated digits and measured on the digits as they are."""
    train, test = (load(name, split, Path()) for name, split in [("digits_rotated", "train"), ("digits", "test")])
    images = torch.from_numpy(train.images_NHW)[:, None].double() / 255
    labels = torch.from_numpy(train.labels_N)
    model = ready(lambda: CNN(image_size=8), seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(derive(0, "base"))
    for _ in range(60):
        chosen = torch.randint(len(labels), (64,), generator=generator)
        optimizer.zero_grad()
        model.loss({"image": images[chosen], "label": labels[chosen]}).mean().backward()
        optimizer.step()
    samples = pd.DataFrame(
        {
            "id": [f"digit{i}" for i in range(12)],
            "label": test.labels_N[:12],
            "image": [image[None] / 255 for image in test.images_NHW[:12]],
        }
    )
    assert slope_of_asymmetry(model, samples, 1e-3, 1.0) == pytest.approx(2, abs=0.2)
    assert asymmetry(learned(model, samples, 0.03)) < 1e-5


def test_adam_is_asymmetric_however_small_the_step(samples):
    model = ready(smooth_cnn)
    indices = [asymmetry(learned(model, samples, self_gain, optimizer="adam")) for self_gain in (1e-3, 1e-4)]
    assert indices[0] > 0.01
    assert indices[1] == pytest.approx(indices[0], rel=0.01)


def gradients_and_curvatures(model: nn.Module, samples: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """g_ND, and curvature_NN[i, j] = g_i'H_j g_i by Hessian-vector products."""
    parameters = list(model.parameters())

    def flat(value, **options):
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, parameters, **options)])

    losses = [model.loss(image_batch(samples.iloc[[i]])).sum() for i in range(len(samples))]
    with_graph = [flat(loss, create_graph=True) for loss in losses]
    gradients = [gradient.detach() for gradient in with_graph]
    curvature_NN = np.array(
        [[float(g_i @ flat(g_j @ g_i, retain_graph=True)) for g_j in with_graph] for g_i in gradients]
    )
    return torch.stack(gradients).numpy(), curvature_NN


def test_a_step_to_second_order(samples):
    """What the two terms leave is of third order: an eighth at half the step."""
    model, samples = ready(smooth_cnn), samples[:4]
    g_ND, curvature_NN = gradients_and_curvatures(model, samples)
    rests, odd_rests = [], []
    for lr in (0.02, 0.01, 0.005):
        gain_NN = measure(model, samples, estimator=FineTune(lr=lr)).gain
        second_NN = -(lr**2) / 2 * curvature_NN
        odd_NN, expected_odd_NN = gain_NN - gain_NN.T, second_NN - second_NN.T
        rests.append(np.linalg.norm(gain_NN - lr * g_ND @ g_ND.T - second_NN) / np.linalg.norm(second_NN))
        odd_rests.append(np.linalg.norm(odd_NN - expected_odd_NN) / np.linalg.norm(expected_odd_NN))
    assert rests[0] < 0.1
    assert odd_rests[0] < 0.1
    # Relative to a term of second order a rest of third order halves.
    np.testing.assert_allclose(np.divide(rests[1:], rests[:-1]), 0.5, rtol=0.05)
    np.testing.assert_allclose(np.divide(odd_rests[1:], odd_rests[:-1]), 0.5, rtol=0.05)


def test_the_output_bias_alone_has_a_constant_kernel(samples):
    """M_ij = lr C_ij with C_ij = (e_yi - p_i).(e_yj - p_j), to first order; equal labels always help."""
    model, bias = ready(smooth_cnn), ["output.bias"]
    samples["label"] = [0, 1, 2, 0, 1, 2, 0, 1]
    logits_NC = model.logits(image_batch(samples)).detach().numpy()
    probability_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(1, keepdims=True)
    residual_NC = np.eye(7)[samples["label"]] - probability_NC
    control_NN = residual_NC @ residual_NC.T
    first = measure(model, samples, estimator=FirstOrder(lr=0.1, parameters=bias)).gain
    np.testing.assert_allclose(first, 0.1 * control_NN, rtol=1e-12)
    errors = []
    for lr in (0.02, 0.01, 0.005):
        gain_NN = measure(model, samples, estimator=FineTune(lr=lr, parameters=bias)).gain
        errors.append(np.abs(gain_NN / lr - control_NN).max())
        same_label = np.equal.outer(samples["label"].to_numpy(), samples["label"].to_numpy())
        assert (gain_NN[same_label] > 0).all()
    assert errors[0] < 0.02
    np.testing.assert_allclose(np.divide(errors[1:], errors[:-1]), 0.5, rtol=0.05)
