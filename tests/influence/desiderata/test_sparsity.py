import json
import math
from dataclasses import replace

import numpy as np
import pytest

from influence.desiderata import score
from influence.desiderata.sparsity import MEASURES, half_normal, relatedness_auc, unrelated_influence
from influence.desiderata.spec import NotApplicableError, UndefinedError
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, language, matrix_of, shuffled

SCORES = list(MEASURES)


@pytest.mark.parametrize(
    ("sizes", "gini", "hoyer", "treves_rolls", "participation"),
    [
        ([1, 1, 1, 1], 0, 0, 0, 4),  # all alike
        ([0, 0, 0, 5], 3 / 4, 1, 1, 1),  # one is all
        # sum (2k - 5) x_k = -0 - 1 + 1 + 3 * 2 = 6 over 4 * 4; l1 = 4, l2^2 = 6; a = 1 / (6/4) = 2/3, (1/3) / (3/4)
        ([2, 0, 1, 1], 6 / 16, 2 - 4 / math.sqrt(6), 4 / 9, 16 / 6),
    ],
)
def test_measures_by_hand(sizes: list[float], gini: float, hoyer: float, treves_rolls: float, participation: float):
    expected = {"gini": gini, "hoyer": hoyer, "treves_rolls": treves_rolls, "participation": participation}
    for name, value in expected.items():
        for scale in (1, 1e-3):
            assert MEASURES[name](scale * np.array([sizes], float))[0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 11, 149])
def test_half_normal_references_are_the_mean_of_such_rows(count: int) -> None:
    size_RN = np.abs(np.random.default_rng(0).normal(size=(20_000, count)))
    for name, measure in MEASURES.items():
        drawn_R = measure(size_RN)
        assert half_normal(name, count) == pytest.approx(drawn_R.mean(), abs=4 * drawn_R.std() / math.sqrt(20_000))


def test_half_normal_references_of_long_rows() -> None:
    """sqrt 2 - 1, 1 - sqrt(2/pi) but for a term in 1/sqrt n, 1 - 2/pi and 2/pi n."""
    count = 10**6
    limit = (math.sqrt(2) - 1, 1 - math.sqrt(2 / math.pi), 1 - 2 / math.pi, 2 / math.pi)
    found = [half_normal(name, count) / (count if name == "participation" else 1) for name in SCORES]
    assert found == pytest.approx(limit, abs=1e-3)
    assert found[0] == pytest.approx(limit[0], rel=1e-5)


def test_rows_of_a_matrix_are_of_other_sources() -> None:
    gain_NN = np.array([[9.0, 1, -1, 1], [2, 9, 2, 2], [0, 0, 9, 4], [1, -1, 1, 9]])
    table = score(matrix_of(gain_NN, images([0, 0, 1, 1])), ["sparsity"]).set_index("score")
    # Rows of three: alike, alike, one is all, alike. Gini 0, 0, 2/3, 0.
    assert table.loc["gini", "value"] == pytest.approx(2 / 3 / 4)
    assert table.loc["participation", "value"] == pytest.approx((3 + 3 + 1 + 3) / 4)
    assert table.loc["gini_of_half_normal", "value"] == half_normal("gini", 3)
    assert table.loc["unrelated_influence", "note"].startswith("undefined: expected a column 'role'")


def test_a_row_that_teaches_nothing_is_undefined() -> None:
    gain_NN = np.eye(4)
    gain_NN[0, 1] = 1
    found = score(matrix_of(gain_NN, images([0, 0, 1, 1])), ["gini"]).iloc[0]
    assert found["note"] == "undefined: expected probes that teach others something, got one that teaches nothing"


def world(
    related: float, nonce: float, natural: float, self_gain: float = 2.0, *, count: int = 1, spread: float = 0.0
) -> InfluenceMatrix:
    """Worlds of taxonomy in which gains depend on what a statement shares with the probe alone, times e^noise."""
    matrix = language("taxonomy", {}, count=count)
    names = [{slot for slot, *_ in json.loads(spans)} for spans in matrix.probes["spans"]]
    shared_NN = np.array([[bool(one & other) for other in names] for one in names])
    is_natural_N = matrix.probes["role"].to_numpy() == "unrelated_natural"
    gain_NN = np.where(shared_NN, -related, np.where(is_natural_N, natural, nonce))
    gain_NN = gain_NN * np.exp(np.random.default_rng(0).normal(0, spread, gain_NN.shape))
    np.fill_diagonal(gain_NN, self_gain)
    return matrix_of(gain_NN, matrix.probes, self_gain=self_gain)


