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
from influence.desiderata.gauge import gauge
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


def test_most_of_adams_asymmetry_is_one_scale_a_sample(samples):
    """M_ij = lr <sign g_i, g_j> at first order, so that log(M_ij / M_ji) is about s_j - s_i, s = log(|g|^2 / |g|_1)."""
    model = ready(smooth_cnn)
    g_ND, _ = gradients_and_curvatures(model, samples)
    first = measure(model, samples, estimator=FirstOrder(optimizer="adam", lr=1.0))
    np.testing.assert_allclose(first.gain, np.sign(g_ND) @ g_ND.T, atol=1e-3 * first.self_gain.min())
    np.testing.assert_allclose(first.self_gain, np.abs(g_ND).sum(1), rtol=1e-3)
    with torch.no_grad():  # sure of some labels and of others not: gradients of very different sizes
        model.output.weight.mul_(100)
    unlike = random_samples(24, "unlike")
    g_ND, _ = gradients_and_curvatures(model, unlike)
    fitted = gauge(learned(model, unlike, 1e-4, optimizer="adam").gain, ~np.eye(24, dtype=bool))
    scale_N = np.log((g_ND**2).sum(1) / np.abs(g_ND).sum(1))
    assert fitted.share > 0.8 > 4 * fitted.chance
    assert np.corrcoef(fitted.potentials, scale_N)[0, 1] > 0.8


@pytest.mark.parametrize("readout", ["logit", "margin"])
def test_another_readout_than_the_loss_is_asymmetric_at_first_order(samples, readout):
    model, estimator = ready(smooth_cnn), FirstOrder(lr=1.0)
    assert asymmetry(measure(model, samples, estimator=estimator)) < 1e-24
    assert asymmetry(measure(model, samples, estimator=estimator, readout=readout)) > 0.01


def test_strong_links_of_a_kernel_close_the_triad(samples):
    """K_ik >= K_ij K_jk - sqrt((1 - K_ij^2) (1 - K_jk^2)) for a positive semi-definite K of unit diagonal."""
    first = measure(ready(smooth_cnn), samples, estimator=FirstOrder(lr=1.0))
    kernel_NN = first.gain / np.sqrt(np.outer(first.self_gain, first.self_gain))
    sine_NN = np.sqrt(np.clip(1 - kernel_NN**2, 0, None))
    least_NNN = kernel_NN[:, :, None] * kernel_NN - sine_NN[:, :, None] * sine_NN
    assert (kernel_NN[:, None, :] >= least_NNN - 1e-12).all()


class Pairs(nn.Module):
    """Samples of up to two images, by `weight`: trained on the sum or the mean of their losses, and read as either."""

    def __init__(self, trained: str, read: str) -> None:
        super().__init__()
        self.net, self.trained, self.read = smooth_cnn(), trained, read

    def losses(self, batch, how):
        loss_B2 = torch.stack(
            [
                self.net.loss({"image": batch["image"][:, [side]], "label": batch["label"][:, side]})
                for side in range(2)
            ],
            dim=1,
        )
        total_B = (batch["weight"] * loss_B2).sum(1)
        return total_B / batch["weight"].sum(1) if how == "mean" else total_B

    def loss(self, batch):
        return self.losses(batch, self.trained)

    def log_prob(self, batch):
        return -self.losses(batch, self.read)


def pairs(*weights: tuple[float, float]) -> pd.DataFrame:
    """The images p and q with these weights, and c alone."""
    images, labels = np.random.default_rng(0).random((3, 8, 8)), np.array([1, 1, 1])
    rows = [(f"p{weight}", images[:2], labels[:2], np.array(weight)) for weight in weights]
    rows.append(("c", images[[2, 2]], labels[[2, 2]], np.array([1.0, 0.0])))
    return pd.DataFrame(rows, columns=["id", "image", "label", "weight"])


def test_premises_add_up_but_for_a_term_of_second_order():
    """On the sum of two losses M_{p+q -> c} = M_{p -> c} + M_{q -> c} - lr^2 g_p'H_c g_q + O(lr^3)."""
    samples = pairs((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    model = ready(lambda: Pairs("sum", "mean"))
    single = pd.DataFrame(
        {
            "image": [samples["image"][row][side][None] for row, side in ((0, 0), (1, 1), (3, 0))],
            "label": [samples["label"][row][side] for row, side in ((0, 0), (1, 1), (3, 0))],
        }
    )
    parameters = list(model.net.parameters())

    def flat(value, **options):
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, parameters, **options)])

    of_p, of_q, of_c = (flat(model.net.loss(image_batch(single.iloc[[i]])).sum(), create_graph=True) for i in range(3))
    mixed = float(of_p.detach() @ flat(of_c @ of_q.detach()))
    rests = []
    for lr in (0.02, 0.01, 0.005):
        gain_P = measure(model, samples[:3], samples[3:], estimator=FineTune(lr=lr)).gain[:, 0]
        beyond = gain_P[2] - gain_P[0] - gain_P[1]
        rests.append(abs(beyond / (-(lr**2) * mixed) - 1))
    assert rests[0] < 0.2
    np.testing.assert_allclose(np.divide(rests[1:], rests[:-1]), 0.5, rtol=0.1)


def test_the_mean_of_two_losses_halves_the_dose():
    samples = pairs((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    of_sum, of_mean = (
        measure(ready(lambda how=how: Pairs(how, "mean")), samples[:3], samples[3:], estimator=FirstOrder(lr=1.0)).gain
        for how in ("sum", "mean")
    )
    np.testing.assert_allclose(of_sum[2], of_sum[0] + of_sum[1], rtol=1e-12)
    np.testing.assert_allclose(of_mean[2], of_sum[2] / 2, rtol=1e-12)


def test_trained_on_the_mean_and_read_as_a_sum_the_longer_gains_more():
    """M_ij / M_ji = n_j / n_i."""
    samples = pairs((1.0, 1.0), (0.0, 1.0))
    gain_NN = measure(ready(lambda: Pairs("mean", "sum")), samples, estimator=FirstOrder(lr=1.0)).gain
    count_N = np.array([weight.sum() for weight in samples["weight"]])
    np.testing.assert_allclose(gain_NN / gain_NN.T, count_N / count_N[:, None], rtol=1e-10)
