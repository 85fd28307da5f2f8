import numpy as np
import pandas as pd
import pytest

from influence.desiderata import SCORES, UndefinedError
from influence.desiderata.class_block import class_block, class_block_p, softmax_coupling
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, shuffled, with_probabilities

LABELS = np.arange(24) % 4


def probabilities(count: int, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(9).dirichlet(np.ones(classes), count)


def classified(gain: np.ndarray, labels: np.ndarray = LABELS) -> InfluenceMatrix:
    return matrix_of(gain, with_probabilities(images(labels), probabilities(len(labels))))


def same(labels: np.ndarray = LABELS) -> np.ndarray:
    return (labels[:, None] == labels).astype(float)


def test_within_minus_between_by_hand() -> None:
    # 3 probes of classes 0, 0, 1 and 5 targets of classes 0, 1, 1, 0, 0; the first two targets are the first and the
    # third probe themselves, so their cells with them are left out.
    probes = images([0, 0, 1])
    targets = pd.concat([probes.iloc[[0, 2]], images([1, 0, 0], prefix="t")], ignore_index=True)
    gain_PT = [[99, 1, 2, 3, 4], [5, 6, 7, 8, 9], [1, 99, 4, 2, 3]]
    # within: 3, 4 | 5, 8, 9 | 4 -> mean 33 / 6 = 5.5; between: 1, 2 | 6, 7 | 1, 2, 3 -> mean 22 / 7
    ratio = class_block(matrix_of(gain_PT, probes, targets, self_gain=[1, 4, 2]), beyond_softmax=False)
    assert ratio.numerator == pytest.approx(5.5 - 22 / 7)
    assert ratio.denominator == 2  # the median of 1, 4, 2


def test_noisy_samples_are_left_out() -> None:
    table = images([0, 0, 1, 1], sigmas=[0.0, 1.0])
    gain_NN = np.random.default_rng(0).normal(size=(8, 8))
    expected = class_block(matrix_of(gain_NN[:4, :4], images([0, 0, 1, 1])), beyond_softmax=False)
    assert class_block(matrix_of(gain_NN, table), beyond_softmax=False) == expected


@pytest.mark.parametrize("beyond_softmax", [False, True])
def test_planted_blocks_are_found_and_shuffled_ones_are_not(beyond_softmax: bool) -> None:
    rng = np.random.default_rng(0)
    noise_NN = rng.normal(size=(24, 24)) + rng.normal(size=(24, 1))
    planted = classified(0.8 * same() + noise_NN)
    assert class_block(planted, beyond_softmax=beyond_softmax).value == pytest.approx(0.8, abs=0.3)
    assert class_block_p(planted, rng, beyond_softmax=beyond_softmax) == 2 / 10_000
    order_N = rng.permutation(24)
    shuffled_labels = classified(0.8 * same(LABELS[order_N]) + noise_NN)
    assert class_block_p(shuffled_labels, rng, beyond_softmax=beyond_softmax) > 0.05


def test_coupling_is_the_first_order_gain_of_a_trained_bias() -> None:
    # logits z + b with b = 0: d loss / d b = p - e_y, so g_i . g_j = sum_c (p_ic - e_ic) (p_jc - e_jc).
    label_N, probability_NC = np.array([0, 2, 2]), probabilities(3, 3)
    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for c in range(3):
                expected[i, j] += (probability_NC[i, c] - (label_N[i] == c)) * (
                    probability_NC[j, c] - (label_N[j] == c)
                )
    assert softmax_coupling(label_N, probability_NC) == pytest.approx(expected)


def test_different_labels_help_when_both_are_taken_for_a_third() -> None:
    coupling_NN = softmax_coupling(np.array([0, 1]), np.array([[0.1, 0.0, 0.9], [0.0, 0.1, 0.9]]))
    assert coupling_NN[0, 1] == pytest.approx(0.9 * 0.9)  # p_i . p_j - p_j[0] - p_i[1] = .81 - 0 - 0


def test_softmax_alone_makes_blocks_that_the_control_takes_away() -> None:
    coupling_NN = softmax_coupling(LABELS, probabilities(24))
    matrix = classified(0.3 * coupling_NN)
    assert class_block(matrix, beyond_softmax=False).value > 0.1
    assert class_block_p(matrix, np.random.default_rng(0), beyond_softmax=False) < 0.01
    assert class_block(matrix, beyond_softmax=True).value == pytest.approx(0, abs=1e-12)
    assert class_block_p(matrix, np.random.default_rng(0), beyond_softmax=True) == 1


def test_the_effect_beyond_softmax_is_recovered_exactly() -> None:
    matrix = classified(-1 + 0.7 * same() + 0.3 * softmax_coupling(LABELS, probabilities(24)))
    assert class_block(matrix, beyond_softmax=True).value == pytest.approx(0.7, abs=1e-12)


@pytest.mark.parametrize("beyond_softmax", [False, True])
def test_scale_and_order_do_not_matter(beyond_softmax: bool) -> None:
    matrix = classified(same() + np.random.default_rng(1).normal(size=(24, 24)))
    value = class_block(matrix, beyond_softmax=beyond_softmax).value
    scaled = matrix_of(1e-6 * matrix.gain, matrix.probes, self_gain=1e-6)
    assert class_block(scaled, beyond_softmax=beyond_softmax).value == pytest.approx(value)
    assert class_block(shuffled(matrix), beyond_softmax=beyond_softmax).value == pytest.approx(value)
    p = [class_block_p(case, np.random.default_rng(0), beyond_softmax=beyond_softmax) for case in (matrix, scaled)]
    assert p[0] == p[1]


def test_p_of_few_samples_enumerates_the_labellings() -> None:
    # Classes 0, 0, 1, 1: of the 24 orders 8 keep the pairs together, and only they reach the observed blocks.
    labels = np.array([0, 0, 1, 1])
    matrix = matrix_of(same(labels), images(labels))
    assert class_block_p(matrix, np.random.default_rng(0), beyond_softmax=False) == pytest.approx(2 * 8 / 24)


def test_probes_need_not_be_targets_for_a_p() -> None:
    rng = np.random.default_rng(0)
    probes, targets = images(np.arange(12) % 3), images(np.arange(15) % 3, prefix="t")
    block_PT = (probes["label"].to_numpy()[:, None] == targets["label"].to_numpy()).astype(float)
    planted = matrix_of(block_PT + rng.normal(size=(12, 15)), probes, targets)
    noise = matrix_of(rng.normal(size=(12, 15)), probes, targets)
    assert class_block_p(planted, rng, beyond_softmax=False) < 0.01
    assert class_block_p(noise, rng, beyond_softmax=False) > 0.05


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (images([0, 0, 1, 1]).drop(columns="label"), "expected a column 'label' of the samples, got id, sigma"),
        (images([0, 0, 1, 1]), "expected a column 'prob_0' of the samples"),
        (images([0, 0, 0, 0]), "expected clean cells within and between classes, got one kind only"),
        (with_probabilities(images([0, 0, 1, 1]), np.full((4, 2), 0.5)), "classes that the softmax control does not"),
        (images([0, 0, 1, 1], sigmas=[1.0]), "got one kind only"),
    ],
)
def test_what_cannot_be_told_says_why(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(UndefinedError, match=message):
        SCORES["class_block_beyond_softmax"].measure(matrix_of(np.ones((4, 4)), table))
