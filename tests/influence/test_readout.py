from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from influence.readout import Reader, SelfReader, class_probabilities, find


class Table(nn.Module):
    """Its class scores are an input times a weight, in float32 as most models are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.sizes: list[int] = []

    def logits(self, batch):
        self.sizes.append(len(batch["scores"]))
        return batch["scores"] * self.weight

    def loss(self, batch):
        return -self.log_prob(batch).float()

    def log_prob(self, batch):
        return torch.log_softmax(self.logits(batch).double(), 1).gather(1, batch["label"][:, None])[:, 0]


# Odds 1 : 2 : 5, then 4 : 2 : 2, then 1 : 8 : 1.
SCORES = np.log([[1, 2, 5], [4, 2, 2], [1, 8, 1]]).astype(np.float32)


@pytest.fixture
def samples() -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b", "c"], "label": [0, 0, 1], "scores": list(SCORES)})


def reader(model: nn.Module, samples: pd.DataFrame, readout: str = "log_prob", batch_size: int = 2) -> Reader:
    return Reader(model, samples, find(readout, model), batch_size=batch_size)


@pytest.mark.parametrize(
    ("readout", "values"),
    [
        ("log_prob", np.log([1 / 8, 4 / 8, 8 / 10])),
        ("logit", np.log([1, 4, 8])),
        ("margin", np.log([1 / 5, 4 / 2, 8 / 1])),  # negative where another class is ahead
    ],
)
def test_by_hand(samples, readout, values):
    before = reader(Table(), samples, readout).before
    assert before.dtype == np.float64
    np.testing.assert_allclose(before, values, rtol=1e-6)


def test_probabilities_are_taken_in_float64(samples):
    samples = samples.assign(scores=list(np.array([[20, 0, 0]] * 3, dtype=np.float32)))
    probability_NC = class_probabilities(Table(), samples, batch_size=2)
    np.testing.assert_allclose(probability_NC[:, 1], np.exp(-20) / (1 + 2 * np.exp(-20)), rtol=1e-12)


def test_chunks_stay_the_same_and_so_do_the_bits(samples):
    model = Table()
    read = reader(model, samples)
    first = read.read()
    assert model.sizes == [2, 1, 2, 1]
    np.testing.assert_array_equal(read.read(), first)
    np.testing.assert_array_equal(first, read.before)


def test_before_stays_and_reading_follows_the_weights(samples):
    model = Table()
    read = reader(model, samples, "logit")
    with torch.no_grad():
        model.weight.mul_(3)
    np.testing.assert_allclose(read.read(), 3 * np.log([1, 4, 8]), rtol=1e-6)
    np.testing.assert_allclose(read.before, np.log([1, 4, 8]), rtol=1e-6)


class Restless(Table):
    """Dropout and a draw of its own at every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.dropout = nn.Dropout(0.5), nn.Dropout(0.5)
        self.failure: Exception | None = None

    def logits(self, batch):
        torch.rand(3)
        np.random.random()  # noqa: NPY002 - the global state is the point
        if self.failure is not None:
            raise self.failure
        return self.frozen(self.dropout(super().logits(batch)))


@pytest.mark.parametrize("failure", [None, RuntimeError("out of memory")])
def test_reading_is_in_eval_mode_and_leaves_no_trace(samples, failure):
    model = Restless().train()
    model.frozen.eval()
    read = reader(model, samples)
    np.testing.assert_array_equal(read.before, reader(Table(), samples).before)
    model.failure = failure
    modes = [module.training for module in model.modules()]
    assert modes == [True, False, True]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    if failure is None:
        read.read()
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            read.read()
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_a_probe_among_the_targets_is_found_by_id(samples):
    gain_T = np.array([0.1, 0.2, 0.3])
    targets = reader(Table(), samples.iloc[[2, 0, 1]])
    assert [SelfReader(samples, i, targets).gain(gain_T) for i in range(3)] == [0.2, 0.3, 0.1]


def test_a_probe_that_is_no_target_is_read_by_itself(samples):
    model = Table()
    targets = reader(model, samples.iloc[:2], "logit")
    itself = SelfReader(samples, 2, targets)
    with torch.no_grad():
        model.weight.mul_(3)
    assert itself.gain(np.zeros(2)) == pytest.approx(2 * np.log(8), rel=1e-6)


def test_no_samples_give_no_numbers(samples):
    assert reader(Table(), samples[:0]).read().shape == (0,)


class WithoutScores(nn.Module):
    def loss(self, batch):
        return batch["label"].double()

    def log_prob(self, batch):
        return -batch["label"].double()


def test_probabilities_need_a_classifier(samples):
    np.testing.assert_allclose(
        class_probabilities(Table(), samples, batch_size=2),
        [[1 / 8, 2 / 8, 5 / 8], [4 / 8, 2 / 8, 2 / 8], [1 / 10, 8 / 10, 1 / 10]],
        rtol=1e-6,
    )
    assert class_probabilities(WithoutScores(), samples, batch_size=2) is None


def test_a_readout_that_cannot_be_had_is_refused():
    names = "log_prob, span_log_prob, logit, margin"
    with pytest.raises(ValueError, match=f"expected a readout among {names}, got 'accuracy'"):
        find("accuracy", Table())
    needed = {
        "span_log_prob": r"span_log_prob\(batch\)",
        "logit": r"logits\(batch\)",
        "margin": r"logits\(batch\) or margin\(batch\)",
    }
    for readout, needs in needed.items():
        sentence = f"expected a model with {needs} for the readout '{readout}', got WithoutScores; use log_prob"
        with pytest.raises(ValueError, match=sentence):
            find(readout, WithoutScores())


def test_a_readout_is_the_one_that_the_model_gives_in_its_unit():
    class Pairs(WithoutScores):
        units: ClassVar = {"log_prob": "nats per token"}

        def margin(self, batch):
            return batch["margin"]

    assert find("margin", Table()).unit == "logits"
    assert find("margin", Pairs()).unit == "nats"
    assert find("log_prob", Pairs()).unit == "nats per token"
    assert find("log_prob", WithoutScores()).unit == "nats"
