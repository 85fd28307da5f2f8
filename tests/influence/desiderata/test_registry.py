"""Scores of one's own, by name."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

import influence
from influence.desiderata import SCORES, Criterion, Ratio, Score, register, score
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import matrix_of, samples


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = dict(SCORES)
    yield
    SCORES.clear()
    SCORES.update(before)


def mean_gain(matrix: InfluenceMatrix) -> float:
    return float(matrix.gain.mean())


def seeds(level: float = 1.0) -> list[InfluenceMatrix]:
    gains = level + 0.1 * np.random.default_rng(0).normal(size=(8, 3, 5))
    return [matrix_of(gain, samples(3), samples(5, prefix="t")) for gain in gains]


def test_a_registered_score_is_one_of_all() -> None:
    mine = Score(
        name="mine",
        desideratum="beauty",
        better="higher",
        measure=mean_gain,
        null=0.0,
        criterion=Criterion(threshold=0.5, self_gain=1.0),
    )
    assert influence.register(mine) is mine
    row = score(seeds()).set_index("score").loc["mine"]
    assert row["value"] == pytest.approx(np.mean([matrix.gain.mean() for matrix in seeds()]))
    assert row["low"] < row["value"] < row["high"]
    assert row["p"] == 2 / 2**8  # all eight signs alike
    assert row["verdict"] == "satisfied"
    assert score(seeds(), ["beauty"])["score"].tolist() == ["mine"]


def test_a_plain_number_is_a_ratio_over_1() -> None:
    plain = score(seeds(), [Score(name="s", desideratum="d", measure=mean_gain, null=0.0)])
    ratio = score(seeds(), [Score(name="s", desideratum="d", measure=lambda one: Ratio(one.gain.mean()), null=0.0)])
    assert plain.equals(ratio)
    of_all = Score(name="s", desideratum="d", measure=lambda *all: len(all), of_all_worlds=True)
    worlds = matrix_of(np.where(np.eye(4), 1.0, np.nan), samples(4, world=range(4)))
    assert score(worlds, [of_all])["value"].iloc[0] == 4


def test_a_measure_that_gives_no_number_is_undefined() -> None:
    row = score(seeds(), [Score(name="s", desideratum="d", measure=lambda _: math.nan)]).iloc[0]
    assert math.isnan(row["value"])
    assert row["note"] == "undefined: expected a number from s, got nan (in 8 of 8 seeds)"


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="expected a name that no score has, got 'reciprocity'; choose another"):
        register(Score(name="reciprocity", desideratum="d", measure=mean_gain))
    assert SCORES["reciprocity"].desideratum == "symmetry"


def test_what_is_judged_has_a_better_side() -> None:
    mine = Score(name="mine", desideratum="d", measure=mean_gain, criterion=Criterion(threshold=0.0))
    with pytest.raises(ValueError, match="expected a better side of mine, which has a criterion, got none; set better"):
        register(mine)
    assert "mine" not in SCORES
