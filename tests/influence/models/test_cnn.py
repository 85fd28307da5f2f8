from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from influence.models.base import initialise
from influence.models.cnn import CNN, halve_by_maximum, halve_by_mean
from tests.oracles import image_batch
from tests.small import NUM_CLASSES, random_samples, ready, relu_cnn, smooth_cnn

PLAIN = {relu_cnn: (nn.ReLU, nn.MaxPool2d), smooth_cnn: (nn.Tanh, nn.AvgPool2d)}


def plain(model: CNN, make) -> nn.Sequential:
    """The same weights, contiguous, in torch's own layers."""
    activation, pooling = PLAIN[make]
    layers = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        activation(),
        pooling(2),
        nn.Conv2d(3, 4, 3, padding=1),
        activation(),
        pooling(2),
        nn.Flatten(),
        nn.Linear(16, 6),
        activation(),
        nn.Linear(6, NUM_CLASSES),
    ).double()
    named = zip(layers.parameters(), model.parameters(), strict=True)
    with torch.no_grad():
        for mine, theirs in named:
            mine.copy_(theirs.contiguous())
    return layers


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (2, 3), (5, 4), (28, 28)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("halve", "layer"), [(halve_by_maximum, nn.MaxPool2d(2)), (halve_by_mean, nn.AvgPool2d(2))])
def test_halving_is_torchs_pooling_bit_for_bit(size, dtype, layout, halve, layer):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, *size, generator=generator, dtype=dtype).to(memory_format=layout)
    assert torch.equal(halve(images), layer(images))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relu_after_the_maximum_gives_the_same_bits(dtype):
    """To the last weight of a training, which the bits of every gradient decide."""
    batch = image_batch(random_samples(20, "sample"))
    batch["image"] = batch["image"].to(dtype)

    def trained(order: Callable[[CNN, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        model = initialise(partial(CNN, image_size=8, num_classes=NUM_CLASSES), seed=0).to(dtype)
        model._halved = partial(order, model)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for step in range(6):
            optimizer.zero_grad()
            model.loss({name: column[step::6] for name, column in batch.items()}).sum().backward()
            optimizer.step()
        return torch.cat([*map(torch.flatten, model.parameters()), model.log_prob(batch)])

    assert torch.equal(trained(CNN._halved), trained(lambda model, features: model.pool(model.activation(features))))


@pytest.mark.parametrize("make", [relu_cnn, smooth_cnn])
def test_it_is_the_plain_network(make):
    """Class scores and gradients, also of images whose black border ties in the maximum."""
    model = ready(make)
    expected = plain(model, make)
    samples = random_samples(4, "sample")
    for image in samples["image"][:2]:
        image[:, :3] = image[:, :, 5:] = 0
    batch = image_batch(samples)
    torch.testing.assert_close(model.logits(batch), expected(batch["image"]), rtol=1e-12, atol=1e-14)
    loss = nn.functional.cross_entropy(expected(batch["image"]), batch["label"], reduction="sum")
    gradients = torch.autograd.grad(model.loss(batch).sum(), list(model.parameters()))
    for mine, theirs in zip(gradients, torch.autograd.grad(loss, list(expected.parameters())), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)


def test_the_weights_lie_channels_last():
    model = CNN()
    assert model.convolution2.weight.is_contiguous(memory_format=torch.channels_last)
    features = model.convolution2(model.convolution1(torch.zeros(2, 1, 28, 28)))
    assert features.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_is_minus_the_loss_in_float64(dtype):
    model = ready(relu_cnn).to(dtype)
    batch = image_batch(random_samples(5, "sample"))
    batch["image"] = batch["image"].to(dtype)
    log_probs = model.log_prob(batch)
    assert log_probs.dtype == torch.float64
    torch.testing.assert_close(log_probs, -model.loss(batch).double(), rtol=100 * torch.finfo(dtype).eps, atol=0)
    logits_BC = model.logits(batch).detach().double().numpy()
    expected = log_softmax(logits_BC, axis=1)[np.arange(5), batch["label"]]
    np.testing.assert_allclose(log_probs.detach(), expected, rtol=1e-14)


def test_the_default_is_the_paper_sized_network():
    """16 and 32 channels, 64 hidden units, 10 classes on 28 x 28: 16 * 10, 32 * 145, 64 * 1569 and 10 * 65 numbers."""
    assert sum(parameter.numel() for parameter in CNN().parameters()) == 160 + 4640 + 100416 + 650


@pytest.mark.parametrize("setting", [{"activation": "gelu"}, {"pooling": "median"}])
def test_unknown_parts_are_refused(setting):
    with pytest.raises(KeyError):
        CNN(**setting)
