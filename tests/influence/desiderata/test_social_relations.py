import numpy as np
import pytest

from influence.desiderata import SCORES, UndefinedError
from influence.desiderata.social_relations import social_relations
from tests.influence.desiderata.matrices import images, matrix_of, shuffled


def test_an_additive_matrix_is_told_apart_exactly() -> None:
    probe_N = np.array([2.0, -1.0, 0.5, -1.5, 0.0, 0.0])
    target_N = np.array([0.3, 0.1, -0.4, 0.2, -0.2, 0.0])
    gain_NN = 5 + probe_N[:, None] + target_N
    np.fill_diagonal(gain_NN, 99)
    relations = social_relations(gain_NN)
    assert relations.mean == pytest.approx(5)
    assert relations.probe_N == pytest.approx(probe_N)
    assert relations.target_N == pytest.approx(target_N, abs=1e-12)
    assert relations.pair_variance == pytest.approx(0, abs=1e-12)
    assert relations.pair_covariance == pytest.approx(0, abs=1e-12)
    # sum of squares 4 + 1 + .25 + 2.25 = 7.5 and .09 + .01 + .16 + .04 + .04 = .34, over n - 1 = 5
    assert relations.probe_variance == pytest.approx(1.5)
    assert relations.target_variance == pytest.approx(0.068)


def test_estimators_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    n, draws = 6, 800
    pair = np.linalg.cholesky(np.array([[0.5, 0.45], [0.45, 0.5]]))  # var e, cov(e_ij, e_ji)
    found = []
    for _ in range(draws):
        there, back = pair @ rng.normal(size=(2, n * n))
        pair_NN = np.triu(there.reshape(n, n), 1) + np.triu(back.reshape(n, n), 1).T
        gain_NN = 1 + rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.1, n) + pair_NN
        relations = social_relations(gain_NN)
        found.append(
            [
                relations.probe_variance,
                relations.target_variance,
                relations.pair_variance,
                relations.pair_covariance,
            ]
        )
    found_K4 = np.array(found)
    error_4 = found_K4.std(0, ddof=1) / np.sqrt(draws)
    assert (np.abs(found_K4.mean(0) - [1, 0.01, 0.5, 0.45]) < 4 * error_4).all()
    assert (found_K4[:, 1] < 0).any()  # negative estimates stay negative, or the mean would be too large


def test_turning_the_matrix_exchanges_probes_and_targets() -> None:
    gain_NN = np.random.default_rng(0).normal(size=(6, 6)) + np.arange(6.0)[:, None]
    one, other = social_relations(gain_NN), social_relations(gain_NN.T)
    assert one.probe_variance == pytest.approx(other.target_variance)
    assert one.probe_N == pytest.approx(other.target_N)
    assert one.pair_covariance == pytest.approx(other.pair_covariance)
    assert one.probe_variance > 10 * one.target_variance


def test_scores_are_of_the_clean_samples_in_any_order() -> None:
    table = images(range(6), sigmas=[0.0, 1.0])
    gain_NN = np.random.default_rng(0).normal(size=(12, 12)) + np.arange(12.0)[:, None]
    clean = social_relations(gain_NN[:6, :6])
    for name in ("probe_variance", "target_variance", "pair_variance", "pair_covariance"):
        measure = SCORES[f"srm_{name}"].measure
        assert measure(matrix_of(gain_NN, table)).value == pytest.approx(getattr(clean, name))
        assert measure(shuffled(matrix_of(gain_NN, table))).value == pytest.approx(getattr(clean, name))


def test_needs_five_samples_and_every_pair() -> None:
    with pytest.raises(UndefinedError, match="expected at least 5 samples, got 4"):
        social_relations(np.ones((4, 4)))
    table = images(range(6)).assign(source=["a", "a", "b", "c", "d", "e"])
    with pytest.raises(UndefinedError, match="expected one clean sample a source, got several"):
        SCORES["srm_pair_variance"].measure(matrix_of(np.ones((6, 6)), table))
