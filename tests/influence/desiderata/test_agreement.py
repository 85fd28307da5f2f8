import numpy as np
import pytest
from scipy import stats

from influence.desiderata import UndefinedError
from influence.desiderata.agreement import agreement, agreement_of
from influence.matrix import InfluenceMatrix
from influence.stats.jackknife import jackknife_interval
from tests.influence.desiderata.matrices import images, language, matrix_of, samples, scaled, shuffled

CELLS = ~np.eye(12, dtype=bool)


def worlds_of(gain_WNN: np.ndarray) -> InfluenceMatrix:
    """The paper's transitivity with these gains in each world."""
    count = len(gain_WNN)
    other = np.zeros((12 * count, 12 * count))
    for world, gain_NN in enumerate(gain_WNN):
        other[12 * world : 12 * world + 12, 12 * world : 12 * world + 12] = gain_NN
    return language("transitivity", {}, count=count, other=other)


def draws(seed: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 12, 12))


def value(frame, statistic: str) -> float:
    return frame.set_index("statistic").loc[statistic, "value"]


def test_by_hand() -> None:
    # M = (1, 2, 3), F = (1, 3, 2): deviations (-1, 0, 1) and (-1, 1, 0), r = 1 / 2, of ranks as well; <M, F> = 13,
    # <M, M> = 14; M - F = (0, -1, 1).
    found = agreement_of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    assert found == pytest.approx(
        {"pearson": 0.5, "spearman": 0.5, "slope": 13 / 14, "relative_distance": np.sqrt(2 / 14)}
    )
    # F = M^3 keeps the ranks: M = (-1, 0, 2), F = (-1, 0, 8); <M, F> = 17, <M, M> = 5; |M - F| = 6.
    cubed = agreement_of(np.array([-1.0, 0.0, 2.0]), np.array([-1.0, 0.0, 8.0]))
    assert cubed["spearman"] == pytest.approx(1)
    assert cubed["pearson"] < 0.999
    assert cubed["slope"] == pytest.approx(17 / 5)
    assert cubed["relative_distance"] == pytest.approx(6 / np.sqrt(5))


def test_best_worst_and_none() -> None:
    gain = np.random.default_rng(0).normal(size=500)
    assert list(agreement_of(gain, gain).values()) == pytest.approx([1, 1, 1, 0])
    assert list(agreement_of(gain, -gain).values()) == pytest.approx([-1, -1, -1, 2])
    assert list(agreement_of(gain, 0 * gain).values()) == pytest.approx([np.nan, np.nan, 0, 1], nan_ok=True)
    assert all(np.isnan(number) for number in agreement_of(0 * gain, 0 * gain).values())
    shuffled_gain = np.random.default_rng(1).permutation(gain)
    assert abs(agreement_of(gain, shuffled_gain)["pearson"]) < 0.15  # three standard errors


def test_of_mean_worlds_with_the_same_world_left_out_of_both() -> None:
    one_WNN, other_WNN = draws(0), draws(0) + 0.5 * draws(1)
    frame = agreement(worlds_of(one_WNN), worlds_of(other_WNN))
    assert (frame["n"] == 6).all()
    assert (frame["unit_of_n"] == "worlds").all()
    assert (frame["cells"] == 132).all()

    def pearson(kept: np.ndarray) -> float:
        return stats.pearsonr(one_WNN[kept].mean(0)[CELLS], other_WNN[kept].mean(0)[CELLS]).statistic

    expected = jackknife_interval(pearson(np.arange(6)), np.array([pearson(np.delete(range(6), w)) for w in range(6)]))
    found = frame.iloc[0]
    assert found["statistic"] == "pearson"
    assert found[["value", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])


