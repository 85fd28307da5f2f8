import numpy as np
import pandas as pd
import pytest

from influence.desiderata import score
from influence.desiderata.pure_noise import pure_noise
from influence.desiderata.spec import NotApplicableError, UndefinedError
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, scaled, shuffled


def with_pure_noise(probes: pd.DataFrame, count: int) -> pd.DataFrame:
    """The table with so many rows more that are noise alone."""
    ids = [f"pure-noise{number}" for number in range(count)]
    noise = pd.DataFrame({"id": ids, "label": 0, "sigma": np.inf, "draw": 0, "source": ids})
    return pd.concat([probes, noise], ignore_index=True)


def planted(share: float, seed: int = 0) -> InfluenceMatrix:
    """Thirty probes that are noise alone and move targets by a share of what thirty clean ones do."""
    probes = with_pure_noise(images(np.arange(30) % 3, sigmas=[0.0, 1.0]), 30)
    gain_PT = np.random.default_rng(seed).normal(size=(90, 60))
    gain_PT[60:] *= share
    return matrix_of(gain_PT, probes, probes.iloc[:60])


def test_by_hand() -> None:
    # Clean probes 0 and 1, a noisy copy of 0, noise alone; targets clean 0, noisy 0, clean 2. Used of the clean rows:
    # 0 -> 2: 6, 1 -> 0: 3, 1 -> 2: 2; of noise alone: 1, -3.
    probes = with_pure_noise(images([0, 1], sigmas=[0.0, 1.0]).iloc[:3], 1)
    targets = pd.concat([probes.iloc[[0, 2]], images([0, 1, 1]).iloc[[2]]], ignore_index=True)
    ratio = pure_noise(matrix_of([[99, 99, 6], [3, 99, 2], [99, 99, 99], [1, 99, -3]], probes, targets))
    assert ratio.numerator == pytest.approx(np.sqrt((1 + 9) / 2))
    assert ratio.denominator == pytest.approx(np.sqrt((36 + 9 + 4) / 3))


@pytest.mark.parametrize("share", [0.0, 0.05, 3.0])
def test_a_planted_share_is_found(share: float) -> None:
    assert pure_noise(planted(share)).value == pytest.approx(share, rel=0.1)


def test_noise_that_changed_places_with_clean_probes_teaches_as_much() -> None:
    matrix, rng = planted(0.05), np.random.default_rng(1)
    of_clean_and_pure = [*range(30), *range(60, 90)]
    gain_PT = matrix.gain.copy()
    gain_PT[of_clean_and_pure] = gain_PT[rng.permutation(of_clean_and_pure)]
    assert pure_noise(matrix_of(gain_PT, matrix.probes, matrix.targets)).value == pytest.approx(1, abs=0.4)


def test_scale_and_order_do_not_matter() -> None:
    matrix = planted(0.5)
    value = pure_noise(matrix).value
    assert pure_noise(scaled(matrix, 1e-6)).value == pytest.approx(value)
    assert pure_noise(shuffled(matrix)).value == pytest.approx(value)


def test_over_seeds_it_is_a_ratio_of_means_against_one() -> None:
    matrices = [planted(share, seed) for seed, share in enumerate([0.1, 0.2, 0.3, 0.2, 0.1, 0.2])]
    ratios = [pure_noise(matrix) for matrix in matrices]
    found = score(matrices, ["pure_noise"]).iloc[0]
    assert found["value"] == pytest.approx(
        sum(ratio.numerator for ratio in ratios) / sum(ratio.denominator for ratio in ratios)
    )
    assert found["p"] == 2 / 2**6  # noise teaches less in every seed
    assert found["verdict"] == "diagnostic"
    around_one = [planted(share, seed) for seed, share in enumerate([0.9, 1.1, 1.2, 0.8, 1.1, 0.9])]
    assert score(around_one, ["pure_noise"])["p"].iloc[0] > 0.3


def test_what_is_missing_is_said() -> None:
    clean = images([0, 1])
    with pytest.raises(NotApplicableError, match="expected probes that are noise alone, got none"):
        pure_noise(matrix_of(np.ones((2, 2)), clean))
    with pytest.raises(NotApplicableError, match="expected probes that are noise alone, got none"):
        pure_noise(matrix_of(np.ones((2, 2)), clean.drop(columns="sigma")))
    with pytest.raises(UndefinedError, match="expected clean probes with clean targets of another source, got none"):
        pure_noise(matrix_of(np.ones((2, 1)), with_pure_noise(clean.iloc[:1], 1), clean.iloc[:1]))
