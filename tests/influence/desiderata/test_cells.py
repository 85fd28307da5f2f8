import numpy as np
import pandas as pd
import pytest

from influence.desiderata import SCORES, score
from influence.desiderata.cells import CLEAN, PRIMARY_NOISE, copies, noise_levels, square
from influence.desiderata.spec import NotApplicableError, UndefinedError
from tests.influence.desiderata.matrices import images, matrix_of, samples

LABELS = np.arange(6) % 2
AS_IMAGES = images(LABELS, sigmas=[0.0, 0.5, 1.0], draws=[0, 1])
AS_TEXTS = AS_IMAGES.assign(noise=AS_IMAGES["sigma"].map({0.0: "", 0.5: "filler", 1.0: "typos"}))
"""The same table with its noise named; the sigma of a text tells only that it is noisy."""
PURE = pd.DataFrame({"id": ["pure"], "label": 0, "sigma": np.inf, "draw": 0, "source": ["pure"]})


def test_levels_are_those_of_the_noise_on_probes() -> None:
    gain_NN = np.ones((30, 30))
    assert noise_levels([matrix_of(gain_NN, AS_IMAGES)]) == [{"sigma": 0.5}, {"sigma": 1.0}]
    assert noise_levels([matrix_of(gain_NN, AS_TEXTS)]) == [{"noise": "filler"}, {"noise": "typos"}]


def test_levels_are_of_all_units_together() -> None:
    units = [matrix_of(np.ones((4, 4)), images([0, 1], sigmas=[0.0, sigma])) for sigma in (2.0, 0.5)]
    assert noise_levels(units) == [{"sigma": 0.5}, {"sigma": 2.0}]


@pytest.mark.parametrize(
    "table",
    [
        samples(3),
        images([0, 1]),
        images([0, 1]).assign(noise=""),
        pd.concat([images([0, 1]), PURE], ignore_index=True),
    ],
)
def test_without_noise_the_primary_level_stands(table: pd.DataFrame) -> None:
    assert noise_levels([matrix_of(np.ones((len(table), len(table))), table)]) == [{"sigma": 1.0}]


@pytest.mark.parametrize(
    ("noise", "draw", "expected"),
    [(CLEAN, 0, 0), ({"noise": "filler"}, 0, 6), ({"noise": "filler"}, 1, 12), ({"noise": "typos"}, 1, 24)],
)
def test_copies_are_found_by_kind_and_draw(noise: dict[str, str | float], draw: int, expected: int) -> None:
    rows = np.random.default_rng(0).permutation(30)
    found = copies(AS_TEXTS.iloc[rows], noise, draw=draw)
    assert {source: rows[position] for source, position in found.items()} == {
        str(source): expected + source for source in range(6)
    }


def test_missing_and_repeated_copies_are_said() -> None:
    with pytest.raises(UndefinedError, match=r"^expected one copy a source with noise case and draw 0, got none$"):
        copies(AS_TEXTS, {"noise": "case"})
    with pytest.raises(UndefinedError, match=r"with noise typos and draw 2, got none$"):
        copies(AS_TEXTS, {"noise": "typos"}, draw=2)
    with pytest.raises(UndefinedError, match=r"with noise typos and draw 0, got two of '0'$"):
        copies(AS_TEXTS.assign(draw=0), {"noise": "typos"})
    with pytest.raises(NotApplicableError, match="expected a column 'noise' of the samples"):
        copies(AS_IMAGES, {"noise": "typos"})
    with pytest.raises(NotApplicableError, match="expected noise of some standard deviation, got samples whose noise"):
        copies(AS_TEXTS, PRIMARY_NOISE)


def test_noise_named_by_its_kind_scores_as_noise_named_by_its_size() -> None:
    rng = np.random.default_rng(0)
    gain_NN, before_N = rng.normal(1, 1, size=(30, 30)), -rng.uniform(1, 2, 30)
    names = ["noise_discount", "selectivity", "invariance"]
    by_size, by_kind = (score(matrix_of(gain_NN, table, before=before_N), names) for table in (AS_IMAGES, AS_TEXTS))
    assert list(by_size["condition"]) == ["sigma=0.5", "sigma=1"] * 4
    assert list(by_kind["condition"]) == ["noise=filler", "noise=typos"] * 4
    numbers = ["score", "value", "low", "high"]
    pd.testing.assert_frame_equal(by_size[numbers], by_kind[numbers])
    assert by_size["value"].nunique() == 8


def test_pure_noise_is_no_part_of_symmetry() -> None:
    table = pd.concat([images(LABELS, sigmas=[0.0, 1.0]), PURE], ignore_index=True)
    gain_NN = np.random.default_rng(0).normal(size=(13, 13))
    expected = SCORES["asymmetry_index"].measure(matrix_of(gain_NN[:12, :12], table[:12]))
    for columns in (12, 13):  # pure noise as probe alone, and as target too
        matrix = matrix_of(gain_NN[:, :columns], table, table[:columns])
        np.testing.assert_array_equal(square(matrix)[0], gain_NN[:12, :12])
        assert SCORES["asymmetry_index"].measure(matrix) == expected
