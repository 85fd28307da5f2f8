"""Small real models and samples, in float64 where exactness is the point."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch.nn.functional as F
from torch import nn

from influence import InfluenceMatrix
from influence.models.base import initialise
from influence.models.cnn import CNN
from influence.seeds import generator

NUM_CLASSES = 7


def random_samples(count: int, name: str) -> pd.DataFrame:
    """Random 8 x 8 images with labels; ids carry the name."""
    random = generator(0, name)
    return pd.DataFrame(
        {
            "id": [f"{name}{i}" for i in range(count)],
            "label": random.integers(0, NUM_CLASSES, count),
            "sigma": 0.0,
            "image": list(random.random((count, 1, 8, 8))),
        }
    )


class SoftmaxRegression(nn.Module):
    """Linear class scores of the pixels: the smallest model with the protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, NUM_CLASSES)

    def logits(self, batch):
        return self.linear(batch["image"].flatten(1))

    def loss(self, batch):
        return F.cross_entropy(self.logits(batch), batch["label"], reduction="none")

    def log_prob(self, batch):
        return -self.loss(batch)


def relu_cnn() -> CNN:
    """The network as it is by default, small."""
    return CNN(image_size=8, channels=(3, 4), hidden=6, num_classes=NUM_CLASSES)


def smooth_cnn() -> CNN:
    """The network without kinks: tanh and mean pooling."""
    return CNN(image_size=8, channels=(3, 4), hidden=6, num_classes=NUM_CLASSES, activation="tanh", pooling="mean")


def ready(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The model in float64 with weights from a seed."""
    return initialise(make, seed=seed).double()


def max_relative_error(measured: np.ndarray, expected: np.ndarray) -> float:
    """Largest deviation, relative to the largest entry."""
    return float(np.abs(measured - expected).max() / np.abs(expected).max())


def assert_same_bits(one: InfluenceMatrix, other: InfluenceMatrix) -> None:
    """Gains, failures and samples of two matrices are the same."""
    for name in ("gain", "self_gain", "before"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.failures == other.failures
    assert one.probes.equals(other.probes)
    assert one.targets.equals(other.targets)