@pytest.mark.parametrize(
    ("related", "nonce", "natural", "influence", "auc"),
    [
        (1.0, 0.2, 0.1, (0.2 + 0.1) / 2 / 2, 1.0),  # medians averaged over the kinds, over a self-gain of 2
        (1.0, 0.0, 0.0, 0.0, 1.0),  # the best
        (0.1, 0.2, 0.3, 0.125, 0.0),  # the worst
        (0.3, 0.3, 0.3, 0.15, 0.5),  # a learner that tells nothing apart: all ties
    ],
)
def test_unrelated_by_hand(related: float, nonce: float, natural: float, influence: float, auc: float) -> None:
    matrix = world(related, nonce, natural)
    assert unrelated_influence(matrix).value == pytest.approx(influence)
    assert relatedness_auc(matrix).value == pytest.approx(auc)


def test_bare_names_and_single_cells_do_not_matter() -> None:
    matrix = world(1.0, 0.2, 0.1)
    name_N = matrix.probes["role"].to_numpy() == "name"
    named = matrix_of(np.where(name_N | name_N[:, None], 50, matrix.gain), matrix.probes, self_gain=2.0)
    assert unrelated_influence(named).value == pytest.approx(0.075)
    assert relatedness_auc(named).value == 1
    item_N = matrix.probes["item"].to_numpy()
    named.gain[item_N == "p1", item_N == "unrelated_nonce"] = 100  # one cell of many: medians stay
    assert unrelated_influence(named).value == pytest.approx(0.075)


@pytest.mark.parametrize(
    ("related", "unrelated", "verdicts"),
    [
        (1.0, 0.02, ["satisfied", "satisfied"]),
        (0.5, 0.5, ["violated", "violated"]),
        (1.0, 0.7, ["violated", "violated"]),
    ],
)
def test_over_worlds_a_planted_relation_is_found_and_none_where_there_is_none(related, unrelated, verdicts) -> None:
    """At noise of half the size of a gain the medians are those planted, over a self-gain of 2."""
    matrix = world(related, unrelated, unrelated, count=40, spread=0.5)
    matrix = replace(matrix, estimator={"name": "finetune", "step_size": {"median": 0.3}})
    found = score(matrix, ["unrelated_influence", "relatedness_auc"])
    assert found["verdict"].tolist() == verdicts
    assert (found["n"] == 40).all()
    assert found["value"][0] == pytest.approx(unrelated / 2, rel=0.05)
    at_chance = found["low"][1] < 0.5 < found["high"][1]
    assert at_chance == (related == unrelated)
    assert (found["p"][1] > 0.01) == at_chance


def test_the_order_of_samples_does_not_matter() -> None:
    matrix = world(1.0, 0.4, 0.2, spread=0.5)
    for measure in (unrelated_influence, relatedness_auc):
        assert measure(shuffled(matrix)).value == pytest.approx(measure(matrix).value, rel=1e-12)


def test_units_do_not_matter() -> None:
    matrix, scaled = world(1.0, 0.4, 0.2), world(1e-3, 0.4e-3, 0.2e-3, self_gain=2e-3)
    for measure in (unrelated_influence, relatedness_auc):
        assert measure(scaled).value == pytest.approx(measure(matrix).value)


def test_what_has_no_unrelated_statements_is_said() -> None:
    with pytest.raises(NotApplicableError, match="expected a column 'role' of the samples, got id, label"):
        unrelated_influence(matrix_of(np.ones((2, 2)), images([0, 1])))
    with pytest.raises(NotApplicableError, match="expected a column 'role' of the samples, got id, label"):
        relatedness_auc(matrix_of(np.ones((2, 2)), images([0, 1])))
    matrix = world(1.0, 0.4, 0.2)
    related = matrix.probes["role"].isin(["p1", "p2", "entailed"]).to_numpy()
    with pytest.raises(NotApplicableError, match="expected targets of role unrelated_nonce, parallel or unrelated_nat"):
        relatedness_auc(matrix.select(probes=related, targets=related))
    alone = matrix.probes["role"].isin(["p1", "unrelated_natural"]).to_numpy()
    with pytest.raises(UndefinedError, match="expected statements with a name in common, got none"):
        relatedness_auc(matrix.select(probes=alone, targets=alone))
