"""Jobs on the CNN that learned FashionMNIST: digits of MNIST, at the step size of a self-gain of 0.3 nat."""

import copy
from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import influence
from experiments.published import PUBLISHED, fig1_step_sizes
from experiments.schema import REPOSITORY
from influence.data.selection import Selection, select
from influence.data.vision import load
from influence.matrix import SELF_GAIN
from influence.matrix_folder import read_header
from influence.models.base import load_weights
from influence.models.cnn import CNN
from influence.seeds import generator
from tests import oracles
from tests.bench import rivals
from tests.bench.timing import ENGINE, NAIVE, Case, Variant, spread

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}

SIZES = {300: 300, 1000: 300, 3000: 150}
"""Samples of a square matrix, and how many of its probes a round takes."""


@cache
def base(optimizer: str) -> tuple[CNN, float]:
    """The published base model and learning rate."""
    header = read_header(fig1_step_sizes(PUBLISHED)[optimizer, SELF_GAIN])
    model = CNN()
    load_weights(model, PUBLISHED / "models" / header["provenance"]["base_model"]["folder"] / "weights.safetensors")
    return model.eval(), header["estimator"]["lr"]


@cache
def digits(count: int) -> pd.DataFrame:
    """So many test images of MNIST, classes mixed; the first of many are those of few."""
    images = select(load("mnist", "test", REPOSITORY / "outputs" / "data"), Selection(per_class=300))
    return images.iloc[generator(0, "order").permutation(len(images))[:count]].reset_index(drop=True)


def twin(model: CNN) -> CNN:
    """The same weights, with the pooling and the layout of memory that anyone would take."""
    made = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    made.pool = nn.MaxPool2d(2)  # type: ignore[assignment]
    return made


def learned(optimizer: str, num_steps: int) -> Case:
    """The published network, 200 x 200."""
    model, lr = base(optimizer)
    return learned_case(model, digits(200), optimizer=optimizer, lr=lr / num_steps, num_steps=num_steps)


def learned_case(model: CNN, samples: pd.DataFrame, *, optimizer: str, lr: float, num_steps: int) -> Case:
    """Fine-tuning on each of the samples, all of them read."""
    make_optimizer = partial(OPTIMIZERS[optimizer], lr=lr)
    estimator = influence.FineTune(optimizer=optimizer, lr=lr, num_steps=num_steps)

    def engine(count: int) -> np.ndarray:
        return influence.measure(model, samples[:count], samples, estimator=estimator).gain

    def loop(model: nn.Module) -> Callable[[int], np.ndarray]:
        working = copy.deepcopy(model)
        job = partial(oracles.loop_readouts, model, targets=samples, make_optimizer=make_optimizer, learned=working)
        before_1T = job(probes=samples[:1], num_steps=0)
        return lambda count: job(probes=samples[:count], num_steps=num_steps) - before_1T

    naive = loop(model)
    before_1T = oracles.loop_readouts(model, samples[:1], samples, make_optimizer, 0)

    def trainer(count: int) -> np.ndarray:
        return oracles.trainer_readouts(model, samples[:count], samples, make_optimizer, num_steps) - before_1T

    def truth() -> np.ndarray:
        exact, exactly = copy.deepcopy(model).double(), samples.assign(image=samples["image"].map(np.float64))
        return oracles.loop_gains(exact, exactly[:10], exactly, make_optimizer, num_steps)

    part = max(10, len(samples) // 4)
    size = {"targets": len(samples)}
    return Case(
        what=f"CNN, {optimizer}, {num_steps} step{'s' * (num_steps > 1)}",
        probes=len(samples),
        targets=len(samples),
        variants={
            NAIVE: Variant(gains=naive, probes=part, **size),
            "twin": Variant(gains=loop(twin(model)), probes=part, **size),
            "trainer": Variant(gains=trainer, probes=part, **size),
            ENGINE: Variant(gains=engine, probes=len(samples), **size),
        },
        truth=truth,
        tolerance=1e-3 if optimizer == "sgd" else 1e-2,  # Adam steps as far for the smallest gradient
        wanted={},  # there is no engine for vision: `measure` is the naive loop in small batches
    )


def first_order() -> Case:
    """The published network, 200 x 200, beside the libraries."""
    return first_order_case(base("sgd")[0], digits(200))


def first_order_case(model: CNN, samples: pd.DataFrame) -> Case:
    """The products of gradients, g_i . g_j; a rival gets a copy, which it may leave changed."""
    batch = oracles.image_batch(samples)
    pairs = TensorDataset(batch["image"], batch["label"])

    def engine(count: int) -> np.ndarray:
        return influence.measure(model, samples[:count], samples, estimator=influence.FirstOrder(lr=1.0)).gain

    def truth() -> np.ndarray:
        exact = copy.deepcopy(model).double()

        def gradient(image: Tensor, label: Tensor) -> np.ndarray:
            loss = F.cross_entropy(exact(image[None].double()), label[None])
            parts = torch.autograd.grad(loss, list(exact.parameters()))
            return torch.cat([part.flatten() for part in parts]).numpy()

        gradient_ND = np.stack([gradient(*pair) for pair in pairs])
        return gradient_ND @ gradient_ND.T

    ways = {
        "captum": rivals.captum(copy.deepcopy(model), pairs),
        "kronfluence": rivals.kronfluence(copy.deepcopy(model), pairs),
        ENGINE: engine,
    }
    return Case(
        what="CNN, first order",
        probes=len(samples),
        targets=len(samples),
        variants={
            name: Variant(gains=gains, probes=len(samples), targets=len(samples)) for name, gains in ways.items()
        },
        truth=truth,
        tolerance=1e-5,
        wanted={"captum_ratio": (1.0, None), "kronfluence_ratio": (1.0, None)},
    )


def sizes() -> Case:
    """Square matrices of the published network."""
    model, lr = base("sgd")
    return sizes_case(model, digits(max(SIZES)), SIZES, lr=lr)


def sizes_case(model: CNN, samples: pd.DataFrame, sizes: Mapping[int, int], *, lr: float) -> Case:
    """Matrices of growing size: an entry costs the same in each."""
    estimator = influence.FineTune(lr=lr)

    def engine(size: int, count: int) -> np.ndarray:
        return influence.measure(model, samples[:count], samples[:size], estimator=estimator).gain

    def truth() -> np.ndarray:
        exact = copy.deepcopy(model).double()
        exactly = samples[: min(sizes)].assign(image=samples["image"].map(np.float64))
        return oracles.loop_gains(exact, exactly[:10], exactly, partial(torch.optim.SGD, lr=lr), 1)

    return Case(
        what="CNN, sgd, 1 step, by size, of the larger a part of the probes",
        probes=max(sizes),
        targets=max(sizes),
        variants={
            f"{size} x {size}": Variant(
                gains=partial(engine, size), probes=count, targets=size, peak_probes=count * (size == max(sizes))
            )
            for size, count in sizes.items()
        },
        truth=truth,
        tolerance=1e-3,
        wanted={"ratio": (1.0, 1.4)},
        ratios=spread,
    )
