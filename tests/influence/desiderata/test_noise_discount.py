import numpy as np
import pandas as pd
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.noise_discount import noise_discount, noise_discount_p
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, shuffled

LABELS = np.arange(20) % 4


def test_discount_by_hand() -> None:
    # Sources 0 and 1 of class 0 and 2 of class 1, clean and noisy (6 probes); 5 clean targets of classes
    # 0, 1, 0, 0, 1, the first of them source 0 itself. Used: 0 -> {2, 3}, 1 -> {0, 2, 3}, 2 -> {1, 4}.
    probes = images([0, 0, 1], sigmas=[0.0, 0.5])
    targets = pd.concat([probes.iloc[[0]], images([1, 0, 0, 1], prefix="t")], ignore_index=True)
    clean_ST = [[99, 9, 4, 6, 9], [1, 9, 2, 3, 9], [9, 5, 9, 9, 7]]
    noisy_ST = [[99, 9, 1, 2, 9], [3, 9, 1, 1, 9], [9, 0, 9, 9, 6]]
    ratio = noise_discount(matrix_of([*clean_ST, *noisy_ST], probes, targets), sigma=0.5)
    assert ratio.denominator == pytest.approx((4 + 6 + 1 + 2 + 3 + 5 + 7) / 7)
    assert ratio.numerator == pytest.approx((1 + 2 + 3 + 1 + 1 + 0 + 6) / 7)


def test_discount_is_of_the_sources_that_have_both_copies() -> None:
    probes = images([0, 0, 0], sigmas=[0.0, 1.0]).iloc[[0, 1, 2, 4, 5]].reset_index(drop=True)  # 0 has no noisy copy
    targets = images([0], prefix="t")
    ratio = noise_discount(matrix_of([[100], [2], [4], [1], [5]], probes, targets), sigma=1.0)
    assert (ratio.numerator, ratio.denominator) == (3, 3)


def test_each_noise_level_is_its_own() -> None:
    probes = images([0, 0], sigmas=[0.0, 0.5, 1.0])
    matrix = matrix_of([[9, 2], [2, 9], [9, 1], [1, 9], [9, 4], [4, 9]], probes, images([0, 0]))
    assert noise_discount(matrix, sigma=0.5).value == 0.5
    assert noise_discount(matrix, sigma=1.0).value == 2


def test_planted_discount_is_found_and_none_is_not() -> None:
    rng = np.random.default_rng(0)
    probes, targets = images(LABELS, sigmas=[0.0, 1.0]), images(LABELS)
    clean_ST = 1 + 0.5 * rng.normal(size=(20, 20)) + 0.3 * rng.normal(size=(20, 1))
    noisy_ST = 1 + 0.5 * rng.normal(size=(20, 20)) + 0.3 * rng.normal(size=(20, 1))
    discounted = matrix_of([*clean_ST, *(0.2 * noisy_ST)], probes, targets)
    equal = matrix_of([*clean_ST, *noisy_ST], probes, targets)
    assert noise_discount(discounted, sigma=1.0).value == pytest.approx(0.2, abs=0.1)
    assert noise_discount_p(discounted, rng, sigma=1.0) == 2 / 10_000
    assert noise_discount_p(equal, rng, sigma=1.0) > 0.05


def test_p_exchanges_the_rows_of_a_source() -> None:
    # Every source is discounted: of the 2^4 exchanges only the observed one is as extreme on its side.
    probes = images([0, 0, 0, 0], sigmas=[0.0, 1.0])
    gain_PT = np.vstack([np.full((4, 4), 2.0), np.full((4, 4), 1.0)])
    assert noise_discount_p(matrix_of(gain_PT, probes, images([0] * 4)), np.random.default_rng(0), sigma=1.0) == 2 / 16


def seed(number: int, discount: float, self_gain: float = 0.3) -> InfluenceMatrix:
    """Images of a base model whose noisy probes teach less by a factor."""
    rng = np.random.default_rng(number)
    gain_PT = rng.normal(1, 0.5, size=(60, 20))
    gain_PT[20:] *= discount
    return matrix_of(gain_PT, images(LABELS, sigmas=[0.0, 0.5, 1.0]), images(LABELS), self_gain=self_gain)


@pytest.mark.parametrize(("discount", "verdict"), [(0.2, "satisfied"), (0.8, "undecided"), (1.0, "violated")])
def test_over_seeds_it_is_judged_at_sigma_1(discount: float, verdict: str) -> None:
    table = score([seed(number, discount) for number in range(8)], ["noise_discount"])
    assert list(table["condition"]) == ["sigma=0.5", "sigma=1"]
    assert list(table["verdict"]) == ["diagnostic", verdict]
    assert table["threshold"].iloc[1] == 0.8


def test_at_another_step_size_it_is_not_judged() -> None:
    table = score([seed(number, 0.2, self_gain=1.0) for number in range(8)], ["noise_discount"])
    assert table["verdict"].iloc[1] == "descriptive"
    assert "median self-gain 1, judged at 0.3" in table["note"].iloc[1]


def test_kinds_of_noise_by_hand() -> None:
    # Two texts of one class and their copies with typos and in capitals, read on two other texts of the class.
    kinds = ["", "", "typos", "typos", "case", "case"]
    probes = images([0, 0], sigmas=[0.0, 0.5, 1.0]).assign(noise=kinds).drop(columns="draw")
    probes["sigma"] = np.where(probes["noise"] == "", 0.0, 1.0)
    gain_PT = [[4, 2], [6, 4], [1, 1], [4, 2], [8, 8], [8, 8]]
    matrix = matrix_of(gain_PT, probes, images([0, 0], prefix="t").assign(noise=""))
    assert noise_discount(matrix, noise="typos").value == pytest.approx((1 + 1 + 4 + 2) / (4 + 2 + 6 + 4))
    assert noise_discount(matrix, noise="case").value == pytest.approx(4 * 8 / 16)


def test_scale_and_order_do_not_matter() -> None:
    gain_NN = np.random.default_rng(1).normal(1, 1, size=(40, 40))
    matrix = matrix_of(gain_NN, images(LABELS, sigmas=[0.0, 1.0]))
    value = noise_discount(matrix, sigma=1.0).value
    assert noise_discount(matrix_of(1e-6 * gain_NN, matrix.probes), sigma=1.0).value == pytest.approx(value)
    assert noise_discount(shuffled(matrix), sigma=1.0).value == pytest.approx(value)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UndefinedError, match="expected a column 'sigma' of the samples"):
        noise_discount(matrix_of(np.ones((2, 2)), images([0, 0]).drop(columns="sigma")), sigma=1.0)
    with pytest.raises(UndefinedError, match="expected one copy a source with sigma 1 and draw 0, got none"):
        noise_discount(matrix_of(np.ones((2, 2)), images([0, 0])), sigma=1.0)
    with pytest.raises(UndefinedError, match="expected clean targets of the same class and another source, got none"):
        noise_discount(matrix_of(np.ones((4, 4)), images([0, 1], sigmas=[0.0, 1.0])), sigma=1.0)
    twice = images([0, 0], sigmas=[0.0, 1.0]).assign(source=["0", "1", "0", "0"])
    with pytest.raises(UndefinedError, match="got two of '0'"):
        noise_discount(matrix_of(np.ones((4, 4)), twice), sigma=1.0)
