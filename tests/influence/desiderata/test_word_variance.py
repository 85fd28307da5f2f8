import numpy as np
import pytest

from influence.desiderata import UndefinedError, compare, score
from influence.desiderata.word_variance import word_variance
from influence.stats.jackknife import jackknife_interval
from tests.influence.desiderata.matrices import images, language, matrix_of, samples


def test_by_hand() -> None:
    # Cells (0, 2, 4) and (10, 12, 14) have means 2 and 12. MSW = (4 + 0 + 4) 2 / (2 x 2) = 4; MSB = 3 (25 + 25) / 1
    # = 150; between cells (150 - 4) / 3; share 4 / (4 + 146 / 3) = 12 / 158.
    gain_WC = np.array([[0.0, 10.0], [2.0, 12.0], [4.0, 14.0]])
    assert word_variance(gain_WC).value == pytest.approx(12 / 158)
    assert word_variance(1e-5 * gain_WC - 3).value == pytest.approx(12 / 158)
    assert word_variance(gain_WC[::-1, ::-1]).value == pytest.approx(12 / 158)


def test_worlds_alike_and_chance_alone() -> None:
    rng = np.random.default_rng(0)
    cell_C = rng.normal(0, 2, 5000)
    assert word_variance(np.tile(cell_C, (4, 1))).value == pytest.approx(0, abs=1e-12)
    noise_WC = rng.normal(0, 1, (4, 5000))
    assert word_variance(noise_WC).value == pytest.approx(1, abs=0.03)
    # Variances 4 between and 1 within; the share of sums of squares alone would be 3/4 of 1 in 4 + 3/4.
    assert word_variance(cell_C + noise_WC).value == pytest.approx(1 / 5, abs=0.01)


def test_is_of_off_diagonal_cells_with_a_jackknife_over_worlds() -> None:
    rng = np.random.default_rng(1)
    other = rng.normal(size=(12 * 6, 12 * 6))
    matrix = language("transitivity", {}, count=6, other=other)
    cells = ~np.eye(12, dtype=bool)
    gain_WC = np.stack([other[start : start + 12, start : start + 12][cells] for start in range(0, 72, 12)])
    without = [word_variance(np.delete(gain_WC, world, axis=0)).value for world in range(6)]
    expected = jackknife_interval(word_variance(gain_WC).value, np.array(without))
    found = score(matrix, ["word_variance"]).iloc[0]
    assert found[["value", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])
    assert (found["n"], found["unit_of_n"], found["better"]) == (6, "worlds", "lower")
    assert np.isnan(found["p"])


def test_a_probe_that_fails_in_one_world_is_left_out_of_all() -> None:
    gain = np.random.default_rng(1).normal(size=(36, 36))
    whole = language("transitivity", {}, count=3, other=gain)
    diverged = np.where(np.arange(36) == 14, np.nan, 1.0)  # the third item of the second world
    broken = matrix_of(gain * diverged[:, None], whole.probes, self_gain=diverged)
    kept = np.arange(36) % 12 != 2
    expected = score(whole.select(probes=kept, targets=kept), ["word_variance", "paper_symmetry_spectral"])
    found = score(broken, ["word_variance", "paper_symmetry_spectral"])
    for name in ("value", "low", "high"):
        assert found[name].tolist() == expected[name].tolist()
    compared = compare(broken, whole, ["word_variance"]).iloc[0]
    assert (compared["value"], compared["low"], compared["high"]) == (0, 0, 0)
    assert found["note"].tolist() == ["failed probes dropped: 1 of 36"] * 2


def test_needs_worlds_that_lie_on_each_other() -> None:
    with pytest.raises(UndefinedError, match="expected at least 2 worlds and 2 cells, got 1 and 5"):
        word_variance(np.zeros((1, 5)))
    with pytest.raises(UndefinedError, match="expected gains that differ"):
        word_variance(np.ones((3, 5)))
    assert score(language("taxonomy", {}), ["word_variance"])["note"].iloc[0] == (
        "undefined: expected at least 2 worlds and 2 cells, got 1 and 380"
    )
    two = score(language("taxonomy", {}, count=2, other=0.5), ["word_variance"]).iloc[0]
    assert two["note"].startswith("undefined: expected gains that differ")
    swapped = samples(4, world=[0, 0, 1, 1], item=["a", "b", "b", "a"])
    found = score(matrix_of(np.ones((4, 4)), swapped), ["word_variance"]).iloc[0]
    assert found["note"] == "undefined: expected the same items in the same order in every world, got others"
    seeds = [matrix_of(np.ones((4, 4)), images([0, 0, 1, 1]))] * 2
    assert "expected a column 'world'" in score(seeds, ["word_variance"]).iloc[0]["note"]
