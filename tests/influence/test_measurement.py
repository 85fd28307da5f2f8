from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from influence import FineTune, FirstOrder, measure
from influence.measurement import estimate_seconds
from influence.models.protocol import stack_columns
from influence.provenance import weights_digest
from influence.readout import Reader, Readout, find
from tests import oracles
from tests.small import (
    NUM_CLASSES,
    SoftmaxRegression,
    assert_same_bits,
    max_relative_error,
    random_samples,
    ready,
    relu_cnn,
)

ESTIMATORS = [FineTune(lr=0.1, num_steps=2), FirstOrder(lr=0.1)]


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


class TestSameNumbers:
    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_again(self, many, targets, estimator):
        one, other = (measure(ready(relu_cnn), many, targets, estimator=estimator) for _ in range(2))
        assert_same_bits(one, other)
        assert one.provenance == other.provenance

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    @pytest.mark.parametrize("block_size", [1, 2, 3])
    def test_whatever_the_size_of_blocks(self, many, targets, estimator, block_size):
        whole = measure(ready(relu_cnn), many, targets, estimator=estimator)
        assert len(whole.blocks) == 1
        parts = measure(ready(relu_cnn), many, targets, estimator=estimator, block_size=block_size)
        assert len(parts.blocks) == -(-7 // block_size)
        assert_same_bits(whole, parts)

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_whatever_the_order_of_blocks(self, tmp_path, many, targets, estimator):
        model = ready(relu_cnn)
        whole = measure(model, many, targets, estimator=estimator, block_size=3)
        for last in (2, 1, 0):  # a block each
            shard = {"folder": tmp_path, "shard": (last, 3)}
            parts = measure(model, many, targets, estimator=estimator, block_size=3, **shard)
        assert_same_bits(whole, parts)

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_whatever_the_order_of_probes(self, many, targets, estimator):
        order = [3, 0, 6, 1, 5, 2, 4]
        matrix = measure(ready(relu_cnn), many, targets, estimator=estimator)
        mixed = measure(ready(relu_cnn), many.iloc[order], targets, estimator=estimator, block_size=2)
        np.testing.assert_array_equal(mixed.gain, matrix.gain[order])
        np.testing.assert_array_equal(mixed.self_gain, matrix.self_gain[order])

    @pytest.mark.parametrize("batch_size", [1, 2, 4])
    def test_but_for_rounding_whatever_the_batch(self, many, targets, batch_size):
        whole = measure(ready(relu_cnn), many, targets, estimator=FineTune(lr=0.1))
        parts = measure(ready(relu_cnn), many, targets, estimator=FineTune(lr=0.1), batch_size=batch_size)
        np.testing.assert_allclose(parts.gain, whole.gain, rtol=0, atol=1e-12)
        np.testing.assert_allclose(parts.before, whole.before, rtol=0, atol=1e-12)


class TestWorlds:
    def test_each_is_a_block_of_its_own(self, tmp_path, many):
        probes = many.assign(world=["b", "b", "b", "a", "a", "c", "c"])
        targets = random_samples(6, "target").assign(world=["a", "c", "c", "b", "b", "b"])
        matrix = measure(ready(relu_cnn), probes, targets, estimator=FineTune(lr=0.1), block_size=2, folder=tmp_path)
        assert sorted(path.stem for path in (tmp_path / "blocks").iterdir()) == ["world-a", "world-b", "world-c"]
        of_one_world = probes["world"].to_numpy()[:, None] == targets["world"].to_numpy()
        assert (np.isnan(matrix.gain) == ~of_one_world).all()
        for world, (rows, columns) in {"b": (slice(0, 3), slice(3, 6)), "a": (slice(3, 5), slice(0, 1))}.items():
            alone = measure(ready(relu_cnn), probes[rows], targets[columns], estimator=FineTune(lr=0.1))
            np.testing.assert_array_equal(matrix.gain[rows, columns], alone.gain, err_msg=world)
            np.testing.assert_array_equal(matrix.before[columns], alone.before)

    @pytest.mark.parametrize(
        ("probe_worlds", "target_worlds", "sentence"),
        [
            ("aba", "aab", "expected the probes of world a to stand together, got others between them; sort the table"),
            ("aab", "aba", "expected the targets of world a to stand together, got others between them"),
            ("aab", "aaa", "expected a target in world b, got none; name the world of every target in its table"),
            ("aab", None, "expected a target in world a, got none"),
        ],
    )
    def test_what_does_not_stand_together_is_refused(self, probe_worlds, target_worlds, sentence):
        probes, targets = random_samples(3, "probe").assign(world=list(probe_worlds)), random_samples(3, "target")
        if target_worlds is not None:
            targets = targets.assign(world=list(target_worlds))
        with pytest.raises(ValueError, match=sentence):
            measure(ready(relu_cnn), probes, targets, estimator=FineTune(lr=0.1))


class TestSelfGain:
    """Three probes, five targets, two of them probes in places of their own."""

    @pytest.fixture
    def mixed_targets(self, probes, targets) -> pd.DataFrame:
        return pd.concat([targets, probes], ignore_index=True).iloc[[1, 7, 4, 5, 0]]

    def test_is_read_whether_the_probe_is_a_target_or_not(self, probes, mixed_targets):
        assert list(mixed_targets["id"]) == ["target1", "probe2", "target4", "probe0", "target0"]
        model = ready(relu_cnn)
        matrix = measure(model, probes, mixed_targets, estimator=FineTune(lr=0.1))
        for i in range(3):
            itself = oracles.loop_gains(model, probes.iloc[[i]], probes.iloc[[i]], sgd, 1)
            assert matrix.self_gain[i] == pytest.approx(itself[0, 0], rel=1e-10)
        assert matrix.self_gain[0] == matrix.gain[0, 3]
        assert matrix.self_gain[2] == matrix.gain[2, 1]

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_follows_the_id_when_the_targets_change_places(self, probes, mixed_targets, estimator):
        matrix = measure(ready(relu_cnn), probes, mixed_targets, estimator=estimator)
        order = [4, 3, 0, 2, 1]
        shuffled = measure(ready(relu_cnn), probes, mixed_targets.iloc[order], estimator=estimator)
        np.testing.assert_allclose(shuffled.self_gain, matrix.self_gain, rtol=1e-10)
        np.testing.assert_allclose(shuffled.gain, matrix.gain[:, order], rtol=1e-10)

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_is_the_diagonal_of_a_set_on_itself(self, probes, estimator):
        matrix = measure(ready(relu_cnn), probes, estimator=estimator)
        np.testing.assert_array_equal(matrix.self_gain, np.diag(matrix.gain))
        assert_same_bits(matrix, measure(ready(relu_cnn), probes, probes, estimator=estimator))


class OnlyTheProtocol(nn.Module):
    """What a third party may bring: its own names for inputs, and no scores but the two of the protocol."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(0.1 * torch.randn(NUM_CLASSES, 64, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(NUM_CLASSES, dtype=torch.float64))

    def log_prob(self, batch):
        scores = batch["pixels"].flatten(1) @ self.weight.T + self.bias
        return (F.one_hot(batch["digit"], NUM_CLASSES) * (scores - scores.logsumexp(1, keepdim=True))).sum(1)

    def loss(self, batch):
        return -self.log_prob(batch)


def test_a_model_of_ones_own_needs_only_loss_and_log_prob(probes, targets):
    model, names = OnlyTheProtocol(), {"image": "pixels", "label": "digit"}
    matrix = measure(model, probes.rename(columns=names), targets.rename(columns=names), estimator=FineTune(lr=0.02))
    weight, bias = model.weight.detach().numpy(), model.bias.detach().numpy()
    expected = oracles.softmax_regression_gains(weight, bias, probes, targets, lr=0.02)
    assert max_relative_error(matrix.gain, expected) < 1e-10
    assert matrix.probes.columns.tolist() == ["id", "digit", "sigma"]


def test_a_readout_of_ones_own(probes, targets):
    """A class score that the model does not name: of class 2, which one SGD step moves by lr (e - p)_2 (x.x' + 1)."""
    model = ready(SoftmaxRegression)
    readout = Readout(name="score_2", unit="logits", read=lambda model, batch: model.logits(batch)[:, 2])
    matrix = measure(model, probes, targets, estimator=FineTune(lr=0.02), readout=readout)
    logits_PC = model.logits(oracles.image_batch(probes)).detach().numpy()
    probability_PC = np.exp(logits_PC) / np.exp(logits_PC).sum(1, keepdims=True)
    x_P, x_T = (np.stack([image.ravel() for image in table["image"]]) for table in (probes, targets))
    residual_P = (probes["label"] == 2).to_numpy() - probability_PC[:, 2]
    np.testing.assert_allclose(matrix.gain, 0.02 * residual_P[:, None] * (x_P @ x_T.T + 1), rtol=1e-9)
    assert matrix.readout == {"name": "score_2", "unit": "logits", "higher_is_better": True}


def test_class_probabilities_stand_beside_the_samples(probes, targets):
    model = ready(relu_cnn)
    matrix = measure(model, probes, targets, estimator=FineTune(lr=0.1), batch_size=2)
    columns = [f"prob_{label}" for label in range(NUM_CLASSES)]
    for table, samples in ((matrix.probes, probes), (matrix.targets, targets)):
        logits_NC = model.logits(oracles.image_batch(samples)).detach().numpy()
        expected = np.exp(logits_NC) / np.exp(logits_NC).sum(1, keepdims=True)
        np.testing.assert_allclose(table[columns], expected, rtol=1e-12)
        assert "image" not in table
        assert table["id"].tolist() == samples["id"].tolist()


class ReadsTheBatch(SoftmaxRegression):
    """Its log-probability grows by .001 for every sample in the batch, as rounding might."""

    def log_prob(self, batch):
        return super().log_prob(batch) + 1e-3 * len(batch["label"])


@pytest.mark.parametrize(("batch_size", "floor"), [(512, 4e-3), (6, 4e-3), (3, 2e-3)])
def test_the_noise_floor_is_what_other_chunks_change(probes, batch_size, floor):
    """Six targets: chunks of 6 against 2, or of 3 against 1."""
    matrix = measure(
        ready(ReadsTheBatch), probes, random_samples(6, "target"), estimator=FineTune(lr=0.1), batch_size=batch_size
    )
    assert matrix.provenance["noise_floor"] == pytest.approx(floor, rel=1e-9)


class Exact(SoftmaxRegression):
    """It reads the label itself, whatever the chunks, from weights in float32."""

    def log_prob(self, batch):
        return -batch["label"].double()


def test_the_noise_floor_is_no_less_than_the_resolution_of_the_weights(probes, targets):
    targets["label"] = [0, 1, 2, 3, 4]
    for table in (probes, targets):
        table["image"] = [image.astype(np.float32) for image in table["image"]]
    matrix = measure(ready(Exact).float(), probes, targets, estimator=FineTune(lr=0.1))
    assert matrix.provenance["noise_floor"] == pytest.approx(2**-23 * np.sqrt((0 + 1 + 4 + 9 + 16) / 5), rel=1e-12)


def test_provenance_keeps_what_is_given_and_what_was_measured(probes):
    model = ready(relu_cnn)
    matrix = measure(model, probes, estimator=FineTune(lr=0.1), seed=3, provenance={"commit": "abc"})
    assert matrix.provenance["commit"] == "abc"
    assert matrix.provenance["identity"]["weights"] == weights_digest(model)
    assert matrix.provenance["identity"]["seed"] == 3
    assert matrix.provenance["identity"]["estimator"]["lr"] == 0.1


def test_progress_counts_probes(probes):
    calls = []
    measure(
        ready(relu_cnn), probes, estimator=FineTune(lr=0.1), block_size=2, progress=lambda *call: calls.append(call)
    )
    assert calls == [(0, 3), (1, 3), (2, 3), (2, 3), (3, 3), (3, 3)]


class Timed(SoftmaxRegression):
    """It moves a clock by `step` seconds at every loss and by a quarter of a second at every reading."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.step, self.losses, self.most_read = 0.0, 0.5, 0, 0

    def loss(self, batch):
        self.clock += self.step
        self.losses += 1
        return super().loss(batch)

    def log_prob(self, batch):
        self.clock += 0.25
        self.most_read = max(self.most_read, len(batch["label"]))
        return -super().loss(batch)


class TestEstimatedTime:
    @pytest.fixture
    def model(self, monkeypatch) -> Timed:
        model = ready(Timed)
        monkeypatch.setattr("influence.measurement.time", SimpleNamespace(perf_counter=lambda: model.clock))
        return model

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_is_what_measuring_takes(self, model, many, targets, estimator):
        digest = weights_digest(model)
        estimated = estimate_seconds(model, many, targets, estimator=estimator)
        assert weights_digest(model) == digest
        reader = Reader(model, targets, find("log_prob", model), batch_size=512)
        start = model.clock
        list(estimator.rows(model, many, reader))
        assert estimated == model.clock - start

    def test_needs_one_probe_alone_where_probes_are_slow(self, model, many, targets):
        model.step = 5.0
        estimated = estimate_seconds(model, many, targets, estimator=FineTune(self_gain=0.3, num_steps=2))
        assert model.losses == 2
        assert estimated == 7 * (2 * 5 + 3 * 0.25)  # itself before, itself and the targets after

    def test_reads_the_targets_of_one_world(self, model, many, targets):
        worlds = many.assign(world=[0, 0, 0, 0, 1, 1, 1]), targets.assign(world=[0, 0, 1, 1, 1])
        estimate_seconds(model, *worlds, estimator=FineTune(lr=0.1))
        assert model.most_read == 2


def test_what_cannot_be_measured_is_refused(probes, targets):
    estimator = FineTune(lr=0.1)
    with pytest.raises(TypeError, match=r"expected a model with loss\(batch\) and log_prob\(batch\), got Linear"):
        measure(nn.Linear(2, 2), probes, estimator=estimator)
    with pytest.raises(ValueError, match="expected at least one probe, got an empty table"):
        measure(ready(relu_cnn), probes[:0], estimator=estimator)
    with pytest.raises(ValueError, match="expected unique ids in the target table, got 'target1' more than once"):
        measure(ready(relu_cnn), probes, targets.iloc[[1, 0, 1]], estimator=estimator)
    with pytest.raises(ValueError, match=r"expected a model with logits\(batch\) for the readout 'logit'"):
        measure(OnlyTheProtocol(), probes, estimator=estimator, readout="logit")


def test_the_estimator_is_kept_with_the_matrix(probes):
    estimator = FineTune(lr=0.1, num_steps=2)
    described = measure(ready(relu_cnn), probes, estimator=estimator).estimator
    assert described["name"] == "finetune"
    assert replace(estimator, **{key: value for key, value in described.items() if key != "name"}) == estimator


def test_the_noise_floor_is_at_least_the_resolution_of_the_model(probes, targets):
    """A float32 model that gives the same bits in any chunks still rounds: eps = 2^-23, times what is read."""
    model = ready(SoftmaxRegression).float()
    for table in (probes, targets):
        table["image"] = [image.astype(np.float32) for image in table["image"]]
    floor = measure(model, probes, targets, estimator=FineTune(lr=0.1), batch_size=1).provenance["noise_floor"]
    before_T = model.log_prob(oracles.image_batch(targets)).detach().numpy()
    assert floor == pytest.approx(2**-23 * np.sqrt(np.mean(before_T.astype(float) ** 2)), rel=1e-3)


class Choosy(SoftmaxRegression):
    """Says what it is, and refuses a sample."""

    def describe(self):
        return {"dialect": "first"}

    def collate(self, samples):
        if (samples["id"] == "probe2").any():
            raise ValueError("expected short samples, got probe2")
        return stack_columns(samples)


def test_what_a_model_cannot_read_is_refused_before_anything_is_measured(probes, tmp_path):
    with pytest.raises(ValueError, match="expected short samples, got probe2"):
        measure(ready(Choosy), probes, estimator=FineTune(lr=0.1), block_size=1, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_models_own_description_decides_too(probes, tmp_path, monkeypatch):
    measure(ready(Choosy), probes[:1], estimator=FineTune(lr=0.1), folder=tmp_path)
    monkeypatch.setattr(Choosy, "describe", lambda self: {"dialect": "second"})
    with pytest.raises(ValueError, match=r"to hold the same matrix, got one with other model \(\{'dialect': 'first'\}"):
        measure(ready(Choosy), probes[:1], estimator=FineTune(lr=0.1), folder=tmp_path)