def test_with_a_published_matrix_that_is_clipped() -> None:
    truth_NN = 2 * draws(5, count=1)[0]
    gain_WNN = truth_NN + 0.3 * draws(6)
    published_NN = truth_NN.clip(-1, 1)
    frame = agreement(worlds_of(gain_WNN), published_NN, clip=1.0)
    mean = gain_WNN.mean(0)[CELLS].clip(-1, 1)
    assert value(frame, "pearson") == pytest.approx(np.corrcoef(mean, published_NN[CELLS])[0, 1])
    assert value(frame, "relative_distance") == pytest.approx(
        np.linalg.norm(mean - published_NN[CELLS]) / np.linalg.norm(mean)
    )
    assert value(frame, "slope") > value(agreement(worlds_of(gain_WNN), published_NN), "slope")
    same = frame.set_index("statistic").loc["pearson"]
    assert 0.9 < same["low"] < same["high"]
    mixed_NN = np.random.default_rng(2).permuted(published_NN)
    other = agreement(worlds_of(gain_WNN), mixed_NN, clip=1.0).set_index("statistic").loc["pearson"]
    assert abs(other["value"]) < 0.25


def test_order_and_scale_do_not_matter_to_correlations() -> None:
    rng = np.random.default_rng(0)
    one = matrix_of(rng.normal(size=(3, 5)), samples(3), samples(5))
    other = matrix_of(one.gain + rng.normal(size=(3, 5)), samples(3), samples(5))
    expected = agreement(one, other)
    assert expected["cells"].tolist() == [12] * 4  # 15 without the three self-gains
    assert agreement(one, shuffled(other))["value"].tolist() == pytest.approx(expected["value"].tolist())
    assert agreement(shuffled(one), other)["low"].tolist() == pytest.approx(expected["low"].tolist())
    in_bits = agreement(scaled(one, 1.44), scaled(other, 1e-3))["value"]
    assert in_bits[:2].tolist() == pytest.approx(expected["value"][:2].tolist())


def test_one_matrix_leaves_out_sources() -> None:
    table = images([0, 1, 2, 0, 1, 2], sigmas=[0.0, 1.0])
    rng = np.random.default_rng(0)
    one_NN, other_NN = rng.normal(size=(2, 12, 12))
    found = agreement(matrix_of(one_NN, table), matrix_of(other_NN, table)).iloc[0]
    source_N = table["source"].to_numpy()

    def pearson(kept_N: np.ndarray) -> float:
        used_NN = (source_N[:, None] != source_N) & kept_N[:, None] & kept_N
        return stats.pearsonr(one_NN[used_NN], other_NN[used_NN]).statistic

    without = np.array([pearson(source_N != source) for source in np.unique(source_N)])
    expected = jackknife_interval(pearson(source_N == source_N), without)
    assert found[["value", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])
    assert (found["n"], found["unit_of_n"], found["cells"]) == (6, "sources", 120)


def test_a_failed_probe_counts_in_no_world() -> None:
    one_WNN, other_WNN = draws(0), draws(1)
    one_WNN[2, 4] = np.nan
    frame = agreement(worlds_of(one_WNN), worlds_of(other_WNN))
    assert frame["cells"].tolist() == [110] * 4  # 11 x 10
    kept = CELLS & (np.arange(12) != 4) & (np.arange(12) != 4)[:, None]
    expected = stats.pearsonr(np.nan_to_num(one_WNN).mean(0)[kept], other_WNN.mean(0)[kept]).statistic
    assert frame["value"].iloc[0] == pytest.approx(expected)


def test_what_cannot_be_laid_on_each_other_is_refused() -> None:
    matrix = worlds_of(draws(0))
    with pytest.raises(ValueError, match=r"expected \(12, 12\) gains, as many as a world has, got \(11, 12\); select"):
        agreement(matrix, np.zeros((11, 12)))
    with pytest.raises(ValueError, match="expected the same worlds on both sides, got 5 on one alone"):
        agreement(matrix, worlds_of(draws(0, count=5)))
    uneven = matrix_of(np.ones((5, 5)), samples(5, world=[0, 0, 0, 1, 1]))
    with pytest.raises(UndefinedError, match="expected worlds of one shape, got several"):
        agreement(uneven, uneven)
