import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.reversal_gap import reversal_gap
from tests.influence.desiderata.matrices import language, scaled, shuffled

S, REVERSED = "p1", "p1_reversed"
PARA, PARA_REVERSED = "p1_reworded", "p1_reversed_reworded"


def test_by_hand() -> None:
    # (.5 - .1 + .7 - .2) / (.8 + 1) = .9 / 1.8
    matrix = language(
        "taxonomy",
        {
            (S, S): 0.8,
            (REVERSED, REVERSED): 1.0,
            (S, PARA): 0.5,
            (S, PARA_REVERSED): 0.1,
            (REVERSED, PARA_REVERSED): 0.7,
            (REVERSED, PARA): 0.2,
        },
        other=9.0,
    )
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-4)):
        assert reversal_gap(same).value == pytest.approx(0.5)


def test_of_the_entailed_where_that_is_what_is_turned_round() -> None:
    gains = {("entailed", "entailed_reworded"): 0.6, ("converse", "entailed_reworded"): 0.1}
    assert reversal_gap(language("property", gains)).value == pytest.approx((0.6 - 0.1) / 2)


@pytest.mark.parametrize("domain", ["taxonomy", "subset", "causal", "containment", "ordering", "kinship"])
def test_meaning_bag_of_words_and_its_contrary(domain: str) -> None:
    own, other = {(S, PARA): 1, (REVERSED, PARA_REVERSED): 1}, {(S, PARA_REVERSED): 1, (REVERSED, PARA): 1}
    values = [reversal_gap(language(domain, gains)).value for gains in (own, own | other, other)]
    assert values == [1, 0, -1]


@pytest.mark.parametrize("domain", ["belongs_to", "natural_isa", "symmetric", "transitivity", "unrelated"])
def test_a_domain_without_both_paraphrases_says_so(domain: str) -> None:
    with pytest.raises(UndefinedError, match="expected an item and its converse, each with a paraphrase, got none"):
        reversal_gap(language(domain, {}))


def test_all_four_cells_are_needed() -> None:
    matrix = language("taxonomy", {})
    kept_P = matrix.probes["item"].isin([S, REVERSED]).to_numpy()
    kept_T = matrix.targets["item"].isin([PARA, PARA_REVERSED]).to_numpy()
    assert reversal_gap(matrix.select(probes=kept_P, targets=kept_T)).value == 0
    with pytest.raises(UndefinedError, match="got none"):
        reversal_gap(matrix.select(probes=(matrix.probes["item"] != REVERSED).to_numpy(), targets=kept_T))


def test_a_planted_gap_is_found_and_a_strong_bag_of_words_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = {cell: rng.normal(0, 0.1, 15) for cell in [(S, PARA), (S, PARA_REVERSED), (REVERSED, PARA)]}
    planted = language("subset", noise | {(S, PARA): 0.6 + noise[S, PARA]}, count=15)
    found = score(planted, ["reversal_gap"]).iloc[0]
    assert found["low"] > 0.2  # .6 / 2 = .3
    assert (found["threshold"], found["verdict"]) == (0.25, "descriptive")
    assert found["p"] < 0.001
    words = language("subset", {cell: 2 + gain_W for cell, gain_W in noise.items()}, count=15, other=2.0)
    found = score(words, ["reversal_gap"]).iloc[0]
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.05
